//! Calls of a pipeline by its name: a stage's own requests to `http://<pipeline>.internal`, which stay in this process.
//!
//! A host of one label under `.internal` is always a pipeline: such a request never enters the network, whatever the
//! stage's `egress` says. A stage may call what its `calls` names; every other name gets the same refusal, whether such
//! a pipeline exists or not.
//!
//! The request leaves the store like a request to the next stage (see `next`), and the called pipeline sees the
//! authority that the caller wrote.

use super::context::{Behalf, CallContext};
use super::next::{self, Next, NextFuture, RequestHead};
use super::pulse::Pulse;
use super::scope::StageScope;
use super::state::InstanceState;
use http::uri::{Authority, PathAndQuery, Scheme};
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{RequestOptions, WasiBody};

/// The suffix of a pipeline's name in the host of a call.
const DOMAIN: &str = ".internal";

/// The pipeline that a request to `authority` is for, as the caller spells its name; `None` if the request is for a
/// server.
pub fn callee(authority: &Authority) -> Option<&str> {
    let host = authority.host();
    let (name, domain) = host.split_at_checked(host.len().checked_sub(DOMAIN.len())?)?;
    (domain.eq_ignore_ascii_case(DOMAIN) && !name.is_empty() && !name.contains('.')).then_some(name)
}

/// The pipeline that the stage of `scope` reaches by calling `callee` at `authority`, while it works on the request
/// `name`. The request gets those parts that the pipeline relies on and a guest may leave out.
///
/// # Errors
/// `HTTP-request-denied` without a grant, which is logged; `destination-unavailable` while the segment is proven; `HTTP-request-URI-invalid` for an authority or a scheme that
/// no pipeline has.
pub fn target<'s>(
    scope: &'s StageScope,
    behalf: Option<&Behalf>,
    callee: &str,
    authority: &Authority,
    (scheme, path_with_query): (&mut Option<Scheme>, &mut Option<PathAndQuery>),
) -> Result<&'s Next, ErrorCode> {
    let scheme = &*scheme.get_or_insert(Scheme::HTTP);
    path_with_query.get_or_insert(PathAndQuery::from_static("/"));
    let known_scheme = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
    // A pipeline has neither a user nor a port.
    if !known_scheme || authority.as_str().len() != callee.len() + DOMAIN.len() {
        return Err(ErrorCode::HttpRequestUriInvalid);
    }
    match scope.calls.iter().find(|(name, _)| name.eq_ignore_ascii_case(callee)) {
        // No worker runs the pipeline.
        Some(_) if scope.is_alone() => Err(ErrorCode::DestinationUnavailable),
        Some((_, next)) => Ok(next),
        None => {
            let message = format!("denied: {callee}{DOMAIN} is not among the stage's `calls`");
            scope.log(behalf, tracing::Level::WARN, "calls", &message);
            Err(ErrorCode::HttpRequestDenied)
        }
    }
}

/// Sends `request` to the pipeline `callee`, if the stage of `scope` may call it.
///
/// # Errors
/// A resource that is not a request: a trap.
pub async fn send(
    store: &Accessor<InstanceState>,
    scope: &StageScope,
    request: Resource<Request>,
    callee: &str,
) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
    let found = store.with(|mut store| {
        let behalf = next::behalf(&mut store)?;
        let request = store.get().table.get_mut(&request)?;
        let Some(authority) = &request.authority else { return Ok(Err(ErrorCode::HttpRequestUriInvalid)) };
        let parts = (&mut request.scheme, &mut request.path_with_query);
        wasmtime::error::Ok(target(scope, behalf.as_ref(), callee, authority, parts))
    })?;
    next::carry(store, request, found, next::Callee::Pipeline).await
}

/// Sends a request of WASI 0.2 in the same way, in a task of its own: the guest continues, and an instance can't be
/// started where the guest asks for the answer.
///
/// A guest that sends the request outside of any request's work is refused: no worker could take it.
pub fn start(
    scope: &StageScope,
    callee: &str,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
    context: Option<Arc<CallContext>>,
    pulse: Arc<Pulse>,
) -> NextFuture {
    let (parts, body) = request.into_parts();
    let http::uri::Parts { mut scheme, authority, mut path_and_query, .. } = parts.uri.into_parts();
    let behalf = context.as_ref().map(|context| context.behalf());
    let found = authority.as_ref().ok_or(ErrorCode::HttpRequestUriInvalid);
    let origin = (&mut scheme, &mut path_and_query);
    let found = found.and_then(|authority| target(scope, behalf.as_ref(), callee, authority, origin));
    let (next, context) = match (found, context) {
        (Ok(next), Some(context)) => (next, context),
        (Ok(_), None) => return Box::pin(async { Err(ErrorCode::HttpRequestDenied.into()) }),
        (Err(code), _) => return Box::pin(async { Err(code.into()) }),
    };
    let head = RequestHead {
        method: parts.method,
        scheme,
        authority,
        path_with_query: path_and_query,
        headers: parts.headers,
        options: options.map(Arc::new),
    };
    let answer = next(head, next::whole(body, pulse), Some(context));
    let (tell, told) = oneshot::channel();
    let task = tokio::task::spawn_local(async move {
        // A guest that dropped the request wants no answer.
        drop(tell.send(answer.await));
    });
    let task = AbortOnDrop(task.abort_handle());
    Box::pin(async move {
        let answer = told.await.unwrap_or_else(|_| Err(ErrorCode::InternalError(None).into()));
        drop(task);
        answer
    })
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_under_internal_is_a_pipeline() {
        let callee = |authority: &str| callee(&authority.parse().expect(authority)).map(str::to_owned);
        for (authority, expected) in [
            ("inventory.internal", Some("inventory")),
            ("Inventory.INTERNAL", Some("Inventory")),
            ("inventory.internal:8080", Some("inventory")),
            ("me@inventory.internal", Some("inventory")),
            ("internal", None),
            ("x.internal.", None),
            ("a.b.internal", None),
            ("inventory.internal.example.com", None),
            ("inventoryinternal", None),
            ("[::1]", None),
        ] {
            assert_eq!(callee(authority).as_deref(), expected, "{authority}");
        }
    }
}
