//! Calls of an instance's guests, and how the instance serves by them.

use super::{Instance, Job};
use crate::direct::Trap;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Guests that run.
pub(super) trait Calls {
    /// Calls the guests with a request. Its response goes to the exchange ([`Instance::on_reply`]) as soon as it is there;
    /// the call may go on after that.
    ///
    /// # Errors
    /// A trap, which is the end of the instance.
    async fn call(&self, instance: &Rc<Instance>, job: Job) -> Result<(), Trap>;

    /// Whether guests have nothing left to do, where no call is under way.
    fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<()>;
}

impl Instance {
    /// Serves, by calls of `guests`, until there is nothing left to do.
    pub(super) async fn serve(self: &Rc<Self>, guests: &impl Calls) -> Result<(), Trap> {
        let mut calls = FuturesUnordered::new();
        self.state.set(self.state.get().made());
        std::future::poll_fn(|cx| {
            loop {
                while let Some(job) = self.next_job() {
                    calls.push(guests.call(self, job));
                }
                match calls.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(()))) => {}
                    Poll::Ready(Some(Err(trap))) => return Poll::Ready(Err(trap)),
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            if !self.turns.is_empty() {
                return Poll::Pending;
            }
            let quiet = calls.is_empty() && guests.poll_idle(cx).is_ready();
            self.rest.set(self.rest.get().seen(quiet));
            if quiet && self.state.get().is_ending() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}
