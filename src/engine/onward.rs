//! What comes next: segments, one after the other, and the end of the pipeline.
//!
//! A request's conditions are evaluated once, when the request enters its pipeline. Each combination of a segment's
//! stages that a request can need is a hop of its own, compiled when the generation is built, so that a stage that does
//! not apply costs nothing. If none of a segment's stages applies, the request continues with the next segment.

use super::end::End;
use super::exchange::Reply;
use super::hop::{Hop, Outcome};
use super::outcome::Failure;
use super::request::ChainRequest;
use super::worker::Worker;
use crate::chain::SegmentForm;
use crate::host::{RequestHead, RequestName, RequestOrigin, Slot};
use crate::plan::{Applied, When};
use crate::upstream::Upstream;
use http::{HeaderName, HeaderValue};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Says in a response which stage it went on without, since that failed or its breaker was open; several have one field
/// each.
pub const BYPASSED: HeaderName = HeaderName::from_static("linkspan-bypassed");

/// What comes after a segment, or where a pipeline begins.
#[derive(Clone)]
pub enum Onward {
    /// A segment, and what comes after it.
    Fork(Arc<Fork>),
    /// What is no segment.
    End(Arc<End>),
}

impl Onward {
    /// Sends `request` through those stages from here on that apply to it.
    ///
    /// # Errors
    /// [`Failure`](super::Failure), if one of them failed and can't be bypassed.
    pub async fn handle(&self, worker: &Rc<Worker>, mut request: Box<ChainRequest>) -> Reply {
        let known = request.applied;
        let applied = known.unwrap_or_else(|| self.applied(worker, &request.head, request.origin.id));
        request.applied = Some(applied);
        // What comes from outside has a line of its own when it fails.
        let told = request.nested.then(|| request.origin.name(request.span));
        let mut bypassed: Vec<String> = Vec::new();
        let mut here = self;
        let mut response = loop {
            here = match here {
                // Boxed: it would make the others' future thrice as large.
                Self::End(end) => {
                    break Box::pin(end.handle(worker, request))
                        .await
                        .map_err(|why| here.failed(told, why))?;
                }
                Self::Fork(fork) => {
                    if request.origin.is_observed()
                        && let Some(observed) =
                            fork.observed.as_ref().and_then(|observed| observed.enter(&request.origin))
                    {
                        here = observed;
                        continue;
                    }
                    if let Some(hop) = fork.hop(applied) {
                        match hop.handle(worker, request).await {
                            Outcome::Answered(response) => break response,
                            Outcome::Failed(failure) => return Err(here.failed(told, failure)),
                            Outcome::HandedOn(failure) => return Err(failure),
                            Outcome::Bypassed(same) => request = same,
                        }
                        bypassed.push(hop.name());
                    }
                    fork.next.as_ref().ok_or(Failure::BreakerOpen)?
                }
            };
        };
        // The last one first, as they would add them to the response on its way back.
        for name in bypassed.iter().rev().filter_map(|name| HeaderValue::try_from(name).ok()) {
            response.headers_mut().append(BYPASSED, name);
        }
        Ok(response)
    }

    /// Says to the log that the first of this gave no response to this request, if there is one.
    fn failed(&self, request: Option<RequestName>, failure: Failure) -> Failure {
        if let Some(name) = request {
            let (request_id, trace_id, span_id) = (name.request_id(), name.trace_id(), name.span_id());
            match self {
                Self::End(end) if end.servers().is_some() => {
                    tracing::warn!(request_id, trace_id, span_id, reason = %failure, "an upstream gave no response");
                }
                Self::End(_) => {
                    tracing::warn!(request_id, trace_id, span_id, reason = %failure, "a native service gave no response")
                }
                Self::Fork(fork) => {
                    let stage = fork.whole.name();
                    tracing::warn!(request_id, trace_id, span_id, stage, reason = %failure, "a stage gave no response");
                }
            }
        }
        failure
    }

    /// The stages that apply to a request which enters a pipeline here, of which `chance` is a number that differs from
    /// request to request; the others are counted, so this is to be asked once.
    pub fn applied(&self, worker: &Worker, head: &RequestHead, chance: u64) -> Applied {
        let Self::Fork(fork) = self else { return Applied::ALL };
        let path = head.path_with_query.as_ref().map_or("/", |target| target.path());
        fork.conditions.iter().fold(Applied::ALL, |applied, condition| {
            let holds = condition.when.holds(&head.method, path, &head.headers, chance);
            if !holds {
                worker.stage(&condition.pipeline, &condition.stage).not_applied.fetch_add(1, Relaxed);
            }
            applied.with(condition.index, holds)
        })
    }

    /// The segments from here on.
    pub fn forks(&self) -> impl Iterator<Item = &Arc<Fork>> {
        std::iter::successors(self.fork(), |before| before.next.as_ref()?.fork())
    }

    /// The form of each of them, with all its stages.
    pub fn forms(&self) -> impl Iterator<Item = &SegmentForm> {
        self.forks().map(|fork| &fork.whole.segment.form)
    }

