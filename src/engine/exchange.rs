//! One request in an instance, and the body of its response, streamed, never buffered.
//!
//! The body talks to its exchange only. The exchange makes sure that a cut response is seen as cut: wasmtime-wasi-http
//! ends a body as if it were complete when its instance is gone, so the end counts only if the exchange was not
//! aborted.

use super::body::UploadState;
use super::breaker::Attempt;
use super::clock::Clock;
use super::crossing::crossing;
use super::gather::Gather;
use super::outcome::{BodyError, Failure};
use super::pause::Pause;
use super::request::CutOff;
use crate::host::CallContext;
use crate::host::next::is_short;
use crate::telemetry::{Observation, Outcome};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};

/// Why a body is cut that a stage made of one that broke off.
const PARTIAL: &str = "a later stage's response broke off";

/// Why a body is cut after the request's own broke off.
pub(super) const UPLOAD_BROKE: &str =
    "the request's body broke off, and nothing moved within `limits.linger`";

/// Why a body is cut that ended as if nothing had been, after the request's own broke off.
const OF_A_PART: &str = "the request's body broke off, and a stage ended its response as if it had not";

/// What a request gets.
pub type Reply = Result<http::Response<ResponseBody>, Failure>;

/// Where an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The chain was called, or the request still waits for an instance.
    Calling,
    /// The response's head is out; its body is on its way.
    Streaming,
    /// The request was answered without the chain, which may still work on it.
    Expired,
}

/// Whose event loop works on an exchange.
pub trait Owner {
    /// The exchange is over; called once or more for each.
    fn on_end(self: Rc<Self>, exchange: &Rc<Exchange>);
}

/// The state of a request that the pool, the instance and the response's body
/// share.
pub struct Exchange {
    clock: Clock,
    /// The instance that it is in, if it is in one.
    owner: RefCell<Option<Weak<dyn Owner>>>,
    phase: Cell<Phase>,
    /// The tick at which a response's head must be there.
    deadline: Cell<u64>,
    /// How often the guests of its instance had reached beyond their store when its call began, if it did.
    began: Cell<Option<u64>>,
    /// The tick at which a body last moved, in either direction.
    progress: Cell<u64>,
    /// The tick at which the response's head was there.
    answered: Cell<u64>,
    /// What came of the request's body, and how much of it had at the last look.
    upload: UploadState,
    uploaded: Cell<u64>,
    /// The request's body had broken off when the response's head was there.
    broke_before: Cell<bool>,
    reply: RefCell<Option<oneshot::Sender<Reply>>>,
    /// Why the body must not end as if it were complete.
    aborted: Cell<Option<&'static str>>,
    body: RefCell<Option<Waker>>,
    cut_off: Option<CutOff>,
    /// What its guests call ends with it.
    context: Option<Arc<CallContext>>,
    /// What the stage's breaker is to learn of it.
    attempt: Cell<Option<Attempt>>,
}

/// Whose doing it is that a request has no response.
enum Fault {
    /// The stage's own.
    Own,
    /// That of what comes after it, whose error it handed on.
    HandedOn,
    /// Nobody knows: the stage waited for what comes after it, or for the client.
    Unknown,
}

impl Exchange {
    /// An exchange that answers to `reply`, and ends early if `cut_off` says so. What comes
    /// out of it has `context`, and what becomes of it is told to `attempt`.
    pub fn new(
        clock: Clock,
        reply: oneshot::Sender<Reply>,
        deadline: u64,
        upload: UploadState,
        cut_off: Option<CutOff>,
        context: Option<Arc<CallContext>>,
        attempt: Option<Attempt>,
    ) -> Self {
        Self {
            clock,
            owner: RefCell::new(None),
            phase: Cell::new(Phase::Calling),
            deadline: Cell::new(deadline),
            began: Cell::new(None),
            progress: Cell::new(0),
            answered: Cell::new(0),
            upload,
            uploaded: Cell::new(0),
            broke_before: Cell::new(false),
            reply: RefCell::new(Some(reply)),
            aborted: Cell::new(None),
            body: RefCell::new(None),
            cut_off,
            context,
            attempt: Cell::new(attempt),
        }
    }

    /// Notes which instance it is in.
    pub fn enter(&self, owner: Weak<dyn Owner>) {
        self.owner.replace(Some(owner));
    }

    /// Notes that its call begins, and how often guests of the instance have [acted](crate::host::Pulse::acts) so far.
    pub fn begin(&self, acts: u64) {
        self.began.set(Some(acts));
        if let Some(observation) = self.observation() {
            observation.begin();
        }
    }

