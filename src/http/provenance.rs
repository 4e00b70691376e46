//! The client of a request, as stages see it, and who is trusted to name it.
//!
//! Anybody can write `X-Forwarded-For`. These fields are therefore believed only from a trusted proxy
//! (`http.trusted-proxies`), and removed from the requests of all other clients. Then the fields of the configured form
//! are set:
//!
//! | field | value |
//! | --- | --- |
//! | `X-Forwarded-For`, or `for` of `Forwarded` | a trusted proxy's list, and the peer after it |
//! | `X-Forwarded-Proto`, `-Host`, `-Port`, or `proto` and `host` | a trusted proxy's, if it sent one valid value; else the request's own |
//! | `X-Real-IP` | the client: of the list, the rightmost address that is no trusted proxy |
//!
//! The fields of the other form are always removed: a proxy that knows one form passes on the other as its client wrote
//! it.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::Version;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, VIA};
use http::uri::Scheme;

use super::kinds::{Kinds, is_claim, remove};
use super::normalize::NormalHead;
use super::request_id::RequestId;
use crate::net::ConnInfo;
use crate::plan::HttpPolicy;
use crate::plan::policy::{ForwardedForm, RequestIdPolicy};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The values of `X-Forwarded-Proto`: without TLS and with it.
const SCHEMES: [&str; 2] = ["http", "https"];

/// Fields of the form `X-Forwarded-…`, with `X-Real-IP` and `X-Request-Id`.
const FIELDS: usize = 6;

/// The longest foreign id that is kept.
const LONGEST_ID: usize = 128;

/// What is known of a request apart from its head.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The version of HTTP.
    pub version: Version,
    /// The gateway's id for the request.
    pub id: &'a RequestId,
    /// The kinds of its fields.
    pub kinds: Kinds,
    /// The connection on which it came.
    pub conn: &'a ConnInfo,
}

/// The client, as far as known: the peer, or the client that trusted proxies name.
pub fn client(headers: &HeaderMap, peer: IpAddr, http: &HttpPolicy) -> IpAddr {
    let mut client = peer.to_canonical();
    if http.trusted_proxies.is_empty() || !http.trusts(client) {
        return client;
    }
    let name = match http.forwarded {
        ForwardedForm::Forwarded => FORWARDED,
        ForwardedForm::XForwarded | ForwardedForm::None => X_FORWARDED_FOR,
    };
    let values: Vec<_> = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).collect();
    for value in values.iter().rev() {
        for element in split(value, ',').into_iter().rev() {
            let address = if name == FORWARDED { forwarded_for(element) } else { Some(element.trim()) };
            // An element that is no address may be hidden or forged: nothing to the left of it is believed.
            let Some(address) = address.and_then(node) else { return client };
            client = address;
            if !http.trusts(client) {
                return client;
            }
        }
    }
    client
}

/// Sets the fields about `client` and the request's way. A program that embeds the gateway has no address: the program
/// speaks for its own clients, and nothing is added to what it says.
pub fn tell(
    headers: &mut HeaderMap,
    head: &NormalHead,
    arrival: &Arrival<'_>,
    client: IpAddr,
    http: &HttpPolicy,
) {
    let peer = arrival.conn.peer.ip();
    let embedded = peer.is_unspecified();
    let trusted = embedded || http.trusts(peer);
    if !embedded {
        if arrival.kinds.has(Kinds::CLAIM) {
            believe(headers, trusted, http.forwarded);
        }
        match http.forwarded {
            ForwardedForm::XForwarded if !trusted || !arrival.kinds.has(Kinds::CLAIM) => {
                x_forwarded_anew(headers, head, arrival.conn);
            }
            ForwardedForm::XForwarded => x_forwarded(headers, head, arrival),
            ForwardedForm::Forwarded => forwarded(headers, head, arrival),
            ForwardedForm::None => {}
        }
        if http.forwarded != ForwardedForm::None {
            let own = client == peer.to_canonical();
            headers.insert(
                X_REAL_IP,
                if own { peer_value(arrival.conn) } else { value_of(text_of(&client).as_str()) },
            );
        }
    }
    if http.request_id == RequestIdPolicy::Make
        || http.request_id == RequestIdPolicy::Accept && !(trusted && has_valid_id(headers))
    {
        set(headers, X_REQUEST_ID, arrival.id.as_str());
    }
    if let Some(name) = &http.via {
        add_via(headers, arrival.version, name);
    }
}

/// Removes fields that are not believed.
fn believe(headers: &mut HeaderMap, trusted: bool, form: ForwardedForm) {
    match form {
        _ if !trusted => remove(headers, is_claim),
        // The configuration says which form a proxy knows; the other one may be its client's.
        ForwardedForm::XForwarded => drop(headers.remove(FORWARDED)),
        ForwardedForm::Forwarded => remove(headers, |name| name.starts_with("x-forwarded-")),
        ForwardedForm::None => {}
    }
}

/// One more entry of `Via` (RFC 9110 §7.6.3).
pub fn add_via(headers: &mut HeaderMap, version: Version, name: &str) {
    let version = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    };
    append(headers, VIA, &format!("{version} {name}"));
}

fn x_forwarded(headers: &mut HeaderMap, head: &NormalHead, arrival: &Arrival<'_>) {
    // Made once for all fields.
    headers.reserve(FIELDS);
    append(headers, X_FORWARDED_FOR, text_of(&arrival.conn.peer.ip().to_canonical()).as_str());
    keep_or(headers, X_FORWARDED_PROTO, is_scheme, || scheme_value(head));
    keep_or(headers, X_FORWARDED_HOST, is_authority, || head.named.value.clone());
    keep_or(headers, X_FORWARDED_PORT, is_port, || head.named.port.clone());
}

