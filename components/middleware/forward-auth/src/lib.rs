//! Asks a service over HTTP whether a request may pass, before it does. See [`Keys`].
//!
//! The service gets a GET without a body, with some of the client's fields and what the request is in `X-Forwarded-*`:
//! method, scheme, host, path with query, and the client's address as the gateway wrote it. What it answers is the
//! decision: 2xx lets the request pass, 3xx and 4xx go to the client, and everything else is a failure, like no answer.
//!
//! Fields that the service sets on the request are removed from what the client sent, whatever comes of the question, and
//! so are fields whose names some servers take for theirs (`X_User` for `X-User`). Fields of the connection are neither
//! sent nor taken. A request with more than one `Authorization` is refused: the service might judge another one than its
//! readers behind it take.
//!
//! Nothing is remembered: each request asks. The stage's limits bound its questions under way (`egress-requests`).

use linkspan_sdk::template::{method_name, scheme};
use linkspan_sdk::{
    AsyncNext, Body, Config, Error, Finding, FromConfig, HeaderName, Method, Request, Response, Scheme,
    Value, configuration, internal, is_denied, middleware, schema, send, warn,
};
use std::time::Duration;

configuration! {
    /// Asks a service over HTTP whether a request may pass: 2xx lets it, 3xx and 4xx go to the client. The stage must be granted the service: `grant = { egress = ["http://127.0.0.1:9000"] }`, or `calls` for a pipeline.
    struct Keys {
        /// The URL of the service.
        required url: Url,
        /// Fields of the request that the service gets, beside `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`.
        list(["authorization", "cookie"]) request_headers: HeaderName,
        /// Fields of an answer that lets the request pass, for later stages: `["x-user"]`. The client's own are always removed.
        list response_headers: HeaderName,
        /// Fields of an answer that lets the request pass, which are added to the response to the client: `["set-cookie"]`.
        list client_response_headers: HeaderName,
        /// Fields of an answer that refuses the request, for the client.
        list(["cache-control", "content-type", "location", "retry-after", "set-cookie", "www-authenticate"]) refusal_headers: HeaderName,
        /// The most bytes of such an answer's body that go to the client; a longer one is left out.
        default(16384) max_body: u32 where 0..=1_048_576,
        /// How long a request waits for the head of the answer; at most 30 seconds.
        default("2s") timeout: Duration,
        /// While the service is away, answers 5xx or has no answer in time: `"closed"` answers 503; `"open"` lets requests through.
        default("closed") on_service_failure: OnServiceFailure,
    }
}

/// What happens while the service is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnServiceFailure {
    Closed,
    Open,
}

impl Value for OnServiceFailure {
    const FORM: &'static str = ",\"enum\":[\"closed\",\"open\"]";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "closed" => Ok(Self::Closed),
            "open" => Ok(Self::Open),
            _ => Err("is neither `closed` nor `open`".into()),
        }
    }
}

/// Where the service is.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    secure: bool,
    authority: String,
    target: String,
}

impl Value for Url {
    const FORM: &'static str = concat!(
        ",\"title\":\"the URL of a service\",\"pattern\":\"^https?://[^/?#@]+([/?][^#]*)?$\"",
        ",\"examples\":[\"http://127.0.0.1:9000/verify\"]"
    );

    fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str = "is not the URL of a service, like \"http://127.0.0.1:9000/verify\"";
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(WRONG.into()),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(fine) {
            return Err(WRONG.into());
        }
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err("has a path with a character that can't be in one".into());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { secure, authority: authority.into(), target: [slash, target].concat() })
    }
}

impl Url {
    /// A request for what is there.
    fn request(&self) -> Result<Request, Error> {
        let mut request = Request::new(Method::Get, &*self.target);
        let scheme = if self.secure { Scheme::Https } else { Scheme::Http };
        request.set_origin(scheme, &self.authority)?;
        Ok(request)
    }
}

