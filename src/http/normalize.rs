//! The one normal form of a request's head. The router, the stages and an upstream all see this form, so that no two of
//! them can read a request differently. A head without a normal form is refused.
//!
//! | part | rule |
//! | --- | --- |
//! | authority | from the absolute form or `:authority`, and from `Host`; all that are given must agree; no user info; a host name, IPv4 or bracketed IPv6 address, in lower case, without a trailing dot; the scheme's default port is dropped |
//! | scheme | the listener's; a request for the other one is misdirected (421), for a third one 400 |
//! | server name | the authority's host is the one that the TLS handshake named, if it named one (421); `sni = "ignore"` takes any |
//! | path, query | [`super::path`] |
//! | method | any token, but CONNECT is 501: the gateway is no tunnel |
//! | `OPTIONS *` | 400: it asks about a server, and here is one per route |
//! | framing | `Transfer-Encoding` other than one `chunked`, several `Content-Length`, or one that is no number: 400; before that, HTTP/1 is held to its grammar by `net` |
//! | values | HTTP/2: 400 with space at an end (RFC 9113 §8.2.1) |

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::hosts::{Host, Hosts};
use super::kinds::Kinds;
use super::path::path_and_query;
use super::respond::{Refusal, bad};
use crate::net::TlsInfo;
use crate::plan::HttpPolicy;

/// The bounds of a head, beyond those of the connection's parser.
#[derive(Clone, Copy, Debug)]
pub struct HeadRules<'a> {
    /// Bytes of the request's target, as received. Beyond: 414.
    pub uri_size: usize,
    /// Fields. HTTP/1.1's parser has the same bound; HTTP/2's has none. Beyond: 431.
    pub header_count: usize,
    /// The rules to follow.
    pub http: &'a HttpPolicy,
    /// The hosts that are known already.
    pub hosts: &'a Hosts,
}

/// A request's head in its normal form. [`super::headers`] has the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalHead {
    /// As it was sent; methods are case-sensitive (RFC 9110 §9.1).
    pub method: Method,
    /// `http` or `https`, by the connection.
    pub scheme: Scheme,
    /// The target's authority.
    pub named: Rc<Host>,
    /// Starts with `/`.
    pub path_and_query: PathAndQuery,
}

impl NormalHead {
    /// The authority without its port; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        self.authority().host()
    }

    /// The host, with a port that is not the scheme's.
    pub fn authority(&self) -> &Authority {
        &self.named.authority
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.path_and_query.path()
    }
}

/// The normal form of `parts`, which came over a connection with or without TLS, and whose fields are of these `kinds`.
///
/// # Errors
/// 400, 414, 421, 431 or 501, by the table in the module's documentation.
pub fn normalize(
    parts: &Parts,
    kinds: Kinds,
    tls: Option<&TlsInfo>,
    rules: &HeadRules<'_>,
) -> Result<NormalHead, Refusal> {
    let uri = &parts.uri;
    if parts.method == Method::CONNECT {
        return Err(Refusal::NotImplemented);
    }
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    if target > rules.uri_size {
        return Err(Refusal::UriTooLong);
    }
    if parts.headers.len() > rules.header_count {
        return Err(Refusal::HeadersTooLarge);
    }
    if kinds.has(Kinds::FRAMING) {
        check_framing(&parts.headers)?;
    }
    if parts.version == Version::HTTP_2 && parts.headers.values().any(is_padded) {
        return bad("A field's value begins or ends with space.");
    }
    let scheme = scheme(uri, tls.is_some())?;
    let named = host(parts, &scheme, rules.hosts)?;
    if !rules.http.any_sni
        && let Some(name) = tls.and_then(|tls| tls.server_name.as_deref())
        && !name.trim_end_matches('.').eq_ignore_ascii_case(named.authority.host())
    {
        // RFC 9110 §7.4: also where one connection is used for several hosts (RFC 9113 §9.1.1); clients then try again
        // on another.
        return Err(Refusal::Misdirected);
    }
    Ok(NormalHead {
        method: parts.method.clone(),
        named,
        path_and_query: path_and_query(uri, rules.http.paths)?,
        scheme,
    })
}

