//! Bodies on their way in and out of an instance, streamed, never buffered.
//!
//! [`RequestBody`] holds what a client sends to the pipeline's limit.
//! [`ResponseBody`] makes sure that a response which was cut short is seen as cut
//! short: wasmtime-wasi-http ends a body as if it were complete when its instance
//! is gone, so the end counts only while the instance lives.

use super::exchange::Exchange;
use super::gather::Gather;
use super::instance::{Instance, PAUSED};
use super::upload::{Upload, UploadPace};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// Says how long a request's body was, and whether that was longer than it may be.
#[derive(Clone, Debug, Default)]
pub struct RequestLimit(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    exceeded: AtomicBool,
    too_slow: AtomicBool,
    malformed: AtomicBool,
    /// It ended with an error, whatever that was.
    failed: AtomicBool,
    /// Somebody waits for more of it.
    awaited: AtomicBool,
    bytes: AtomicU64,
}

impl RequestLimit {
    /// Whether the limit was reached.
    pub fn is_exceeded(&self) -> bool {
        self.0.exceeded.load(Ordering::Relaxed)
    }

    /// Whether the client sent it too slowly.
    pub fn is_too_slow(&self) -> bool {
        self.0.too_slow.load(Ordering::Relaxed)
    }

    /// Whether the body broke off, or was not what its framing said.
    pub fn is_malformed(&self) -> bool {
        self.0.malformed.load(Ordering::Relaxed)
    }

    /// Whether it ended with an error.
    pub(super) fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for more of it.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.awaited.load(Ordering::Relaxed)
    }

    /// Bytes that were read so far.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

/// A request's body that ends with an error after `limit` bytes.
pub struct RequestBody {
    inner: Inner,
    left: u64,
    exceeded: RequestLimit,
    clean_trailers: fn(&mut http::HeaderMap),
    upload: Option<Upload>,
}

enum Inner {
    Empty,
    Incoming(hyper::body::Incoming),
    Boxed(WasiBody),
    Lent(Arc<Lent>),
}

/// A body from outside.
pub enum Arriving {
    /// Of a client's connection.
    Connection(hyper::body::Incoming),
    /// Of the program that embeds the gateway, or of another pipeline.
    Program(WasiBody),
}

impl From<hyper::body::Incoming> for Arriving {
    fn from(body: hyper::body::Incoming) -> Self {
        Self::Connection(body)
    }
}

impl From<WasiBody> for Arriving {
    fn from(body: WasiBody) -> Self {
        Self::Program(body)
    }
}

/// A body that can be taken back as long as nobody looked into it.
pub struct Lent {
    body: Mutex<Option<RequestBody>>,
    touched: AtomicBool,
}

impl Lent {
    /// The body, if it is as it was.
    pub fn reclaim(&self) -> Option<RequestBody> {
        if self.touched.load(Ordering::Relaxed) {
            return None;
        }
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn look<T>(&self, look: impl FnOnce(&RequestBody) -> T) -> Option<T> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.touched.store(true, Ordering::Relaxed);
        match &mut *self.body.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(Some(Err(Error::ConnectionTerminated))),
        }
    }
}

impl RequestBody {
    /// A body of no bytes.
    pub fn empty() -> Self {
        Self::limited(Inner::Empty, 0, |_| ())
    }

    /// What comes from outside, up to `limit` bytes; its trailers go through
    /// `clean_trailers`.
    pub fn arriving(body: impl Into<Arriving>, limit: u64, clean_trailers: fn(&mut http::HeaderMap)) -> Self {
        let inner = match body.into() {
            Arriving::Connection(body) if !body.is_end_stream() => Inner::Incoming(body),
            Arriving::Program(body) if !body.is_end_stream() => Inner::Boxed(body),
            _ => Inner::Empty,
        };
        Self::limited(inner, limit, clean_trailers)
    }

    /// The same, with a client that has to keep a pace.
    pub fn at_pace(mut self, pace: UploadPace) -> Self {
        self.upload = matches!(self.inner, Inner::Incoming(_)).then(|| Upload::new(pace));
        self
    }

