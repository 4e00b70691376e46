//! The one table from a failure to the client's response: an `application/problem+json` (RFC 9457) with the request's
//! id and nothing internal. The log has the full reason, with pipeline and stage.
//!
//! | refusal | status | also |
//! | --- | --- | --- |
//! | [`Refusal::OnlyHttps`] | 308 | `Location` |
//! | [`Refusal::BadRequest`] | 400 | |
//! | [`Refusal::NoRoute`] | 404 | |
//! | [`Refusal::MethodNotAllowed`] | 405 | `Allow` |
//! | [`Refusal::RequestTimeout`] | 408 | |
//! | [`Refusal::PayloadTooLarge`] | 413 | |
//! | [`Refusal::UriTooLong`] | 414 | |
//! | [`Refusal::Misdirected`] | 421 | |
//! | [`Refusal::HeadersTooLarge`] | 431 | |
//! | [`Refusal::GuestTrap`], [`Refusal::GuestError`] | 500 | |
//! | [`Refusal::NotImplemented`], [`Upstream::NoUpgrade`] | 501 | |
//! | [`Refusal::BadGateway`], [`Upstream::Unreachable`], [`Upstream::Broken`] | 502 | |
//! | [`Refusal::NoCapacity`], [`Refusal::BreakerOpen`], [`Upstream::Busy`], [`Upstream::Down`] | 503 | `Retry-After` |
//! | [`Refusal::Deadline`], [`Upstream::Timeout`] | 504 | |

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

/// Why a request gets the gateway's own answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request breaks a rule of HTTP or of the gateway; the text says which, and is shown to the client.
    BadRequest(&'static str),
    /// No route has the request's host and path.
    NoRoute,
    /// The path has a route, but not for this method.
    MethodNotAllowed {
        /// The methods that have a route.
        allow: Vec<Method>,
    },
    /// The listener only redirects.
    OnlyHttps {
        /// The target's URI under https.
        location: String,
    },
    /// The client sent the body too slowly.
    RequestTimeout,
    /// The body is longer than the pipeline takes.
    PayloadTooLarge,
    /// The target is longer than `limits.uri-size`.
    UriTooLong,
    /// The request is for a scheme or host that this connection does not serve (RFC 9110 §15.5.20).
    Misdirected,
    /// The head is beyond `limits.header-size` or `header-count`.
    HeadersTooLarge,
    /// A stage trapped, ran out of its budget of time or memory.
    GuestTrap,
    /// A stage answered with an error.
    GuestError,
    /// A method that the gateway does not support, whatever the path.
    NotImplemented,
    /// A stage or upstream answered with invalid HTTP.
    BadGateway,
    /// No instance became free within the bound on waiting.
    NoCapacity {
        /// How long the client is told to wait.
        retry_after: Duration,
    },
    /// The breaker of a stage is open, and closes the pipeline.
    BreakerOpen {
        /// How long the client is told to wait.
        retry_after: Duration,
    },
    /// No response within the pipeline's deadline.
    Deadline,
    /// An upstream gave no response.
    Upstream(Upstream),
}

/// Why a request for an upstream gets the gateway's own answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// No connection to a server could be made.
    Unreachable,
    /// A server ended the connection, or sent something other than HTTP, in place of a response's head.
    Broken,
    /// There is no free connection.
    Busy {
        /// How long the client is told to wait.
        retry_after: Duration,
    },
    /// No server gets requests at present.
    Down {
        /// How long the client is told to wait.
        retry_after: Duration,
    },
    /// A server took too long.
    Timeout,
    /// The client wants another protocol on its connection.
    NoUpgrade,
}

impl Upstream {
    fn row(&self) -> Row {
        let row = |status, kind, title, detail| Row { status, kind, title, detail };
        match self {
            Self::Unreachable => row(
                StatusCode::BAD_GATEWAY,
                "upstream-unreachable",
                "Bad gateway",
                "The server behind this gateway could not be reached.",
            ),
            Self::Broken => row(
                StatusCode::BAD_GATEWAY,
                "upstream-broken",
                "Bad gateway",
                "The server behind this gateway gave no valid answer.",
            ),
            Self::Busy { .. } => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream-busy",
                "Service unavailable",
                "The servers behind this gateway are at capacity; try again later.",
            ),
            Self::Down { .. } => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream-down",
                "Service unavailable",
                "No server behind this gateway is up; try again later.",
            ),
            Self::Timeout => row(
                StatusCode::GATEWAY_TIMEOUT,
                "upstream-timeout",
                "Gateway timeout",
                "The server behind this gateway did not answer in time.",
            ),
            Self::NoUpgrade => row(
                StatusCode::NOT_IMPLEMENTED,
                "upgrade-not-supported",
                "Not implemented",
                "This gateway does not upgrade connections.",
            ),
        }
    }
}

