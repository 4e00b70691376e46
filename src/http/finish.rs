//! The rules that make a chain's response the answer to a request, whatever the protocol (RFC 9110 §15, §6.4.1 and
//! §8.6).
//!
//! | response | what becomes of it |
//! | --- | --- |
//! | 1xx | refused: it is not final, and nobody asked for another protocol |
//! | 204 | without body and `Content-Length` |
//! | 205 | without body, `Content-Length: 0` |
//! | 304, and any to HEAD | without body; `Content-Length` is what a GET would have got, and stays |
//!
//! The body of a response that must have none is dropped unread.
//!
//! If the request's body broke off, a response of success or redirection was made from a part of it, and is refused:
//! the client would take it for an answer to the whole request.

use crate::engine::{Failure, ResponseBody, UploadState};
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;

/// `response` as the answer to a request with `method`, whose body is in the state `upload`; without its body, if it
/// may have none.
///
/// # Errors
/// [`Failure::InvalidResponse`] and [`Failure::OfAPart`], if the response can't be an answer.
pub(super) fn finish(
    mut response: Response<ResponseBody>,
    method: &Method,
    upload: &UploadState,
) -> Result<Response<Option<ResponseBody>>, Failure> {
    let status = response.status();
    if status.is_informational() {
        return Err(Failure::InvalidResponse(format!(
            "{} is not the status of a final response",
            status.as_u16()
        )));
    }
    if upload.has_failed() && !status.is_client_error() && !status.is_server_error() {
        return Err(Failure::OfAPart);
    }
    let length = response.body().size_hint().exact();
    let headers = response.headers_mut();
    let bodiless = match status {
        StatusCode::NO_CONTENT => {
            headers.remove(CONTENT_LENGTH);
            true
        }
        StatusCode::RESET_CONTENT => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            true
        }
        StatusCode::NOT_MODIFIED => true,
        _ if *method == Method::HEAD => {
            if let Some(length) = length.filter(|length| *length > 0) {
                headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
            }
            true
        }
        _ => false,
    };
    if bodiless {
        headers.remove(TRAILER);
    }
    Ok(response.map(|body| (!bodiless).then_some(body)))
}