    /// A body that comes from another stage, which has its bound already.
    pub fn passed_on(body: WasiBody) -> Self {
        Self::limited(Inner::Boxed(body), u64::MAX, |_| ())
    }

    /// Tells how far the body was read.
    pub fn limit(&self) -> RequestLimit {
        self.exceeded.clone()
    }

    /// Lends the body out: as long as it stays untouched, it can be had back.
    pub fn lend(&mut self) -> Arc<Lent> {
        let body = std::mem::replace(self, Self::empty());
        let lent = Arc::new(Lent { body: Mutex::new(Some(body)), touched: AtomicBool::new(false) });
        self.left = u64::MAX;
        self.inner = Inner::Lent(Arc::clone(&lent));
        lent
    }

    fn limited(inner: Inner, limit: u64, clean_trailers: fn(&mut http::HeaderMap)) -> Self {
        Self { inner, left: limit, exceeded: RequestLimit::default(), clean_trailers, upload: None }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = self.poll_bounded(cx);
        let counted = &self.exceeded.0;
        counted.awaited.store(frame.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Some(Err(_))) = &frame {
            counted.failed.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Incoming(body) => body.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
            Inner::Lent(lent) => lent.look(Self::is_end_stream).unwrap_or(false),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Incoming(body) => body.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
            Inner::Lent(lent) => lent.look(Self::size_hint).unwrap_or_default(),
        }
    }
}

impl RequestBody {
    /// The next frame, within the body's bounds.
    fn poll_bounded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self;
        let mut frame = match &mut this.inner {
            Inner::Empty => return Poll::Ready(None),
            Inner::Incoming(body) => {
                let frame = Pin::new(body).poll_frame(cx);
                if let Poll::Ready(Some(Err(_))) = frame {
                    this.exceeded.0.malformed.store(true, Ordering::Relaxed);
                }
                frame.map(|f| f.map(|f| f.map_err(Error::Hyper)))
            }
            Inner::Boxed(body) => Pin::new(body).poll_frame(cx),
            Inner::Lent(lent) => lent.poll_frame(cx),
        };
        if let Some(upload) = &mut this.upload {
            match &frame {
                Poll::Ready(Some(Ok(frame))) => upload.moved(frame.data_ref().map_or(0, Bytes::len)),
                Poll::Pending if upload.poll_overdue(cx).is_ready() => {
                    this.exceeded.0.too_slow.store(true, Ordering::Relaxed);
                    this.inner = Inner::Empty;
                    return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
                }
                _ => {}
            }
        }
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            let Some(left) = this.left.checked_sub(bytes.len() as u64) else {
                this.exceeded.0.exceeded.store(true, Ordering::Relaxed);
                this.inner = Inner::Empty;
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
            };
            this.left = left;
            this.exceeded.0.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            (this.clean_trailers)(trailers);
        }
        frame
    }
}

