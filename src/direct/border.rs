//! Requests and responses as they are within a segment, and as they are outside.
//!
//! Inside, a body is the host's all along, unless a stage made it. At the borders, messages become wasmtime-wasi-http's,
//! for its rules about bodies; a stage's body is a [`flow`] there.

use super::flow::{WrongLength, flow};
use super::message::{Answer, Answered, Body, Reply, Request, Response, Sent};
use super::pipes::Consumer;
use super::receipt::Teller;
use super::state::State;
use crate::host::RequestHead;
use crate::host::next::{leave, may_leave};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use wasmtime::{AsContextMut, Result, bail};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, FieldMap, WasiBody, p3};

/// Whether a body goes over a border as it is: there is nothing in it, no length says otherwise, and no stage may ask
/// what becomes of it.
fn is_plain(headers: &HeaderMap, body: &WasiBody, teller: Option<&Teller>) -> bool {
    body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH) && !teller.is_some_and(Teller::is_heard)
}

/// The length that a head announces, as wasmtime-wasi-http reads it.
fn length_of(headers: &HeaderMap) -> Result<Option<u64>> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        bail!("multiple `content-length` header values");
    }
    let text = value.to_str()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("invalid `content-length` header value: {text:?}");
    }
    Ok(Some(text.parse()?))
}

/// What waits until a body was sent, and who tells it.
fn sending() -> (Sent, impl Future<Output = Result<(), Error>> + Send + 'static) {
    let (sent, was_sent) = oneshot::channel();
    (sent, async { was_sent.await.unwrap_or(Err(Error::ConnectionTerminated)) })
}

/// A body on its way out of the store, and who is to tell that it was sent.
pub type Leaving = (WasiBody, Option<Sent>);

/// The body of a stage, whose head announces `length`.
fn made(state: &mut State, body: Body, length: Option<u64>, error: WrongLength) -> Result<Leaving> {
    let (contents, trailers, teller) = match body {
        Body::Stage { contents, trailers, teller } => (contents, trailers, teller),
        Body::Host(body, _) => return Ok((body, None)),
    };
    let teller = Some(teller).filter(|teller| teller.is_heard());
    let sent = teller.as_ref().map(|teller| {
        let (sent, was_sent) = sending();
        teller.on_sending(was_sent);
        sent
    });
    let (flow, pieces, behind) = flow(length, error, contents.is_some(), teller, state.pipes.waker.clone());
    state.pipes.consume(trailers, Consumer::Behind(behind))?;
    if let (Some(contents), Some(pieces)) = (contents, pieces) {
        state.pipes.consume(contents, Consumer::Pieces(pieces))?;
    }
    Ok((flow.boxed_unsync(), sent))
}

impl Request {
    /// A request that comes into `state`'s store.
    pub fn enter(head: RequestHead, body: WasiBody, state: &mut State) -> Box<Self> {
        let RequestHead { method, scheme, authority, path_with_query, headers, options } = head;
        let headers = FieldMap::new_immutable(state.host.http().hooks, headers);
        let body = Body::Host(body, None);
        Box::new(Self { method, scheme, authority, path_with_query, headers, options, body })
    }

    /// The request as it leaves the store, or the error that its sender gets.
    pub fn leave(
        self,
        mut store: impl AsContextMut<Data = State>,
    ) -> Result<std::result::Result<(RequestHead, Leaving), ErrorCode>> {
        let Self { method, scheme, authority, path_with_query, headers, options, body } = self;
        let (body, teller) = match body {
            Body::Host(body, teller) if !is_plain(&headers, &body, teller.as_ref()) => (body, teller),
            body => {
                if let Err(code) = may_leave(authority.as_ref()) {
                    return Ok(Err(code));
                }
                let mut store = store.as_context_mut();
                let is_made = matches!(body, Body::Stage { .. });
                let length = match if is_made { length_of(&headers) } else { Ok(None) } {
                    Ok(length) => length,
                    Err(error) => {
                        store.data_mut().close(body)?;
                        return Ok(Err(ErrorCode::InternalError(Some(format!("{error:#}")))));
                    }
                };
                let body = made(store.data_mut(), body, length, ErrorCode::HttpRequestBodySize)?;
                let headers = headers.into();
                let head = RequestHead { method, scheme, authority, path_with_query, headers, options };
                return Ok(Ok((head, body)));
            }
        };
        let (request, result) =
            p3::Request::new(method, scheme, authority, path_with_query, headers, options, body);
        let (sent, was_sent) = oneshot::channel();
        let sent = teller.filter(|teller| teller.is_heard()).map(|teller| {
            teller.on_sending(result);
            sent
        });
        match leave(request, store, was_sent) {
            Ok((head, body)) => Ok(Ok((head, (body, sent)))),
            Err(error) => error.downcast().map(Err),
        }
    }
}

impl Response {
    /// A response that comes into `state`'s store.
    pub fn enter(response: http::Response<WasiBody>, state: &mut State) -> Box<Self> {
        let (parts, body) = response.into_parts();
        let headers = FieldMap::new_immutable(state.host.http().hooks, parts.headers);
        Box::new(Self { status: parts.status, headers, body: Body::Host(body, None) })
    }

    /// The response as it leaves the store, and who is to tell that it was sent, if somebody may ask.
    ///
    /// # Errors
    /// If it can't be sent.
    pub fn leave(self, mut store: impl AsContextMut<Data = State>) -> Result<Answered> {
        let Self { status, headers, body } = self;
        let mut store = store.as_context_mut();
        let (body, teller) = match body {
            Body::Host(body, teller) if !is_plain(&headers, &body, teller.as_ref()) => (body, teller),
            body => {
                let length = match &body {
                    Body::Stage { .. } => length_of(&headers)?,
                    Body::Host(..) => None,
                };
                let (body, sent) = made(store.data_mut(), body, length, ErrorCode::HttpResponseBodySize)?;
                let mut response = http::Response::new(body);
                *response.status_mut() = status;
                *response.headers_mut() = headers.into();
                return Ok((response, sent));
            }
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers.into();
        let (response, result) = p3::Response::from_http(store.data_mut().host.http().hooks, response);
        let Some(teller) = teller.filter(|teller| teller.is_heard()) else {
            return Ok((response.into_http(store, async { Ok(()) })?, None));
        };
        let (sent, was_sent) = sending();
        teller.on_sending(result);
        Ok((response.into_http(store, was_sent)?, Some(sent)))
    }
}

/// An answer as it leaves the store.
pub fn reply(answer: Answer, store: impl AsContextMut<Data = State>) -> Reply {
    match answer {
        Ok(response) => Ok(Response::leave(*response, store)),
        Err(code) => Err(code.into()),
    }
}
