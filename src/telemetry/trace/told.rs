//! Spans that stages tell of by themselves, by `wasi:otel`, in the trace of an observed request.
//!
//! A stage says that a span begins, and, once it is over, all of it. Whatever it says, its spans hang below its own one: under
//! each other as far as that can be, else under the stage's. What can't be taken is dropped, and counted for its stage: other
//! traces, names that are none or are taken, ends without room, a second end, and beginnings without an end.
//!
//! Bounds: [`Room`], for all stages of a trace together; the attributes and events of any span.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::id::{SpanId, TraceId};
use super::span::{Attribute, Event, MOST_ATTRIBUTES, MOST_EVENTS, Span, SpanKind, Value};

/// What attributes' names begin with that only the gateway sets.
const RESERVED: &str = "linkspan.";

/// What a stage says of something in a span: when, what, and more about it.
pub type ToldEvent = (u64, String, Vec<(String, String)>);

/// What a stage says of a span that is over. Times are nanoseconds since 1970; the values of attributes are JSON.
#[derive(Clone, Debug, Default)]
pub struct ToldSpan {
    /// The trace, in digits.
    pub trace: String,
    /// The name of the span, likewise.
    pub id: String,
    /// The span under which it hangs, likewise; empty without one.
    pub parent: String,
    /// Whether it is to be recorded at all.
    pub sampled: bool,
    /// Whose side of a request it is.
    pub kind: SpanKind,
    /// What was done.
    pub name: String,
    /// When it began, and when it ended.
    pub times: (u64, u64),
    /// More about it.
    pub attributes: Vec<(String, String)>,
    /// What happened in it.
    pub events: Vec<ToldEvent>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// The name and version of the library that recorded it.
    pub library: (String, Option<String>),
    /// Attributes, events and links that are missing.
    pub dropped: [u32; 3],
}

/// How much stages may tell of one trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Spans.
    pub spans: usize,
    /// Bytes of one span.
    pub span_size: usize,
    /// Bytes of a text in it.
    pub value_size: usize,
}

/// A span that some stage has begun.
#[derive(Debug)]
struct Entry {
    id: SpanId,
    /// The span of the stage.
    stage: SpanId,
    /// What is known of it, once it is over.
    span: Option<Box<Span>>,
}

/// What stages have told of one trace.
#[derive(Debug, Default)]
pub(super) struct Told {
    entries: Vec<Entry>,
    /// What was dropped, by the stage's span.
    dropped: Vec<(SpanId, u64)>,
}

impl Told {
    /// The span that `stage` began last, and that is not over; else the stage's own.
    pub(super) fn current(&self, stage: SpanId) -> SpanId {
        let mut open = self.entries.iter().rev().filter(|entry| entry.stage == stage && entry.span.is_none());
        open.next().map_or(stage, |entry| entry.id)
    }

    /// Whether nobody has told of the span `id`, and there is a place for it.
    pub(super) fn has_place(&self, id: SpanId, room: Room) -> bool {
        self.entries.len() < room.spans
            && self.entries.iter().all(|entry| entry.id != id && entry.stage != id)
    }

    /// `stage` begins the span `id`, which [has a place](Self::has_place).
    pub(super) fn begin(&mut self, stage: SpanId, id: SpanId) {
        self.entries.push(Entry { id, stage, span: None });
    }

    /// Whether `stage` has begun the span `id`, and not ended it.
    pub(super) fn has_begun(&self, stage: SpanId, id: SpanId) -> bool {
        self.entries.iter().any(|entry| entry.id == id && entry.stage == stage && entry.span.is_none())
    }

    /// The span `id` is over.
    pub(super) fn end(&mut self, id: SpanId, span: Span) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.span = Some(Box::new(span));
        }
    }

    /// Counts what `stage` told of and could not be taken.
    pub(super) fn drop_of(&mut self, stage: SpanId) {
        match self.dropped.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, number)) => *number += 1,
            None => self.dropped.push((stage, 1)),
        }
    }

    /// Adds to `spans`, the others of the trace, those that were told of. Returns the number of those that were dropped just
    /// now.
    pub(super) fn finish(mut self, spans: &mut Vec<Span>) -> usize {
        let others: HashMap<SpanId, (u64, u64)> =
            spans.iter().map(|span| (span.id, (span.start, span.end))).collect();
        let entries = std::mem::take(&mut self.entries);
        let (told, lost): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.span.is_some() && !others.contains_key(&entry.id));
        lost.iter().for_each(|entry| self.drop_of(entry.stage));
        let parents = parents(&told);
        for Entry { id, stage, span } in told {
            let Some(mut span) = span else { continue };
            span.parent = Some(parents.get(&id).copied().unwrap_or(stage));
            // Within the stage's span, wherever the stage's clock was.
            if let Some((start, end)) = others.get(&stage) {
                span.start = span.start.clamp(*start, (*end).max(*start));
                span.end = span.end.clamp(span.start, (*end).max(span.start));
                let times = span.start..=span.end;
                span.events
                    .iter_mut()
                    .for_each(|event| event.at = event.at.clamp(*times.start(), *times.end()));
            }
            spans.push(*span);
        }
        for (stage, number) in &self.dropped {
            if let Some(span) = spans.iter_mut().find(|span| span.id == *stage) {
                span.set("linkspan.stage.dropped_spans", (*number).into(), 0);
            }
        }
        lost.len()
    }
}

