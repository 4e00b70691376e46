//! The trace of one request, and the spans in it that have not ended.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};

use super::context::{RANDOM, SAMPLED, TRACEPARENT, TRACESTATE, TraceContext};
use super::id::{SpanId, TraceId};
use super::queue::{DropReason, FinishedTrace, SpanQueue, TraceCounters};
use super::span::{Event, Span, SpanKind, Value};
use crate::plan::TelemetryPlan;

/// The trace of one request: whether it is recorded, and what the gateway tells others of it.
pub struct Trace {
    id: TraceId,
    flags: u8,
    /// The sender's span.
    remote: Option<SpanId>,
    state: Option<HeaderValue>,
    recording: Option<Recording>,
}

/// What is recorded of a trace.
struct Recording {
    /// The request's span.
    root: SpanId,
    /// One moment by both clocks: times of spans are told from it, so that they nest.
    origin: (u64, Instant),
    spans: Mutex<Vec<Span>>,
    /// Spans that may still be opened.
    left: AtomicUsize,
    /// Bytes of a text.
    value_size: usize,
    /// Whether spans have queries.
    query: bool,
    /// Whether stages have spans.
    stages: bool,
    sink: Arc<Sink>,
}

/// Where finished traces go.
pub(super) struct Sink {
    /// To a receiver, if there is one.
    pub(super) queue: Option<Arc<SpanQueue>>,
    pub(super) counters: Arc<TraceCounters>,
}

impl Trace {
    /// A trace that passes through, and of which nothing is recorded.
    pub(super) fn passing(context: TraceContext) -> Arc<Self> {
        let TraceContext { trace, parent, flags, state } = context;
        Arc::new(Self { id: trace, flags, remote: Some(parent), state, recording: None })
    }

    /// A new trace, of which nothing is recorded.
    pub fn made() -> Arc<Self> {
        Self::passing(TraceContext::made())
    }

    /// A trace that is recorded, within the bounds of `plan`: that of `context`, or a new one.
    pub(super) fn recorded(
        context: Option<TraceContext>,
        plan: &TelemetryPlan,
        sink: Arc<Sink>,
    ) -> Arc<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let recording = Recording {
            root: SpanId::random(),
            origin: (u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Instant::now()),
            spans: Mutex::default(),
            left: AtomicUsize::new(plan.spans),
            value_size: plan.value_size,
            query: plan.query,
            stages: plan.stages,
            sink,
        };
        let (id, flags, remote, state) = match context {
            Some(context) => (context.trace, context.flags | SAMPLED, Some(context.parent), context.state),
            None => (TraceId::random(), RANDOM | SAMPLED, None, None),
        };
        Arc::new(Self { id, flags, remote, state, recording: Some(recording) })
    }

    /// Its name.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// The request's span, if the trace is recorded.
    pub fn root(&self) -> Option<SpanId> {
        self.recording.as_ref().map(|recording| recording.root)
    }

    /// Whether it has spans of stages.
    pub fn has_stages(&self) -> bool {
        self.recording.as_ref().is_some_and(|recording| recording.stages)
    }

    /// Whether it is recorded.
    pub fn is_sampled(&self) -> bool {
        self.recording.is_some()
    }

    /// Opens the span of the request itself, once.
    pub fn open_root(self: &Arc<Self>, name: impl Into<Cow<'static, str>>) -> Option<OpenSpan> {
        let root = self.recording.as_ref()?.root;
        self.begin(root, (self.remote, self.remote.is_some()), SpanKind::Server, name.into())
    }

    /// Opens a span below `parent`, from now until it is dropped. `None` if the trace is not recorded, or has as many
    /// spans as it may have.
    pub fn open(
        self: &Arc<Self>,
        parent: SpanId,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
    ) -> Option<OpenSpan> {
        self.recording.as_ref()?;
        self.begin(SpanId::random(), (Some(parent), false), kind, name.into())
    }

    fn begin(
        self: &Arc<Self>,
        id: SpanId,
        parent: (Option<SpanId>, bool),
        kind: SpanKind,
        name: Cow<'static, str>,
    ) -> Option<OpenSpan> {
        let recording = self.recording.as_ref()?;
        if recording.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
            recording.sink.counters.lose(1, DropReason::TraceFull);
            return None;
        }
        let span = Box::new(Span::new(id, parent, kind, name, recording.time(Instant::now())));
        Some(OpenSpan { trace: Arc::clone(self), span: Some(span) })
    }

    /// Tells whoever gets a request with these fields that `span` of this trace sends it. Without a receiver of spans,
    /// nobody would ever find that span, and nothing is told.
    ///
    /// A stage may have begun a trace of its own: a `traceparent` of another trace stays.
    pub fn tell(&self, headers: &mut HeaderMap, span: SpanId) {
        if self.recording.as_ref().is_none_or(|recording| recording.sink.queue.is_none()) {
            return;
        }
        let there = TraceContext::of(headers);
        if there.as_ref().is_some_and(|there| there.trace != self.id) {
            return;
        }
        self.set(headers, span, there.is_none());
    }

    /// The same for a request that a stage made by itself: without a span to tell of, it goes on with the context that
    /// came with the client's request, if it has none.
    pub fn lead(&self, headers: &mut HeaderMap, span: Option<SpanId>) {
        if let Some(span) = span {
            self.tell(headers, span);
        }
        if let Some(remote) = self.remote
            && !headers.contains_key(TRACEPARENT)
        {
            self.set(headers, remote, true);
        }
    }

    /// Tells the stages of a request that came without context in which trace it is.
    pub fn introduce(&self, headers: &mut HeaderMap) {
        if let Some(parent) = self.root().or(self.remote) {
            self.set(headers, parent, true);
        }
    }

    /// Sets the fields; `tracestate` only where that of another hand would stand there.
    fn set(&self, headers: &mut HeaderMap, parent: SpanId, with_state: bool) {
        // What nobody receives is not recorded for others.
        let told = self.recording.as_ref().is_none_or(|recording| recording.sink.queue.is_some());
        let flags = if told || Some(parent) == self.remote { self.flags } else { self.flags & !SAMPLED };
        let context = TraceContext { trace: self.id, parent, flags, state: None };
        headers.insert(TRACEPARENT, context.traceparent());
        match &self.state {
            _ if !with_state => {}
            Some(state) => drop(headers.insert(TRACESTATE, state.clone())),
            None => drop(headers.remove(TRACESTATE)),
        }
    }
}

