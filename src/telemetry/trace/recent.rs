//! Traces that were recorded last, for whoever looks at a running gateway.
//!
//! Of the room that there is (`telemetry.recent`), half is for the latest ones; a quarter is for those that failed, and a
//! quarter for the slowest of those that are among the latest no more, so that neither is washed away by ordinary requests. What
//! has to make room for others is the oldest, and of the slow ones the fastest; a slow one makes room for others after
//! [`SLOW_FOR`] in any case.
//!
//! Bounds: the bytes that traces take, by an estimate, and [`MOST`] of each kind. A trace larger than its part is not kept.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::id::{SpanId, TraceId};
use super::queue::FinishedTrace;
use super::span::{Attribute, Span, Value};

/// The most traces of each kind.
pub const MOST: usize = 1000;

/// How long a slow trace keeps its place against faster ones.
pub const SLOW_FOR: Duration = Duration::from_secs(15 * 60);

/// Why a trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is one of the latest.
    Recent,
    /// It is one of the slowest of those before.
    Slow,
    /// Its request failed.
    Failed,
}

impl Kept {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::Slow => "slow",
            Self::Failed => "failed",
        }
    }
}

/// A trace that is kept.
#[derive(Clone, Debug)]
pub struct KeptTrace {
    /// The trace.
    pub trace: FinishedTrace,
    /// The request's span.
    root: SpanId,
    /// Whether an operator asked for it.
    pub forced: bool,
    bytes: usize,
    ended: Instant,
}

impl KeptTrace {
    /// `trace`, whose request's span is `root`.
    pub(super) fn new(trace: FinishedTrace, root: SpanId, forced: bool) -> Self {
        let bytes = size_of::<Self>() + trace.spans.iter().map(bytes_of).sum::<usize>();
        Self { trace, root, forced, bytes, ended: Instant::now() }
    }

    /// The request's span; where that was dropped, the first one that ended.
    pub fn request(&self) -> Option<&Span> {
        let spans = &self.trace.spans;
        spans.iter().find(|span| span.id == self.root).or_else(|| spans.first())
    }

    /// Nanoseconds that the request took.
    pub fn duration(&self) -> u64 {
        self.request().map_or(0, |span| span.end.saturating_sub(span.start))
    }

    fn has_failed(&self) -> bool {
        // What a stage says of its own spans is no failure of the request.
        self.trace.spans.iter().any(|span| span.error.is_some() && !span.told)
    }
}

/// Bytes of memory, more or less.
fn bytes_of(span: &Span) -> usize {
    let text = |value: &Value| match value {
        Value::Text(text) => text.len(),
        _ => 0,
    };
    let name_bytes = |name: &Cow<'static, str>| match name {
        Cow::Borrowed(_) => 0,
        Cow::Owned(name) => name.len(),
    };
    let attributes = |all: &[Attribute]| -> usize {
        all.iter().map(|(name, value)| size_of::<Attribute>() + name_bytes(name) + text(value)).sum()
    };
    let events = span
        .events
        .iter()
        .map(|event| size_of_val(event) + name_bytes(&event.name) + attributes(&event.attributes));
    let heads = span.heads.as_ref().map_or(0, |heads| heads.bytes());
    let error = span.error.as_ref().map_or(0, |error| error.len());
    size_of::<Span>() + span.name.len() + error + attributes(&span.attributes) + events.sum::<usize>() + heads
}

/// The traces that are kept.
#[derive(Default)]
pub struct RecentTraces(Mutex<Shelves>);

#[derive(Default)]
struct Shelves {
    recent: Shelf,
    slow: Shelf,
    failed: Shelf,
}

#[derive(Default)]
struct Shelf {
    /// The latest last.
    traces: VecDeque<Arc<KeptTrace>>,
    bytes: usize,
}

impl Shelf {
    fn add(&mut self, trace: Arc<KeptTrace>) {
        self.bytes += trace.bytes;
        self.traces.push_back(trace);
    }

    fn remove(&mut self, at: usize) -> Option<Arc<KeptTrace>> {
        let trace = self.traces.remove(at)?;
        self.bytes -= trace.bytes;
        Some(trace)
    }

    /// Whether it has more than it may have.
    fn is_over(&self, room: usize) -> bool {
        self.bytes > room || self.traces.len() > MOST
    }

    /// The first of the oldest that are too many.
    fn shorten(&mut self, room: usize) {
        while self.is_over(room) {
            self.remove(0);
        }
    }
}

