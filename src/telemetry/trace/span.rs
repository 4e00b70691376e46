//! A span: what was done, when, and how it ended.

use std::borrow::Cow;

use super::heads::Heads;
use super::id::SpanId;

/// The most attributes of a span, or of an event.
pub(super) const MOST_ATTRIBUTES: usize = 64;
/// The most events of a span.
pub(super) const MOST_EVENTS: usize = 32;
/// The longest name, in bytes.
const MOST_NAME: usize = 256;

/// The side of a request that a span is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Whoever answers.
    Server,
    /// Whoever asks.
    Client,
    /// Work inside.
    #[default]
    Internal,
    /// Whoever leaves work to others.
    Producer,
    /// Whoever takes that up.
    Consumer,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Double(f64),
}

/// A name with a value.
pub type Attribute = (Cow<'static, str>, Value);

/// Something at one moment within a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When: nanoseconds since 1970.
    pub at: u64,
    /// What.
    pub name: Cow<'static, str>,
    /// More about it.
    pub attributes: Vec<Attribute>,
}

/// What was done, from when to when.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its name.
    pub id: SpanId,
    /// The span under which it hangs, if there is one.
    pub parent: Option<SpanId>,
    /// That span is the sender's, of another process.
    pub parent_is_remote: bool,
    /// Whose side of a request it is.
    pub kind: SpanKind,
    /// What is done, in few words that many spans share.
    pub name: Cow<'static, str>,
    /// When it began: nanoseconds since 1970.
    pub start: u64,
    /// When it ended, likewise.
    pub end: u64,
    /// More about it.
    pub attributes: Vec<Attribute>,
    /// Attributes for which there was no room.
    pub dropped_attributes: u32,
    /// What happened in it.
    pub events: Vec<Event>,
    /// Events for which there was no room.
    pub dropped_events: u32,
    /// Links to other spans: none is kept.
    pub dropped_links: u32,
    /// Whether a stage told of it.
    pub told: bool,
    /// Why it failed, if it did.
    pub error: Option<Cow<'static, str>>,
    /// The heads of what was done, in a trace that was asked for. They are not sent to a receiver.
    pub heads: Option<Box<Heads>>,
}

impl Span {
    /// A span that begins at `start`, and has not ended.
    pub(super) fn new(
        id: SpanId,
        (parent, parent_is_remote): (Option<SpanId>, bool),
        kind: SpanKind,
        name: Cow<'static, str>,
        start: u64,
    ) -> Self {
        Self {
            id,
            parent,
            parent_is_remote,
            kind,
            name: cut(name, MOST_NAME),
            start,
            end: start,
            attributes: Vec::new(),
            dropped_attributes: 0,
            events: Vec::new(),
            dropped_events: 0,
            dropped_links: 0,
            told: false,
            error: None,
            heads: None,
        }
    }

    /// Calls it otherwise.
    pub(super) fn rename(&mut self, name: Cow<'static, str>) {
        self.name = cut(name, MOST_NAME);
    }

    /// Sets an attribute, a text of it cut to `most` bytes.
    pub(super) fn set(&mut self, name: &'static str, value: Value, most: usize) {
        let value = value.cut(most);
        match self.attributes.iter().position(|(known, _)| *known == name) {
            Some(at) => self.attributes[at].1 = value,
            None if self.attributes.len() < MOST_ATTRIBUTES => self.attributes.push((name.into(), value)),
            None => self.dropped_attributes += 1,
        }
    }

    /// An attribute.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Adds an event.
    pub(super) fn add(&mut self, mut event: Event, most: usize) {
        if self.events.len() == MOST_EVENTS {
            self.dropped_events += 1;
            return;
        }
        event.attributes.truncate(MOST_ATTRIBUTES);
        for (_, value) in &mut event.attributes {
            *value = std::mem::replace(value, Value::Boolean(false)).cut(most);
        }
        self.events.push(event);
    }

    /// Notes why it failed. The first reason stays.
    pub(super) fn fail(&mut self, why: Cow<'static, str>, most: usize) {
        self.error.get_or_insert_with(|| cut(why, most));
    }
}

impl Value {
    /// Bytes of a text; of another value, those that a number takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            _ => size_of::<f64>(),
        }
    }

    pub(super) fn cut(self, most: usize) -> Self {
        match self {
            Self::Text(text) => Self::Text(cut(text, most)),
            other => other,
        }
    }
}

/// The longest start of `text` with at most `most` bytes.
fn cut(text: Cow<'static, str>, most: usize) -> Cow<'static, str> {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        // A new text: the old one would keep all of its memory.
        Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Span {
        Span::new(SpanId::random(), (None, false), SpanKind::Internal, "x".into(), 7)
    }

    #[test]
    fn attributes_and_events_are_bounded_and_counted() {
        let names: Vec<&'static str> =
            (0..MOST_ATTRIBUTES + 3).map(|at| &*Box::leak(format!("name-{at}").into_boxed_str())).collect();
        let mut span = span();
        for name in &names {
            span.set(name, 1_u64.into(), 10);
        }
        span.set(names[0], 2_u64.into(), 10);
        assert_eq!((span.attributes.len(), span.dropped_attributes), (MOST_ATTRIBUTES, 3));
        assert_eq!(span.attributes[0].1, Value::Number(2));
        let attributes: Vec<_> =
            names.iter().map(|name| ((*name).into(), Value::from("é".repeat(9)))).collect();
        for at in 0..40 {
            span.add(Event { at, name: "event".into(), attributes: attributes.clone() }, 9);
        }
        assert_eq!((span.events.len(), span.dropped_events), (MOST_EVENTS, 8));
        assert_eq!(span.events[0].attributes.len(), MOST_ATTRIBUTES);
        assert_eq!(span.events[0].attributes[0].1, Value::from("é".repeat(4)));
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let mut long = span();
        long.set("a", "é".repeat(100).into(), 65);
        long.fail("x".repeat(100).into(), 64);
        long.fail("y".into(), 64);
        assert_eq!(long.attributes[0].1, Value::from("é".repeat(32)));
        assert_eq!(long.error.as_deref(), Some(&*"x".repeat(64)));
        let named = Span::new(SpanId::random(), (None, false), SpanKind::Server, "n".repeat(999).into(), 0);
        assert_eq!(named.name.len(), MOST_NAME);
    }
}
