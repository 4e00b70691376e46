//! The trace of one request, and the spans in it that have not ended.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};

use super::bodies::ShownBody;
use super::context::{RANDOM, SAMPLED, TRACEPARENT, TRACESTATE, TraceContext};
use super::heads::Manner;
use super::id::{SpanId, TraceId};
use super::queue::{DropReason, FinishedTrace, SpanQueue, TraceCounters};
use super::recent::{KeptTrace, RecentTraces};
use super::span::{Attribute, Event, Span, SpanKind, Value};
use super::told::{Room, Told, ToldSpan, id_in};
use super::watch::{Forced, Show, Watches};
use crate::plan::TelemetryPlan;
use crate::telemetry::since_epoch;

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
    /// How it is recorded, if an operator asked for it.
    forced: Option<Forced>,
    /// What is known of spans that others have open.
    notes: Mutex<Vec<(SpanId, Note)>>,
    /// What stages told of by themselves, and how much they may.
    told: Mutex<Told>,
    room: Room,
    /// Bytes of a body that are shown.
    body_size: usize,
    /// Bytes for traces that are kept.
    recent: usize,
    sink: Arc<Sink>,
}

/// The most notes of a trace.
const MOST_NOTES: usize = 1000;

/// What is known of a span apart from it.
enum Note {
    /// Something happened in it.
    Event(Event),
    /// The head of its response.
    Response(u16, Vec<(String, String)>),
}

/// Where finished traces go.
pub(super) struct Sink {
    /// To a receiver, if there is one.
    pub(super) queue: Option<Arc<SpanQueue>>,
    pub(super) counters: Arc<TraceCounters>,
    /// Those that are kept for whoever looks.
    pub(super) recent: RecentTraces,
    /// Those that somebody asked for.
    pub(super) watches: Watches,
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

