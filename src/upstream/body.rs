//! Requests' bodies on their way to a server.

use super::fields::Length;
use super::timer::Progress;
use crate::net::strip_hop_by_hop;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::cell::RefCell;
use std::error::Error as StdError;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Any error of a request's body.
pub type AnyError = Box<dyn StdError + Send + Sync>;

/// A request's body as the caller gives it.
pub trait Payload: Body<Data = Bytes, Error: Into<AnyError>> + Unpin + 'static {}
impl<B: Body<Data = Bytes, Error: Into<AnyError>> + Unpin + 'static> Payload for B {}

/// A request's body, shared by the attempts to send it.
pub(super) struct Slot<B> {
    body: RefCell<B>,
    length: Length,
    progress: Rc<Progress>,
}

impl<B: Payload> Slot<B> {
    pub fn new(body: B, length: Length, progress: Rc<Progress>) -> Rc<Self> {
        Rc::new(Self { body: RefCell::new(body), length, progress })
    }

    /// The body for one attempt; earlier attempts lose it. Another attempt may have it until a frame of it was taken.
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

/// A request's body on its way to a server. The body has exactly the length that the head says, or breaks off.
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
