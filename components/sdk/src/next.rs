//! The next stage of the pipeline, and pipelines under names of the stage's own.

use crate::bindings::wasi::http::types;
use crate::bindings::{asynchronous, wasi};
use crate::error::Error;
use crate::request::Request;
use crate::response::Response;

/// The next stage, called synchronously.
pub struct Next(());

impl Next {
    #[doc(hidden)]
    #[allow(clippy::new_without_default, reason = "made by the macros alone")]
    pub const fn new() -> Self {
        Self(())
    }

    /// Hand the request on and wait for the response.
    ///
    /// # Errors
    /// The next stage's, or that the edited request could not be built.
    pub fn call(&self, request: Request) -> Result<Response, Error> {
        let request = request.into_raw()?;
        wasi::http::handler::handle(request).map(Response::from_raw)
    }
}

/// The next stage, called asynchronously.
#[derive(Clone, Copy)]
pub struct AsyncNext(());

impl AsyncNext {
    #[doc(hidden)]
    #[allow(clippy::new_without_default, reason = "made by the macros alone")]
    pub const fn new() -> Self {
        Self(())
    }

    /// Hand the request on; the response comes when the future is awaited.
    ///
    /// # Errors
    /// The next stage's, or that the edited request could not be built.
    pub async fn call(&self, request: Request) -> Result<Response, Error> {
        let request = request.into_raw()?;
        let response = asynchronous::wasi::http::handler::handle(request).await?;
        Ok(Response::from_raw(response))
    }
}

/// Hand a request on to a handler that is imported under a name of the stage's own, and wait for the response.
/// `handle` is what wit-bindgen makes of that import: see the `ab-router` service.
///
/// # Errors
/// The handler's, or that the edited request could not be built.
pub fn call_named(
    handle: impl FnOnce(types::Request) -> Result<types::Response, Error>,
    request: Request,
) -> Result<Response, Error> {
    handle(request.into_raw()?).map(Response::from_raw)
}

/// Like [`call_named`], for a stage of the async form.
///
/// # Errors
/// The handler's, or that the edited request could not be built.
pub async fn call_named_async(
    handle: impl AsyncFnOnce(types::Request) -> Result<types::Response, Error>,
    request: Request,
) -> Result<Response, Error> {
    Ok(Response::from_raw(handle(request.into_raw()?).await?))
}

/// Send a request to where its scheme and authority say, as far as the stage's
/// grant allows; async form. The component imports `wasi:http/client`.
///
/// # Errors
/// The host's: `HTTP-request-denied` for what is not granted.
pub async fn send(request: Request) -> Result<Response, Error> {
    let request = request.into_raw()?;
    Ok(Response::from_raw(wasi::http::client::send(request).await?))
}

/// Whether the host denies `request` to the stage, for [`FromConfig::findings`](crate::FromConfig::findings) alone: then
/// linkspan sends nothing, and answers at once. `false` from a host that does not.
pub fn is_denied(request: Request) -> bool {
    let Ok(request) = request.into_raw() else { return false };
    let mut answer = std::pin::pin!(wasi::http::client::send(request));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    matches!(answer.as_mut().poll(&mut context), std::task::Poll::Ready(Err(Error::HttpRequestDenied)))
}

/// Call another pipeline of the gateway by its name, and wait for its response: the same
/// as [`send`] to `http://<pipeline>.internal`. The stage's `calls` must name it.
///
/// # Errors
/// `HTTP-request-denied` without that, and what the pipeline answers instead of a
/// response.
pub async fn call(pipeline: &str, mut request: Request) -> Result<Response, Error> {
    request.set_origin(types::Scheme::Http, &[pipeline, ".internal"].concat())?;
    send(request).await
}