    /// A trace that is recorded, within the bounds of `plan`: that of `context`, or a new one; maybe since it was asked for.
    pub(super) fn recorded(
        context: Option<TraceContext>,
        plan: &TelemetryPlan,
        forced: Option<Forced>,
        sink: Arc<Sink>,
    ) -> Arc<Self> {
        let now = since_epoch(SystemTime::now());
        let recording = Recording {
            root: SpanId::random(),
            origin: (u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Instant::now()),
            spans: Mutex::default(),
            left: AtomicUsize::new(plan.spans),
            value_size: plan.value_size,
            query: plan.query,
            stages: plan.stages || forced.is_some(),
            forced,
            notes: Mutex::default(),
            told: Mutex::default(),
            room: Room {
                spans: plan.stage_spans,
                span_size: plan.stage_span_size,
                value_size: plan.value_size,
            },
            body_size: plan.body_size,
            recent: plan.recent,
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

    /// Notes a line that was written to the log in `span`, if an operator asked for the trace.
    pub fn log(&self, span: SpanId, level: &'static str, message: &str) {
        let Some((recording, manner)) = self.shown() else { return };
        let message = Value::from(message[..message.floor_char_boundary(manner.most)].to_owned());
        let attributes: Vec<Attribute> =
            vec![("log.level".into(), level.into()), ("log.message".into(), message)];
        let at = recording.time(Instant::now());
        recording.note(span, Note::Event(Event { at, name: "log".into(), attributes }));
    }

    /// Notes the head of the response of `span`, likewise.
    pub fn answered(&self, span: SpanId, status: u16, fields: &HeaderMap) {
        if let Some((recording, manner)) = self.shown() {
            recording.note(span, Note::Response(status, manner.fields(fields)));
        }
    }

    /// Where it is recorded and how heads are shown in it, if they are.
    fn shown(&self) -> Option<(&Recording, Manner)> {
        let recording = self.recording.as_ref()?;
        Some((recording, Manner { reveal: recording.forced?.show.secrets, most: recording.value_size }))
    }

    /// What a stage is told of its place in the trace: the span that it began last by itself, or else its own, `stage`.
    pub fn current(&self, stage: SpanId) -> SpanId {
        self.recording.as_ref().map_or(stage, |recording| recording.told().current(stage))
    }

    /// Its `tracestate`.
    pub fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }

    /// The span of whoever sent the request, and whether it is recorded there.
    pub fn remote(&self) -> Option<SpanId> {
        self.remote
    }

    /// The stage of the span `stage` begins a span of its own, with these digits.
    pub fn begin_told(&self, stage: SpanId, trace: &str, span: &str) {
        let Some(recording) = &self.recording else { return };
        let mut told = recording.told();
        match id_in(self.id, trace, span).filter(|id| told.has_place(*id, recording.room)) {
            Some(id) if recording.takes_place() => told.begin(stage, id),
            _ => recording.drop_told(&mut told, stage),
        }
    }

    /// A span is over of which the stage called `name` tells, whose own span is `stage`.
    pub fn end_told(&self, stage: SpanId, name: String, span: ToldSpan) {
        let Some(recording) = self.recording.as_ref().filter(|_| span.sampled) else { return };
        let mut told = recording.told();
        let Some(id) = span.id_in(self.id) else { return recording.drop_told(&mut told, stage) };
        if !told.has_begun(stage, id) {
            if !told.has_place(id, recording.room) || !recording.takes_place() {
                return recording.drop_told(&mut told, stage);
            }
            told.begin(stage, id);
        }
        told.end(id, span.into_span(id, name, recording.room));
    }

    /// Bytes that are shown of each body, if an operator asked for bodies.
    pub fn shows_bodies(&self) -> Option<usize> {
        let recording = self.recording.as_ref()?;
        recording.forced?.show.bodies.then_some(recording.body_size)
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
        if !recording.takes_place() {
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
    /// Whether there was a place for one more span.
    fn takes_place(&self) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_told(&self, told: &mut Told, stage: SpanId) {
        self.sink.counters.lose(1, DropReason::Told);
        told.drop_of(stage);
    }

    fn note(&self, span: SpanId, note: Note) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MOST_NOTES {
            notes.push((span, note));
        }
    }

    /// The spans, with what is known of them.
    fn finish(&mut self) -> Vec<Span> {
        let most = self.value_size;
        let mut spans = std::mem::take(self.spans.get_mut().unwrap_or_else(PoisonError::into_inner));
        for (id, note) in self.notes.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let Some(span) = spans.iter_mut().find(|span| span.id == id) else { continue };
            match note {
                Note::Event(event) => span.add(event, most),
                Note::Response(status, fields) => {
                    if let Some(heads) = &mut span.heads {
                        heads.response = Some((status, fields));
                    }
                }
            }
        }
        let told = std::mem::take(self.told.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.sink.counters.lose(told.finish(&mut spans), DropReason::Told);
        spans
    }

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
        let Some(mut recording) = self.recording.take() else { return };
        let (spans, sink) = (recording.finish(), &recording.sink);
        if spans.is_empty() {
            return;
        }
        let trace = FinishedTrace { id: self.id, flags: self.flags, state: self.state.take(), spans };
        if recording.recent > 0 || recording.forced.is_some() {
            let kept = KeptTrace::new(trace.clone(), recording.root, recording.forced.is_some());
            let kept = Arc::new(kept);
            // Whoever may look sees it, so there are neither secrets nor bodies in it.
            if recording.forced.is_none_or(|forced| forced.show == Show::default()) {
                sink.recent.keep(&kept, recording.recent);
            }
            if let Some(forced) = recording.forced {
                sink.watches.done(forced.watch, kept);
            }
        }
        if let Some(queue) = &sink.queue {
            queue.push(trace);
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
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value)).collect();
        self.change(|span, most, at| span.add(Event { at, name: name.into(), attributes }, most));
    }

    /// Shows the head of the request that it is about, if an operator asked for the trace.
    pub fn asked(&mut self, method: &Method, target: Option<&PathAndQuery>, fields: &HeaderMap) {
        if let (Some(span), Some((_, manner))) = (&mut self.span, self.trace.shown()) {
            span.heads = Some(Box::new(manner.request(method, target, fields)));
        }
    }

    /// Shows the bodies of its request and of its response, if it shows their heads.
    pub fn show_bodies(&mut self, bodies: [ShownBody; 2]) {
        if let Some(heads) = self.span.as_mut().and_then(|span| span.heads.as_mut()) {
            heads.bodies = Some(bodies);
        }
    }

    /// Shows the head of the response, likewise.
    pub fn answered(&self, status: u16, fields: &HeaderMap) {
        if let Some(id) = self.id() {
            self.trace.answered(id, status, fields);
        }
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
