//! A segment as seen from the previous one: the host's half of a dynamic link, with the policy of its stage.
//!
//! A pipeline is a list of hops. The front end calls the first hop; a segment's last stage calls the next hop through
//! its import of `wasi:http/handler`. Each hop has its own pool on the worker, so that a failure in one store ends that
//! hop and nothing else. Everything stays on one thread, although Wasmtime requires the futures of host functions to be
//! `Send`: values that are not `Send` are wrapped so that another thread could only panic.

use super::body::RequestBody;
use super::breaker::{Attempt, Breaker};
use super::clock::ticks;
use super::exchange::ResponseBody;
use super::instance::Instance;
use super::observe::{failed, observe};
use super::outcome::Failure;
use super::request::ChainRequest;
use super::worker::Worker;
use crate::chain::{Admission, Segment, Turn};
use crate::component::Digest;
use crate::host::CallContext;
use crate::plan::{BreakerThen, OnFailure, StageId};
use crate::telemetry::{BreakerState, Observation, StageMetrics};
use http::Response;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What a pipeline does with a segment.
pub struct Hop {
    /// What makes it the same as another one.
    pub identity: Digest,
    /// The segment.
    pub segment: Arc<Segment>,
    /// The same without rewritten lifts that are a trial: serves from when one failed.
    fallback: Option<Arc<Segment>>,
    /// What happens to a request when it fails.
    on_failure: OnFailure,
    /// The time of its stage, within the pipeline's.
    deadline: Option<Duration>,
    /// What takes it out of the way.
    pub breaker: Option<Arc<Breaker>>,
    /// Its first stage, the only one where it has a policy of its own, as it is counted: `0:key-auth`.
    stage: Arc<str>,
    pipeline: Arc<str>,
    /// Tells pools that nobody will call any more: gone with the hop.
    in_use: Arc<()>,
}

/// What becomes of a request at a hop.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the ordinary one: a box would cost each request an allocation"
)]
pub(super) enum Outcome {
    /// The segment has answered.
    Answered(Response<ResponseBody>),
    /// The segment failed.
    Failed(Failure),
    /// What comes after it failed.
    HandedOn(Failure),
    /// The segment is out of the way: the request is as it came.
    Bypassed(Box<ChainRequest>),
}

impl Hop {
    /// What a pipeline does with `segment`; with `fallback` once a trial of a rewritten lift failed.
    pub fn new(identity: Digest, segment: Arc<Segment>, fallback: Option<Arc<Segment>>) -> Self {
        let first = segment.scopes.first().map(|scope| &scope.id);
        let stage = first.map_or_else(String::new, |id| id.label());
        Self {
            identity,
            fallback,
            on_failure: OnFailure::Fail,
            deadline: None,
            breaker: None,
            stage: stage.into(),
            pipeline: segment.pipeline.as_str().into(),
            in_use: Arc::default(),
            segment,
        }
    }

    /// With what its stage has of a policy.
    #[must_use]
    pub fn with_policy(
        self,
        on_failure: OnFailure,
        deadline: Option<Duration>,
        breaker: Option<Arc<Breaker>>,
    ) -> Self {
        Self { on_failure, deadline, breaker, ..self }
    }

    /// Whether `worker` has an instance of it.
    pub(super) fn has_instance(&self, worker: &Worker) -> bool {
        std::iter::once(&self.segment).chain(&self.fallback).any(|segment| worker.has_instance(segment))
    }

    /// Makes an instance on `worker` before a request needs it, where there is room.
    pub(super) fn make_instance(&self, worker: &Worker) -> Option<Rc<Instance>> {
        worker.pool(&self.segment, &self.in_use).make_spare()
    }

    /// Its stages.
    pub fn stages(&self) -> impl Iterator<Item = &StageId> {
        self.segment.scopes.iter().map(|scope| &scope.id)
    }

    /// Its breaker for a scrape, if it has one.
    pub fn breaker_state(&self) -> Option<BreakerState> {
        self.breaker.as_ref().map(|breaker| BreakerState {
            pipeline: self.pipeline.to_string(),
            stage: self.stage.to_string(),
            open: breaker.is_open(),
            opened: breaker.opened(),
        })
    }

    /// The segment that takes a request now, and the request's turn if it takes part in a trial.
    fn current(&self) -> (&Arc<Segment>, Option<Turn<'_>>) {
        let (Some(fallback), Some(trial)) = (&self.fallback, &self.segment.trial) else {
            return (&self.segment, None);
        };
        match trial.admit() {
            Admission::Open => (&self.segment, None),
            Admission::Turn(turn) => (&self.segment, Some(turn)),
            Admission::Original => (fallback, None),
        }
    }

