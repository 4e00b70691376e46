//! A segment as seen from the one before it: the host's half of a dynamic link.
//!
//! A pipeline is a list of hops. The front end calls the first; a segment's last
//! stage calls the next through its import of `wasi:http/handler`. Each has its own
//! pool on the worker, so that what happens in one store ends that hop and nothing
//! else. All of it stays on one thread, although Wasmtime asks the futures of host
//! functions to be `Send`: what is not is wrapped so that another thread could only
//! panic.

use super::body::{RequestBody, ResponseBody};
use super::breaker::{Attempt, Breaker};
use super::exchange::CutOff;
use super::fork::Fork;
use super::native::Native;
use super::outcome::Failure;
use super::upstream::UpstreamEnd;
use super::worker::{Worker, ticks};
use crate::chain::Segment;
use crate::component::Digest;
use crate::host::{CallContext, Next, Origin, RequestHead};
use crate::plan::{Applied, BreakerThen, OnFailure};
use http::{HeaderName, HeaderValue, Response};
use std::rc::Rc;
use std::sync::Arc;

/// Says in a response which stage was passed over; several have one field each.
pub const SKIPPED: HeaderName = HeaderName::from_static("linkspan-skipped");

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
    /// The rest of the pipeline.
    pub next: Option<Onward>,
    /// Tells pools that nobody will call any more: gone with the hop.
    pub in_use: Arc<()>,
}

/// What comes after a segment, or where a pipeline begins.
#[derive(Clone)]
pub enum Onward {
    /// Another one.
    Fork(Arc<Fork>),
    /// A service of the program that embeds the gateway.
    Native(Arc<Native>),
    /// Servers elsewhere.
    Upstream(Arc<UpstreamEnd>),
}

impl Onward {
    /// Sends `request` through it and what comes after it.
    ///
    /// # Errors
    /// [`Failure`], if there is no response.
    pub async fn handle(&self, worker: &Rc<Worker>, request: Box<ChainRequest>) -> Answer {
        match self {
            Self::Fork(fork) => fork.handle(worker, request).await,
            Self::Native(native) => native.handle(worker, request).await,
            // Boxed: it would make the others' future thrice as large.
            Self::Upstream(upstream) => Box::pin(upstream.handle(worker, request)).await,
        }
    }

    /// The segments from here on.
    pub fn forks(&self) -> impl Iterator<Item = &Arc<Fork>> {
        let first = match self {
            Self::Fork(fork) => Some(fork),
            Self::Native(_) | Self::Upstream(_) => None,
        };
        std::iter::successors(first, |fork| fork.next_fork())
    }

    /// Their hops, of all combinations of their stages.
    pub fn hops(&self) -> impl Iterator<Item = &Arc<Hop>> {
        self.forks().flat_map(|fork| fork.hops())
    }

    /// The stages that apply to a request which enters a pipeline here; `chance` is a number that differs from request
    /// to request.
    pub fn applied(&self, worker: &Worker, head: &RequestHead, chance: u64) -> Applied {
        match self {
            Self::Fork(fork) => fork.applied(worker, head, chance),
            Self::Native(_) | Self::Upstream(_) => Applied::ALL,
        }
    }

    /// The servers at its end, if there are any.
    pub fn upstream(&self) -> Option<&Arc<UpstreamEnd>> {
        match self {
            Self::Fork(fork) => fork.next()?.upstream(),
            Self::Native(_) => None,
            Self::Upstream(upstream) => Some(upstream),
        }
    }

    /// What a stage of another pipeline imports by name: a pipeline from its beginning on, with its own bound on the
    /// body.
    pub fn as_pipeline(&self) -> Next {
        match self {
            Self::Fork(fork) => fork.as_pipeline(),
            Self::Native(native) => native.as_next(),
            Self::Upstream(upstream) => upstream.as_pipeline(),
        }
    }

    /// What the segment before it imports as its next stage.
    pub fn as_next(&self) -> Next {
        match self {
            Self::Fork(fork) => fork.as_next(),
            Self::Native(native) => native.as_next(),
            Self::Upstream(upstream) => upstream.as_next(),
        }
    }
}