/// Why a response's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The gateway cut it.
    #[error("{0}")]
    Cut(&'static str),
    /// The chain ended it with an error.
    #[error("{0}")]
    Chain(#[from] Error),
}

/// A response's body that keeps its exchange alive until it ends.
///
/// It ends where its announced length does, unless trailers are announced too: the
/// stream of a guest that was called synchronously has no end before its instance
/// is called again.
pub struct ResponseBody {
    inner: Option<Gather>,
    announces_trailers: bool,
    keeper: Keeper,
}

/// Who has to know how a response's body fares.
enum Keeper {
    /// The instance that makes it.
    Exchange {
        instance: Rc<Instance>,
        exchange: Rc<Exchange>,
        /// Tells the guest that the response was sent.
        sent: Option<oneshot::Sender<Result<(), Error>>>,
    },
    /// Nobody: it comes straight from a native service, and ends when nothing moved for
    /// so long.
    Pause { patience: Duration, end: Pin<Box<Sleep>> },
}

impl ResponseBody {
    pub(super) fn new(
        inner: WasiBody,
        announces_trailers: bool,
        instance: Rc<Instance>,
        exchange: Rc<Exchange>,
        sent: oneshot::Sender<Result<(), Error>>,
    ) -> Self {
        let keeper = Keeper::Exchange { instance, exchange, sent: Some(sent) };
        Self { inner: Some(Gather::new(inner)), announces_trailers, keeper }
    }

    /// Ends at once if there is nothing to come: then the end of the instance that made it is none of its business.
    pub(super) fn settle(&mut self) {
        if self.is_complete() {
            self.end(Ok(()));
        }
    }

    /// The body of a native service's response, in which no pause is longer than
    /// `patience`.
    pub(super) fn native(inner: WasiBody, announces_trailers: bool, patience: Duration) -> Self {
        let keeper = Keeper::Pause { patience, end: Box::pin(tokio::time::sleep(patience)) };
        Self { inner: Some(Gather::new(inner)), announces_trailers, keeper }
    }

    /// Whether all that is to come has come.
    fn is_complete(&self) -> bool {
        let Some(inner) = &self.inner else { return true };
        inner.is_end_stream() || (!self.announces_trailers && inner.size_hint().exact() == Some(0))
    }

    /// Gives everything back. `result` is what the guest learns of it.
    fn end(&mut self, result: Result<(), Error>) {
        let ended = self.inner.take().is_some();
        if let (true, Keeper::Exchange { instance, exchange, sent }) = (ended, &mut self.keeper) {
            if let Some(sent) = sent.take() {
                // A guest that does not ask is fine.
                drop(sent.send(result));
            }
            instance.on_end(exchange);
        }
    }

    /// The body moved.
    fn on_progress(&mut self) {
        match &mut self.keeper {
            Keeper::Exchange { instance, exchange, .. } => exchange.on_progress(instance.tick()),
            Keeper::Pause { patience, end } => end.as_mut().reset(Instant::now() + *patience),
        }
    }

    /// The body waits: whether that is over, and why.
    fn watch(&mut self, cx: &mut Context<'_>) -> Option<&'static str> {
        match &mut self.keeper {
            Keeper::Exchange { exchange, .. } => {
                exchange.watch(cx.waker());
                None
            }
            Keeper::Pause { end, .. } => end.as_mut().poll(cx).is_ready().then_some(PAUSED),
        }
    }

    /// Why the body must not go on, if so.
    fn broken(&self) -> Option<&'static str> {
        let Keeper::Exchange { instance, exchange, .. } = &self.keeper else { return None };
        match exchange.aborted() {
            None if instance.is_dead() => Some("the instance died"),
            reason => reason,
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // A reader that knows the length does not ask for the end.
        let complete = self.is_end_stream() || self.size_hint().exact() == Some(0);
        self.end(if complete { Ok(()) } else { Err(Error::ConnectionTerminated) });
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let frame = match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if let Some(why) = this.broken() {
                    this.end(Err(Error::ConnectionTerminated));
                    return Poll::Ready(Some(Err(BodyError::Cut(why))));
                }
                if this.is_complete() {
                    this.end(Ok(()));
                    return Poll::Ready(None);
                }
                if let Some(why) = this.watch(cx) {
                    this.end(Err(Error::ConnectionTerminated));
                    return Poll::Ready(Some(Err(BodyError::Cut(why))));
                }
                return Poll::Pending;
            }
        };
        match frame {
            Some(Ok(frame)) => {
                this.on_progress();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // What a dead instance leaves looks like a wrong length; its
                // death is the reason.
                let error = this.broken().map_or_else(|| BodyError::Chain(error), BodyError::Cut);
                this.end(Err(Error::ConnectionTerminated));
                Poll::Ready(Some(Err(error)))
            }
            // The end of a dead instance's body is no end.
            None => {
                let broken = this.broken();
                this.end(match broken {
                    None => Ok(()),
                    Some(_) => Err(Error::ConnectionTerminated),
                });
                Poll::Ready(broken.map(|why| Err(BodyError::Cut(why))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // A body with an error still to tell is not at its end.
        self.inner.is_none() || (self.broken().is_none() && self.is_complete())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
