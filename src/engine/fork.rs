//! A segment as the one before it sees it, where not every stage applies to every request.
//!
//! A request's conditions are looked at once, as it enters its pipeline. Each combination of a segment's stages that a
//! request can need is a hop of its own, compiled when the generation is built, so that a stage which does not apply
//! costs nothing; where none of a segment's stages applies, the request goes on to the next segment.

use super::body::RequestBody;
use super::crossing::crossing;
use super::hop::{Answer, ChainRequest, Hop, Onward};
use super::native::Native;
use super::upstream::UpstreamEnd;
use super::worker::Worker;
use crate::host::next::NextFuture;
use crate::host::{CallContext, Next, RequestHead};
use crate::plan::{Applied, When};
use send_wrapper::SendWrapper;
use std::rc::Rc;
use std::sync::Arc;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// The conditions of a pipeline's stages.
pub type Conditions = Arc<[Condition]>;

/// The condition of a stage.
pub struct Condition {
    /// The stage's place in its pipeline.
    pub index: usize,
    /// Which requests it applies to.
    pub when: When,
    /// The name of its pipeline, and its own, under which it is counted that it did not apply.
    pub pipeline: Arc<str>,
    /// `0:key-auth`.
    pub stage: Arc<str>,
}

/// A segment with its variants, and what comes after it.
pub struct Fork {
    conditions: Conditions,
    /// The stages of this segment that have conditions.
    conditional: Applied,
    whole: Arc<Hop>,
    /// Without some of them: the hop for each combination, or nothing where no stage is left.
    parts: Vec<(Applied, Option<Arc<Hop>>)>,
    next: Option<Onward>,
}

