//! A call of a service of WASI 0.2.
//!
//! Such a service holds its store while it waits, also while it waits for a client to take its output. The response is
//! therefore handed over in the very call in which the guest sets it, and not when the store is next polled.

use super::body::RequestBody;
use super::guests::call_guests;
use crate::host::kept::HEAD;
use crate::host::{Behalf, CallContext, InstanceState, RequestHead};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use send_wrapper::SendWrapper;
use std::sync::Arc;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme as GuestScheme};

/// What a service answers.
pub type ServiceResponse = Result<http::Response<WasiBody>, ErrorCode>;

/// Calls the service with a request, on whose behalf it works, and which has a context for what the service calls; `answer` gets what it
/// says, at most once. Ends when the service has returned, which may be long after.
///
/// # Errors
/// A trap, which is the end of the instance.
pub async fn call(
    store: &Accessor<InstanceState>,
    service: &Proxy,
    (head, body): (RequestHead, RequestBody),
    (behalf, context): (Behalf, Option<Arc<CallContext>>),
    answer: impl FnOnce(ServiceResponse) + 'static,
) -> wasmtime::Result<()> {
    let handle = service.wasi_http_incoming_handler().func_handle();
    let (scheme, request) = request(head, body)?;
    call_guests(store, handle, behalf, context, |store| {
        store.get().keep(HEAD)?;
        let mut http = store.get().http();
        let request = http.new_incoming_request(scheme, request)?;
        // A store and its answers stay on one thread.
        let answer = SendWrapper::new(answer);
        let out = http.new_response_outparam_from_callback(move |said| answer.take()(said))?;
        Ok((request, out))
    })
    .await
}

/// The request as such a service wants it: with a scheme and an authority, which a
/// stage that makes a request of its own need not give.
fn request(
    head: RequestHead,
    body: RequestBody,
) -> wasmtime::Result<(GuestScheme, http::Request<RequestBody>)> {
    let scheme = head.scheme.unwrap_or(Scheme::HTTP);
    let for_guest = match scheme.as_str() {
        "http" => GuestScheme::Http,
        "https" => GuestScheme::Https,
        other => GuestScheme::Other(other.to_owned()),
    };
    let mut request = http::Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::builder()
        .scheme(scheme)
        .authority(head.authority.unwrap_or(Authority::from_static("localhost")))
        .path_and_query(head.path_with_query.unwrap_or(PathAndQuery::from_static("/")))
        .build()?;
    *request.headers_mut() = head.headers;
    Ok((for_guest, request))
}
