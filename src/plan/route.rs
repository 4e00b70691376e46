//! The requests of each pipeline.

use http::Method;

use super::HostPattern;
use super::index::PipelineIndex;
use crate::config::{Fault, Span};

/// Methods registered by RFC 9110 §9 and RFC 5789.
pub(super) const STANDARD_METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Longest method, in bytes.
const MAX_METHOD: usize = 32;

/// Longest path of a route, in bytes.
const MAX_PATH: usize = 1024;

/// The requests that go to a pipeline.
///
/// The most specific route serves a request: an exact host before a wildcard (of those, the longer one) before any;
/// then the longest path; then one with methods before one without. No two routes of a plan are equal in this order and
/// claim the same method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The hosts.
    pub host: HostPattern,
    /// A path and everything below it: `/`, or `/` and segments without a slash at the end.
    pub path: String,
    /// The methods, without repetition, at least one; `None` means all.
    pub methods: Option<Vec<Method>>,
    /// The pipelines that serve the requests: at least one, and not all weights are 0.
    pub split: Vec<Split>,
    /// The value that decides between several; chance without one.
    pub pin: Option<Pin>,
    /// The pipeline that gets a copy of each request, and whose responses are dropped.
    pub mirror: Option<PipelineIndex>,
    /// The place of the route's table.
    pub span: Span,
}

/// A pipeline's share of a route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The pipeline.
    pub pipeline: PipelineIndex,
    /// Its share, relative to the sum of the weights.
    pub weight: u32,
}

/// The value that decides which pipeline of a split serves a request. A value that is a pipeline's name chooses that
/// pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The value of a header.
    Header(http::HeaderName),
    /// The value of a cookie.
    Cookie(String),
}

impl Route {
    /// Whether `path` (normalised, without query) is this route's path or below it.
    pub fn matches_path(&self, path: &str) -> bool {
        is_below(path, &self.path)
    }

    /// Whether the route is for requests with `method`.
    pub fn matches_method(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }
}

/// Whether `path` is `prefix` or below it.
pub(super) fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    prefix == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Checks a path prefix: `/`, or `/` and segments without a slash at the end.
///
/// Requests are compared in their normal form, which has no unnecessary escapes and no dot segments (RFC 3986 §6.2.2),
/// so a prefix with either could never match.
pub(super) fn parse_path(text: &str) -> Result<String, Fault> {
    let fault = |label: &str, help: String| Err(Fault::new(format!("invalid path `{text}`"), label, help));
    let shape = || "write a prefix such as \"/v1\"".to_owned();
    if text == "/" {
        return Ok(text.to_owned());
    }
    if text.len() > MAX_PATH {
        return fault("longer than 1024 bytes", shape());
    }
    let Some(rest) = text.strip_prefix('/') else {
        return fault("does not start with `/`", format!("write \"/{text}\""));
    };
    if text.contains(['?', '#']) {
        return fault("more than a path", "routes do not look at the query".to_owned());
    }
    if text.contains('*') {
        return fault(
            "wildcards are not supported",
            "a path includes everything below it: leave the `*` out".to_owned(),
        );
    }
    if text.contains('%') {
        return fault("`%` is not allowed", "use letters that need no escape".to_owned());
    }
    if let Some(other) = rest.chars().find(|c| !is_path_character(*c)) {
        let label = format!("`{}` cannot stand in a path", other.escape_debug());
        return fault(&label, shape());
    }
    if let Some(path) = text.strip_suffix('/') {
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        return fault("ends in `/`", format!("write \"{path}\": it includes everything below it"));
    }
    if rest.split('/').any(|segment| matches!(segment, "." | "..")) {
        return fault(
            "has a dot segment",
            "requests are compared without `.` and `..`: write the path itself".to_owned(),
        );
    }
    if rest.split('/').any(str::is_empty) {
        return fault("has an empty segment", "write one `/` between segments".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether a character may stand in a path as it is (RFC 3986 §3.3).
fn is_path_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(character)
}

/// Checks a method: a token (RFC 9110 §5.6.2), in capitals where it is a standard method in small letters, since
/// methods are compared exactly (§9.1).
pub(super) fn parse_method(text: &str) -> Result<Method, Fault> {
    let fault = |label: &str, help: String| Err(Fault::new(format!("invalid method `{text}`"), label, help));
    let capitals = text.to_ascii_uppercase();
    if text != capitals && STANDARD_METHODS.contains(&capitals.as_str()) {
        return fault("methods are case-sensitive", format!("write \"{capitals}\""));
    }
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if text.len() <= MAX_METHOD => Ok(method),
        Ok(_) => fault("longer than 32 characters", "write a method such as \"GET\"".to_owned()),
        Err(_) => fault("not a token", "write one method such as \"GET\" in each item".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["/", "/v1", "/v1/users", "/a.b/~c/@d:e;f=g", "/..."] {
            assert_eq!(parse_path(good).unwrap(), good);
        }
        for bad in [
            "",
            "v1",
            "/v1/",
            "//",
            "/a//b",
            "/./a",
            "/a/..",
            "/a%20b",
            "/a?b",
            "/a#b",
            "/a b",
            "/ä",
            "/a/*",
            "/a\\b",
            &format!("/{}", "a".repeat(1024)),
        ] {
            assert!(parse_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_end_at_segments() {
        let route = |path: &str| Route {
            host: HostPattern::Any,
            path: path.to_owned(),
            methods: Some(vec![Method::GET]),
            split: vec![Split { pipeline: PipelineIndex(0), weight: 1 }],
            pin: None,
            mirror: None,
            span: Span::default(),
        };
        for (prefix, path, expected) in [
            ("/", "/", true),
            ("/", "/anything", true),
            ("/v1", "/v1", true),
            ("/v1", "/v1/", true),
            ("/v1", "/v1/users", true),
            ("/v1", "/v10", false),
            ("/v1", "/", false),
        ] {
            assert_eq!(route(prefix).matches_path(path), expected, "{prefix} {path}");
        }
        assert!(route("/").matches_method(&Method::GET) && !route("/").matches_method(&Method::POST));
    }

    #[test]
    fn methods() {
        for good in ["GET", "PURGE", "M-SEARCH", "x"] {
            assert_eq!(parse_method(good).unwrap().as_str(), good);
        }
        for bad in ["", "get", "GET POST", "GET,POST", "G/T", &"A".repeat(33)] {
            assert!(parse_method(bad).is_err(), "{bad}");
        }
    }
}
