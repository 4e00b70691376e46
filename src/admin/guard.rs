//! Access control: what a request needs to be answered.
//!
//! | request | needs |
//! | --- | --- |
//! | `/healthz`, `/readyz` | nothing: a load balancer knows no token, and may use any host name |
//! | the page (`/`, `/dashboard/…`) | nothing: it holds no secret, and asks for the token that its questions need |
//! | everything else | the token, if there is one; to look, the read token is enough |
//! | everything else, without a token | a `Host` that is an IP address or `localhost`: a page whose name was made to point here (DNS rebinding) has neither |
//! | `POST` | also that no browser says that another site sent it (`Sec-Fetch-Site`, `Origin`) |
//!
//! With a token, any `Host` is accepted: a page of another site does not know the token, and a browser does not add it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv6Addr};

use http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token, or a wrong one.
    Unauthorized,
    /// No host, or more than one.
    NoHost,
    /// A host that anybody's name could be for this address.
    ForeignHost,
    /// The token is for looking only.
    ReadOnly,
    /// Sent by a page of another site.
    CrossSite,
}

/// With which right a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// That of the token.
    Token,
    /// That of the read token.
    ReadToken,
    /// That of who reaches a listener without a token.
    Anybody,
}

impl Right {
    /// Its name in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::ReadToken => "read-token",
            Self::Anybody => "none",
        }
    }
}

/// The digests of the tokens. The tokens themselves are not kept, and all digests have the same length.
pub(super) struct Guard {
    token: Option<[u8; 32]>,
    read_token: Option<[u8; 32]>,
}

impl Guard {
    pub(super) fn new(token: Option<&str>, read_token: Option<&str>) -> Self {
        Self { token: token.map(digest), read_token: read_token.map(digest) }
    }