/// A row of the table.
struct Row {
    status: StatusCode,
    /// The last part of the problem's type; stable, for programs.
    kind: &'static str,
    title: &'static str,
    detail: &'static str,
}

type Texts = (StatusCode, &'static str, &'static str, &'static str);

const ONLY_HTTPS: Texts =
    (StatusCode::PERMANENT_REDIRECT, "https-only", "Permanent redirect", "This host is served over https.");
const BREAKER_OPEN: Texts = (
    StatusCode::SERVICE_UNAVAILABLE,
    "breaker-open",
    "Service unavailable",
    "A part of the service is out of order; try again later.",
);
const REQUEST_TIMEOUT: Texts = (
    StatusCode::REQUEST_TIMEOUT,
    "request-timeout",
    "Request timeout",
    "The request's body did not come in time.",
);

impl Refusal {
    fn row(&self) -> Row {
        let internal = |kind| {
            (StatusCode::INTERNAL_SERVER_ERROR, kind, "Internal error", "The request could not be served.")
        };
        let (status, kind, title, detail) = match self {
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, "bad-request", "Bad request", *reason),
            Self::NoRoute => {
                (StatusCode::NOT_FOUND, "no-route", "Not found", "No route matches this host and path.")
            }
            Self::MethodNotAllowed { .. } => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "This path has no route for this method.",
            ),
            Self::OnlyHttps { .. } => ONLY_HTTPS,
            Self::RequestTimeout => REQUEST_TIMEOUT,
            Self::PayloadTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload-too-large",
                "Payload too large",
                "The request's body is larger than this route accepts.",
            ),
            Self::UriTooLong => {
                (StatusCode::URI_TOO_LONG, "uri-too-long", "URI too long", "The request's URI is too long.")
            }
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected",
                "Misdirected request",
                "This connection does not serve the request's scheme or host.",
            ),
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "Header fields too large",
                "The request has too many header fields, or too large ones.",
            ),
            Self::GuestTrap => internal("guest-trap"),
            Self::GuestError => internal("guest-error"),
            Self::NotImplemented => (
                StatusCode::NOT_IMPLEMENTED,
                "not-implemented",
                "Not implemented",
                "This method is not supported.",
            ),
            Self::BadGateway => (
                StatusCode::BAD_GATEWAY,
                "bad-gateway",
                "Bad gateway",
                "The answer to this request was not valid HTTP.",
            ),
            Self::NoCapacity { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "no-capacity",
                "Service unavailable",
                "The service is at capacity; try again later.",
            ),
            Self::BreakerOpen { .. } => BREAKER_OPEN,
            Self::Deadline => (
                StatusCode::GATEWAY_TIMEOUT,
                "deadline",
                "Gateway timeout",
                "The request was not answered in time.",
            ),
            Self::Upstream(upstream) => return upstream.row(),
        };
        Row { status, kind, title, detail }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.row().status
    }

    /// A stable name for logs and metrics; the last part of the problem's `type`.
    pub fn kind(&self) -> &'static str {
        self.row().kind
    }
}

impl Refusal {
    /// The rule that the request broke, where there is more to say than its kind.
    pub fn detail(&self) -> Option<&'static str> {
        match self {
            Self::BadRequest(reason) => Some(reason),
            _ => None,
        }
    }
}

/// [`Refusal::BadRequest`] for this reason.
pub(super) fn bad<T>(reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal::BadRequest(reason))
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(rename = "request-id")]
    request_id: &'a str,
}

