//! Cross-origin requests, as the Fetch standard has them (§3.3, the CORS
//! protocol).
//!
//! What it is configured with stands at [`Keys`].
//!
//! A preflight is answered here, with 204; no later stage sees it. Where the
//! origin is not allowed the answer is the same without the fields that allow
//! it, and the browser refuses. What the service itself says about CORS is
//! replaced. `Vary: Origin` is added wherever the answer depends on the origin,
//! so that no cache gives one origin's answer to another.

mod origin;

use linkspan_sdk::{
    Config, Error, FromConfig, HeaderEdits, HeaderName, Method, Next, Request, Response, Value,
    configuration, middleware, schema,
};
use origin::Pattern;
use std::time::Duration;

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const MAX_AGE: &str = "access-control-max-age";
const REQUEST_METHOD: &str = "access-control-request-method";
const REQUEST_HEADERS: &str = "access-control-request-headers";

configuration! {
    /// Answers preflight requests and lets scripts of other origins read responses, after the Fetch standard (§3.3).
    struct Keys {
        /// Allowed origins: `"https://example.com"`, `"https://*.example.com"`, `"*"`.
        required list origins: Pattern,
        /// Allowed methods; `*` for any.
        list(["GET", "HEAD", "POST"]) methods: Token,
        /// Allowed request fields; `*` for any.
        list headers: Token,
        /// Response fields that a script may read.
        list expose: HeaderName,
        /// Whether cookies and other credentials may be sent.
        default(false) credentials: bool,
        /// How long a browser may cache the answer to a preflight request.
        default("10m") max_age: Duration,
    }
}

struct Options {
    origins: Vec<Pattern>,
    methods: Allowed,
    headers: Allowed,
    expose: Option<String>,
    credentials: bool,
    max_age: String,
}

/// A list for a header field, or whatever the browser asks for. `*` itself is
/// not sent: it means nothing in a request with credentials, and never covers
/// `Authorization`.
#[derive(Debug, PartialEq)]
enum Allowed {
    Any,
    List(String),
}

impl Allowed {
    fn of(list: Vec<String>) -> Self {
        if list.iter().any(|item| item == "*") {
            return Self::Any;
        }
        Self::List(list.join(", "))
    }
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { origins, methods, headers, expose, credentials, max_age } = Keys::from_config(config)?;
        let methods =
            methods.unwrap_or_else(|| vec![Token("GET".into()), Token("HEAD".into()), Token("POST".into())]);
        let headers = headers.unwrap_or_default();
        let any = origins.contains(&Pattern::Any);
        if any && origins.len() > 1 {
            config.reject("origins", "has \"*\" beside others, which it includes");
        }
        if any && credentials {
            config.reject("credentials", "can't be true while `origins` is \"*\"");
        }
        let texts = |tokens: Vec<Token>| tokens.into_iter().map(|token| token.0).collect();
        let expose = expose.map(|names| names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", "));
        Some(Self {
            origins,
            methods: Allowed::of(texts(methods)),
            headers: Allowed::of(texts(headers)),
            expose,
            credentials,
            max_age: max_age.as_secs().to_string(),
        })
    }
}

/// A method or a field's name, either of which is a token, or `*`.
struct Token(String);

impl Value for Token {
    const FORM: &'static str = ",\"title\":\"a token\",\"pattern\":\"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$\"";

    fn parse(text: &str) -> Result<Self, String> {
        HeaderName::parse(text).map_err(|_| "is neither a token nor \"*\"")?;
        Ok(Self(text.into()))
    }
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let origin = request.header("origin");
    if let Some(origin) = &origin
        && matches!(request.method(), Method::Options)
        && let Some(method) = request.header(REQUEST_METHOD)
    {
        let headers = request.header(REQUEST_HEADERS);
        return Ok(options.preflight(origin, &method, headers.as_deref()));
    }
    let mut response = next.call(request)?;
    options.actual(origin.as_deref(), response.headers_mut());
    Ok(response)
}
middleware!(handle, Options);

