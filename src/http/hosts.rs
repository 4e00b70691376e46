//! The hosts that requests name, in their normal form, together with the fields that stages see about them.
//!
//! A connection, and mostly a worker, sees the same few names again and again. The names are kept, because making one
//! took 0.4 µs and five allocations per request. At most [`MOST`] names are kept for each scheme; a client that sends
//! another name each time only loses this advantage.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv6Addr;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderValue;
use http::uri::{Authority, Scheme};

use super::respond::{Refusal, bad};
use crate::plan::decimal;

/// The most names that are kept, of at most 259 bytes each. One name more, and all are forgotten.
const MOST: usize = 256;

/// A host in its normal form.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    /// Lower case, without user info and without the scheme's default port.
    pub authority: Authority,
    /// The same as a field's value.
    pub value: HeaderValue,
    /// The host's port, or the scheme's, as a field's value.
    pub port: HeaderValue,
}

type Known = RefCell<HashMap<Box<[u8]>, Rc<Host>>>;

/// The hosts that one worker knows.
#[derive(Debug, Default)]
pub struct Hosts {
    /// By the host as it was written; without TLS and with it.
    known: [Known; 2],
}

impl Hosts {
    /// The host that is written as `raw`.
    ///
    /// # Errors
    /// 400, if `raw` is no host.
    pub fn find(&self, raw: &[u8], scheme: &Scheme) -> Result<Rc<Host>, Refusal> {
        let known = &self.known[usize::from(*scheme == Scheme::HTTPS)];
        if let Some(host) = known.borrow().get(raw) {
            return Ok(Rc::clone(host));
        }
        let host = Rc::new(host(raw, scheme)?);
        let mut known = known.borrow_mut();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(raw.into(), Rc::clone(&host));
        Ok(host)
    }
}

fn host(raw: &[u8], scheme: &Scheme) -> Result<Host, Refusal> {
    let normal = Bytes::from(normal_authority(raw, scheme)?);
    let (authority, value) =
        (Authority::from_maybe_shared(normal.clone()), HeaderValue::from_maybe_shared(normal));
    let (Ok(authority), Ok(value)) = (authority, value) else { return bad("The host is not valid.") };
    let port = authority.port_u16().unwrap_or(if *scheme == Scheme::HTTPS { 443 } else { 80 });
    Ok(Host { authority, value, port: port.into() })
}

/// RFC 3986 §3.2.2 and §6.2.2.1, narrowed to addresses and to names that DNS can have.
fn normal_authority(raw: &[u8], scheme: &Scheme) -> Result<String, Refusal> {
    const LONGEST: usize = 253 + ".:65535".len();
    let Ok(raw) = std::str::from_utf8(raw) else { return bad("The host is not valid.") };
    if raw.is_empty() || raw.len() > LONGEST {
        return bad("The host is empty or too long.");
    }
    if raw.contains('@') {
        return bad("User info before the host is not allowed.");
    }
    let (mut normal, port) = if let Some(rest) = raw.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return bad("The host is not valid.") };
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return bad("The host is not a valid IPv6 address.");
        };
        if !port.is_empty() && !port.starts_with(':') {
            return bad("The host is not valid.");
        }
        (format!("[{address}]"), port.strip_prefix(':'))
    } else {
        let (name, port) = raw.split_once(':').map_or((raw, None), |(name, port)| (name, Some(port)));
        (normal_name(name)?, port)
    };
    if let Some(port) = normal_port(port.unwrap_or_default(), scheme)? {
        // Writing to a string does not fail.
        let _ = write!(normal, ":{port}");
    }
    Ok(normal)
}

fn normal_name(name: &str) -> Result<String, Refusal> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > 253 || !name.split('.').all(fits) {
        return bad("The host is not a valid name.");
    }
    Ok(name.to_ascii_lowercase())
}

fn normal_port(port: &str, scheme: &Scheme) -> Result<Option<u16>, Refusal> {
    if port.is_empty() {
        return Ok(None);
    }
    let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    match decimal(port) {
        Some(port) if port == default => Ok(None),
        Some(number) if number > 0 => Ok(Some(number)),
        _ => bad("The port is not valid."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_normal_form() {
        let cases = [
            ("a.example", Some("a.example")),
            ("A.Example.", Some("a.example")),
            ("a.example:443", Some("a.example")),
            ("a.example:0443", Some("a.example")),
            ("a.example:", Some("a.example")),
            ("a.example:8443", Some("a.example:8443")),
            ("a.example:80", Some("a.example:80")),
            ("under_score.example", Some("under_score.example")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("[::1]", Some("[::1]")),
            ("[0:0:0:0:0:0:0:1]:443", Some("[::1]")),
            ("[2001:DB8::1]:8443", Some("[2001:db8::1]:8443")),
            ("", None),
            (".", None),
            ("..", None),
            ("a..b", None),
            (".a", None),
            ("a:b", None),
            ("a:0", None),
            ("a:65536", None),
            ("a:+1", None),
            ("a:+443", None),
            ("a:1:2", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[::1]:x", None),
            ("[fe80::1%25eth0]", None),
            ("[v1.x]", None),
            ("user@a", None),
            ("user:pw@a", None),
            ("a b", None),
            ("a/b", None),
            ("a?b", None),
            ("a#b", None),
            ("a,b", None),
            ("a%2eb", None),
            ("a\\b", None),
            ("h\u{e9}", None),
        ];
        for (host, normal) in cases {
            let outcome = normal_authority(host.as_bytes(), &Scheme::HTTPS);
            assert_eq!(outcome.as_deref().ok(), normal, "{host:?}: {outcome:?}");
            if let Some(normal) = normal {
                assert_eq!(normal_authority(normal.as_bytes(), &Scheme::HTTPS).as_deref(), Ok(normal));
            }
        }
        assert_eq!(normal_authority(b"a:80", &Scheme::HTTP).as_deref(), Ok("a"));
        assert!(normal_authority(b"\xff", &Scheme::HTTP).is_err());
        assert!(normal_authority("a".repeat(64).as_bytes(), &Scheme::HTTP).is_err());
        assert!(normal_authority("a.".repeat(127).as_bytes(), &Scheme::HTTP).is_ok());
        assert!(normal_authority("a.".repeat(128).as_bytes(), &Scheme::HTTP).is_err());
    }

    #[test]
    fn what_is_known_is_shared_and_bounded() {
        let hosts = Hosts::default();
        let one = hosts.find(b"A.example:443", &Scheme::HTTPS).unwrap();
        assert!(Rc::ptr_eq(&one, &hosts.find(b"A.example:443", &Scheme::HTTPS).unwrap()));
        assert_eq!(
            (one.authority.as_str(), &one.value, &one.port),
            ("a.example", &"a.example".parse().unwrap(), &443.into())
        );
        let plain = hosts.find(b"A.example:443", &Scheme::HTTP).unwrap();
        assert_eq!((plain.authority.as_str(), &plain.port), ("a.example:443", &443.into()));
        assert!(hosts.find(b"a b", &Scheme::HTTPS).is_err() && hosts.find(b"a b", &Scheme::HTTPS).is_err());
        for number in 0..MOST + 3 {
            hosts.find(format!("{number}.example").as_bytes(), &Scheme::HTTPS).unwrap();
        }
        assert!((1..=MOST).contains(&hosts.known[1].borrow().len()));
        assert_eq!(*hosts.find(b"A.example:443", &Scheme::HTTPS).unwrap(), *one);
    }
}
