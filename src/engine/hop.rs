//! A segment as seen from the one before it: the host's half of a dynamic link, with the policy of its stage.
//!
//! A pipeline is a list of hops. The front end calls the first; a segment's last
//! stage calls the next through its import of `wasi:http/handler`. Each has its own
//! pool on the worker, so that what happens in one store ends that hop and nothing
//! else. All of it stays on one thread, although Wasmtime asks the futures of host
//! functions to be `Send`: what is not is wrapped so that another thread could only
//! panic.

use super::body::RequestBody;
use super::breaker::{Attempt, Breaker};
use super::exchange::Reply;
use super::outcome::Failure;
use super::request::ChainRequest;
use super::worker::Worker;
use crate::chain::Segment;
use crate::component::Digest;
use crate::host::CallContext;
use crate::plan::{BreakerThen, OnFailure};
use std::rc::Rc;
use std::sync::Arc;

/// What a pipeline does with a segment.
pub struct Hop {
    /// What makes it the same as another one.
    pub identity: Digest,
    /// The segment.
    pub segment: Arc<Segment>,
    /// The same without rewritten lifts that are a trial: serves from when one failed.
    pub fallback: Option<Arc<Segment>>,
    /// What happens to a request when it fails.
    pub on_failure: OnFailure,
    /// What takes it out of the way.
    pub breaker: Option<Arc<Breaker>>,
    /// Tells pools that nobody will call any more: gone with the hop.
    pub in_use: Arc<()>,
}

/// What becomes of a request at a hop.
pub(super) enum Outcome {
    /// The segment has answered, or failed.
    Over(Reply),
    /// The segment is out of the way: the request is as it came.
    PassedOver(Box<ChainRequest>),
}

impl Hop {
    /// The segment that takes requests.
    fn current(&self) -> &Arc<Segment> {
        self.fallback.as_ref().filter(|_| self.segment.is_disproved()).unwrap_or(&self.segment)
    }

    /// Sends `request` through this segment, if that is not out of the way.
    pub(super) async fn handle(&self, worker: &Rc<Worker>, request: Box<ChainRequest>) -> Outcome {
        let attempt = match &self.breaker {
            None => None,
            Some(breaker) => match breaker.admit() {
                Some(attempt) => Some(attempt),
                None if breaker.spec.then == BreakerThen::Skip => return Outcome::PassedOver(request),
                None => return Outcome::Over(Err(Failure::BreakerOpen)),
            },
        };
        self.attempt(worker, request, attempt).await
    }

    async fn attempt(
        &self,
        worker: &Rc<Worker>,
        mut request: Box<ChainRequest>,
        attempt: Option<Attempt>,
    ) -> Outcome {
        let pool = worker.pool(self.current(), &self.in_use);
        let due = request.due(pool.tick(), self.segment.limits.deadline);
        let context = self.segment.links_on.then(|| request.context(due));
        // Kept only where it may be needed a second time.
        let spare = (self.on_failure == OnFailure::Skip).then(|| {
            let lent = request.body.lend();
            (request.with_body(RequestBody::empty()), lent)
        });
        let failure = match pool.handle(request, due, context.clone(), attempt).await {
            Ok(response) => return Outcome::Over(Ok(response)),
            Err(failure) => failure,
        };
        // Once the next stage was called, an error may be that one's, and calling
        // it again could do its work twice.
        if let Some(context) = context.filter(|context| context.was_passed_on()) {
            return Outcome::Over(Err(whose(failure, &context)));
        }
        let Some((mut request, lent)) = spare else { return Outcome::Over(Err(failure)) };
        let Some(body) = lent.reclaim() else { return Outcome::Over(Err(failure)) };
        request.body = body;
        tracing::warn!(stage = self.name(), reason = %failure, "a stage failed and was passed over");
        Outcome::PassedOver(request)
    }

    /// The stage of a segment that has one, which all with a policy of their own do.
    pub(super) fn name(&self) -> String {
        self.segment.scopes.first().map_or_else(String::new, |scope| scope.id.to_string())
    }
}

/// The failure that it was: a stage that hands on the next one's error did not fail itself.
fn whose(failure: Failure, context: &CallContext) -> Failure {
    match failure {
        Failure::Guest(_) => context.take_failure().unwrap_or(failure),
        own => own,
    }
}