struct Options {
    url: Url,
    request_headers: Vec<HeaderName>,
    response_headers: Vec<HeaderName>,
    client_response_headers: Vec<HeaderName>,
    refusal_headers: Vec<HeaderName>,
    max_body: usize,
    timeout: Duration,
    on_failure: OnServiceFailure,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let own = Keys::from_config(config)?;
        if own.timeout.is_zero() || own.timeout > Duration::from_secs(30) {
            config.reject("timeout", "is not from 1 ns to 30 s");
        }
        let mut list = |key: &str, list: Option<Vec<HeaderName>>, default: &[&'static str]| {
            let names =
                list.unwrap_or_else(|| default.iter().map(|name| HeaderName::from_static(name)).collect());
            let wrong = |name: &HeaderName| name.is_of_the_connection() || name.as_str() == "expect";
            if names.iter().any(wrong) {
                config.reject(key, "has a field that belongs to the connection");
            }
            names
        };
        let request_headers = list("request-headers", own.request_headers, &["authorization", "cookie"]);
        let response_headers = list("response-headers", own.response_headers, &[]);
        let client_response_headers = list("client-response-headers", own.client_response_headers, &[]);
        let refusal_headers = list("refusal-headers", own.refusal_headers, REFUSAL);
        if request_headers.iter().any(|name| FORWARDED.contains(&name.as_str())) {
            config.reject("request-headers", "has a field that the stage writes itself");
        }
        Some(Self {
            url: own.url,
            request_headers,
            response_headers,
            client_response_headers,
            refusal_headers,
            max_body: own.max_body as usize,
            timeout: own.timeout,
            on_failure: own.on_service_failure,
        })
    }

    fn findings(&self) -> Vec<Finding> {
        if !self.url.request().is_ok_and(is_denied) {
            return Vec::new();
        }
        let reason =
            "is where the stage may send no request: see `grant.egress`, and for `.internal` `grant.calls`";
        vec![Finding { key: "url".into(), reason: reason.into() }]
    }
}

/// Fields of an answer that refuses a request, without a configuration of them.
const REFUSAL: &[&str] =
    &["cache-control", "content-type", "location", "retry-after", "set-cookie", "www-authenticate"];

/// What the stage says of a request.
const FORWARDED: [&str; 5] =
    ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri", "x-forwarded-for"];

/// Fields of which a response has several.
const SEVERAL: [&str; 2] = ["set-cookie", "www-authenticate"];

impl Options {
    /// The question about a request.
    fn question(&'static self, request: &Request) -> Result<Request, Error> {
        let mut question = self.url.request()?;
        question.set_timeout(self.timeout)?;
        let headers = question.headers_mut();
        for name in &self.request_headers {
            for value in request.header_values(name.as_str()) {
                headers.append(name.as_str(), value);
            }
        }
        headers.set("x-forwarded-method", method_name(request.method()));
        headers.set("x-forwarded-proto", scheme(request));
        headers.set("x-forwarded-host", request.authority().unwrap_or_default());
        headers.set("x-forwarded-uri", request.path_with_query().unwrap_or_default());
        for value in request.header_values("x-forwarded-for") {
            headers.append("x-forwarded-for", value);
        }
        Ok(question)
    }

    /// Gives the request the fields of `answer`, and takes its own ones away.
    fn edit(&'static self, request: &mut Request, answer: Option<&Response>) {
        if self.response_headers.is_empty() {
            return;
        }
        let sent = request.headers();
        let headers = request.headers_mut();
        for (name, _) in sent {
            if self.response_headers.iter().any(|field| looks_like(field.as_str(), &name)) {
                headers.remove(name);
            }
        }
        for field in &self.response_headers {
            headers.remove(field.as_str());
            for value in answer.map(|answer| answer.header_values(field.as_str())).unwrap_or_default() {
                headers.append(field.as_str(), value);
            }
        }
    }

    /// The answer to a client whose request was refused.
    async fn refuse(&'static self, mut answer: Response) -> Result<Response, Error> {
        let body = answer.take_body()?.into_bytes(self.max_body).await;
        let mut refusal = Response::new(answer.status());
        for name in &self.refusal_headers {
            if body.is_err() && name.as_str() == "content-type" {
                continue;
            }
            let values = answer.header_values(name.as_str());
            let count = if SEVERAL.contains(&name.as_str()) { values.len() } else { 1 };
            for value in values.into_iter().take(count) {
                refusal.headers_mut().append(name.as_str(), value);
            }
        }
        // It was refused, whatever came of the words.
        let bytes = body.unwrap_or_else(|error| {
            warn!("left out the body of a refusal: {error:?}");
            Vec::new()
        });
        Ok(refusal.with_body(Body::bytes(bytes)))
    }
}

/// Whether a server might take `name` for `field`, as those do that make variables of fields (RFC 3875 §4.1.18).
fn looks_like(field: &str, name: &str) -> bool {
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (b"-_".contains(&a) && b"-_".contains(&b));
    field.len() == name.len() && field.bytes().zip(name.bytes()).all(same)
}

