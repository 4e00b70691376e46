//! The one normal form of a request's head. The router, the stages and an upstream all see what comes out of here, so that
//! no two of them can read a request differently; what has no normal form is refused.
//!
//! | part | rule |
//! | --- | --- |
//! | authority | from the absolute form or `:authority`, and from `Host`; all that are given must agree; no user info; a host name, IPv4 or bracketed IPv6 address, in lower case, without a trailing dot; the scheme's default port is dropped |
//! | scheme | the listener's; a request for the other one is misdirected (421), for a third one 400 |
//! | path | RFC 3986 §6.2.2: dot segments resolved (400 above the root), unreserved characters not encoded, hexadecimal digits in capitals, characters that no path may have encoded; 400 for `\`, control characters, broken encoding, and the encoded forms of `/`, `\` and NUL; doubled slashes are kept: they are distinct paths |
//! | query | as it came |
//! | method | any token, but CONNECT is 501: the gateway is no tunnel |
//! | `OPTIONS *` | 400: it asks about a server, and here is one per route |
//! | framing | `Transfer-Encoding` other than one `chunked`, several `Content-Length`: 400 |

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::Ipv6Addr;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Uri, Version};

use super::respond::Refusal;

/// Bounds on a head that the parser of the connection does not keep.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the request's target, as it came. Beyond: 414.
    pub uri_size: usize,
    /// Fields. HTTP/1.1's parser has the same bound; HTTP/2's has none. Beyond: 431.
    pub header_count: usize,
}

/// A request's head in its normal form. The fields are [`super::headers`]' matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// As it was sent; methods are case-sensitive (RFC 9110 §9.1).
    pub method: Method,
    /// `http` or `https`, by the connection.
    pub scheme: Scheme,
    /// Lower case, without user info and without the scheme's default port.
    pub authority: Authority,
    /// Starts with `/`.
    pub path_and_query: PathAndQuery,
}

impl Head {
    /// The authority without its port; an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path_and_query.path()
    }
}

/// The normal form of `parts`, which came over a connection with TLS or without.
///
/// # Errors
/// 400, 414, 421, 431 or 501, as the module's table says.
pub fn normalize(parts: &Parts, tls: bool, limits: &HeadLimits) -> Result<Head, Refusal> {
    let uri = &parts.uri;
    if parts.method == Method::CONNECT {
        return Err(Refusal::NotImplemented);
    }
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    if target > limits.uri_size {
        return Err(Refusal::UriTooLong);
    }
    if parts.headers.len() > limits.header_count {
        return Err(Refusal::HeadersTooLarge);
    }
    check_framing(&parts.headers)?;
    let scheme = scheme(uri, tls)?;
    Ok(Head {
        method: parts.method.clone(),
        authority: authority(parts, &scheme)?,
        path_and_query: path_and_query(uri)?,
        scheme,
    })
}

fn bad<T>(reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal::BadRequest(reason))
}

/// hyper reads a body by these fields, but takes more than one way to write them; others on the path may not.
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next()
        && (encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return bad("Transfer-Encoding must be just `chunked`.");
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return bad("Content-Length is given more than once.");
    }
    Ok(())
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

fn authority(parts: &Parts, scheme: &Scheme) -> Result<Authority, Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return bad("Host is given more than once.");
    }
    if host.is_none() && matches!(parts.version, Version::HTTP_10 | Version::HTTP_11) {
        // RFC 9112 §3.2; an HTTP/1.0 request without one has no host to be routed by.
        return bad("Host is missing.");
    }
    if parts.uri.authority().is_some() && parts.uri.scheme().is_none() {
        // `GET example.com` is CONNECT's form (RFC 9112 §3.2.3).
        return bad("The request's target must be a path or an absolute URI.");
    }
    let of_host = host.map(|host| normal_authority(host.as_bytes(), scheme)).transpose()?;
    let of_target =
        parts.uri.authority().map(|it| normal_authority(it.as_str().as_bytes(), scheme)).transpose()?;
    let normal = match (of_target, of_host) {
        (Some(target), Some(host)) if target != host => {
            return bad("Host and the request's target name different hosts.");
        }
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => return bad("The request names no host."),
    };
    Authority::from_maybe_shared(Bytes::from(normal)).or_else(|_| bad("The host is not valid."))
}

