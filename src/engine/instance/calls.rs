//! Calls of an instance's guests, and how the instance serves by them.

use super::{Instance, Job};
use crate::direct::Trap;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::pin::pin;
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
        // Most have one call at a time, which needs no allocation.
        let mut first = pin!(None);
        let mut others = FuturesUnordered::new();
        self.state.set(self.state.get().made());
        std::future::poll_fn(|cx| {
            loop {
                while let Some(job) = self.next_job() {
                    let call = guests.call(self, job);
                    if first.is_none() {
                        first.set(Some(call));
                    } else {
                        others.push(call);
                    }
                }
                let ended = match first.as_mut().as_pin_mut().map(|call| call.poll(cx)) {
                    Some(Poll::Ready(ended)) => {
                        first.set(None);
                        Some(ended)
                    }
                    _ => match others.poll_next_unpin(cx) {
                        Poll::Ready(ended) => ended,
                        Poll::Pending => None,
                    },
                };
                match ended {
                    Some(Ok(())) => {}
                    Some(Err(trap)) => return Poll::Ready(Err(trap)),
                    None => break,
                }
            }
            if !self.turns.is_empty() {
                return Poll::Pending;
            }
            let quiet = first.is_none() && others.is_empty() && guests.poll_idle(cx).is_ready();
            self.rest.set(self.rest.get().seen(quiet));
            if quiet && self.state.get().is_ending() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}