/// Where a request goes.
enum Way<'a> {
    Hop(&'a Arc<Hop>),
    Native(&'a Arc<Native>),
    Upstream(&'a Arc<UpstreamEnd>),
}

impl Fork {
    /// A segment of a pipeline with `conditions`: all of its stages are `whole`, and where not all of those in
    /// `conditional` apply, `parts` says what is left.
    pub fn new(
        conditions: Conditions,
        conditional: Applied,
        whole: Arc<Hop>,
        parts: Vec<(Applied, Option<Arc<Hop>>)>,
        next: Option<Onward>,
    ) -> Arc<Self> {
        Arc::new(Self { conditions, conditional, whole, parts, next })
    }

    /// `hop` alone, which all requests take.
    pub fn only(hop: Arc<Hop>) -> Arc<Self> {
        Self::new(Conditions::default(), Applied::NONE, hop, Vec::new(), None)
    }

    /// The hop with all stages.
    pub fn whole(&self) -> &Arc<Hop> {
        &self.whole
    }

    /// The hops of all combinations.
    pub fn hops(&self) -> impl Iterator<Item = &Arc<Hop>> {
        std::iter::once(&self.whole).chain(self.parts.iter().filter_map(|(_, hop)| hop.as_ref()))
    }

    /// What comes after this segment.
    pub(super) fn next(&self) -> Option<&Onward> {
        self.next.as_ref()
    }

    /// The segment after this one, if it is one.
    pub fn next_fork(&self) -> Option<&Arc<Self>> {
        match &self.next {
            Some(Onward::Fork(next)) => Some(next),
            Some(Onward::Native(_) | Onward::Upstream(_)) | None => None,
        }
    }

    /// The stages that apply to a request which enters the pipeline here; the others are counted, so this is to be
    /// asked once.
    pub fn applied(&self, worker: &Worker, head: &RequestHead, chance: u64) -> Applied {
        let path = head.path_with_query.as_ref().map_or("/", |target| target.path());
        let conditions = self.conditions.iter();
        conditions.fold(Applied::ALL, |applied, condition| {
            let holds = condition.when.holds(&head.method, path, &head.headers, chance);
            if !holds {
                worker.skipped(&condition.pipeline, &condition.stage);
            }
            applied.with(condition.index, holds)
        })
    }

    /// Sends `request` through those stages of the rest of the pipeline that apply to it.
    ///
    /// # Errors
    /// [`Failure`](super::Failure), if one of them failed and can't be passed over.
    pub async fn handle(&self, worker: &Rc<Worker>, mut request: Box<ChainRequest>) -> Answer {
        let known = request.applied;
        let applied = known.unwrap_or_else(|| self.applied(worker, &request.head, request.origin.id));
        request.applied = Some(applied);
        match self.way(applied) {
            Way::Hop(hop) => hop.handle(worker, request).await,
            Way::Native(native) => native.handle(worker, request).await,
            // Boxed: it would make the others' future thrice as large.
            Way::Upstream(upstream) => Box::pin(upstream.handle(worker, request)).await,
        }
    }

    /// The first of this segment and those after it of which something applies.
    fn way(&self, applied: Applied) -> Way<'_> {
        let mut fork = self;
        loop {
            let combination = applied.among(fork.conditional);
            if combination == fork.conditional {
                return Way::Hop(&fork.whole);
            }
            let part = fork.parts.iter().find(|(part, _)| *part == combination);
            match (part, &fork.next) {
                (Some((_, Some(hop))), _) => return Way::Hop(hop),
                (Some((_, None)), Some(Onward::Fork(next))) => fork = next,
                (Some((_, None)), Some(Onward::Native(native))) => return Way::Native(native),
                (Some((_, None)), Some(Onward::Upstream(upstream))) => return Way::Upstream(upstream),
                // What no request was thought to need is served by all stages; and there is no pipeline whose last
                // segment may be passed over, since a service always applies.
                _ => return Way::Hop(&fork.whole),
            }
        }
    }

    /// What the segment before this one imports as its next stage.
    pub fn as_next(self: &Arc<Self>) -> Next {
        let fork = Arc::clone(self);
        Arc::new(move |head, body, context| {
            // What a guest calls from work that it left behind could be for any request.
            let applied = context.as_ref().map_or(Applied::ALL, |context| context.applied);
            fork.call(head, RequestBody::passed_on(body), context, Some(applied))
        })
    }

    /// What a stage of another pipeline imports by name: this pipeline, from its first
    /// segment on, with its own bound on the body.
    pub fn as_pipeline(self: &Arc<Self>) -> Next {
        let fork = Arc::clone(self);
        Arc::new(move |head, body: WasiBody, context| {
            let limit = fork.whole.segment.limits.request_body;
            fork.call(head, RequestBody::arriving(body, limit, |_| ()), context, None)
        })
    }

    fn call(
        self: &Arc<Self>,
        head: RequestHead,
        body: RequestBody,
        context: Option<Arc<CallContext>>,
        applied: Option<Applied>,
    ) -> NextFuture {
        let fork = Arc::clone(self);
        Box::pin(SendWrapper::new(async move {
            let worker = Worker::current().ok_or(ErrorCode::InternalError(None))?;
            let deadline = context.as_ref().map(|context| context.deadline);
            let origin = context.as_ref().map(|context| Arc::clone(&context.origin)).unwrap_or_default();
            let depth = context.as_ref().map_or(0, |context| context.depth);
            let (id, limit) = (origin.id, body.limit());
            let request = ChainRequest {
                deadline,
                depth,
                applied,
                nested: true,
                ..ChainRequest::new(head, body, origin)
            };
            let answer = fork.handle(&worker, Box::new(request)).await;
            let response = answer.map_err(|failure| {
                let request_id = format_args!("{id:016x}");
                let stage = fork.whole.name();
                tracing::warn!(%request_id, stage, reason = %failure, "a stage gave no response");
                if limit.is_exceeded() {
                    return ErrorCode::HttpRequestBodySize(None);
                }
                if let Some(context) = &context {
                    context.note_failure(failure.clone());
                }
                failure.into_code()
            })?;
            Ok(response.map(|body| crossing(body, context)))
        }))
    }
}