/// The spans that have a parent other than their stage's span, and that parent: one of the same stage, from which the stage's is
/// reached.
fn parents(told: &[Entry]) -> HashMap<SpanId, SpanId> {
    let wanted: HashMap<SpanId, (SpanId, Option<SpanId>)> = told
        .iter()
        .map(|entry| (entry.id, (entry.stage, entry.span.as_ref().and_then(|span| span.parent))))
        .collect();
    let parent_of = |id: SpanId| {
        let (stage, parent) = wanted.get(&id)?;
        let parent = (*parent)?;
        wanted.get(&parent).is_some_and(|(of, _)| of == stage).then_some(parent)
    };
    // Those from which the stage's span is reached, by who of them is looked at first.
    let mut good: HashSet<SpanId> = HashSet::new();
    let mut parents = HashMap::new();
    for entry in told {
        let (mut way, mut at) = (vec![entry.id], entry.id);
        while !good.contains(&at) {
            match parent_of(at) {
                // The first span of a circle that is met hangs under the stage's.
                Some(parent) if way.contains(&parent) => break,
                Some(parent) => {
                    parents.insert(at, parent);
                    way.push(parent);
                    at = parent;
                }
                None => break,
            }
        }
        good.extend(way);
    }
    parents
}

impl ToldSpan {
    /// Its name, if it is a span of `trace`.
    pub(super) fn id_in(&self, trace: TraceId) -> Option<SpanId> {
        id_in(trace, &self.trace, &self.id)
    }

    /// What is kept of it: not yet hung up.
    pub(super) fn into_span(self, id: SpanId, stage: String, room: Room) -> Span {
        let parent = SpanId::parse(self.parent.as_bytes());
        let mut span = Span::new(id, (parent, false), self.kind, self.name.into(), self.times.0);
        span.end = self.times.1.max(self.times.0);
        span.told = true;
        span.set("linkspan.stage", stage.into(), room.value_size);
        let (library, version) = self.library;
        let mut left = room.span_size.saturating_sub(span.name.len());
        if !library.is_empty() {
            span.set("otel.scope.name", library.into(), room.value_size.min(left));
        }
        if let Some(version) = version {
            span.set("otel.scope.version", version.into(), room.value_size.min(left));
        }
        [span.dropped_attributes, span.dropped_events, span.dropped_links] = self.dropped;
        let (attributes, dropped) =
            kept(self.attributes, MOST_ATTRIBUTES - span.attributes.len(), &mut left, room);
        span.attributes.extend(attributes);
        span.dropped_attributes = span.dropped_attributes.saturating_add(dropped);
        for (at, name, attributes) in self.events {
            if span.events.len() == MOST_EVENTS || left < name.len() {
                span.dropped_events = span.dropped_events.saturating_add(1);
                continue;
            }
            left -= name.len();
            let (attributes, _) = kept(attributes, MOST_ATTRIBUTES, &mut left, room);
            let name: Cow<'static, str> = name.into();
            let at = at.clamp(span.start, span.end);
            span.events.push(Event { at, name, attributes });
        }
        if let Some(error) = self.error {
            span.fail(error.into(), room.value_size);
        }
        span
    }
}

/// The name of a span with these digits, if it is one of `trace`.
pub(super) fn id_in(trace: TraceId, digits: &str, span: &str) -> Option<SpanId> {
    let id = SpanId::parse(span.as_bytes());
    id.filter(|_| TraceId::parse(digits.as_bytes()) == Some(trace))
}

/// The first of `attributes` for which there is room, each name once, and the number of the others.
fn kept(
    attributes: Vec<(String, String)>,
    most: usize,
    left: &mut usize,
    room: Room,
) -> (Vec<Attribute>, u32) {
    let (mut kept, mut dropped) = (Vec::<Attribute>::new(), 0_u32);
    for (name, value) in attributes {
        let value = value_of(&value).cut(room.value_size);
        let bytes = name.len() + value.bytes();
        let is_taken =
            name.is_empty() || name.starts_with(RESERVED) || kept.iter().any(|(known, _)| *known == name);
        if is_taken || kept.len() == most || bytes > *left {
            dropped = dropped.saturating_add(1);
            continue;
        }
        *left -= bytes;
        kept.push((name.into(), value));
    }
    (kept, dropped)
}

/// The value that is written as JSON; what is neither text, nor a number, nor a truth value stays as it is written.
fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::String(text)) => text.into(),
        Ok(serde_json::Value::Bool(truth)) => truth.into(),
        Ok(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Number(whole),
            (None, Some(number)) => number.into(),
            (None, None) => text.to_owned().into(),
        },
        _ => text.to_owned().into(),
    }
}

#[cfg(test)]
mod tests;
