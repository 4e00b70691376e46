//! What the host knows of a request while it is in a store, and of the calls that come out of it.

use crate::plan::Applied;
use crate::telemetry::trace::{Place, SpanId, Trace, TraceId};
use crate::telemetry::{HostCall, Observation};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use tokio::sync::Notify;
use tracing::field::{self, Value};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// The part of a request that stays the same on its whole way, through stores and pipelines.
#[derive(Debug, Default)]
pub struct RequestOrigin {
    /// The number of the gateway's id for the request.
    pub id: u64,
    /// Values that the embedding program gave to the request.
    pub extensions: http::Extensions,
    /// The trace of the request, if it has one.
    pub trace: Option<Arc<Trace>>,
    /// The stages that were bypassed, since they failed or their breakers were open.
    bypassed: Mutex<Vec<Arc<str>>>,
    /// What it takes up until it is over.
    slots: Mutex<Vec<Slot>>,
}

/// One of a bounded number of slots, which is free again when this is dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// Takes one of `most` slots, of which `taken` are taken, if there is one.
    pub fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
            .map(|_| Self(Arc::clone(taken)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RequestOrigin {
    /// A request with the number `id`, without a trace.
    pub fn new(id: u64, extensions: http::Extensions) -> Arc<Self> {
        Self::traced(id, extensions, None)
    }

    /// A request with the number `id`, and its trace.
    pub fn traced(id: u64, extensions: http::Extensions, trace: Option<Arc<Trace>>) -> Arc<Self> {
        Arc::new(Self { id, extensions, trace, bypassed: Mutex::default(), slots: Mutex::default() })
    }

    /// The request's own span, if its trace is recorded.
    pub fn span(&self) -> Option<SpanId> {
        self.trace.as_ref().and_then(|trace| trace.root())
    }

    /// Whether each stage that the request meets is observed.
    pub fn is_observed(&self) -> bool {
        self.trace.as_ref().is_some_and(|trace| trace.has_stages())
    }

    /// How log lines name it where `span` is what they are about.
    pub fn name(&self, span: Option<SpanId>) -> RequestName {
        RequestName { id: self.id, trace: self.trace.as_ref().map(|trace| trace.id()), span }
    }

    /// Keeps a slot until the request is over, its response's body too: whatever works for it has this origin.
    pub fn keep(&self, slot: Slot) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }

    /// Notes that the request continues without `stage`.
    pub fn bypass(&self, stage: Arc<str>) {
        self.bypassed.lock().unwrap_or_else(PoisonError::into_inner).push(stage);
    }

    /// The stages that were bypassed, in order, separated by blanks.
    pub fn bypassed(&self) -> Option<String> {
        let stages = self.bypassed.lock().unwrap_or_else(PoisonError::into_inner);
        (!stages.is_empty()).then(|| stages.join(" "))
    }
}

/// The request on whose behalf something is done, and the span under which that hangs, if its trace is recorded.
#[derive(Clone, Debug, Default)]
pub struct Behalf {
    /// The request.
    pub origin: Arc<RequestOrigin>,
    /// The span: a stage's, or the request's.
    pub span: Option<SpanId>,
}

impl Behalf {
    /// Its place in the request's trace, if that is recorded.
    pub fn place(&self) -> Option<Place> {
        Some(Place::new(Arc::clone(self.origin.trace.as_ref()?), self.span?))
    }

    /// How log lines name the request.
    pub fn name(&self) -> RequestName {
        self.origin.name(self.span)
    }

    /// Notes a stage's line in the trace of the request, if that has lines.
    pub(super) fn note(&self, level: tracing::Level, message: &str) {
        if let (Some(trace), Some(span)) = (&self.origin.trace, self.span) {
            trace.log(span, level.as_str(), message);
        }
    }
}

/// How log lines name a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestName {
    /// The number of the gateway's id for it.
    pub id: u64,
    trace: Option<TraceId>,
    span: Option<SpanId>,
}

impl RequestName {
    /// The gateway's id, as a field of a line.
    pub fn request_id(&self) -> impl Value + use<> {
        field::display(format!("{:016x}", self.id))
    }

    /// The trace, as a field of a line.
    pub fn trace_id(&self) -> impl Value + use<> {
        self.trace.map(field::display)
    }

    /// The span, as a field of a line.
    pub fn span_id(&self) -> impl Value + use<> {
        self.span.map(field::display)
    }
}

/// What the host knows of a call while the call is in a store: shared by its caller and by the calls that come out of
/// it.
#[derive(Debug)]
pub struct CallContext {
    /// The worker's tick at which an answer must be there.
    pub deadline: u64,
    /// The request from which the call comes.
    pub origin: Arc<RequestOrigin>,
    /// The span under which hangs what comes out of the call.
    pub span: Option<SpanId>,
    /// The stages of the call's pipeline that apply to the request.
    pub applied: Applied,
    /// The number of calls by name that led here.
    pub depth: usize,
    /// What is seen of the stage, if the request is observed.
    pub observation: Option<Arc<Observation>>,
    /// Nobody waits for the result any more.
    over: AtomicBool,
    /// The stage waited for the next one when the call was over.
    waited: AtomicBool,
    on_over: Notify,
    /// Whether the stage called the next one.
    passed_on: AtomicBool,
    /// Calls of the next stage that have no answer yet.
    asking: AtomicU32,
    /// The stage waits for a piece of the next one's body.
    reading: AtomicBool,
    /// The body of the next stage's response broke off, and whether the stage's own response was out by then.
    broke: AtomicBool,
    broke_late: AtomicBool,
    /// The head of the stage's own response is out.
    answered: AtomicBool,
    /// The number of answers to calls out of this one.
    answers: AtomicU32,
    /// Why the next stage gave no response.
    failure: Mutex<Option<Cause>>,
}