    /// Whether a request for anything but health is allowed, and by which right.
    pub(super) fn check(&self, request: &Parts) -> Result<Right, Denied> {
        let authority = authority(request).ok_or(Denied::NoHost);
        let knows = |expected: &Option<[u8; 32]>| expected.as_ref().map(|it| knows(&request.headers, it));
        // Both are compared with, whichever it is.
        let right = match (knows(&self.token), knows(&self.read_token)) {
            (Some(true), _) => Right::Token,
            (Some(false), Some(true)) => Right::ReadToken,
            (Some(false), _) => return Err(Denied::Unauthorized),
            (None, _) => match is_nobodys_name(authority.as_ref().map_err(|denied| *denied)?.host()) {
                true => Right::Anybody,
                false => return Err(Denied::ForeignHost),
            },
        };
        if request.method == http::Method::POST {
            same_site(&request.headers, &authority?)?;
            if right == Right::ReadToken {
                return Err(Denied::ReadOnly);
            }
        }
        Ok(right)
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether the request has the token. The comparison takes the same time for every wrong token.
fn knows(headers: &HeaderMap, expected: &[u8; 32]) -> bool {
    let Some(value) = single(headers, &AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let Some((scheme, token)) = value.split_once(' ') else { return false };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return false;
    }
    let found = digest(token.trim_matches(' '));
    let differences = expected.iter().zip(found).fold(0, |all, (one, other)| black_box(all | (one ^ other)));
    black_box(differences) == 0
}

/// The value of a field that may occur once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The gateway's name in the request: the target's authority, else `Host` (RFC 9112 §3.2.2).
fn authority(request: &Parts) -> Option<Authority> {
    let host = single(&request.headers, &HOST)?;
    let authority = match request.uri.authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(host.as_bytes()).ok()?,
    };
    // Only host and port: no user before them, nothing after a closing bracket.
    let rest = authority.as_str().strip_prefix(authority.host())?;
    let valid = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    valid.then_some(authority)
}

/// Whether a host can't be a name that somebody else has pointed here.
fn is_nobodys_name(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match literal {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok(),
    }
}

/// Browsers send the origin of a request, pages can't change it, and other programs send none.
fn same_site(headers: &HeaderMap, authority: &Authority) -> Result<(), Denied> {
    let mut sites = headers.get_all(&SEC_FETCH_SITE).iter();
    if sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return Err(Denied::CrossSite);
    }
    let ours = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        // Behind a proxy that ends TLS, the gateway's own pages are at https.
        origin.is_some_and(|(scheme, rest)| {
            matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(authority.as_str())
        })
    };
    if headers.get_all(&ORIGIN).iter().all(ours) { Ok(()) } else { Err(Denied::CrossSite) }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";
    const READ_TOKEN: &str = "fedcba9876543210";

    fn check(token: Option<&str>, method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<(), Denied> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let guard = Guard::new(token, token.map(|_| READ_TOKEN));
        guard.check(&request.body(()).unwrap().into_parts().0).map(drop)
    }

    #[test]
    fn the_token_is_asked_for() {
        let right = format!("Bearer {TOKEN}");
        for (value, good) in [
            (right.as_str(), true),
            ("bearer  0123456789abcdef", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer", false),
            ("Bearer ", false),
            ("Basic 0123456789abcdef", false),
            (TOKEN, false),
        ] {
            let expected = if good { Ok(()) } else { Err(Denied::Unauthorized) };
            let headers = [("host", "admin.internal"), ("authorization", value)];
            assert_eq!(check(Some(TOKEN), "GET", "/metrics", &headers), expected, "{value}");
        }
        let twice = [("host", "a"), ("authorization", right.as_str()), ("authorization", right.as_str())];
        assert_eq!(check(Some(TOKEN), "GET", "/metrics", &twice), Err(Denied::Unauthorized));
        assert_eq!(check(Some(TOKEN), "GET", "/metrics", &[]), Err(Denied::Unauthorized));
    }

    #[test]
    fn with_the_read_token_nothing_is_changed() {
        let token = format!("Bearer {READ_TOKEN}");
        let headers = [("host", "admin.internal"), ("authorization", token.as_str())];
        for (method, expected) in
            [("GET", Ok(())), ("HEAD", Ok(())), ("POST", Err(Denied::ReadOnly)), ("PUT", Ok(()))]
        {
            assert_eq!(check(Some(TOKEN), method, "/config", &headers), expected, "{method}");
        }
        assert_eq!(check(None, "GET", "/config", &headers), Err(Denied::ForeignHost));
    }

    #[test]
    fn without_a_token_a_name_is_refused() {
        for (host, expected) in [
            ("127.0.0.1:9180", Ok(())),
            ("[::1]:9180", Ok(())),
            ("LocalHost", Ok(())),
            ("10.1.2.3", Ok(())),
            ("evil.example:9180", Err(Denied::ForeignHost)),
            ("127.0.0.1.evil.example", Err(Denied::ForeignHost)),
            ("localhost.evil.example", Err(Denied::ForeignHost)),
            ("[::1].evil.example", Err(Denied::NoHost)),
            ("127.0.0.1@evil.example", Err(Denied::NoHost)),
            ("127.0.0.1:9180:1", Err(Denied::NoHost)),
            ("a b", Err(Denied::NoHost)),
            ("", Err(Denied::NoHost)),
        ] {
            assert_eq!(check(None, "GET", "/config", &[("host", host)]), expected, "{host}");
        }
        assert_eq!(check(None, "GET", "/config", &[]), Err(Denied::NoHost));
        assert_eq!(check(None, "GET", "/config", &[("host", "::1"), ("host", "::1")]), Err(Denied::NoHost));
        // The target decides, not the field.
        let absolute = check(None, "GET", "http://evil.example/config", &[("host", "127.0.0.1")]);
        assert_eq!(absolute, Err(Denied::ForeignHost));
    }

    #[test]
    fn a_page_of_another_site_cannot_post() {
        let cases: [(&[(&str, &str)], bool); 10] = [
            (&[], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:9180")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://evil.example")], false),
            (&[("origin", "http://127.0.0.1:3000")], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://127.0.0.1:9180.evil.example")], false),
        ];
        for (more, good) in cases {
            let expected = if good { Ok(()) } else { Err(Denied::CrossSite) };
            let headers: Vec<_> = [("host", "127.0.0.1:9180")].iter().chain(more).copied().collect();
            assert_eq!(check(None, "POST", "/-/reload", &headers), expected, "{more:?}");
            assert_eq!(check(None, "GET", "/config", &headers), Ok(()), "{more:?}");
        }
        let token = format!("Bearer {TOKEN}");
        let headers = [("host", "admin.internal"), ("authorization", token.as_str())];
        assert_eq!(check(Some(TOKEN), "POST", "/-/reload", &headers), Ok(()));
        let headers = [("host", "a.b"), ("authorization", token.as_str()), ("sec-fetch-site", "cross-site")];
        assert_eq!(check(Some(TOKEN), "POST", "/-/reload", &headers), Err(Denied::CrossSite));
    }
}