    /// Who observes it, if anyone does.
    pub fn observation(&self) -> Option<&Arc<Observation>> {
        self.context.as_ref()?.observation.as_ref()
    }

    /// Shows a piece of its response's body to whoever observes it, if they want to see that.
    fn copy(&self, data: &[u8]) {
        if let Some(copy) = self.observation().and_then(|observation| observation.response.as_ref()) {
            copy.add(data);
        }
    }

    /// Whether something may have been done for it: it began, and guests of its instance have acted since, `acts` times in
    /// all, or may have `unseen`.
    pub fn may_have_acted(&self, acts: u64, unseen: bool) -> bool {
        self.began.get().is_some_and(|began| unseen || began != acts)
    }

    /// It is over: its instance has room again.
    fn end(self: &Rc<Self>) {
        let owner = self.owner.borrow().as_ref().and_then(Weak::upgrade);
        if let Some(owner) = owner {
            owner.on_end(self);
        }
    }

    /// Whether its generation was replaced too long ago.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.as_ref().is_some_and(CutOff::is_cut)
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub fn deadline(&self) -> u64 {
        self.deadline.get()
    }

    /// The tick at which a body last moved, as far as is known at `tick`.
    pub fn progress(&self, tick: u64) -> u64 {
        let uploaded = self.upload.bytes();
        if self.uploaded.replace(uploaded) != uploaded {
            self.progress.set(tick);
        }
        self.progress.get()
    }

    /// The tick at which the response's head was there.
    pub fn answered(&self) -> u64 {
        self.answered.get()
    }