/// RFC 3986 §3.2.2 and §6.2.2.1, narrowed to names that DNS can have and addresses.
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
    // `parse` would take a plus sign.
    match port.parse::<u16>() {
        Ok(port) if port == default => Ok(None),
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(number)),
        _ => bad("The port is not valid."),
    }
}

fn path_and_query(uri: &Uri) -> Result<PathAndQuery, Refusal> {
    let Some(raw) = uri.path_and_query() else { return bad("The request has no path.") };
    let normal = match normal_path(raw.path())? {
        // The usual case: nothing to do, and the bytes stay shared with the head that was read.
        Cow::Borrowed(_) => return Ok(raw.clone()),
        Cow::Owned(path) => path,
    };
    let normal = match raw.query() {
        None => normal,
        Some(query) => format!("{normal}?{query}"),
    };
    PathAndQuery::from_maybe_shared(Bytes::from(normal)).or_else(|_| bad("The path is not valid."))
}

/// The path's normal form, borrowed if that is what it is already.
fn normal_path(path: &str) -> Result<Cow<'_, str>, Refusal> {
    if !path.starts_with('/') {
        return bad("The path must start with `/`.");
    }
    let bytes = path.as_bytes();
    let plain = bytes.iter().all(|byte| is_path_byte(*byte) && *byte != b'%');
    if plain && !bytes.windows(2).any(|pair| pair == b"/.") {
        return Ok(Cow::Borrowed(path));
    }
    let encoded = normal_encoding(bytes)?;
    Ok(Cow::Owned(resolve_dots(&encoded)?))
}

/// RFC 3986's `pchar`, `/`, and `%`.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
        || matches!(byte, b'/' | b'%')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Percent-encoding where it must be and nowhere else.
fn normal_encoding(path: &[u8]) -> Result<String, Refusal> {
    let mut normal = String::with_capacity(path.len() + 16);
    let mut rest = path.iter().copied();
    while let Some(byte) = rest.next() {
        if byte == b'\\' || byte.is_ascii_control() {
            return bad("The path has a backslash or a control character.");
        }
        if byte != b'%' {
            push(&mut normal, byte, is_path_byte(byte));
            continue;
        }
        let digits = (rest.next().and_then(hex), rest.next().and_then(hex));
        let (Some(high), Some(low)) = digits else { return bad("The path has a `%` that encodes nothing.") };
        let decoded = high << 4 | low;
        if matches!(decoded, 0 | b'/' | b'\\') {
            // A slash for some and a character for others, or the end of a string.
            return bad("The path has an encoded slash, backslash or NUL.");
        }
        push(&mut normal, decoded, is_unreserved(decoded));
    }
    Ok(normal)
}

