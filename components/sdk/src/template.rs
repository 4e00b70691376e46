//! Text with parts of a request in it.
//!
//! | in braces | is |
//! | --- | --- |
//! | `method` | the method: `GET` |
//! | `scheme` | `http` or `https`, as the client used it: what `X-Forwarded-Proto` says, which linkspan vouches for, else the request's |
//! | `authority` | the host with its port |
//! | `host` | the host alone |
//! | `path` | the path, as it came |
//! | `query` | the query, without its `?` |
//! | `path-and-query` | both, as they came |
//! | `header.NAME` | the first value of a field, if it is text |
//!
//! What is not there is empty. `{{` and `}}` stand for braces. There is nothing else: no conditions, no functions.
//!
//! Bounds: [`MAX_VALUES`] values in a template, and [`MAX_BYTES`] of text and of what comes of it, whatever a client sends.

use crate::header::HeaderName;
use crate::request::Request;
use crate::value::Value;
use crate::{Method, Scheme};

/// Values that a template may have.
pub const MAX_VALUES: usize = 32;
/// Bytes of a template, and of the text that is made of it.
pub const MAX_BYTES: usize = 8 * 1024;

/// Text with parts of a request in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Of(Variable),
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    Method,
    Scheme,
    Authority,
    Host,
    Path,
    Query,
    PathAndQuery,
    Header(HeaderName),
}

/// What came of a template is longer than [`MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Value for Template {
    const FORM: &'static str = ",\"title\":\"a template\",\"examples\":[\"{host}\",\"{header.x-consumer}\"]";

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            literal += &rest[..at];
            let brace = &rest[at..];
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                literal += &brace[..1];
                rest = after;
                continue;
            }
            let inside = brace.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let (name, after) =
                inside.ok_or("has a brace without its other one; `{{` and `}}` stand for braces")?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Of(Variable::parse(name)?));
            rest = after;
        }
        literal += rest;
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        if parts.iter().filter(|part| matches!(part, Part::Of(_))).count() > MAX_VALUES {
            return Err(format!("has more than {MAX_VALUES} values"));
        }
        Ok(Self(parts))
    }
}

impl Variable {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "method" => Self::Method,
            "scheme" => Self::Scheme,
            "authority" => Self::Authority,
            "host" => Self::Host,
            "path" => Self::Path,
            "query" => Self::Query,
            "path-and-query" => Self::PathAndQuery,
            other => {
                let field = other.strip_prefix("header.").map(HeaderName::parse);
                let Some(Ok(field)) = field else {
                    return Err(concat!(
                        "names a value that there is not: it may have {method}, {scheme}, {authority}, {host}, {path}, ",
                        "{query}, {path-and-query} and {header.NAME}"
                    )
                    .into());
                };
                Self::Header(field)
            }
        })
    }

    fn of(&self, request: &Request) -> String {
        let target = || request.path_with_query().unwrap_or_default();
        match self {
            Self::Method => method_name(request.method()),
            Self::Scheme => scheme(request).into(),
            Self::Authority => request.authority().unwrap_or_default(),
            Self::Host => host(&request.authority().unwrap_or_default()).into(),
            Self::Path => split(&target()).0.into(),
            Self::Query => split(&target()).1.unwrap_or_default().into(),
            Self::PathAndQuery => target(),
            Self::Header(name) => request.header(name.as_str()).unwrap_or_default(),
        }
    }

    /// Whether it is a path, or begins with one.
    fn is_path(&self) -> bool {
        matches!(self, Self::Path | Self::PathAndQuery)
    }
}

/// A method as it stands in a request.
pub fn method_name(method: Method) -> String {
    match method {
        Method::Get => "GET".into(),
        Method::Head => "HEAD".into(),
        Method::Post => "POST".into(),
        Method::Put => "PUT".into(),
        Method::Delete => "DELETE".into(),
        Method::Connect => "CONNECT".into(),
        Method::Options => "OPTIONS".into(),
        Method::Trace => "TRACE".into(),
        Method::Patch => "PATCH".into(),
        Method::Other(name) => name,
    }
}

/// The scheme that the client used, where a proxy in front may have taken TLS away.
pub fn scheme(request: &Request) -> &'static str {
    match request.header("x-forwarded-proto").as_deref() {
        Some("https") => "https",
        Some("http") => "http",
        _ if matches!(request.scheme(), Some(Scheme::Https)) => "https",
        _ => "http",
    }
}

