//! A service of the program as the end of a pipeline.
//!
//! The service is called on the tokio runtime of the pipeline's caller, not on the worker: it may use everything of
//! that runtime, and may compute without delaying other pipelines. The request's extensions travel with it. The
//! service's future is dropped with the call.

use super::BoxError;
use super::body::{Body, bridge};
use crate::host::{CallContext, Next, RequestHead};
use crate::http::headers::clean_response;
use bytes::Bytes;
use http::header::HOST;
use http::{Extensions, HeaderValue, Request, Response, Uri};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use std::sync::Arc;
use tokio::runtime::Handle;
use tower_service::Service;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiBody};

/// The name of the service that a layer wraps.
pub(super) const INNER: &str = "inner";

/// The caller of a pipeline, among the extensions of the request.
#[derive(Clone)]
pub(super) struct Caller {
    /// The runtime of native services.
    pub runtime: Option<Handle>,
    /// The service around which the pipeline was put.
    pub inner: Option<Next>,
}

/// The service around which the request's caller was put.
pub(super) fn inner() -> Next {
    Arc::new(|head, body, context| {
        let caller = context.as_ref().and_then(|context| context.origin.extensions.get::<Caller>());
        match caller.and_then(|caller| caller.inner.clone()) {
            Some(inner) => inner(head, body, context),
            None => failed("the pipeline was not put around a service"),
        }
    })
}

fn failed(why: &'static str) -> crate::host::next::NextFuture {
    Box::pin(async move { Err(ErrorCode::InternalError(Some(why.to_owned())).into()) })
}

/// `service` as the end of a pipeline.
pub(super) fn native<S, R>(service: S) -> Next
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    Arc::new(move |head, body, context| {
        let origin = context.as_ref().map(|context| &context.origin.extensions);
        let Some(runtime) = origin.and_then(|it| it.get::<Caller>()?.runtime.clone()) else {
            // Work that a guest left behind has no caller either.
            return failed("a native service needs a caller on a tokio runtime");
        };
        let (body, pump) = bridge(body);
        let request = request(head, body, context.as_deref());
        let mut service = service.clone();
        let task = runtime.spawn(async move {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            service.call(request).await.map_err(Into::<BoxError>::into)
        });
        let task = Dropped(task);
        Box::pin(async move {
            // A body may continue after the response's head.
            tokio::task::spawn_local(pump);
            let mut task = task;
            match (&mut task.0).await {
                Ok(Ok(response)) => {
                    let mut response = response.map(arriving);
                    // A stage could not forward such a field.
                    clean_response(response.headers_mut());
                    Ok(response)
                }
                Ok(Err(error)) => Err(code(&error).into()),
                Err(error) => Err(code(&error.into()).into()),
            }
        })
    })
}

/// A task that ends when nobody waits for it.
struct Dropped<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Dropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An error of the program, which the last stage may answer or pass on to the log.
fn code(error: &BoxError) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("the native service failed: {error}")))
}

/// A body of the program, on its way in.
pub(super) fn arriving<B>(body: B) -> WasiBody
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(|error| Error::InternalError(Some(error.into().to_string()))).boxed_unsync()
}

/// The request in the form in which a server of HTTP/1.1 would pass it to the service.
fn request(head: RequestHead, body: Body, context: Option<&CallContext>) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.path_with_query.map_or_else(Uri::default, Uri::from);
    *request.headers_mut() = head.headers;
    let host = head.authority.and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    let mut extensions: Extensions =
        context.map(|context| context.origin.extensions.clone()).unwrap_or_default();
    extensions.remove::<Caller>();
    *request.extensions_mut() = extensions;
    request
}
