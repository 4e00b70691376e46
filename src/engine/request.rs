//! A request on its way through pipelines, from segment to segment.

use super::body::RequestBody;
use super::clock::{TICK, ticks};
use crate::host::{Behalf, CallContext, RequestHead, RequestOrigin};
use crate::plan::Applied;
use crate::telemetry::Observation;
use crate::telemetry::trace::SpanId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A request as it enters what comes next.
pub struct ChainRequest {
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: RequestBody,
    /// The worker's tick at which an answer must be there, if someone waits for
    /// it until then.
    pub deadline: Option<u64>,
    /// What stays the same of it on its whole way.
    pub origin: Arc<RequestOrigin>,
    /// The span under which hangs what comes out of it: the request's own, or a stage's.
    pub span: Option<SpanId>,
    /// What may end it early; what comes out of it ends with it.
    pub cut_off: Option<CutOff>,
    /// The stages that apply to it; not known yet where it enters a pipeline.
    pub applied: Option<Applied>,
    /// How many calls by name led to it.
    pub depth: usize,
    /// It comes out of another store, on whose stack it can be worked on.
    pub nested: bool,
    /// The call in that store, unless the guest made the request in work that it left behind.
    pub caller: Option<Arc<CallContext>>,
}

impl ChainRequest {
    /// A request that enters a pipeline from outside, for which nobody set a time.
    pub fn new(head: RequestHead, body: RequestBody, origin: Arc<RequestOrigin>) -> Self {
        Self {
            head,
            body,
            deadline: None,
            span: origin.span(),
            origin,
            cut_off: None,
            applied: None,
            depth: 0,
            nested: false,
            caller: None,
        }
    }

    /// A request out of another store, from the call `caller`.
    pub(super) fn out_of_store(
        head: RequestHead,
        body: RequestBody,
        caller: Option<Arc<CallContext>>,
    ) -> Self {
        let Behalf { origin, span } = caller.as_ref().map(|caller| caller.behalf()).unwrap_or_default();
        Self {
            span,
            deadline: caller.as_ref().map(|caller| caller.deadline),
            depth: caller.as_ref().map_or(0, |caller| caller.depth),
            nested: true,
            caller,
            ..Self::new(head, body, origin)
        }
    }

    /// The same request with another body.
    pub fn with_body(&self, body: RequestBody) -> Box<Self> {
        Box::new(Self {
            head: self.head.clone(),
            body,
            deadline: self.deadline,
            origin: Arc::clone(&self.origin),
            span: self.span,
            cut_off: self.cut_off.clone(),
            applied: self.applied,
            depth: self.depth,
            nested: self.nested,
            caller: self.caller.clone(),
        })
    }

    /// Bounds its time by `own`, from the tick `now` on, and says when it is over. What a stage uses up of it is gone for the
    /// others.
    pub(super) fn due(&mut self, now: u64, own: Duration) -> u64 {
        let own = now + ticks(own);
        let due = self.deadline.map_or(own, |outer| outer.min(own));
        self.deadline = Some(due);
        due
    }

    /// What the host knows of it while it is in a store, in which it has until the tick `due`, and whoever observes it there.
    pub(super) fn context(&self, due: u64, observation: Option<Arc<Observation>>) -> Arc<CallContext> {
        let applied = self.applied.unwrap_or(Applied::ALL);
        CallContext::new(due, self.behalf(), self.depth, applied, observation)
    }

    /// On whose behalf a stage works with `context`: where the stage is observed, what it does hangs under its own span.
    pub(super) fn behalf_in(&self, context: Option<&Arc<CallContext>>) -> Behalf {
        context.map_or_else(|| self.behalf(), |context| context.behalf())
    }

    /// On whose behalf something comes out of it.
    pub fn behalf(&self) -> Behalf {
        Behalf { origin: Arc::clone(&self.origin), span: self.span }
    }
}

/// Says to requests, from any thread, that their time is over: the worker sees it at
/// its next tick.
#[derive(Clone, Debug, Default)]
pub struct CutOff(Arc<AtomicBool>);

impl CutOff {
    /// Ends the requests that have this one.
    pub fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// What is set by [`CutOff::cut`].
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Comes when [`CutOff::cut`] was called, give or take a tick. For what no clock of a pool looks after.
    pub(super) async fn until_cut(&self) {
        while !self.is_cut() {
            tokio::time::sleep(TICK).await;
        }
    }

    /// Whether [`CutOff::cut`] was called.
    pub fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