    pub fn aborted(&self) -> Option<&'static str> {
        self.aborted.get()
    }

    /// Whether its stage waits for the next one.
    pub fn awaits_next(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.awaits_next())
    }

    /// Whether what comes of it is made of a response that broke off.
    fn is_partial(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.is_partial())
    }

    /// Whether the request's body broke off: its sender is gone, or broke the rules.
    pub fn upload_broke(&self) -> bool {
        self.upload.has_failed()
    }

    /// Whether that was so after the response's head was there, so that the stage could not say so in it.
    fn is_of_a_part(&self) -> bool {
        self.upload_broke() && !self.broke_before.get()
    }

    /// Whether nobody waits for the response's head any more.
    pub fn is_abandoned(&self) -> bool {
        self.reply.borrow().as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// Moves the deadline forward to `tick`, never back.
    pub fn hasten(&self, tick: u64) {
        self.deadline.set(self.deadline.get().min(tick));
    }

    /// Hands the response over. If its receiver is gone, the response is dropped.
    pub fn answer(&self, reply: http::Response<ResponseBody>) {
        let tick = self.clock.tick();
        self.phase.set(Phase::Streaming);
        self.progress.set(tick);
        self.answered.set(tick);
        self.broke_before.set(self.upload_broke());
        if let Some(context) = &self.context {
            context.answer();
            context.show(&reply);
        }
        if let Some(mut attempt) = self.attempt.take() {
            attempt.succeed();
            // Its body may still break off.
            self.attempt.set(Some(attempt));
        }
        self.send(Ok(reply));
    }

    /// Answers without a response of the chain.
    pub fn fail(&self, failure: Failure) {
        self.phase.set(Phase::Expired);
        if let Some(mut attempt) = self.attempt.take() {
            match self.fault(&failure) {
                Fault::Own => attempt.fail(),
                Fault::HandedOn => attempt.succeed(),
                Fault::Unknown => {}
            }
        }
        self.send(Err(failure));
        if let Some(context) = &self.context {
            context.end();
        }
    }

    fn fault(&self, failure: &Failure) -> Fault {
        let context = self.context.as_ref();
        match failure {
            _ if self.is_abandoned() || failure.is_for_another_form() => Fault::Unknown,
            Failure::Guest(_) if self.upload.has_failed() => Fault::Unknown,
            Failure::Guest(_) if context.is_some_and(|context| context.next_failed()) => Fault::HandedOn,
            Failure::Deadline if self.is_cut_off() || self.upload.is_awaited() || self.awaits_next() => {
                Fault::Unknown
            }
            _ => Fault::Own,
        }
    }

    /// The stage trapped while its response's body was on its way.
    pub fn trapped(&self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.fail();
        }
    }

    fn send(&self, reply: Reply) {
        // Taken out first: dropping a response that nobody wants runs its
        // body's `Drop`, which comes back here.
        let sender = self.reply.borrow_mut().take();
        if let Some(sender) = sender {
            drop(sender.send(reply));
        }
    }

    /// Notes that the body moved.
    fn on_progress(&self) {
        self.progress.set(self.clock.tick());
    }

    /// Remembers whom to wake when the body is cut.
    fn watch(&self, waker: &Waker) {
        let mut body = self.body.borrow_mut();
        if !body.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *body = Some(waker.clone());
        }
    }

    /// Cuts the body off: its reader sees an error, not an end.
    pub fn abort(&self, why: &'static str) {
        if self.aborted.get().is_none() {
            self.aborted.set(Some(why));
        }
        let waker = self.body.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A response's body that keeps its exchange alive until it ends.
///
/// It ends where its announced length does, unless trailers are announced too: the
/// stream of a guest that was called synchronously has no end before its instance
/// is called again.
pub struct ResponseBody {
    inner: Option<Gather>,
    /// Bytes that were read of it.
    read: u64,
    announces_trailers: bool,
    keeper: Keeper,
}

/// Who has to know how a response's body fares.
enum Keeper {
    /// The exchange that it comes from.
    Exchange {
        exchange: Rc<Exchange>,
        /// Tells the guest that the response was sent, where one asks.
        sent: Option<oneshot::Sender<Result<(), Error>>>,
    },
    /// Nobody: it comes straight from the end of a pipeline.
    Pause(Pause),
    /// Nobody: it comes from there, and the segment before looks after it.
    Segment,
}

impl ResponseBody {
    pub(super) fn new(
        inner: WasiBody,
        announces_trailers: bool,
        exchange: Rc<Exchange>,
        sent: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Self {
        let keeper = Keeper::Exchange { exchange, sent };
        Self { inner: Some(Gather::new(inner)), read: 0, announces_trailers, keeper }
    }

    /// Ends at once if there is nothing to come: then the end of the instance that made it is none of its business.
    pub(super) fn settle(&mut self) {
        if self.is_complete() {
            self.end(Ok(()));
        }
    }

    /// Reads ahead what there is already, so that a reader knows a short body's length, and ends at once if there is nothing
    /// to come.
    pub(super) fn read_ahead(&mut self) {
        if let (Some(inner), Keeper::Exchange { .. }) = (&mut self.inner, &self.keeper) {
            inner.read_ahead(self.announces_trailers);
            if self.is_end_stream() {
                self.end(Ok(()));
            }
        }
    }

    /// The body of a response of a pipeline's end, in which no pause is longer than so long, and which ends early if that
    /// is said, unless a segment before sees to both.
    pub(super) fn of_end(
        inner: WasiBody,
        announces_trailers: bool,
        alone: Option<(Duration, Option<CutOff>)>,
    ) -> Self {
        let keeper =
            alone.map_or(Keeper::Segment, |(patience, cut_off)| Keeper::Pause(Pause::new(patience, cut_off)));
        Self { inner: Some(Gather::new(inner)), read: 0, announces_trailers, keeper }
    }

    /// The body on its way into a store, for the call `reader`.
    pub(super) fn into_store(mut self, reader: Option<Arc<CallContext>>) -> WasiBody {
        match (&self.keeper, self.inner.take()) {
            (Keeper::Segment, Some(inner)) => inner.into_inner(),
            (_, inner) => {
                self.inner = inner;
                crossing(self, reader)
            }
        }
    }

    /// Whether all that is to come has come.
    fn is_complete(&self) -> bool {
        let Some(inner) = &self.inner else { return true };
        inner.is_end_stream() || (!self.announces_trailers && inner.size_hint().exact() == Some(0))
    }

    /// Gives everything back. `result` is what the guest learns of it.
    fn end(&mut self, result: Result<(), Error>) {
        let ended = self.inner.take().is_some();
        let outcome = if result.is_ok() { Outcome::Sent } else { Outcome::BrokeOff };
        if let (true, Keeper::Exchange { exchange, sent }) = (ended, &mut self.keeper) {
            if let Some(sent) = sent.take() {
                // A guest that does not ask is fine.
                drop(sent.send(result));
            }
            if let Some(observation) = exchange.observation() {
                observation.end(self.read, outcome);
            }
            exchange.end();
        }
    }

    /// The body moved.
    fn on_progress(&mut self) {
        match &mut self.keeper {
            Keeper::Exchange { exchange, .. } => exchange.on_progress(),
            Keeper::Pause(pause) => pause.begin(),
            Keeper::Segment => {}
        }
    }

    /// The body waits: whether that is over, and why.
    fn watch(&mut self, cx: &mut Context<'_>) -> Option<&'static str> {
        match &mut self.keeper {
            Keeper::Exchange { exchange, .. } => {
                exchange.watch(cx.waker());
                None
            }
            Keeper::Pause(pause) => pause.poll_over(cx),
            Keeper::Segment => None,
        }
    }

    /// Why its end is none, if so.
    fn partial(&self) -> Option<&'static str> {
        match &self.keeper {
            Keeper::Exchange { exchange, .. } if exchange.is_partial() => Some(PARTIAL),
            Keeper::Exchange { exchange, .. } => exchange.is_of_a_part().then_some(OF_A_PART),
            Keeper::Pause(_) | Keeper::Segment => None,
        }
    }

    /// Why the end that has come is none, if so: that of a dead instance's body, one that a stage made of a body that broke
    /// off, or one before the announced length. A body without any bytes may be that of a response to HEAD, which announces
    /// the length of another one.
    fn false_end(&self) -> Option<BodyError> {
        if let Some(why) = self.broken().or_else(|| self.partial()) {
            return Some(BodyError::Cut(why));
        }
        let short = self.read > 0 && self.inner.as_ref().is_some_and(is_short);
        short.then(|| BodyError::Chain(Error::HttpResponseBodySize(Some(self.read))))
    }

    /// Whether the end, when it comes, is one.
    fn is_sound(&self) -> bool {
        self.broken().is_none() && self.partial().is_none()
    }

    /// Why the body must not go on, if so.
    fn broken(&self) -> Option<&'static str> {
        match &self.keeper {
            Keeper::Exchange { exchange, .. } => exchange.aborted(),
            Keeper::Pause(_) | Keeper::Segment => None,
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
                    let partial = this.partial();
                    this.end(partial.map_or(Ok(()), |_| Err(Error::ConnectionTerminated)));
                    return Poll::Ready(partial.map(|why| Err(BodyError::Cut(why))));
                }
                if let Some(why) = this.watch(cx) {
                    this.end(Err(Error::ConnectionTerminated));
                    return Poll::Ready(Some(Err(BodyError::Cut(why))));
                }
                return Poll::Pending;
            }
        };
        let error = match frame {
            Some(Ok(frame)) if frame.is_data() => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                this.read += data.len() as u64;
                if let Keeper::Exchange { exchange, .. } = &this.keeper {
                    exchange.copy(data);
                }
                this.on_progress();
                return Poll::Ready(Some(Ok(frame)));
            }
            // What a dead instance leaves looks like a wrong length; its
            // death is the reason.
            Some(Err(error)) => Some(this.broken().map_or_else(|| BodyError::Chain(error), BodyError::Cut)),
            // Trailers are the end, too: a reader asks for nothing behind them.
            Some(Ok(trailers)) => match this.false_end() {
                None => return Poll::Ready(Some(Ok(trailers))),
                error => error,
            },
            None => this.false_end(),
        };
        this.end(if error.is_none() { Ok(()) } else { Err(Error::ConnectionTerminated) });
        Poll::Ready(error.map(Err))
    }

    fn is_end_stream(&self) -> bool {
        // A body with an error still to tell is not at its end.
        self.inner.is_none() || (self.is_sound() && self.is_complete())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            None => SizeHint::with_exact(0),
            // Whoever has read a known length does not ask for the error behind it.
            Some(inner) if inner.has_end() && !self.is_sound() => SizeHint::new(),
            Some(inner) => inner.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::next::tests::announced;
    use futures::executor::block_on;
    use http_body_util::BodyExt as _;

    #[test]
    fn an_end_before_the_announced_length_is_an_error() {
        for (length, text, trailers, whole) in [
            (3, "abc", false, true),
            (3, "abc", true, true),
            (4, "abc", false, false),
            (4, "abc", true, false),
            // As of a response to HEAD.
            (4, "", false, true),
        ] {
            let body = ResponseBody::of_end(announced(length, text, trailers), false, None);
            let read = block_on(body.collect());
            let short = matches!(read, Err(BodyError::Chain(Error::HttpResponseBodySize(Some(3)))));
            assert_eq!((read.is_ok(), short), (whole, !whole), "{length} {text} {trailers}");
        }
    }
}