async fn handle(options: &'static Options, mut request: Request, next: AsyncNext) -> Result<Response, Error> {
    if request.header_values("authorization").len() > 1 {
        return Ok(Response::problem(400, "There must be one `Authorization`"));
    }
    let answer = match send(options.question(&request)?).await {
        Ok(answer) if matches!(answer.status(), 300..=499) => return options.refuse(answer).await,
        Ok(answer) if matches!(answer.status(), 200..=299) => Some(answer),
        Ok(answer) => {
            warn!("the service answered {}", answer.status());
            None
        }
        // A mistake of the configuration opens nothing.
        Err(Error::HttpRequestDenied) => {
            return Err(internal("configuration: the stage's `grant` does not allow `url`"));
        }
        Err(error) => {
            warn!("the service could not be asked: {error:?}");
            None
        }
    };
    if answer.is_none() && options.on_failure == OnServiceFailure::Closed {
        let unavailable = Response::problem(503, "Who may pass can't be checked");
        return Ok(unavailable.with_header("retry-after", "1"));
    }
    options.edit(&mut request, answer.as_ref());
    let mut added = Vec::new();
    for name in &options.client_response_headers {
        let values = answer.as_ref().map(|answer| answer.header_values(name.as_str()));
        added.extend(values.unwrap_or_default().into_iter().map(|value| (name.as_str(), value)));
    }
    // The connection to the service is free for the next question.
    drop(answer);
    let mut response = next.call(request).await?;
    for (name, value) in added {
        response.headers_mut().append(name, value);
    }
    Ok(response)
}
middleware!(async handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn urls_are_taken_apart() {
        for (text, secure, authority, target) in [
            ("http://127.0.0.1:9000/verify", false, "127.0.0.1:9000", "/verify"),
            ("https://auth.example", true, "auth.example", "/"),
            ("https://auth.example/a?b=c:d@e/f", true, "auth.example", "/a?b=c:d@e/f"),
            ("http://[::1]:80?rd=1", false, "[::1]:80", "/?rd=1"),
        ] {
            let url = Url { secure, authority: authority.into(), target: target.into() };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
        for text in [
            "",
            "auth.example/",
            "//auth.example/",
            "ftp://auth.example/",
            "http://",
            "http:///verify",
            "http://user:password@auth.example/",
            "http://auth.example\\@evil.example/",
            "http://auth.example/#a",
            "http://auth.example/a b",
            "http://auth.example/\r\nx-a: b",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_look_like_a_field() {
        for name in ["x-user-id", "X-User-Id", "x_user_id", "x-user_id", "X_USER-ID"] {
            assert!(looks_like("x-user-id", name), "{name}");
        }
        for name in ["x-user", "x-user-idx", "xxuser-id", "x user-id", ""] {
            assert!(!looks_like("x-user-id", name), "{name}");
        }
        assert!(looks_like("x_user", "X-User"));
    }

    #[test]
    fn keys_have_their_defaults() {
        let options = read(&[("url", "http://127.0.0.1:9000/")]).expect("good");
        let names =
            |list: &[HeaderName]| list.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&options.request_headers), ["authorization", "cookie"]);
        assert_eq!(names(&options.refusal_headers), REFUSAL);
        assert!(options.response_headers.is_empty() && options.client_response_headers.is_empty());
        assert_eq!((options.max_body, options.timeout), (16384, Duration::from_secs(2)));
        assert_eq!(options.on_failure, OnServiceFailure::Closed);
    }

    #[test]
    fn mistakes_are_named() {
        let url = ("url", "http://127.0.0.1:9000/");
        for (entries, start) in [
            (&[][..], "`url` is missing"),
            (&[("url", "127.0.0.1:9000")], "`url` is not the URL of a service"),
            (&[("url", "http://a:b@c/")], "`url` is not the URL of a service"),
            (&[url, ("request-headers", "connection")], "`request-headers` has a field that belongs"),
            (
                &[url, ("request-headers", "X-Forwarded-For")],
                "`request-headers` has a field that the stage writes",
            ),
            (&[url, ("response-headers", "content-length")], "`response-headers` has a field that belongs"),
            (&[url, ("client-response-headers", "te")], "`client-response-headers` has a field"),
            (&[url, ("refusal-headers", "transfer-encoding")], "`refusal-headers` has a field"),
            (&[url, ("response-headers.0", "a b")], "`response-headers.0` is not the name"),
            (&[url, ("timeout", "31s")], "`timeout` is not from"),
            (&[url, ("timeout", "0s")], "`timeout` is not from"),
            (&[url, ("max-body", "1048577")], "`max-body` is not from 0"),
            (&[url, ("on-service-failure", "ajar")], "`on-service-failure` is neither"),
        ] {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error} for {start}");
        }
    }
}