impl CallContext {
    /// A call on `behalf` that must be answered by `deadline`, and to which `depth` calls by name led, in a pipeline
    /// whose stages in `applied` apply. What is seen of it goes to `observation`, under whose span what comes out of it hangs.
    pub fn new(
        deadline: u64,
        behalf: Behalf,
        depth: usize,
        applied: Applied,
        observation: Option<Arc<Observation>>,
    ) -> Arc<Self> {
        let Behalf { origin, span } = behalf;
        let span = observation.as_ref().and_then(|observation| observation.span).or(span);
        Arc::new(Self {
            observation,
            deadline,
            origin,
            span,
            depth,
            applied,
            over: AtomicBool::new(false),
            waited: AtomicBool::new(false),
            on_over: Notify::new(),
            passed_on: AtomicBool::new(false),
            asking: AtomicU32::new(0),
            reading: AtomicBool::new(false),
            broke: AtomicBool::new(false),
            broke_late: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            answers: AtomicU32::new(0),
            failure: Mutex::default(),
        })
    }

    /// Whether somebody looks at the stage meanwhile.
    pub fn is_observed(&self) -> bool {
        self.observation.is_some()
    }

    /// Counts a call of the host by the stage, if somebody looks at it.
    pub fn count(&self, call: HostCall) {
        if let Some(observation) = &self.observation {
            observation.count(call);
        }
    }

    /// On whose behalf something comes out of the call.
    pub fn behalf(&self) -> Behalf {
        Behalf { origin: Arc::clone(&self.origin), span: self.span }
    }

    /// Ends the calls that came out of this one, and later ones: this call was answered otherwise.
    pub fn end(&self) {
        self.waited.store(self.awaits_next(), Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
        self.on_over.notify_waiters();
    }

    /// The result of `answer`, unless this call is over before.
    pub(super) async fn unless_over<T>(
        &self,
        answer: impl Future<Output = Result<T, NoResponse>>,
    ) -> Result<T, NoResponse> {
        let on_over = self.on_over.notified();
        if self.over.load(Ordering::Relaxed) {
            return Err(ErrorCode::ConnectionTerminated.into());
        }
        tokio::select! {
            biased;
            answer = answer => answer,
            () = on_over => Err(ErrorCode::ConnectionTerminated.into()),
        }
    }

    /// Notes why the next stage gave no response.
    pub(super) fn fail(&self, cause: Cause) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
    }

    /// Notes that a call out of this one has its answer, and returns the number of earlier answers.
    pub(super) fn count_answer(&self) -> u32 {
        self.answers.fetch_add(1, Ordering::Relaxed)
    }

    /// Why the next stage gave no response, if so, as an error of the caller's type.
    pub fn take_failure<E: Error + Clone + 'static>(&self) -> Option<E> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        failure.downcast_ref().cloned()
    }

    /// Whether the stage called the next one.
    pub fn was_passed_on(&self) -> bool {
        self.passed_on.load(Ordering::Relaxed)
    }

    /// Whether the stage waits for the next one: for its response, or for a piece of its body.
    pub fn awaits_next(&self) -> bool {
        self.asking.load(Ordering::Relaxed) > 0 || self.reading.load(Ordering::Relaxed)
    }

    /// Whether the call was answered otherwise while the stage waited for the next one.
    pub fn has_waited(&self) -> bool {
        self.waited.load(Ordering::Relaxed)
    }

    /// Whether the next stage gave no response, or its body broke off.
    pub fn next_failed(&self) -> bool {
        self.broke.load(Ordering::Relaxed)
            || self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Notes the result of a poll of the next stage's body.
    pub fn on_body<T, E>(&self, frame: &Poll<Option<Result<T, E>>>) {
        self.reading.store(frame.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Some(Err(_))) = frame {
            self.broke.store(true, Ordering::Relaxed);
            self.broke_late.fetch_or(self.answered.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Notes that the head of the stage's own response is out.
    pub fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
        if let Some(observation) = &self.observation {
            observation.head();
        }
    }

    /// Shows the head of the stage's response in the trace of the request, if that has heads.
    pub fn show<B>(&self, response: &http::Response<B>) {
        if let (Some(_), Some(trace), Some(span)) = (&self.observation, &self.origin.trace, self.span) {
            trace.answered(span, response.status().as_u16(), response.headers());
        }
    }

    /// Whether the body of the next stage's response broke off while the stage read it and its own response was on its
    /// way: the stage's response is then incomplete, however it ends.
    pub fn is_partial(&self) -> bool {
        self.broke_late.load(Ordering::Relaxed)
    }

    /// Notes that the body of the next stage's response was dropped.
    pub fn on_body_end(&self) {
        self.reading.store(false, Ordering::Relaxed);
    }
}

/// A call of the next stage, until it is answered or given up.
pub(super) struct Asking<'a>(&'a CallContext);

impl<'a> Asking<'a> {
    pub fn begin(context: &'a CallContext) -> Self {
        context.passed_on.store(true, Ordering::Relaxed);
        context.asking.fetch_add(1, Ordering::Relaxed);
        if let Some(observation) = &context.observation {
            observation.ask();
        }
        Self(context)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asking.fetch_sub(1, Ordering::Relaxed);
        if let Some(observation) = &self.0.observation {
            observation.answered();
        }
    }
}

/// Why there is no response, for the host.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// That there is no response.
pub struct NoResponse {
    /// The error code for the stage that asked.
    pub code: ErrorCode,
    /// What the host knows beyond the code, where it does not concern that stage.
    pub cause: Option<Cause>,
}

impl From<ErrorCode> for NoResponse {
    fn from(code: ErrorCode) -> Self {
        Self { code, cause: None }
    }
}
