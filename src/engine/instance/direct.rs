//! The direct form: a segment's core modules, in a store of their own.
//!
//! One call at a time has the store. The host's bodies are none of its business: they go on without it. What a stage has
//! written of a body is read when its call is over.

use super::calls::Calls;
use super::{End, Instance, Job};
use crate::chain::{Segment, guests_run};
use crate::direct::{Chain, Disagreement, Guests, State, Trap};
use crate::engine::exchange::{Reply, ResponseBody};
use crate::engine::guests::FIRST_TURN;
use crate::engine::outcome::{Failure, reason};
use crate::engine::request::ChainRequest;
use crate::host::Pulse;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime::Store;

/// A store, and in it, while it lives, guests.
pub(super) struct Direct(Store<State>);

impl Direct {
    /// An empty store for `segment`, whose chain is `chain`.
    pub fn new(segment: &Segment, chain: &Chain, pulse: Arc<Pulse>) -> Self {
        Self(segment.direct_store(chain, pulse))
    }

    /// Makes the guests, and calls them while `instance` serves.
    pub async fn live(&mut self, instance: &Rc<Instance>) -> End {
        // The segment may have gone over to the component form since.
        let Some(chain) = instance.segment.form.chain() else { return End::Done };
        let guests = match chain.instantiate(&mut self.0).await {
            Ok(guests) => guests,
            Err(error) => return End::NotMade(error),
        };
        let running = Running { guests: &guests, store: Cell::new(Some(&mut self.0)) };
        match instance.serve(&running).await {
            Ok(()) => End::Done,
            Err(trap) => End::Trapped(trap),
        }
    }
}

/// Guests, and the store unless a call has it.
struct Running<'a> {
    guests: &'a Guests,
    store: Cell<Option<&'a mut Store<State>>>,
}

impl Calls for Running<'_> {
    async fn call(&self, instance: &Rc<Instance>, job: Job) -> Result<(), Trap> {
        let Job { request, exchange, context, .. } = job;
        let ChainRequest { head, body, origin, .. } = *request;
        let Some(store) = self.store.take() else { return Err(Disagreement::two_calls().into()) };
        store.set_epoch_deadline(FIRST_TURN);
        guests_run();
        let answer = self.guests.handle(store, (head, body.into_boxed()), origin.id, context).await?;
        let reply: Reply = match answer {
            Ok(Ok((response, sent))) => {
                let trailers = response.headers().contains_key(http::header::TRAILER);
                Ok(response.map(|body| ResponseBody::new(body, trailers, Rc::clone(&exchange), sent)))
            }
            Ok(Err(error)) => Err(Failure::InvalidResponse(reason(&error))),
            Err(code) => Err(Failure::Guest(code)),
        };
        // As in the component form, the answer does not wait for what a stage has written of its body.
        let after = self.guests.after(store);
        self.store.set(Some(store));
        instance.on_reply(&exchange, reply);
        after
    }

    fn poll_idle(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
