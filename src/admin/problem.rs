//! Responses: JSON, text, and errors as RFC 9457 has them.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::errands::Refused;
use super::guard::Denied;

const NOSNIFF: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));

/// A response with this text.
pub(super) fn response(content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // No browser takes the response for a page.
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    response
}

/// A response with this JSON.
pub(super) fn json_response(value: &Value) -> Response<Full<Bytes>> {
    response("application/json", format!("{value:#}\n"))
}

/// An error in the form of RFC 9457.
pub(super) struct Problem {
    status: StatusCode,
    /// The last part of the problem's type; stable, for programs.
    pub(super) kind: &'static str,
    title: &'static str,
    detail: Box<str>,
    header: Option<Box<(HeaderName, &'static str)>>,
    pub(super) more: Vec<(&'static str, Value)>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<Box<str>>,
    ) -> Self {
        Self { status, kind, title, detail: detail.into(), header: None, more: Vec::new() }
    }

    /// Nothing is there.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", "There is nothing at this path.")
    }

    /// What was sent can't be understood.
    pub(super) fn bad_request(detail: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    }

    /// Whoever asks may not.
    pub(super) fn forbidden(detail: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// As many as there may be.
    pub(super) fn too_many(detail: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail)
    }

    pub(super) fn header(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut body = json!({
            "type": format!("urn:linkspan:problem:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        for (key, value) in self.more {
            body[key] = value;
        }
        let mut response = response("application/problem+json", format!("{body:#}\n"));
        *response.status_mut() = self.status;
        if let Some((name, value)) = self.header.map(|field| *field) {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthorized => {
                let detail = "Send the admin token as `Authorization: Bearer`.";
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
                    .header(WWW_AUTHENTICATE, "Bearer realm=\"linkspan\"")
            }
            Denied::NoHost => Self::bad_request("The request needs exactly one valid `Host`."),
            Denied::ForeignHost => Self::forbidden(
                "Use an IP address or localhost: without a token, names are refused (DNS rebinding).",
            ),
            Denied::ReadOnly => Self::forbidden("The read token changes nothing: send the admin token."),
            Denied::CrossSite => Self::forbidden("A page of another site sent the request."),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::too_many("Too many reloads wait already.").header(RETRY_AFTER, "1"),
            Refused::Failed => {
                let detail = "The log has the details; the live generation stays.";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
            }
        }
    }
}
