//! The hosts that requests name, in their normal form, with what stages are told of them.
//!
//! A connection, and mostly a worker, sees the same few names again and again: they are kept, since to make one took 0.4 µs and
//! five allocations of each request. At most [`MOST`] for each scheme; who sends another name each time only makes it work as
//! if nothing were kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderValue;
use http::uri::{Authority, Scheme};

use super::normalize::{bad, normal_authority};
use super::respond::Refusal;

/// Names that are kept, of at most 259 bytes each. One more, and all are forgotten.
const MOST: usize = 256;

/// A host in its normal form.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    /// Lower case, without user info and without the scheme's default port.
    pub authority: Authority,
    /// The same, as a field's value.
    pub value: HeaderValue,
    /// Its port, or the scheme's: likewise.
    pub port: HeaderValue,
}

type Known = RefCell<HashMap<Box<[u8]>, Rc<Host>>>;

/// The hosts that one worker knows.
#[derive(Debug, Default)]
pub struct Hosts {
    /// By what was written; without TLS and with it.
    known: [Known; 2],
}

impl Hosts {
    /// The host that is written like this.
    ///
    /// # Errors
    /// 400, if it is none.
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

#[cfg(test)]
mod tests {
    use super::*;

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
