//! The requests of a connection as hyper sees them: each is counted from its head to the end of its response's body.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::activity::{Activity, InFlight};
use super::context::ServeContext;
use super::downloads::{Downloads, Pace};
use super::http2::streams::Streams;
use super::info::{ConnInfo, Protocol};

/// The worker's service in the form that hyper needs: counts requests from their head to the end of their response's
/// body.
pub(super) struct Requests<F> {
    pub(super) worker: Rc<ServeContext<F>>,
    pub(super) info: Rc<ConnInfo>,
    pub(super) activity: Arc<Activity>,
    /// HTTP/2: the streams whose requests have not arrived yet.
    pub(super) opened: Option<Rc<Streams>>,
    pub(super) downloads: Rc<Downloads>,
    pub(super) total: Rc<Cell<usize>>,
}

impl<F, Fut, B> hyper::service::Service<http::Request<Incoming>> for Requests<F>
where
    F: Fn(http::Request<Incoming>, &Rc<ConnInfo>) -> Fut,
    Fut: Future<Output = http::Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = http::Response<CountedBody<B>>;
    type Error = Infallible;
    type Future = Counted<Fut>;

    fn call(&self, request: http::Request<Incoming>) -> Counted<Fut> {
        if let Some(opened) = &self.opened {
            opened.delivered();
        }
        let has_body = !request.body().is_end_stream();
        let in_flight = InFlight::begin(&self.activity, &self.total, has_body);
        let may_close = has_body && in_flight.protocol() == Protocol::Http1;
        let head_only = request.method() == Method::HEAD;
        let old = request.version() < http::Version::HTTP_11;
        Counted {
            future: (self.worker.service)(request, &self.info),
            in_flight: Some(in_flight),
            pace: Some(Pace::new(&self.downloads)),
            head_only,
            old,
            may_close,
            held: None,
        }
    }
}

pin_project! {
    /// A request until the head of its response.
    ///
    /// hyper ends a connection of HTTP/1 after the response if the rest of the request's body is unread and nobody reads it
    /// any more, and says so in the head if it knows by then. hyper looks before it asks for the response. A response that
    /// is there when hyper first asks, or soon after the body was dropped, therefore waits until hyper has looked again.
    pub(super) struct Counted<Fut: Future> {
        #[pin]
        future: Fut,
        in_flight: Option<InFlight>,
        pace: Option<Pace>,
        head_only: bool,
        // HTTP/1.0: the end of the connection can be the end of a body.
        old: bool,
        // HTTP/1, and the request has a body: the connection may have to end with the response.
        may_close: bool,
        // The response, until hyper has looked.
        held: Option<Box<Fut::Output>>,
    }
}

impl<Fut, B> Future for Counted<Fut>
where
    Fut: Future<Output = http::Response<B>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<http::Response<CountedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.held.take() {
            Some(held) => *held,
            None => {
                let response = ready!(this.future.poll(cx));
                if *this.may_close {
                    *this.held = Some(Box::new(response));
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                response
            }
        };
        let (in_flight, pace) = (this.in_flight.take(), this.pace.take());
        let via_h2 = in_flight.as_ref().is_some_and(|request| request.protocol() == Protocol::Http2);
        if in_flight.as_ref().is_some_and(InFlight::is_last) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(in_flight) = &in_flight
        {
            in_flight.upgrade();
        }
        let bodiless = via_h2 && drop_body(&mut response, *this.head_only);
        Poll::Ready(Ok(response.map(|body| {
            let body = (!bodiless).then_some(body);
            CountedBody { body, in_flight, pace, old: *this.old, broken: None }
        })))
    }
}

/// Whether the response may have no body. hyper enforces that in HTTP/1.1; in HTTP/2 it would send the body that it
/// gets. HEAD still sees the length that the body would have had (RFC 9110 §9.3.2).
fn drop_body<B: Body>(response: &mut http::Response<B>, head_only: bool) -> bool {
    if head_only && let Some(length) = response.body().size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    head_only || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

pin_project! {
    /// A response body that keeps its request counted, and tells the transport if the body breaks off.
    ///
    /// In HTTP/1.1, length or chunks show that a body broke off. The end of an HTTP/1.0 body may be shown by a reset
    /// only. The error waits for one turn, in which hyper writes what it has: the head, and the bytes before the break.
    pub(super) struct CountedBody<B: Body> {
        #[pin]
        body: Option<B>,
        in_flight: Option<InFlight>,
        pace: Option<Pace>,
        old: bool,
        broken: Option<B::Error>,
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if let Some(error) = this.broken.take() {
            match this.in_flight {
                Some(in_flight) if *this.old => in_flight.break_off(),
                in_flight => *in_flight = None,
            }
            return Poll::Ready(Some(Err(error)));
        }
        let Some(mut body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        if let Some(pace) = this.pace {
            pace.asked();
        }
        match ready!(body.as_mut().poll_frame(cx)) {
            Some(Err(error)) => {
                *this.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => {
                // After the last piece, hyper does not poll the body again.
                if let (Some(pace), Some(Ok(frame)), false) = (this.pace, &frame, body.is_end_stream()) {
                    pace.given(frame.data_ref().map_or(0, Bytes::len));
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
