//! Calls of a pipeline by its name: requests of a stage's own to
//! `http://<pipeline>.internal`, which stay in this process.
//!
//! A host of one label under `.internal` is a pipeline, always: such a request never
//! goes into the network, whatever the stage's `egress` says. A stage calls what its
//! `calls` name, and is told of everything else the same: that it may not, whether
//! there is such a pipeline or not.
//!
//! The request leaves the store as one to the next stage does (see `next`), and the
//! callee sees it with the authority that the caller wrote.

use super::next::{self, Next};
use super::scope::StageScope;
use super::state::InstanceState;
use http::uri::{Authority, PathAndQuery, Scheme};
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};

/// What follows a pipeline's name in the host of a call.
const DOMAIN: &str = ".internal";

/// The pipeline that a request to `authority` is for, as the caller spells it; `None` if
/// it is for no pipeline, but for a server.
pub fn callee(authority: &Authority) -> Option<&str> {
    let host = authority.host();
    let (name, domain) = host.split_at_checked(host.len().checked_sub(DOMAIN.len())?)?;
    (domain.eq_ignore_ascii_case(DOMAIN) && !name.is_empty() && !name.contains('.')).then_some(name)
}

/// What the stage of `scope` reaches by calling `callee` at `authority`.
///
/// # Errors
/// `HTTP-request-denied` for what is not granted, which is logged;
/// `HTTP-request-URI-invalid` for an authority or a scheme that no pipeline has.
pub fn target<'s>(
    scope: &'s StageScope,
    callee: &str,
    scheme: Option<&Scheme>,
    authority: &Authority,
) -> Result<&'s Next, ErrorCode> {
    let known_scheme = scheme.is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    // Neither a user nor a port: a pipeline has none.
    if !known_scheme || authority.as_str().len() != callee.len() + DOMAIN.len() {
        return Err(ErrorCode::HttpRequestUriInvalid);
    }
    let granted = scope.calls.iter().find(|(name, _)| name.eq_ignore_ascii_case(callee));
    granted.map(|(_, next)| next).ok_or_else(|| {
        let message = format!("denied: {callee}{DOMAIN} is not among the stage's `calls`");
        scope.log(tracing::Level::WARN, "calls", &message);
        ErrorCode::HttpRequestDenied
    })
}

/// Sends `request` to the pipeline `callee`, if the stage of `scope` may.
///
/// # Errors
/// A resource that is none: a trap.
pub async fn send(
    store: &Accessor<InstanceState>,
    scope: &StageScope,
    request: Resource<Request>,
    callee: &str,
) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
    let found = store.with(|mut store| {
        let request = store.get().table.get_mut(&request)?;
        let Some(authority) = &request.authority else { return Ok(Err(ErrorCode::HttpRequestUriInvalid)) };
        let found = target(scope, callee, request.scheme.as_ref(), authority);
        // What a guest leaves out, the callee may count on.
        request.scheme.get_or_insert(Scheme::HTTP);
        request.path_with_query.get_or_insert(PathAndQuery::from_static("/"));
        wasmtime::error::Ok(found)
    })?;
    next::carry(store, request, found, |_| ()).await
}