/// The same where none of the fields is there: most requests are such, and their values are known already. 0.3 µs
/// instead of 0.6.
fn x_forwarded_anew(headers: &mut HeaderMap, head: &NormalHead, conn: &ConnInfo) {
    headers.reserve(FIELDS);
    headers.insert(X_FORWARDED_FOR, peer_value(conn));
    headers.insert(X_FORWARDED_PROTO, scheme_value(head));
    headers.insert(X_FORWARDED_HOST, head.named.value.clone());
    headers.insert(X_FORWARDED_PORT, head.named.port.clone());
}

fn scheme_value(head: &NormalHead) -> HeaderValue {
    HeaderValue::from_static(SCHEMES[usize::from(head.scheme == Scheme::HTTPS)])
}

/// The peer's address, made once for each connection.
fn peer_value(conn: &ConnInfo) -> HeaderValue {
    conn.peer_value.get_or_init(|| value_of(text_of(&conn.peer.ip().to_canonical()).as_str())).clone()
}

/// The text of `value`, on the stack, because this happens for every request.
fn text_of(value: &IpAddr) -> Text {
    let mut text = Text { bytes: [0; 40], length: 0 };
    // The longest address has 39 characters.
    let _ = write!(text, "{value}");
    text
}

struct Text {
    bytes: [u8; 40],
    length: usize,
}

impl Text {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// RFC 7239 §4.
fn forwarded(headers: &mut HeaderMap, head: &NormalHead, arrival: &Arrival<'_>) {
    let mut element = String::from("for=");
    // Writing to a string does not fail.
    let _ = match arrival.conn.peer.ip().to_canonical() {
        IpAddr::V4(address) => write!(element, "{address}"),
        IpAddr::V6(address) => write!(element, "\"[{address}]\""),
    };
    let _ = write!(element, ";host=\"{}\";proto={}", head.authority(), head.scheme);
    append(headers, FORWARDED, &element);
}

fn is_scheme(value: &str) -> bool {
    SCHEMES.contains(&value)
}

fn is_port(value: &str) -> bool {
    value.parse::<u16>().is_ok()
}

fn is_authority(value: &str) -> bool {
    value.parse::<http::uri::Authority>().is_ok_and(|it| !it.as_str().contains('@'))
}

/// Keeps the field if it has one value, which is `valid`; else sets the request's `own`.
fn keep_or(
    headers: &mut HeaderMap,
    name: HeaderName,
    valid: impl Fn(&str) -> bool,
    own: impl Fn() -> HeaderValue,
) {
    let mut values = headers.get_all(&name).iter();
    let one = values.next().filter(|_| values.next().is_none());
    if !one.and_then(|value| value.to_str().ok()).is_some_and(valid) {
        headers.insert(name, own());
    }
}

fn has_valid_id(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(X_REQUEST_ID).iter();
    let one = values.next().filter(|_| values.next().is_none());
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
    one.map(HeaderValue::as_bytes)
        .is_some_and(|id| (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(is_safe))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.insert(name, value_of(value));
}

/// The text consists of addresses, authorities and tokens, which are valid values.
fn value_of(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Adds `value` to the end of the list, and makes the list one field.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if !headers.contains_key(&name) {
        return set(headers, name, value);
    }
    let mut list: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    list.retain(|value| !value.is_empty());
    list.push(value.as_bytes());
    if let Ok(list) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
        headers.insert(name, list);
    }
}

/// The parts of a list. Separators may stand in quotes, where they don't separate.
fn split(list: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(|c: char| {
        let separates = c == separator && !quoted;
        (quoted, escaped) = match c {
            _ if escaped => (quoted, false),
            '\\' if quoted => (quoted, true),
            '"' => (!quoted, false),
            _ => (quoted, false),
        };
        separates
    })
    .collect()
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    split(element, ';').into_iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without a port (RFC 7239 §6).
fn node(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    Some(address.or_else(bracketed)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Network;

    fn policy(forwarded: ForwardedForm) -> HttpPolicy {
        let trusted_proxies =
            ["10.0.0.0/8", "2001:db8::/32"].map(|text| Network::parse(text).unwrap()).to_vec();
        HttpPolicy { trusted_proxies, forwarded, ..HttpPolicy::default() }
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_client_is_the_rightmost_whom_nobody_vouches_for() {
        for (peer, lists, expected) in [
            ("192.0.2.1", &["198.51.100.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1,10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db9::1]:4711, [2001:db8::7]"], "2001:db9::1"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, 10.0.0.2, x"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_str(list).unwrap());
            }
            let found = client(&headers, peer.parse().unwrap(), &policy(ForwardedForm::XForwarded));
            assert_eq!(found.to_string(), expected, "{peer} {lists:?}");
        }
    }

    #[test]
    fn forwarded_is_read_with_its_quotes() {
        for (value, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("for=6.6.6.6, For=\"[2001:db9::1]:47\";proto=https", "2001:db9::1"),
            ("host=\"a,b\";for=198.51.100.1", "198.51.100.1"),
            ("for=198.51.100.1, for=_hidden", "10.0.0.1"),
            ("proto=http", "10.0.0.1"),
            ("for=\"198.51.100.1, for=6.6.6.6\"", "10.0.0.1"),
        ] {
            let headers = map(&[("x-forwarded-for", "6.6.6.6"), ("forwarded", value)]);
            let found = client(&headers, "10.0.0.1".parse().unwrap(), &policy(ForwardedForm::Forwarded));
            assert_eq!(found.to_string(), expected, "{value}");
        }
    }

    #[test]
    fn names_of_claims() {
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-prefix", "x-real-ip", "x-original-url"] {
            assert!(is_claim(name), "{name}");
        }
        assert!(!is_claim("x-forwarding") && !is_claim("authorization"));
    }
}