/// A host without the port behind it (RFC 3986 §3.2.2).
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// A path, and the query behind it.
pub fn split(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

impl Template {
    /// Its text for a request, to be the value of a field.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn text(&self, request: &Request) -> Result<String, TooLong> {
        self.expand(|variable, text| *text += &variable.of(request))
    }

    /// Its text for a request, to be (a part of) a URL: what is not a URL's own is percent-encoded.
    fn url(&self, request: &Request) -> Result<String, TooLong> {
        self.expand(|variable, text| match variable {
            Variable::Header(_) => encode(&variable.of(request), text),
            _ => *text += &variable.of(request),
        })
    }

    fn expand(&self, mut append: impl FnMut(&Variable, &mut String)) -> Result<String, TooLong> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text += literal,
                Part::Of(variable) => append(variable, &mut text),
            }
            if text.len() > MAX_BYTES {
                return Err(TooLong);
            }
        }
        Ok(text)
    }
}

/// Appends `value` with all percent-encoded but unreserved characters (RFC 3986 §2.3).
fn encode(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let digit = |digit: u8| char::from(b"0123456789ABCDEF"[usize::from(digit)]);
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// A template for the URL that a client is sent to. It can't lead to another host than its text says, whatever a client
/// sends: its origin is text, `{scheme}`, `{host}` or `{authority}`, and then follows a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location(Template);

impl Value for Location {
    const FORM: &'static str =
        ",\"title\":\"a URL\",\"examples\":[\"https://{host}{path-and-query}\",\"/new{path-and-query}\"]";

    fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text)?;
        if text.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || b"\\\"<>^`|".contains(&byte)) {
            return Err("holds a character that a URL can't".into());
        }
        let mut parts = template.0.iter();
        let after_scheme = match parts.next() {
            Some(Part::Of(variable)) if variable.is_path() => return Ok(Self(template)),
            Some(Part::Of(Variable::Scheme)) => match parts.next() {
                Some(Part::Text(text)) => text.strip_prefix("://"),
                _ => None,
            },
            Some(Part::Text(text)) if text.starts_with('/') => {
                let elsewhere = text.starts_with("//");
                return if elsewhere { Err(ELSEWHERE.into()) } else { Ok(Self(template)) };
            }
            Some(Part::Text(text)) => text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")),
            _ => None,
        };
        let rest = after_scheme.ok_or(ELSEWHERE)?;
        is_origin(rest, parts.as_slice())?;
        Ok(Self(template))
    }
}

const ELSEWHERE: &str =
    "is neither a path that begins with one `/` nor a URL that begins with `https://` or `http://`";

/// Checks that an authority which begins with `text` ends before anything comes that a client chooses.
fn is_origin(text: &str, parts: &[Part]) -> Result<(), String> {
    const OPEN: &str =
        "may only have {host} or {authority} in front of its path: a client could choose where it leads";
    let mut some = false;
    for part in std::iter::once(&Part::Text(text.into())).chain(parts) {
        match part {
            Part::Text(text) => {
                let end = text.find(['/', '?', '#']);
                let authority = &text[..end.unwrap_or(text.len())];
                if !authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte)) {
                    return Err("has a host that is none".into());
                }
                some |= !authority.is_empty();
                if end.is_some() {
                    return if some { Ok(()) } else { Err("has no host".into()) };
                }
            }
            Part::Of(Variable::Host | Variable::Authority) => some = true,
            Part::Of(variable) if variable.is_path() && some => return Ok(()),
            Part::Of(_) => return Err(OPEN.into()),
        }
    }
    if some { Ok(()) } else { Err("has no host".into()) }
}

impl Location {
    /// The URL for a request; `None` where that is the URL that the client asked for, so that it would come again.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn of(&self, request: &Request) -> Result<Option<String>, TooLong> {
        let mut url = self.0.url(request)?;
        if url.starts_with('/') {
            // What begins with two of them names another host (RFC 3986 §4.2), and browsers take `\` for `/`.
            let path = url.trim_start_matches(['/', '\\']);
            url = format!("/{path}");
        }
        let target = request.path_with_query().unwrap_or_default();
        let own = format!("{}://{}{target}", scheme(request), request.authority().unwrap_or_default());
        Ok((url != target && without_default_port(&url) != without_default_port(&own)).then_some(url))
    }
}

