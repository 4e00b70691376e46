//! Requests that HTTP's own rules refuse before a service is called: `http1::wire` and hyper's parser refuse requests
//! of HTTP/1, h2 those of HTTP/2.

use http::StatusCode;

/// A request that never reaches a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The status that the client got; for a stream that was reset or a connection that was ended, the equivalent
    /// status.
    pub status: StatusCode,
    /// The rule that the request broke, in words for the log.
    pub reason: &'static str,
}

impl Rejection {
    pub(super) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// The answer that hyper itself gave before an HTTP/1 connection ended with `error`. `fault` is why nothing more
    /// was read, if so.
    pub(super) fn of_http1(error: &hyper::Error, fault: Option<&'static str>) -> Option<Self> {
        if !error.is_parse() {
            return None;
        }
        Some(if !error.is_parse_too_large() {
            Self::new(StatusCode::BAD_REQUEST, fault.unwrap_or("the head is malformed"))
        } else if error.to_string().contains("URI") {
            // No other property distinguishes the two.
            Self::new(StatusCode::URI_TOO_LONG, "the target is too long for any configuration")
        } else {
            let reason = "the head has too many fields, or too large ones";
            Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
        })
    }
}