fn push(path: &mut String, byte: u8, literally: bool) {
    if literally {
        path.push(char::from(byte));
    } else {
        // Writing to a string does not fail.
        let _ = write!(path, "%{byte:02X}");
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// RFC 3986 §5.2.4, but going above the root is an error.
fn resolve_dots(path: &str) -> Result<String, Refusal> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                if kept.pop().is_none() {
                    return bad("The path goes above its root.");
                }
            }
            // Some servers drop the parameters and then see a dot segment.
            _ if matches!(segment.split(';').next(), Some("." | "..")) => {
                return bad("The path has a dot segment with parameters.");
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { uri_size: 100, header_count: 5 };

    fn parts(method: &str, target: &str, version: Version, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn http1(target: &str, fields: &[(&'static str, &'static str)]) -> Result<Head, Refusal> {
        normalize(&parts("GET", target, Version::HTTP_11, fields), true, &LIMITS)
    }

    fn status(outcome: &Result<Head, Refusal>) -> u16 {
        outcome.as_ref().map_or_else(|refusal| refusal.status().as_u16(), |_| 200)
    }

    #[test]
    fn paths_have_one_normal_form_and_it_is_its_own() {
        let cases = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/a//b///c", "/a//b///c"),
            ("//a", "//a"),
            ("/.", "/"),
            ("/./", "/"),
            ("/a/.", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/../b", "/b"),
            ("/a/b/../../c", "/c"),
            ("/a/b/..", "/a/"),
            ("/a//../b", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a/%2e/b", "/a/b"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/..a/b..", "/..a/b.."),
            ("/%7Euser/%41%2d%5f", "/~user/A-_"),
            ("/%e4%b8%ad", "/%E4%B8%AD"),
            ("/100%25", "/100%25"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/a%20b%3b%3F%23", "/a%20b%3B%3F%23"),
            ("/a;v=1/b,c=(d)*'!$&+:@", "/a;v=1/b,c=(d)*'!$&+:@"),
            ("/{a}|\"^`<>", "/%7Ba%7D%7C%22%5E%60%3C%3E"),
            ("/\u{e9}", "/%C3%A9"),
        ];
        for (path, normal) in cases {
            let once = normal_path(path).unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"));
            assert_eq!(once, normal, "{path}");
            assert_eq!(normal_path(&once).unwrap(), normal, "{path}: not its own normal form");
            assert!(once.parse::<PathAndQuery>().is_ok(), "{path}");
        }
    }

    #[test]
    fn paths_without_a_normal_form_are_refused() {
        let cases = [
            "",
            "a",
            "*",
            "/..",
            "/../",
            "/a/../..",
            "/a/../../b",
            "/%2e%2e",
            "/%2e%2e/etc",
            "/./..",
            "/a/%2f",
            "/%2F..",
            "/%5c",
            "/%5C..%5c",
            "/%00",
            "/a%00b",
            "/\\",
            "/a\\..\\b",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/%%31",
            "/a\tb",
            "/\u{7f}",
            "/..;/a",
            "/a/..;x=1/b",
            "/.;/",
            "/%2e%2e;/a",
        ];
        for path in cases {
            let outcome = normal_path(path);
            assert!(matches!(outcome, Err(Refusal::BadRequest(_))), "{path:?}: {outcome:?}");
        }
    }

    /// Every path of up to five of these pieces: a normal form is its own, has no dot segment, and is never above the root.
    #[test]
    fn generated_paths_are_safe_or_refused() {
        const PIECES: [&str; 9] = ["/", ".", "..", "%2e", "%2E.", "a", "%61", "%2f", ";"];
        let mut paths = vec![String::new()];
        for _ in 0..5 {
            let longer: Vec<_> =
                paths.iter().flat_map(|path| PIECES.map(|piece| format!("{path}{piece}"))).collect();
            for path in &longer {
                let path = format!("/{path}");
                let Ok(normal) = normal_path(&path) else { continue };
                assert!(normal.starts_with('/'), "{path} -> {normal}");
                assert!(!normal.split('/').any(|it| matches!(it, "." | "..")), "{path} -> {normal}");
                assert!(!normal.contains("%2"), "{path} -> {normal}");
                assert_eq!(normal_path(&normal).unwrap(), normal, "{path}");
            }
            paths = longer;
        }
    }

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
            let outcome = normalize(&parts("GET", target, version, fields), true, &LIMITS);
            assert_eq!(status(&outcome), expected, "{target} {version:?} {fields:?}: {outcome:?}");
            if let Ok(head) = outcome {
                assert_eq!(
                    (head.host(), head.path(), head.authority.as_str()),
                    ("a.example", "/x", "a.example")
                );
                assert_eq!(head.scheme, Scheme::HTTPS);
            }
        }
    }

    #[test]
    fn schemes_are_the_listeners() {
        let host = [("host", "a")];
        for (target, tls, expected) in [
            ("http://a/", false, 200),
            ("https://a/", true, 200),
            ("http://a/", true, 421),
            ("https://a/", false, 421),
            ("HTTP://a/", false, 200),
            ("ftp://a/", true, 400),
            ("file://a/etc/passwd", false, 400),
        ] {
            let outcome = normalize(&parts("GET", target, Version::HTTP_11, &host), tls, &LIMITS);
            assert_eq!(status(&outcome), expected, "{target} {tls}");
        }
    }

    #[test]
    fn methods_framing_and_sizes() {
        const HOST: (&str, &str) = ("host", "a");
        for (method, target, expected) in
            [("OPTIONS", "*", 400), ("CONNECT", "a:443", 501), ("PURGE", "/", 200), ("OPTIONS", "/", 200)]
        {
            let outcome = normalize(&parts(method, target, Version::HTTP_11, &[HOST]), true, &LIMITS);
            assert_eq!(status(&outcome), expected, "{method} {target}");
        }
        let framings: [(&[(&str, &str)], u16); 6] = [
            (&[HOST, ("transfer-encoding", "Chunked")], 200),
            (&[HOST, ("transfer-encoding", "gzip, chunked")], 400),
            (&[HOST, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 400),
            (&[HOST, ("content-length", "1"), ("content-length", "1")], 400),
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
