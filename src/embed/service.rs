//! A pipeline, or all of a gateway's routes, as a `tower` service, and as a layer.

use super::BoxError;
use super::body::Body;
use super::native::{Caller, arriving, native};
use super::shared::Shared;
use super::workers::Call;
use crate::host::Next;
use crate::http::request_id::RequestId;
use crate::http::respond::{Refusal, refuse};
use crate::http::way::EmbeddedCall;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body as HttpBody;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The time that a caller is told to wait when no worker has room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A pipeline, or all routes of a gateway. Cheap to clone; all clones are the same service.
///
/// The service is always ready and never fails. If the gateway is full, the answer is 503 at once.
#[derive(Clone)]
pub struct Service {
    pub(super) shared: Arc<Shared>,
    /// The pipeline; without one, the routes decide.
    pub(super) pipeline: Option<Arc<str>>,
    pub(super) inner: Option<Next>,
}

/// Puts a pipeline around services: its `native = "inner"` is the service that is wrapped.
#[derive(Clone)]
pub struct Layer(pub(super) Service);

impl<S, R> tower_layer::Layer<S> for Layer
where
    S: tower_service::Service<Request<Body>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Service = Service;

    fn layer(&self, inner: S) -> Service {
        Service { inner: Some(native(inner)), ..self.0.clone() }
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let (mut parts, body) = request.into_parts();
        complete(&mut parts, &body);
        let mut extensions = std::mem::take(&mut parts.extensions);
        extensions.insert(Caller { runtime: Handle::try_current().ok(), inner: self.inner.clone() });
        let entry = EmbeddedCall { pipeline: self.pipeline.clone(), extensions };
        let (reply, answer) = oneshot::channel();
        let request = Request::from_parts(parts, arriving(body));
        ResponseFuture(match self.shared.workers.send(Call::new(request, entry, reply)) {
            Ok(()) => State::Waiting(answer),
            Err(_) => State::Full,
        })
    }
}

/// Adds what a client over HTTP/1.1 would have sent and a program may leave out: the host, and the length of a body.
fn complete(parts: &mut Parts, body: &impl HttpBody) {
    if !parts.headers.contains_key(HOST) {
        let named =
            parts.uri.authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
        parts.headers.insert(HOST, named.unwrap_or(HeaderValue::from_static("localhost")));
    }
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        parts.headers.entry(CONTENT_LENGTH).or_insert(length.into());
    }
}

/// The future of a response. Dropping it cancels the request.
pub struct ResponseFuture(State);

enum State {
    Waiting(oneshot::Receiver<Response<Body>>),
    Full,
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.0 {
            State::Waiting(answer) => Pin::new(answer).poll(cx),
            State::Full => return Poll::Ready(Ok(unavailable())),
        };
        // A worker that is gone takes no further calls.
        answer.map(|answer| Ok(answer.unwrap_or_else(|_| unavailable())))
    }
}

fn unavailable() -> Response<Body> {
    let refusal = Refusal::NoCapacity { retry_after: RETRY_AFTER };
    refuse(&refusal, RequestId::next().as_str()).map(Body::whole)
}