/// A request as it enters a segment.
pub struct ChainRequest {
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: RequestBody,
    /// The worker's tick at which an answer must be there, if someone waits for
    /// it until then.
    pub deadline: Option<u64>,
    /// What stays the same of it on its whole way.
    pub origin: Arc<Origin>,
    /// What may end it early; what comes out of it ends with it.
    pub cut_off: Option<CutOff>,
    /// The stages that apply to it; not known yet where it enters a pipeline.
    pub applied: Option<Applied>,
    /// How many calls by name led to it.
    pub depth: usize,
    /// It comes out of another store, on whose stack it can be worked on.
    pub nested: bool,
}

impl ChainRequest {
    /// A request that enters a pipeline from outside, for which nobody set a time.
    pub fn new(head: RequestHead, body: RequestBody, origin: Arc<Origin>) -> Self {
        Self { head, body, deadline: None, origin, cut_off: None, applied: None, depth: 0, nested: false }
    }

    /// What the host knows of it while it is in a store.
    fn context(&self, deadline: u64) -> Arc<CallContext> {
        let applied = self.applied.unwrap_or(Applied::ALL);
        CallContext::new(deadline, Arc::clone(&self.origin), self.depth, applied)
    }

    /// The same request with another body.
    pub fn with_body(&self, body: RequestBody) -> Box<Self> {
        Box::new(Self {
            deadline: self.deadline,
            cut_off: self.cut_off.clone(),
            applied: self.applied,
            depth: self.depth,
            nested: self.nested,
            ..Self::new(self.head.clone(), body, Arc::clone(&self.origin))
        })
    }
}

pub(super) type Answer = Result<Response<ResponseBody>, Failure>;

impl Hop {
    /// The segment that takes requests.
    fn current(&self) -> &Arc<Segment> {
        self.fallback.as_ref().filter(|_| self.segment.is_disproved()).unwrap_or(&self.segment)
    }

    /// Sends `request` through this segment and what comes after it.
    ///
    /// # Errors
    /// [`Failure`], if the segment failed and can't be passed over.
    pub async fn handle(&self, worker: &Rc<Worker>, request: Box<ChainRequest>) -> Answer {
        let attempt = match &self.breaker {
            None => None,
            Some(breaker) => match breaker.admit() {
                Some(attempt) => Some(attempt),
                None if breaker.spec.then == BreakerThen::Skip => {
                    return self.pass_over(worker, request).await;
                }
                None => return Err(Failure::BreakerOpen),
            },
        };
        self.attempt(worker, request, attempt).await
    }

    async fn attempt(
        &self,
        worker: &Rc<Worker>,
        mut request: Box<ChainRequest>,
        attempt: Option<Attempt>,
    ) -> Answer {
        let pool = worker.pool(self.current(), &self.in_use);
        let own = pool.tick() + ticks(self.segment.limits.deadline);
        let deadline = request.deadline.map_or(own, |outer| outer.min(own));
        // What the stage uses up is gone for the others.
        request.deadline = Some(deadline);
        let context = self.segment.links_on.then(|| request.context(deadline));
        // Kept only where it may be needed a second time.
        let spare = (self.on_failure == OnFailure::Skip).then(|| {
            let lent = request.body.lend();
            (request.with_body(RequestBody::empty()), lent)
        });
        let failure = match pool.handle(request, deadline, context.clone(), attempt).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        // Once the next stage was called, an error may be that one's, and calling
        // it again could do its work twice.
        if let Some(context) = context.filter(|context| context.was_passed_on()) {
            // A stage that hands on the next one's error did not fail itself.
            return Err(match failure {
                Failure::Guest(_) => context.take_failure().unwrap_or(failure),
                own => own,
            });
        }
        let Some((mut request, lent)) = spare else { return Err(failure) };
        let Some(body) = lent.reclaim() else { return Err(failure) };
        request.body = body;
        tracing::warn!(stage = self.name(), reason = %failure, "a stage failed and was passed over");
        self.pass_over(worker, request).await
    }

    /// The rest of the pipeline without this segment.
    async fn pass_over(&self, worker: &Rc<Worker>, request: Box<ChainRequest>) -> Answer {
        let mut response = match &self.next {
            // Boxed: a future can't contain itself.
            Some(next) => Box::pin(next.handle(worker, request)).await?,
            None => return Err(Failure::BreakerOpen),
        };
        if let Ok(name) = HeaderValue::try_from(self.name()) {
            response.headers_mut().append(SKIPPED, name);
        }
        Ok(response)
    }

    /// The stage of a segment that has one, which all with a policy of their own do.
    pub(super) fn name(&self) -> String {
        self.segment.scopes.first().map_or_else(String::new, |scope| scope.id.to_string())
    }
}