/// A URL without `:443` of `https`, or `:80` of `http`.
fn without_default_port(url: &str) -> String {
    for (scheme, port) in [("https://", ":443"), ("http://", ":80")] {
        let Some(rest) = url.strip_prefix(scheme) else { continue };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.strip_suffix(port).unwrap_or(authority);
        let slash = if path.starts_with('/') { "" } else { "/" };
        return format!("{scheme}{}{slash}{path}", authority.to_ascii_lowercase());
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request {
        let mut request = Request::new(Method::Get, target);
        request.set_origin(Scheme::Https, "shop.example:8443").expect("one of its own");
        request
    }

    fn text(template: &str, target: &str) -> String {
        Template::parse(template).expect("a template").text(&request(target)).expect("not long")
    }

    #[test]
    fn values_stand_in_text() {
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{method} {scheme}://{authority}{path-and-query}", "GET https://shop.example:8443/a/b?c=d"),
            ("{host}|{path}|{query}|{header.x-none}", "shop.example|/a/b|c=d|"),
            ("{{{host}}} }}", "{shop.example} }"),
        ] {
            assert_eq!(text(template, "/a/b?c=d"), expected, "{template}");
        }
        assert_eq!(text("{query}", "/a"), "");
        assert_eq!(host("[::1]:80"), "[::1]");
        assert_eq!(host("[::1]"), "[::1]");
        let mut encoded = String::new();
        encode("a/b é\"", &mut encoded);
        assert_eq!(encoded, "a%2Fb%20%C3%A9%22");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, part) in [
            ("{", "other one"),
            ("a}", "other one"),
            ("{host", "other one"),
            ("{}", "a value that there is not"),
            ("{Host}", "a value that there is not"),
            ("{header.}", "a value that there is not"),
            ("{header.a b}", "a value that there is not"),
            ("{client}", "a value that there is not"),
            (&"{host}".repeat(MAX_VALUES + 1), "more than 32"),
            (&"a".repeat(MAX_BYTES + 1), "longer than"),
        ] {
            assert!(Template::parse(text).is_err_and(|error| error.contains(part)), "{text}");
        }
    }

    #[test]
    fn what_comes_of_it_is_bounded() {
        let template = Template::parse(&"{path}".repeat(MAX_VALUES)).expect("a template");
        assert_eq!(
            template.text(&request(&format!("/{}", "a".repeat(MAX_BYTES / MAX_VALUES)))),
            Err(TooLong)
        );
        assert!(template.text(&request(&format!("/{}", "a".repeat(100)))).is_ok());
    }

    #[test]
    fn a_location_stays_where_its_text_says() {
        for text in [
            "/",
            "/new{path}",
            "{path}",
            "{path-and-query}",
            "https://{host}{path}",
            "https://www.{host}:8443/x",
            "{scheme}://{authority}/{header.x-tenant}",
            "https://example.com",
            "https://example.com?from={path}",
            "http://[::1]:80{path}",
        ] {
            assert!(Location::parse(text).is_ok(), "{text}: {:?}", Location::parse(text));
        }
        for (text, part) in [
            ("", "neither"),
            ("//evil.example", "neither"),
            ("evil.example", "neither"),
            ("javascript:alert(1)", "neither"),
            ("{header.x}", "neither"),
            ("{host}/x", "neither"),
            ("{scheme}:{path}", "neither"),
            ("https://", "no host"),
            ("https:///x", "no host"),
            ("https://{path}", "a client could choose"),
            ("https://{header.x}/", "a client could choose"),
            ("https://{host}{header.x}", "a client could choose"),
            ("https://a.example{query}", "a client could choose"),
            ("https://user@a.example/", "a host that is none"),
            ("https://a.example\\b", "a character"),
            ("/a b", "a character"),
            ("/a\r\nset-cookie: b", "a character"),
        ] {
            assert!(Location::parse(text).is_err_and(|error| error.contains(part)), "{text}");
        }
    }

    #[test]
    fn a_location_never_is_the_request_s_own_nor_another_host() {
        let of = |text: &str, target: &str| {
            Location::parse(text).expect("a location").of(&request(target)).expect("not long")
        };
        assert_eq!(of("/new{path}", "/a?b").as_deref(), Some("/new/a"));
        assert_eq!(of("{path}", "//evil.example").as_deref(), Some("/evil.example"));
        assert_eq!(of("{path}", "/\\evil.example").as_deref(), Some("/evil.example"));
        assert_eq!(of("https://{host}{path-and-query}", "/a").as_deref(), Some("https://shop.example/a"));
        for own in [
            "{path-and-query}",
            "/a?b",
            "https://{authority}{path-and-query}",
            "https://SHOP.example:8443/a?b",
        ] {
            assert_eq!(of(own, "/a?b"), None, "{own}");
        }
        let mut request = Request::new(Method::Get, "/");
        request.set_origin(Scheme::Https, "a.example").expect("its own");
        for own in ["https://a.example", "https://a.example:443/", "https://{host}:443"] {
            assert_eq!(Location::parse(own).expect("a location").of(&request), Ok(None), "{own}");
        }
    }
}
