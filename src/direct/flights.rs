//! What tasks began outside of the store and do not wait for: requests, and timers.

use super::message::Sent;
use super::origins::SubtaskId;
use futures::StreamExt as _;
use futures::future::{AbortHandle, Abortable, Aborted};
use futures::stream::FuturesUnordered;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// What came back.
pub enum Landed {
    /// The answer to a request, and who is to tell a stage that its body was sent.
    Answer(Result<http::Response<WasiBody>, ErrorCode>, Option<Sent>),
    /// A time.
    Time,
}

/// A request until it is answered, or a timer.
pub type Away = Pin<Box<dyn Future<Output = Landed> + Send>>;

struct Flight {
    subtask: SubtaskId,
    away: Abortable<Away>,
}

impl Future for Flight {
    type Output = (SubtaskId, Result<Landed, Aborted>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let subtask = self.subtask;
        Pin::new(&mut self.away).poll(cx).map(|landed| (subtask, landed))
    }
}

/// Those of a store that are on their way.
#[derive(Default)]
pub struct Flights(FuturesUnordered<Flight>);

impl Flights {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to come back for `begin`'s subtask, which may break it off.
    pub fn add(&self, away: Away, begin: impl FnOnce(AbortHandle) -> SubtaskId) -> SubtaskId {
        let (handle, registration) = AbortHandle::new_pair();
        let subtask = begin(handle);
        self.0.push(Flight { subtask, away: Abortable::new(away, registration) });
        subtask
    }

    /// What came back of one. As long as there is none, `waker` is woken when there is.
    pub fn take(&mut self, waker: &Waker) -> Option<(SubtaskId, Result<Landed, Aborted>)> {
        match self.0.poll_next_unpin(&mut Context::from_waker(waker)) {
            Poll::Ready(landed) => landed,
            Poll::Pending => None,
        }
    }
}