    /// Sends `request` through this segment, if that is not out of the way.
    pub(super) async fn handle(&self, worker: &Rc<Worker>, request: Box<ChainRequest>) -> Outcome {
        let attempt = match &self.breaker {
            None => None,
            Some(breaker) => match breaker.admit() {
                Some(attempt) => Some(attempt),
                None if breaker.spec.then == BreakerThen::Bypass => {
                    self.metrics(worker).bypassed_open.fetch_add(1, Relaxed);
                    return self.bypass(request);
                }
                None => {
                    self.metrics(worker).refused.fetch_add(1, Relaxed);
                    return Outcome::Failed(Failure::BreakerOpen);
                }
            },
        };
        self.attempt(worker, request, attempt).await
    }

    async fn attempt(
        &self,
        worker: &Rc<Worker>,
        mut request: Box<ChainRequest>,
        mut attempt: Option<Attempt>,
    ) -> Outcome {
        loop {
            let (segment, turn) = self.current();
            let pool = worker.pool(segment, &self.in_use);
            let all = request.due(pool.tick(), self.segment.limits.deadline);
            let due = self.deadline.map_or(all, |own| all.min(pool.tick() + ticks(own)));
            let observation = self.observation(worker, &request);
            let has_context = self.segment.links_on || observation.is_some();
            let context = has_context.then(|| request.context(due, observation.clone()));
            let bypasses = self.on_failure == OnFailure::Bypass;
            // Kept only where it may be needed a second time.
            let spare = (bypasses || segment.trial.is_some()).then(|| {
                let lent = request.body.lend();
                (request.with_body(RequestBody::empty()), lent)
            });
            let failure = match pool.handle(request, due, context.clone(), attempt).await {
                Ok(response) => {
                    if let Some(turn) = turn {
                        turn.pass();
                    }
                    return Outcome::Answered(response);
                }
                Err(failure) => failure,
            };
            failed(observation.as_ref(), &failure, context.as_deref());
            let again = failure.is_for_another_form();
            // Once the next stage was called, an error may be that one's, and calling
            // it again could do its work twice.
            if let Some(context) = context.filter(|context| !again && context.was_passed_on()) {
                return whose(failure, &context);
            }
            // The pipeline's deadline is a promise to the client: past it, nothing is left for the other stages.
            let late = matches!(failure, Failure::Deadline) && pool.tick() >= all;
            let Some((mut same, lent)) = spare.filter(|_| again || bypasses && !late) else {
                return Outcome::Failed(failure);
            };
            let Some(body) = lent.reclaim() else { return Outcome::Failed(failure) };
            same.body = body;
            let name = same.origin.name(same.span);
            let (request_id, trace_id, span_id) = (name.request_id(), name.trace_id(), name.span_id());
            if !again {
                tracing::warn!(request_id, trace_id, span_id, stage = self.name(), reason = %failure, "a stage failed and was bypassed");
                self.metrics(worker).bypassed_failed.fetch_add(1, Relaxed);
                return self.bypass(same);
            }
            tracing::info!(
                request_id,
                trace_id,
                span_id,
                stage = self.name(),
                "a request goes through the original form after all"
            );
            attempt = self.breaker.as_ref().and_then(|breaker| breaker.admit());
            request = same;
        }
    }

    /// Who looks at the stage while it works on `request`, if that is observed and the stage is alone in its store.
    fn observation(&self, worker: &Worker, request: &ChainRequest) -> Option<Arc<Observation>> {
        let is_observed = request.origin.is_observed() && self.segment.scopes.len() == 1;
        is_observed.then(|| observe(request, (&self.pipeline, &self.stage), self.metrics(worker)))
    }

    fn bypass(&self, request: Box<ChainRequest>) -> Outcome {
        request.origin.bypass(Arc::clone(&self.stage));
        Outcome::Bypassed(request)
    }

    fn metrics(&self, worker: &Worker) -> Arc<StageMetrics> {
        worker.stage(&self.pipeline, &self.stage)
    }

    /// The stage of a segment that has one, which all with a policy of their own do.
    pub(super) fn name(&self) -> String {
        self.segment.scopes.first().map_or_else(String::new, |scope| scope.id.to_string())
    }
}

/// Whose failure it was, of those who were called: a stage that hands on the next one's error did not fail itself, nor did
/// one that waited for it to the end.
fn whose(failure: Failure, context: &CallContext) -> Outcome {
    match failure {
        Failure::Guest(_) => match context.take_failure() {
            Some(failure) => Outcome::HandedOn(failure),
            None => Outcome::Failed(failure),
        },
        Failure::Deadline if context.has_waited() => Outcome::HandedOn(failure),
        own => Outcome::Failed(own),
    }
}