/// The response to a refused request. `request_id` may be any text, even the client's own: it is escaped. The body of a
/// HEAD request's response is removed later, not here.
pub fn refuse(refusal: &Refusal, request_id: &str) -> Response<Bytes> {
    let Row { status, kind, title, detail } = refusal.row();
    let problem = Problem {
        kind: format!("urn:linkspan:problem:{kind}"),
        title,
        status: status.as_u16(),
        detail,
        request_id,
    };
    // Strings and numbers can always be serialised.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match refusal {
        Refusal::NoCapacity { retry_after }
        | Refusal::BreakerOpen { retry_after }
        | Refusal::Upstream(Upstream::Busy { retry_after } | Upstream::Down { retry_after }) => {
            headers.insert(RETRY_AFTER, whole_seconds(*retry_after).into());
        }
        Refusal::OnlyHttps { location } => {
            // A normal head's host and target are visible ASCII.
            if let Ok(location) = HeaderValue::try_from(location) {
                headers.insert(LOCATION, location);
            }
        }
        Refusal::MethodNotAllowed { allow } => {
            headers.insert(ALLOW, allow_value(allow));
        }
        _ => {}
    }
    response
}

/// `Retry-After` has whole seconds (RFC 9110 §10.2.3); 0 would make all clients return at once.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1)
}

fn allow_value(methods: &[Method]) -> HeaderValue {
    let list = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    // A method is a token, so a list of methods is always a valid field value.
    HeaderValue::try_from(list).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: &Response<Bytes>) -> serde_json::Value {
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn every_refusal_is_a_problem_with_the_request_id_and_its_status() {
        let all = [
            (Refusal::BadRequest("No."), 400, "bad-request"),
            (Refusal::NoRoute, 404, "no-route"),
            (Refusal::MethodNotAllowed { allow: vec![] }, 405, "method-not-allowed"),
            (Refusal::OnlyHttps { location: "https://a/".to_owned() }, 308, "https-only"),
            (Refusal::RequestTimeout, 408, "request-timeout"),
            (Refusal::PayloadTooLarge, 413, "payload-too-large"),
            (Refusal::UriTooLong, 414, "uri-too-long"),
            (Refusal::Misdirected, 421, "misdirected"),
            (Refusal::HeadersTooLarge, 431, "headers-too-large"),
            (Refusal::GuestTrap, 500, "guest-trap"),
            (Refusal::GuestError, 500, "guest-error"),
            (Refusal::NotImplemented, 501, "not-implemented"),
            (Refusal::Upstream(Upstream::NoUpgrade), 501, "upgrade-not-supported"),
            (Refusal::BadGateway, 502, "bad-gateway"),
            (Refusal::NoCapacity { retry_after: Duration::ZERO }, 503, "no-capacity"),
            (Refusal::BreakerOpen { retry_after: Duration::ZERO }, 503, "breaker-open"),
            (Refusal::Deadline, 504, "deadline"),
            (Refusal::Upstream(Upstream::Unreachable), 502, "upstream-unreachable"),
            (Refusal::Upstream(Upstream::Broken), 502, "upstream-broken"),
            (Refusal::Upstream(Upstream::Busy { retry_after: Duration::ZERO }), 503, "upstream-busy"),
            (Refusal::Upstream(Upstream::Down { retry_after: Duration::ZERO }), 503, "upstream-down"),
            (Refusal::Upstream(Upstream::Timeout), 504, "upstream-timeout"),
        ];
        for (refusal, status, kind) in all {
            let response = refuse(&refusal, "r-1");
            let problem = body(&response);
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(refusal.status().as_u16(), status);
            assert_eq!(problem["status"], status);
            assert_eq!(problem["type"], format!("urn:linkspan:problem:{kind}"));
            assert_eq!(refusal.kind(), kind);
            assert_eq!(problem["request-id"], "r-1");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
            assert_eq!(response.headers().contains_key(ALLOW), status == 405);
            assert_eq!(response.headers().contains_key(LOCATION), status == 308);
        }
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (30_000, 30)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds, "{millis} ms");
        }
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }

    #[test]
    fn allow_lists_the_methods_and_a_hostile_id_is_escaped() {
        let refusal = Refusal::MethodNotAllowed { allow: vec![Method::GET, Method::HEAD] };
        let response = refuse(&refusal, "a\"\r\n\u{7f}</script>");
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        assert_eq!(body(&response)["request-id"], "a\"\r\n\u{7f}</script>");
        assert!(!response.body().contains(&b'\n'));
    }
}
