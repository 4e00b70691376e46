//! A request's body on its way into an instance: streamed, never buffered, and bounded by the pipeline's limit.

use super::upload::{Upload, UploadPace};
use crate::telemetry::trace::BodyCopy;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use wasmtime_wasi_http::{Error, WasiBody};

/// Says how long a request's body was, and whether that was longer than it may be.
#[derive(Clone, Debug, Default)]
pub struct UploadState(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    exceeded: AtomicBool,
    too_slow: AtomicBool,
    malformed: AtomicBool,
    /// Its sender is gone, or took the request back.
    left: AtomicBool,
    /// It ended with an error, whatever that was.
    failed: AtomicBool,
    /// Somebody waits for more of it.
    awaited: AtomicBool,
    bytes: AtomicU64,
    /// Its beginning, if an operator wants to see it.
    copy: OnceLock<Arc<BodyCopy>>,
}

impl UploadState {
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

    /// Whether its sender went away before its end, or took the request back.
    pub fn has_left(&self) -> bool {
        self.0.left.load(Ordering::Relaxed)
    }

    /// Whether it ended with an error.
    pub fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for more of it.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.awaited.load(Ordering::Relaxed)
    }

    /// Has the beginning of it copied, up to `most` bytes, from now on.
    pub(super) fn copy(&self, most: usize) -> Arc<BodyCopy> {
        Arc::clone(self.0.copy.get_or_init(|| Arc::new(BodyCopy::new(most))))
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
    exceeded: UploadState,
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
        match &mut *self.body.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(body) => {
                // The end can be read again.
                if !body.is_end_stream() {
                    self.touched.store(true, Ordering::Relaxed);
                }
                Pin::new(body).poll_frame(cx)
            }
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
    #[must_use]
    pub fn at_pace(mut self, pace: UploadPace) -> Self {
        self.upload = matches!(self.inner, Inner::Incoming(_)).then(|| Upload::new(pace));
        self
    }

    /// A body that comes from another stage, which has its bound already.
    pub fn passed_on(body: WasiBody) -> Self {
        Self::limited(Inner::Boxed(body), u64::MAX, |_| ())
    }

    /// The same, whose bytes are counted.
    pub fn counted(body: WasiBody) -> Self {
        Self::limited(Inner::Boxed(body), u64::MAX - 1, |_| ())
    }

    /// The body as others know it.
    pub(super) fn into_boxed(self) -> WasiBody {
        match self.inner {
            // It has its bound already.
            Inner::Boxed(body) if self.left == u64::MAX => body,
            _ => self.boxed_unsync(),
        }
    }

    /// Tells how far the body was read.
    pub fn limit(&self) -> UploadState {
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
        Self { inner, left: limit, exceeded: UploadState::default(), clean_trailers, upload: None }
    }
}

/// Whether the body of a connection ended since its bytes broke HTTP's rules, and not since no more came.
fn broke_rules(error: &hyper::Error) -> bool {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|error| matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
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
                if let Poll::Ready(Some(Err(error))) = &frame {
                    this.exceeded.0.malformed.store(true, Ordering::Relaxed);
                    this.exceeded.0.left.store(!broke_rules(error), Ordering::Relaxed);
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
            if let Some(copy) = this.exceeded.0.copy.get() {
                copy.add(bytes);
            }
        }
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            (this.clean_trailers)(trailers);
        }
        frame
    }
}
