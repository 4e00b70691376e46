//! Where keys are.
//!
//! `https` alone says who answers. `http` is for this machine, and for pipelines of the gateway, which it reaches without a network.

use linkspan_sdk::{Method, Request, Scheme, Value};
use std::net::IpAddr;

const MAX_BYTES: usize = 2048;

/// A URL that is an origin with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    is_tls: bool,
    authority: String,
    path: String,
}

impl Value for Url {
    const FORM: &'static str = concat!(
        ",\"title\":\"a URL\",\"pattern\":\"^https?://\"",
        ",\"examples\":[\"https://issuer.example/.well-known/jwks.json\"]"
    );

    fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "is not a URL, like \"https://issuer.example/.well-known/jwks.json\"";
        let (is_tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(FORM.into()),
        };
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let fine =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>' | b'`');
        if !rest.bytes().all(fine) {
            return Err("has a character that can't stand in a URL here".into());
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("has a user".into());
        }
        let host = host(authority).ok_or(FORM)?;
        if !is_tls && !is_here(host) {
            return Err(
                "is not `https`: `http` is for `localhost`, loopback addresses and `.internal`".into()
            );
        }
        let path = if path.starts_with('/') { path.to_owned() } else { ["/", path].concat() };
        Ok(Self { is_tls, authority: authority.to_owned(), path })
    }
}

/// The host of an authority, whose port is one.
fn host(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let good = match port.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    (good && !host.is_empty()).then_some(host)
}

fn is_here(host: &str) -> bool {
    let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let name = host.to_ascii_lowercase();
    literal.map_or(name == "localhost" || name.ends_with(".internal"), |address| address.is_loopback())
}

impl Url {
    /// A request for what is there.
    ///
    /// # Errors
    /// The host's.
    pub fn request(&self) -> Result<Request, linkspan_sdk::Error> {
        let mut request = Request::new(Method::Get, self.path.clone());
        let scheme = if self.is_tls { Scheme::Https } else { Scheme::Http };
        request.set_origin(scheme, &self.authority)?;
        request.headers_mut().set("accept", "application/jwk-set+json, application/json");
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, is_tls, authority, path) in [
            ("https://issuer.example", true, "issuer.example", "/"),
            ("https://issuer.example:8443/keys?v=1", true, "issuer.example:8443", "/keys?v=1"),
            ("https://issuer.example?v=1", true, "issuer.example", "/?v=1"),
            ("https://10.0.0.1/", true, "10.0.0.1", "/"),
            ("http://localhost:80/", false, "localhost:80", "/"),
            ("http://127.0.0.1:1", false, "127.0.0.1:1", "/"),
            ("http://[::1]:1/a", false, "[::1]:1", "/a"),
            ("http://keys.internal/jwks.json", false, "keys.internal", "/jwks.json"),
        ] {
            let expected = Url { is_tls, authority: authority.into(), path: path.into() };
            assert_eq!(Url::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "issuer.example",
            "ftp://issuer.example",
            "HTTPS://issuer.example",
            "https://",
            "https:///keys",
            "http://issuer.example/",
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "http://127.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost.evil.example/",
            "http://internal/",
            "http://127.0.0.1.evil.example/",
            "http://0x7f000001/",
            "https://me@issuer.example/",
            "https://issuer.example:x/",
            "https://issuer.example:70000/",
            "https://issuer.example:+1/",
            "https://[::1/",
            "https://[::1]x/",
            "https://issuer.example/a b",
            "https://issuer.example/#a",
            "https://issuer.example\\@evil.example/",
            "https://issuer.example/\r\nx: y",
            "https://\u{e9}.example/",
            "https://:443/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        assert!(Url::parse(&format!("https://a.example/{}", "a".repeat(MAX_BYTES))).is_err());
    }
}