/// hyper reads a body by these fields, but accepts more than one spelling; other servers on the path may not.
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next()
        && (encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return bad("Transfer-Encoding must be just `chunked`.");
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        if lengths.next().is_some() {
            return bad("Content-Length is given more than once.");
        }
        // hyper and h2 have read the field, and take an empty one as 0.
        if length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit) {
            return bad("Content-Length is not a number.");
        }
    }
    Ok(())
}

/// RFC 9113 §8.2.1; the parser of HTTP/1 removes the space.
fn is_padded(value: &HeaderValue) -> bool {
    let space = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    space(value.as_bytes().first()) || space(value.as_bytes().last())
}

fn scheme(uri: &Uri, tls: bool) -> Result<Scheme, Refusal> {
    let ours = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    match uri.scheme() {
        None => Ok(ours),
        Some(theirs) if *theirs == ours => Ok(ours),
        Some(theirs) if *theirs == Scheme::HTTP || *theirs == Scheme::HTTPS => Err(Refusal::Misdirected),
        Some(_) => bad("The scheme is neither http nor https."),
    }
}

fn host(parts: &Parts, scheme: &Scheme, known: &Hosts) -> Result<Rc<Host>, Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return bad("Host is given more than once.");
    }
    if host.is_none() && matches!(parts.version, Version::HTTP_10 | Version::HTTP_11) {
        // RFC 9112 §3.2; an HTTP/1.0 request without `Host` has no host for the router.
        return bad("Host is missing.");
    }
    if parts.uri.authority().is_some() && parts.uri.scheme().is_none() {
        // `GET example.com` is CONNECT's form (RFC 9112 §3.2.3).
        return bad("The request's target must be a path or an absolute URI.");
    }
    let of_host = host.map(|host| known.find(host.as_bytes(), scheme)).transpose()?;
    let of_target = parts.uri.authority().map(|it| known.find(it.as_str().as_bytes(), scheme)).transpose()?;
    match (of_target, of_host) {
        (Some(target), Some(host)) if target.authority != host.authority => {
            bad("Host and the request's target name different hosts.")
        }
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) => bad("The request names no host."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(parts: &Parts, tls: Option<&TlsInfo>) -> Result<NormalHead, Refusal> {
        let http = HttpPolicy::default();
        with(parts, tls, &http)
    }

    fn with(parts: &Parts, tls: Option<&TlsInfo>, http: &HttpPolicy) -> Result<NormalHead, Refusal> {
        let rules = HeadRules { uri_size: 100, header_count: 5, http, hosts: &Hosts::default() };
        normalize(parts, Kinds::of(&parts.headers), tls, &rules)
    }

    /// The host of the handshake, if it named one.
    fn tls(name: Option<&str>) -> TlsInfo {
        TlsInfo { server_name: name.map(Into::into), version: None, alpn: None, client: None }
    }

    fn parts(method: &str, target: &str, version: Version, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn http1(target: &str, fields: &[(&'static str, &'static str)]) -> Result<NormalHead, Refusal> {
        outcome(&parts("GET", target, Version::HTTP_11, fields), Some(&tls(None)))
    }

    fn status(outcome: &Result<NormalHead, Refusal>) -> u16 {
        outcome.as_ref().map_or_else(|refusal| refusal.status().as_u16(), |_| 200)
    }

    #[test]
    fn all_that_names_the_host_must_agree() {
        type Fields = &'static [(&'static str, &'static str)];
        const A: (&str, &str) = ("host", "a.example");
        let cases: [(&str, Version, Fields, u16); 16] = [
            ("/x", Version::HTTP_11, &[A], 200),
            ("/x", Version::HTTP_11, &[], 400),
            ("/x", Version::HTTP_10, &[], 400),
            ("/x", Version::HTTP_10, &[A], 200),
            ("/x", Version::HTTP_11, &[A, A], 400),
            ("/x", Version::HTTP_11, &[("host", "")], 400),
            ("https://a.example/x", Version::HTTP_11, &[A], 200),
            ("https://A.EXAMPLE:443/x", Version::HTTP_11, &[A], 200),
            ("https://b.example/x", Version::HTTP_11, &[A], 400),
            ("https://a.example/x", Version::HTTP_11, &[], 400),
            ("https://a.example/x", Version::HTTP_2, &[], 200),
            ("https://a.example/x", Version::HTTP_2, &[A], 200),
            ("https://b.example/x", Version::HTTP_2, &[A], 400),
            ("https://u@a.example/x", Version::HTTP_2, &[], 400),
            ("/x", Version::HTTP_2, &[], 400),
            ("a.example", Version::HTTP_11, &[A], 400),
        ];
        for (target, version, fields, expected) in cases {
            let outcome = outcome(&parts("GET", target, version, fields), Some(&tls(None)));
            assert_eq!(status(&outcome), expected, "{target} {version:?} {fields:?}: {outcome:?}");
            if let Ok(head) = outcome {
                assert_eq!(
                    (head.host(), head.path(), head.authority().as_str()),
                    ("a.example", "/x", "a.example")
                );
                assert_eq!(head.scheme, Scheme::HTTPS);
            }
        }
    }

    #[test]
    fn the_handshake_names_the_host_too() {
        for (name, host, expected) in [
            (None, "a.example", 200),
            (Some("a.example"), "a.example", 200),
            (Some("A.example."), "a.example:8443", 200),
            (Some("b.example"), "a.example", 421),
            (Some("example"), "a.example", 421),
            (Some("a.example"), "192.0.2.1", 421),
        ] {
            let parts = parts("GET", "/", Version::HTTP_11, &[("host", host)]);
            assert_eq!(status(&outcome(&parts, Some(&tls(name)))), expected, "{name:?} {host}");
            let http = HttpPolicy { any_sni: true, ..HttpPolicy::default() };
            assert!(with(&parts, Some(&tls(name)), &http).is_ok(), "{name:?} {host}");
        }
    }

    #[test]
    fn schemes_are_the_listeners() {
        let host = [("host", "a")];
        for (target, secure, expected) in [
            ("http://a/", false, 200),
            ("https://a/", true, 200),
            ("http://a/", true, 421),
            ("https://a/", false, 421),
            ("HTTP://a/", false, 200),
            ("ftp://a/", true, 400),
            ("file://a/etc/passwd", false, 400),
        ] {
            let none = tls(None);
            let outcome = outcome(&parts("GET", target, Version::HTTP_11, &host), secure.then_some(&none));
            assert_eq!(status(&outcome), expected, "{target} {secure}");
        }
    }

    #[test]
    fn methods_framing_and_sizes() {
        const HOST: (&str, &str) = ("host", "a");
        for (method, target, expected) in
            [("OPTIONS", "*", 400), ("CONNECT", "a:443", 501), ("PURGE", "/", 200), ("OPTIONS", "/", 200)]
        {
            let outcome = outcome(&parts(method, target, Version::HTTP_11, &[HOST]), None);
            assert_eq!(status(&outcome), expected, "{method} {target}");
        }
        let framings: [(&[(&str, &str)], u16); 9] = [
            (&[HOST, ("transfer-encoding", "Chunked")], 200),
            (&[HOST, ("transfer-encoding", "gzip, chunked")], 400),
            (&[HOST, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 400),
            (&[HOST, ("content-length", "1"), ("content-length", "1")], 400),
            (&[HOST, ("content-length", "")], 400),
            (&[HOST, ("content-length", "+1")], 400),
            (&[HOST, ("content-length", "10")], 200),
            (&[HOST, ("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")], 200),
            (&[HOST, ("a", "1"), ("a", "2"), ("a", "3"), ("a", "4"), ("a", "5")], 431),
        ];
        for (fields, expected) in framings {
            assert_eq!(status(&http1("/", fields)), expected, "{fields:?}");
        }
        assert_eq!(status(&http1(&format!("/{}", "a".repeat(99)), &[HOST])), 200);
        assert_eq!(status(&http1(&format!("/{}", "a".repeat(100)), &[HOST])), 414);
        assert_eq!(status(&http1(&format!("/a?{}", "a".repeat(98)), &[HOST])), 414);
    }

    #[test]
    fn queries_stay_as_they_came() {
        let head = http1("/a/./b?x=%2f..%2F&y=%zz//", &[("host", "a")]).unwrap();
        assert_eq!(head.path_and_query.as_str(), "/a/b?x=%2f..%2F&y=%zz//");
        assert_eq!(http1("/a?", &[("host", "a")]).unwrap().path_and_query.as_str(), "/a?");
        assert_eq!(http1("/./a?", &[("host", "a")]).unwrap().path_and_query.as_str(), "/a?");
    }
}
