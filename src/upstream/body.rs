//! Bodies on their way to a server and back.

use super::error::{BodyError, ErrorKind, chain};
use super::fields::Length;
use super::link::Lease;
use super::timer::{Awaited, Progress, RequestTimer};
use crate::net::strip_hop_by_hop;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::error::Error as StdError;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Any error of a request's body.
pub type AnyError = Box<dyn StdError + Send + Sync>;

/// A request's body as it comes here.
pub trait Payload: Body<Data = Bytes, Error: Into<AnyError>> + Unpin + 'static {}
impl<B: Body<Data = Bytes, Error: Into<AnyError>> + Unpin + 'static> Payload for B {}

/// A request's body, where the attempts to send it find it.
pub(super) struct Slot<B> {
    body: RefCell<B>,
    length: Length,
    progress: Rc<Progress>,
}

impl<B: Payload> Slot<B> {
    pub fn new(body: B, length: Length, progress: Rc<Progress>) -> Rc<Self> {
        Rc::new(Self { body: RefCell::new(body), length, progress })
    }

    /// The body for one attempt, and for no earlier one any more. It may be had again until a frame of it was taken.
    pub fn upload(self: &Rc<Self>) -> Upload<B> {
        let turn = self.progress.turn.get() + 1;
        self.progress.turn.set(turn);
        Upload { slot: Rc::clone(self), turn }
    }

    fn fail(&self, why: String) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        *self.progress.failed.borrow_mut() = Some(why.clone());
        Poll::Ready(Some(Err(why.into())))
    }
}

/// A request's body on its way to a server. It has exactly the length that the head says, or breaks off.
pub(super) struct Upload<B> {
    slot: Rc<Slot<B>>,
    turn: usize,
}

impl<B: Payload> Body for Upload<B> {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        let slot = &self.slot;
        let progress = &slot.progress;
        if progress.turn.get() != self.turn {
            return Poll::Ready(Some(Err("the attempt is over".into())));
        }
        let frame = Pin::new(&mut *slot.body.borrow_mut()).poll_frame(cx);
        progress.waits.set(frame.is_pending());
        let Poll::Ready(frame) = frame else { return Poll::Pending };
        progress.touched.set(true);
        let declared = match slot.length {
            Length::None => Some(0),
            Length::Known(length) => Some(length),
            Length::Unknown => None,
        };
        match frame {
            Some(Ok(mut frame)) => {
                if let Some(data) = frame.data_ref() {
                    progress.bytes.set(progress.bytes.get() + data.len() as u64);
                    if declared.is_some_and(|length| progress.bytes.get() > length) {
                        return slot.fail("it is longer than its `content-length`".to_owned());
                    }
                } else if let Some(trailers) = frame.trailers_mut() {
                    strip_hop_by_hop(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => slot.fail(error.into().to_string()),
            None if declared.is_some_and(|length| progress.bytes.get() < length) => {
                slot.fail("it is shorter than its `content-length`".to_owned())
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.slot.length == Length::None || self.slot.body.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.slot.length {
            Length::None => SizeHint::with_exact(0),
            _ => self.slot.body.borrow().size_hint(),
        }
    }
}

/// A response's body on its way from a server. Dropped before its end, it takes its connection with it.
pub struct Download<B: Payload> {
    body: Incoming,
    /// Gone when the body ended or broke off.
    lease: Option<Lease<B>>,
    timer: Rc<RequestTimer>,
}

impl<B: Payload> Download<B> {
    pub(super) fn new(body: Incoming, lease: Lease<B>, timer: Rc<RequestTimer>) -> Self {
        let ended = body.is_end_stream();
        let mut download = Self { body, lease: Some(lease), timer };
        if ended {
            download.end();
        }
        download
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }

    /// The response broke off, by the server's fault or by ours.
    fn broken(&mut self, why: String, is_servers: bool) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(lease) = self.lease.take() else { return Poll::Ready(None) };
        if is_servers {
            lease.failed(&why);
        }
        let (upstream, server) = lease.names();
        Poll::Ready(Some(Err(BodyError { upstream, server, why })))
    }
}

impl<B: Payload> Body for Download<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(lease) = &this.lease else { return Poll::Ready(None) };
        let now = lease.now();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => match this.timer.stopped() {
                Some(kind) => {
                    let is_servers = matches!(kind, ErrorKind::Broken(_)) && !this.timer.upload.waits.get();
                    this.broken(why(kind), is_servers)
                }
                None => {
                    this.timer.enter(Awaited::Body(true), now);
                    this.timer.watch(cx.waker());
                    Poll::Pending
                }
            },
            Poll::Ready(Some(Ok(mut frame))) => {
                this.timer.enter(Awaited::Body(false), now);
                // Whoever takes all the time there is to read ends as well.
                if let Some(kind) = this.timer.stopped() {
                    return this.broken(why(kind), false);
                }
                let is_last = frame.trailers_mut().map(strip_hop_by_hop).is_some();
                if is_last || this.body.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let upload = this.timer.upload.failed.borrow().clone();
                match upload {
                    Some(why) => this.broken(format!("the request's body broke off: {why}"), false),
                    None => this.broken(chain(&error), true),
                }
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.lease {
            None => SizeHint::with_exact(0),
            Some(_) => self.body.size_hint(),
        }
    }
}

fn why(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::Broken(why) => why,
        ErrorKind::CutOff => "the configuration was replaced too long ago".to_owned(),
        _ => "it did not end within `limits.total-timeout`".to_owned(),
    }
}
