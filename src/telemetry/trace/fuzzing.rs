//! Trace Context from anybody, answers of receivers, and spans that stages tell of.

use super::context::{TRACEPARENT, TRACESTATE, TraceContext};
use super::encode::refused;
use super::id::SpanId;
use super::span::{Span, SpanKind};
use super::told::{Room, Told, ToldSpan};
use http::{HeaderMap, HeaderValue};

/// Lines: the first is a `traceparent`, the others are each a `tracestate`. What is read of them is what is read of what
/// is passed on.
pub fn run(data: &[u8]) {
    let _ = refused(data);
    tell(data);
    let mut headers = HeaderMap::new();
    for (at, line) in data.split(|byte| *byte == b'\n').enumerate().take(1000) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(if at == 0 { TRACEPARENT } else { TRACESTATE }, value);
        }
    }
    let Some(context) = TraceContext::of(&headers) else { return };
    let mut passed = HeaderMap::new();
    passed.insert(TRACEPARENT, context.traceparent());
    if let Some(state) = &context.state {
        let text = state.to_str().expect("visible ASCII");
        assert!(!text.is_empty() && text.len() <= 512 && text.split(',').count() <= 32, "{text}");
        passed.insert(TRACESTATE, state.clone());
    }
    assert_eq!(TraceContext::of(&passed).as_ref(), Some(&context));
}

/// Lines of two stages, each a span: its name, its parent, when it was, and text for all else. Whatever they say, the spans are
/// within their stage's, and hang below it.
fn tell(data: &[u8]) {
    const STAGE: (u64, u64) = (1 << 40, 1 << 41);
    let room = Room { spans: 20, span_size: 400, value_size: 30 };
    let id = |number: u8| {
        SpanId::parse(format!("{:016x}", u64::from(number % 32) + 1).as_bytes()).expect("a name")
    };
    let (mut told, stages) = (Told::default(), [id(30), id(31)]);
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let [name, parent, start, end, how, text @ ..] = line else { continue };
        let (stage, name) = (stages[usize::from(how & 1)], id(*name));
        let text = String::from_utf8_lossy(text).into_owned();
        let pairs: Vec<_> = text.split(',').map(|part| (part.to_owned(), text.clone())).collect();
        let moment = |byte: u8| u64::from(byte) << (34 + (how >> 3));
        if !told.has_begun(stage, name) {
            if !told.has_place(name, room) {
                told.drop_of(stage);
                continue;
            }
            told.begin(stage, name);
        }
        if how & 2 == 0 {
            let span = ToldSpan {
                parent: id(*parent).to_string(),
                name: text.clone(),
                times: (moment(*start), moment(*end)),
                events: vec![(moment(*end), text.clone(), pairs.clone())],
                attributes: pairs,
                ..ToldSpan::default()
            };
            told.end(name, span.into_span(name, text, room));
        }
        let _ = told.current(stage);
    }
    let of_stage = |id| {
        let mut span = Span::new(id, (None, false), SpanKind::Internal, "stage".into(), STAGE.0);
        span.end = STAGE.1;
        span
    };
    let mut spans = stages.map(of_stage).to_vec();
    told.finish(&mut spans);
    assert!(spans.len() <= room.spans + stages.len());
    for span in spans.iter().skip(stages.len()) {
        assert!(STAGE.0 <= span.start && span.start <= span.end && span.end <= STAGE.1, "{span:?}");
        assert!(span.attributes.len() <= 64 && span.events.len() <= 32, "{span:?}");
        let parent = |span: &&Span| spans.iter().find(|other| Some(other.id) == span.parent);
        let way = std::iter::successors(Some(span), parent).take(spans.len());
        assert!(way.last().is_some_and(|last| stages.contains(&last.id)), "{span:?} hangs nowhere");
    }
}
