//! What stands behind a chain, and bodies.

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use std::time::Duration;
use tokio::sync::Notify;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::{DnsErrorPayload, ErrorCode, FieldSizePayload};

/// What is told of a body that broke off.
pub const BROKE: &str = "it broke off";

/// Says what it got, and answers as a field of the request wants; it says when it waits for ever.
pub async fn end(
    method: &Method,
    path: Option<&str>,
    headers: &HeaderMap,
    body: WasiBody,
    waits: &Notify,
) -> Result<http::Response<WasiBody>, ErrorCode> {
    let mut response = http::Response::builder();
    match headers.get("x-end").and_then(|value| value.to_str().ok()) {
        Some("error") => return Err(ErrorCode::ConnectionRefused),
        Some("text") => return Err(ErrorCode::InternalError(Some("a text of the end".to_owned()))),
        Some("dns") => {
            let payload = DnsErrorPayload { rcode: Some("nx".to_owned()), info_code: Some(7) };
            return Err(ErrorCode::DnsError(payload));
        }
        Some("field") => {
            let payload = FieldSizePayload { field_name: Some("x-long".to_owned()), field_size: None };
            return Err(ErrorCode::HttpRequestHeaderSize(Some(payload)));
        }
        // Nothing else has its turn meanwhile.
        Some("busy") => {
            std::thread::sleep(Duration::from_millis(20));
            return Err(ErrorCode::ConnectionRefused);
        }
        Some("never") => return std::future::pending().await,
        Some("leave") => {
            waits.notify_one();
            return std::future::pending().await;
        }
        Some("size") => return Err(ErrorCode::HttpRequestBodySize(Some(1 << 40))),
        Some("status") => response = response.status(418),
        _ => {}
    }
    for (name, value) in headers {
        // What is told of a program would be as long again.
        if !["p", "q"].contains(&name.as_str()) {
            response = response.header(format!("seen-{name}"), value);
        }
    }
    let body = format!("{method} {path:?} {}", read(body).await);
    if headers.get("x-end").is_some_and(|value| value == "trailers") {
        return Ok(response.body(with_trailer(body.into())).unwrap());
    }
    Ok(response.body(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync()).unwrap())
}

/// A body in two pieces, with a trailer.
pub fn with_trailer(first: Bytes) -> WasiBody {
    let trailers =
        HeaderMap::from_iter([(HeaderName::from_static("x-trailer"), HeaderValue::from_static("behind"))]);
    let frames =
        [Frame::data(first), Frame::data(Bytes::from_static(b", and more")), Frame::trailers(trailers)];
    StreamBody::new(futures::stream::iter(frames.map(Ok))).boxed_unsync()
}

/// The same, of which nothing is there at once.
pub fn slowly(first: Bytes) -> WasiBody {
    let frames = BodyStream::new(with_trailer(first)).then(|frame| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        frame
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A body that breaks off.
pub fn broken(first: Bytes) -> WasiBody {
    let frames = [Ok(Frame::data(first)), Err(wasmtime_wasi_http::Error::HttpResponseIncomplete)];
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

/// The bytes of a body, and its trailers.
pub async fn read(body: impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>) -> String {
    match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().cloned();
            format!("{:?} {trailers:?}", body.to_bytes())
        }
        Err(_) => BROKE.to_owned(),
    }
}