impl RecentTraces {
    /// Keeps `trace`, if it has a place in `room` bytes.
    pub(super) fn keep(&self, trace: &Arc<KeptTrace>, room: usize) {
        let mut shelves = self.lock();
        let Shelves { recent, slow, failed } = &mut *shelves;
        if trace.has_failed() {
            failed.add(Arc::clone(trace));
            failed.shorten(room / 4);
            return;
        }
        recent.add(Arc::clone(trace));
        while recent.is_over(room / 2)
            && let Some(old) = recent.remove(0)
        {
            slow.add(old);
        }
        while slow.is_over(room / 4) {
            let places = slow.traces.iter().enumerate();
            let rank = |trace: &KeptTrace| (trace.ended.elapsed() < SLOW_FOR, trace.duration());
            let Some((at, _)) = places.min_by_key(|(_, trace)| rank(trace)) else { break };
            slow.remove(at);
        }
    }

    /// Forgets all that has no place in `room` bytes.
    pub fn shorten(&self, room: usize) {
        let mut shelves = self.lock();
        shelves.recent.shorten(room / 2);
        shelves.slow.shorten(room / 4);
        shelves.failed.shorten(room / 4);
    }

    /// All that are kept, the latest first.
    pub fn all(&self) -> Vec<(Kept, Arc<KeptTrace>)> {
        let shelves = self.lock();
        let of = |kept, shelf: &Shelf| shelf.traces.iter().map(move |it| (kept, Arc::clone(it))).collect();
        let mut all: Vec<_> = of(Kept::Recent, &shelves.recent);
        all.extend::<Vec<_>>(of(Kept::Slow, &shelves.slow));
        all.extend::<Vec<_>>(of(Kept::Failed, &shelves.failed));
        drop(shelves);
        all.sort_by_key(|(_, trace)| std::cmp::Reverse(trace.ended));
        all
    }

    /// The trace with these digits, and why it is kept.
    pub fn find(&self, id: &str) -> Option<(Kept, Arc<KeptTrace>)> {
        let id = TraceId::parse(id.as_bytes())?;
        self.all().into_iter().find(|(_, trace)| trace.trace.id == id)
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::span::SpanKind;
    use super::*;

    fn trace(milliseconds: u64, error: Option<&'static str>) -> Arc<KeptTrace> {
        let root = SpanId::random();
        let mut span = Span::new(root, (None, false), SpanKind::Server, "GET /".into(), 0);
        span.end = milliseconds * 1_000_000;
        span.set("a", "x".repeat(100).into(), 100);
        span.error = error.map(Into::into);
        let trace = FinishedTrace { id: TraceId::random(), flags: 1, state: None, spans: vec![span] };
        Arc::new(KeptTrace::new(trace, root, false))
    }

    fn count(traces: &RecentTraces, kept: Kept) -> usize {
        traces.all().iter().filter(|(of, _)| *of == kept).count()
    }

    #[test]
    fn slow_and_failed_ones_stay_and_bytes_are_bounded() {
        let traces = RecentTraces::default();
        let one = trace(1, None).bytes;
        assert!((300..1000).contains(&one), "{one}");
        let room = one * 40;
        let (slow, failed) = (trace(5000, None), trace(1, Some("it broke")));
        traces.keep(&slow, room);
        traces.keep(&failed, room);
        for _ in 0..1000 {
            traces.keep(&trace(3, None), room);
        }
        assert_eq!(count(&traces, Kept::Recent), 20);
        assert_eq!(count(&traces, Kept::Slow), 10);
        let found = |of: &KeptTrace| traces.find(&of.trace.id.to_string()).map(|(kept, _)| kept);
        assert_eq!((found(&slow), found(&failed)), (Some(Kept::Slow), Some(Kept::Failed)));
        for _ in 0..20 {
            traces.keep(&trace(1, Some("more")), room);
        }
        assert_eq!(found(&failed), None);
        assert!((8..=10).contains(&count(&traces, Kept::Failed)));
        assert!(traces.all().windows(2).all(|pair| pair[0].1.ended >= pair[1].1.ended));
        traces.shorten(0);
        assert!(traces.all().is_empty());
        traces.keep(&slow, 0);
        assert!(traces.all().is_empty());
        assert!(traces.find("0").is_none() && traces.find(&"g".repeat(32)).is_none());
    }
}