    fn fork(&self) -> Option<&Arc<Fork>> {
        match self {
            Self::Fork(fork) => Some(fork),
            Self::End(_) => None,
        }
    }

    /// Their hops, of all combinations of their stages.
    pub fn hops(&self) -> impl Iterator<Item = &Arc<Hop>> {
        self.forks().flat_map(|fork| fork.hops())
    }

    /// The servers at its end, if there are any.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Fork(fork) => fork.next.as_ref()?.upstream(),
            Self::End(end) => end.servers(),
        }
    }

    /// Bytes that the body of a request may have for which a pipeline begins here.
    pub(super) fn request_body(&self) -> u64 {
        match self {
            Self::Fork(fork) => fork.whole.segment.limits.request_body,
            Self::End(end) => end.request_body(),
        }
    }
}

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

/// The way of observed requests through a segment of several stages: through the same stages, each of which is a segment of its
/// own, to what comes after them.
///
/// It is made when it is wanted, by somebody else: until then, observed requests go through the segment as others do. So do those
/// beyond [`REQUESTS`](Self::REQUESTS) at once: a request that waits in a stage has an instance of each stage before, and where there
/// is no room for as many, requests would wait for each other.
pub struct ObservedWay {
    wanted: AtomicBool,
    /// Set whenever one is wanted.
    any_wanted: Arc<AtomicBool>,
    /// `None` if it can't be made.
    way: OnceLock<Option<Onward>>,
    /// Requests on it.
    requests: Arc<AtomicUsize>,
}

impl ObservedWay {
    /// Most requests on it at once, on all workers: each stage has room for as many instances.
    pub const REQUESTS: u32 = 16;

    /// A way that is not made; `any_wanted` is set when it is wanted.
    pub fn new(any_wanted: &Arc<AtomicBool>) -> Self {
        let any_wanted = Arc::clone(any_wanted);
        Self { wanted: AtomicBool::new(false), any_wanted, way: OnceLock::new(), requests: Arc::default() }
    }

    /// The way, if it was made and has a slot for this request; if it was not made, it is wanted from here on.
    fn enter(&self, origin: &RequestOrigin) -> Option<&Onward> {
        match self.way.get() {
            Some(way) => {
                let way = way.as_ref()?;
                origin.keep(Slot::take(&self.requests, Self::REQUESTS as usize)?);
                Some(way)
            }
            None => {
                self.want();
                None
            }
        }
    }

    /// Has it made.
    pub fn want(&self) {
        if self.way.get().is_none() && !self.wanted.swap(true, Relaxed) {
            self.any_wanted.store(true, Relaxed);
        }
    }

    /// Whether it is wanted, and was not made.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed) && self.way.get().is_none()
    }

    /// Lets observed requests take it, or go on as others do if it can't be made.
    pub fn open(&self, way: Option<Onward>) {
        let _ = self.way.set(way);
    }
}

/// A segment with its variants, and what comes after it.
pub struct Fork {
    conditions: Conditions,
    /// The stages of this segment that have conditions.
    conditional: Applied,
    whole: Arc<Hop>,
    /// Without some of them: the hop for each combination, or nothing where no stage is left.
    parts: Vec<(Applied, Option<Arc<Hop>>)>,
    /// The way of observed requests, where they have one of their own: to the same end.
    observed: Option<Arc<ObservedWay>>,
    next: Option<Onward>,
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
    ) -> Self {
        Self { conditions, conditional, whole, parts, observed: None, next }
    }

    /// `hop` alone, which all requests take, and what comes after it.
    pub fn only(hop: Arc<Hop>, next: Option<Onward>) -> Arc<Self> {
        Arc::new(Self::new(Conditions::default(), Applied::NONE, hop, Vec::new(), next))
    }

    /// With another way for observed requests.
    #[must_use]
    pub fn observed_by(self, observed: Option<Arc<ObservedWay>>) -> Self {
        Self { observed, ..self }
    }

    /// Where observed requests get another way, if this is to have one.
    pub fn observed_way(&self) -> Option<&Arc<ObservedWay>> {
        self.observed.as_ref()
    }

    /// What comes after the segment.
    pub fn next(&self) -> Option<&Onward> {
        self.next.as_ref()
    }

    /// The hop with all stages.
    pub fn whole(&self) -> &Arc<Hop> {
        &self.whole
    }

    /// The hops of all combinations.
    pub fn hops(&self) -> impl Iterator<Item = &Arc<Hop>> {
        std::iter::once(&self.whole).chain(self.parts.iter().filter_map(|(_, hop)| hop.as_ref()))
    }

    /// The hop of those stages that apply, if there are any.
    fn hop(&self, applied: Applied) -> Option<&Arc<Hop>> {
        let combination = applied.among(self.conditional);
        if combination == self.conditional {
            return Some(&self.whole);
        }
        match self.parts.iter().find(|(part, _)| *part == combination) {
            Some((_, Some(hop))) => Some(hop),
            Some((_, None)) if self.next.is_some() => None,
            // What no request was thought to need is served by all stages; and there is no pipeline whose last
            // segment may be left out, since a service always applies.
            _ => Some(&self.whole),
        }
    }
}