impl Recording {
    /// Nanoseconds since 1970 at `now`.
    fn time(&self, now: Instant) -> u64 {
        let (start, origin) = self.origin;
        let passed = now.saturating_duration_since(origin).as_nanos();
        start.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("id", &self.id).field("root", &self.root()).finish_non_exhaustive()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Some(recording) = self.recording.take() else { return };
        let spans = recording.spans.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = recording.sink.queue.as_ref().filter(|_| !spans.is_empty()) {
            queue.push(FinishedTrace { id: self.id, flags: self.flags, state: self.state.take(), spans });
        }
    }
}

/// A span that has not ended. It ends when it is dropped.
pub struct OpenSpan {
    trace: Arc<Trace>,
    /// Taken when it ends.
    span: Option<Box<Span>>,
}

impl OpenSpan {
    /// Its name, under which others hang.
    pub fn id(&self) -> Option<SpanId> {
        self.span.as_ref().map(|span| span.id)
    }

    /// Calls it otherwise.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        self.change(|span, _, _| span.rename(name.into()));
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.change(|span, most, _| span.set(name, value.into(), most));
    }

    /// Notes that something happens now.
    pub fn note(&mut self, name: &'static str, attributes: Vec<(&'static str, Value)>) {
        self.change(|span, most, at| span.add(Event { at, name, attributes }, most));
    }

    /// Notes why it failed; the first reason stays.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        self.change(|span, most, _| span.fail(why.into(), most));
    }

    /// Whether it may have queries, which may hold secrets.
    pub fn shows_queries(&self) -> bool {
        self.trace.recording.as_ref().is_some_and(|recording| recording.query)
    }

    fn change(&mut self, change: impl FnOnce(&mut Span, usize, u64)) {
        if let (Some(span), Some(recording)) = (&mut self.span, &self.trace.recording) {
            change(span, recording.value_size, recording.time(Instant::now()));
        }
    }
}

impl fmt::Debug for OpenSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenSpan").field(&self.id()).finish()
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let (Some(mut span), Some(recording)) = (self.span.take(), &self.trace.recording) else { return };
        span.end = recording.time(Instant::now());
        recording.spans.lock().unwrap_or_else(PoisonError::into_inner).push(*span);
    }
}
