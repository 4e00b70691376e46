//! Requests and responses on their way into a segment and out of it.
//!
//! Inside, a body is the host's all along. At the borders, messages become wasmtime-wasi-http's, for its rules about
//! bodies.

use super::call::Call;
use super::message::{Answer, Request, Response};
use super::state::State;
use crate::host::RequestHead;
use crate::host::kept::{HEAD, size_of_fields};
use crate::host::next::{Callee, ask, leave, may_leave};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use tokio::sync::oneshot;
use wasmtime::{AsContextMut, Result, bail};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{FieldMap, WasiBody, p3};

/// Whether a body goes over a border as it is: there is nothing in it, and no length says otherwise.
fn is_plain(headers: &HeaderMap, body: &WasiBody) -> bool {
    body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH)
}

impl Request {
    /// A request that comes into `state`'s store.
    pub fn enter(head: RequestHead, body: WasiBody, state: &mut State) -> Box<Self> {
        let RequestHead { method, scheme, authority, path_with_query, headers, options } = head;
        let headers = FieldMap::new_immutable(state.host.http().hooks, headers);
        Box::new(Self { method, scheme, authority, path_with_query, headers, options, body })
    }

    /// The request as it leaves the store, or the error that its sender gets.
    fn leave(
        self,
        store: impl AsContextMut<Data = State>,
    ) -> Result<std::result::Result<(RequestHead, WasiBody), ErrorCode>> {
        let Self { method, scheme, authority, path_with_query, headers, options, body } = self;
        if !is_plain(&headers, &body) {
            let (request, _) =
                p3::Request::new(method, scheme, authority, path_with_query, headers, options, body);
            // Nobody in the store asks what became of it.
            let (_, was_sent) = oneshot::channel();
            return match leave(request, store, was_sent) {
                Ok(request) => Ok(Ok(request)),
                Err(error) => error.downcast().map(Err),
            };
        }
        if let Err(code) = may_leave(authority.as_ref()) {
            return Ok(Err(code));
        }
        let headers = headers.into();
        Ok(Ok((RequestHead { method, scheme, authority, path_with_query, headers, options }, body)))
    }
}

impl Response {
    /// A response that comes into `state`'s store.
    fn enter(response: http::Response<WasiBody>, state: &mut State) -> Box<Self> {
        let (parts, body) = response.into_parts();
        let headers = FieldMap::new_immutable(state.host.http().hooks, parts.headers);
        Box::new(Self { status: parts.status, headers, body })
    }

    /// The response as it leaves the store.
    ///
    /// # Errors
    /// If it can't be sent.
    pub fn leave(self, mut store: impl AsContextMut<Data = State>) -> Result<http::Response<WasiBody>> {
        let Self { status, headers, body } = self;
        let plain = is_plain(&headers, &body);
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers.into();
        if plain {
            return Ok(response);
        }
        let mut store = store.as_context_mut();
        let (response, _) = p3::Response::from_http(store.data_mut().host.http().hooks, response);
        response.into_http(store, async { Ok(()) })
    }
}

/// Sends a request out of the store to what comes after the last stage.
pub async fn onward(call: &mut Call<'_>, request: Box<Request>) -> Result<Answer> {
    let state = call.data_mut();
    let Some(next) = state.next.clone() else { bail!("called the next stage, and there is none") };
    if state.rehearsal.is_alone() {
        bail!("called the next stage before there was a request");
    }
    let (context, pulse) = (state.context.clone(), state.host.pulse());
    pulse.act();
    // Until it is answered.
    let size = size_of_fields(&request.headers);
    state.keep(size)?;
    let _kept = state.host.outside(size);
    let (head, body) = match request.leave(&mut *call)? {
        Ok(request) => request,
        Err(code) => return Ok(Err(code.into())),
    };
    let answer = ask(&next, (head, body), context.as_ref(), Callee::NextStage, &pulse).await;
    let state = call.data_mut();
    match answer {
        Ok(response) => {
            state.keep(HEAD)?;
            Ok(Ok(Response::enter(response, state)))
        }
        Err(code) => Ok(Err(code.into())),
    }
}