impl Options {
    fn any(&self) -> bool {
        matches!(self.origins[..], [Pattern::Any])
    }

    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|pattern| pattern.matches(origin))
    }

    /// What every answer to an allowed origin says.
    fn allow(&self, origin: &str, headers: &mut HeaderEdits) {
        headers.set(ALLOW_ORIGIN, if self.any() { "*" } else { origin });
        if self.credentials {
            headers.set(ALLOW_CREDENTIALS, "true");
        }
    }

    fn preflight(&self, origin: &str, method: &str, names: Option<&str>) -> Response {
        let mut response = Response::new(204);
        let headers = response.headers_mut();
        let varies = [
            (!self.any(), "origin"),
            (self.methods == Allowed::Any, REQUEST_METHOD),
            (self.headers == Allowed::Any, REQUEST_HEADERS),
        ];
        for (_, name) in varies.iter().filter(|(varies, _)| *varies) {
            headers.append("vary", *name);
        }
        if !self.allows(origin) {
            return response;
        }
        self.allow(origin, headers);
        match &self.methods {
            Allowed::Any => headers.set(ALLOW_METHODS, method),
            Allowed::List(list) => headers.set(ALLOW_METHODS, list),
        }
        match (&self.headers, names) {
            (Allowed::Any, Some(names)) => headers.set(ALLOW_HEADERS, names),
            (Allowed::List(list), _) if !list.is_empty() => headers.set(ALLOW_HEADERS, list),
            _ => {}
        }
        headers.set(MAX_AGE, &self.max_age);
        response
    }

    /// Edit the service's answer. One to a request of the same origin, where
    /// any may read it, is left as it is.
    fn actual(&self, origin: Option<&str>, headers: &mut HeaderEdits) {
        if !self.any() {
            headers.append("vary", "origin");
        }
        let Some(origin) = origin else { return };
        if !self.allows(origin) {
            headers.remove(ALLOW_ORIGIN);
            headers.remove(ALLOW_CREDENTIALS);
            return;
        }
        self.allow(origin, headers);
        if let Some(expose) = &self.expose {
            headers.set(EXPOSE_HEADERS, expose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    fn edits(build: impl Fn(&mut HeaderEdits)) -> HeaderEdits {
        let mut edits = HeaderEdits::new();
        build(&mut edits);
        edits
    }

    fn preflight(options: &[(&str, &str)], origin: &str) -> HeaderEdits {
        let options = read(options).expect("good");
        let mut response = options.preflight(origin, "PUT", Some("x-a, x-b"));
        assert_eq!(response.status(), 204);
        std::mem::take(response.headers_mut())
    }

    #[test]
    fn a_preflight_lists_what_is_allowed() {
        let options = [
            ("origins", "https://a.example"),
            ("methods.0", "GET"),
            ("methods.1", "PUT"),
            ("headers", "X-A"),
            ("credentials", "true"),
            ("max-age", "1h"),
        ];
        let expected = edits(|e| {
            e.append("vary", "origin");
            e.set(ALLOW_ORIGIN, "https://a.example");
            e.set(ALLOW_CREDENTIALS, "true");
            e.set(ALLOW_METHODS, "GET, PUT");
            e.set(ALLOW_HEADERS, "X-A");
            e.set(MAX_AGE, "3600");
        });
        assert_eq!(preflight(&options, "https://a.example"), expected);
        let refused = edits(|e| e.append("vary", "origin"));
        assert_eq!(preflight(&options, "https://b.example"), refused);
    }

    #[test]
    fn a_wildcard_gives_what_was_asked_for() {
        let options = [("origins", "*"), ("methods", "*"), ("headers", "*")];
        let expected = edits(|e| {
            e.append("vary", REQUEST_METHOD);
            e.append("vary", REQUEST_HEADERS);
            e.set(ALLOW_ORIGIN, "*");
            e.set(ALLOW_METHODS, "PUT");
            e.set(ALLOW_HEADERS, "x-a, x-b");
            e.set(MAX_AGE, "600");
        });
        assert_eq!(preflight(&options, "https://a.example"), expected);
    }

    fn actual(options: &[(&str, &str)], origin: Option<&str>) -> HeaderEdits {
        let options = read(options).expect("good");
        edits(|e| options.actual(origin, e))
    }

    #[test]
    fn an_answer_varies_by_origin_unless_any_may() {
        let listed = [("origins", "https://a.example"), ("expose", "X-Id")];
        let expected = edits(|e| {
            e.append("vary", "origin");
            e.set(ALLOW_ORIGIN, "https://a.example");
            e.set(EXPOSE_HEADERS, "x-id");
        });
        assert_eq!(actual(&listed, Some("https://a.example")), expected);
        let refused = edits(|e| {
            e.append("vary", "origin");
            e.remove(ALLOW_ORIGIN);
            e.remove(ALLOW_CREDENTIALS);
        });
        assert_eq!(actual(&listed, Some("https://b.example")), refused);
        assert_eq!(actual(&listed, None), edits(|e| e.append("vary", "origin")));
        assert!(actual(&[("origins", "*")], None).is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        let errors = [
            (&[][..], "`origins` is missing"),
            (&[("origins.0", "*"), ("origins.1", "https://a")], "`origins` has \"*\" beside"),
            (&[("origins", "*"), ("credentials", "true")], "`credentials` can't be true"),
            (&[("origins", "*"), ("methods", "A B")], "`methods` is neither"),
            (&[("origins", "*"), ("max-age", "600")], "`max-age` is not a time"),
        ];
        for (entries, start) in errors {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
