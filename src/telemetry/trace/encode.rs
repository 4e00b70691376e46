//! Finished traces as a message of OTLP.

use std::borrow::Cow;

use prost::Message as _;

use super::otlp::{
    self, AnyValue, ExportRequest, ExportResponse, KeyValue, Kind, Resource, ResourceSpans, Scope,
    ScopeSpans, Status, StatusCode,
};
use super::queue::FinishedTrace;
use super::span::{Attribute, Event, Span, SpanKind, Value};

/// That it is known whether a span's parent is of another process, and that it is (`SpanFlags` of OTLP).
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// A request to a receiver: the spans of `traces`, from the gateway with these attributes.
pub(super) fn request(resource: &[(String, String)], traces: Vec<FinishedTrace>) -> Vec<u8> {
    let attribute = |(name, value): &(String, String)| key_value(name, Value::from(value.clone()));
    let resource = Resource { attributes: resource.iter().map(attribute).collect() };
    let scope = Scope { name: "linkspan".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = ScopeSpans { scope: Some(scope), spans: traces.into_iter().flat_map(spans_of).collect() };
    let all = ResourceSpans { resource: Some(resource), scope_spans: vec![spans] };
    ExportRequest { resource_spans: vec![all] }.encode_to_vec()
}

/// The number of spans that a receiver says that it did not take, in its answer of 200. What is no such answer says
/// nothing.
pub(super) fn refused(answer: &[u8]) -> u64 {
    let partial = ExportResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    partial.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or(0)
}

fn spans_of(trace: FinishedTrace) -> impl Iterator<Item = otlp::Span> {
    let FinishedTrace { id, flags, state, spans } = trace;
    let state = state.and_then(|state| Some(state.to_str().ok()?.to_owned())).unwrap_or_default();
    spans.into_iter().map(move |span| otlp::Span {
        trace_id: id.bytes().to_vec(),
        trace_state: state.clone(),
        flags: u32::from(flags) | HAS_IS_REMOTE | if span.parent_is_remote { IS_REMOTE } else { 0 },
        ..of(span)
    })
}

/// A span without what its trace says.
fn of(span: Span) -> otlp::Span {
    otlp::Span {
        span_id: span.id.bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        name: span.name.into_owned(),
        kind: match span.kind {
            SpanKind::Server => otlp::SpanKind::Server,
            SpanKind::Client => otlp::SpanKind::Client,
            SpanKind::Internal => otlp::SpanKind::Internal,
            SpanKind::Producer => otlp::SpanKind::Producer,
            SpanKind::Consumer => otlp::SpanKind::Consumer,
        } as i32,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes(span.attributes),
        dropped_attributes_count: span.dropped_attributes,
        events: span.events.into_iter().map(event).collect(),
        dropped_events_count: span.dropped_events,
        dropped_links_count: span.dropped_links,
        status: span
            .error
            .map(|message| Status { message: message.into_owned(), code: StatusCode::Error as i32 }),
        ..otlp::Span::default()
    }
}

fn event(event: Event) -> otlp::Event {
    otlp::Event {
        time_unix_nano: event.at,
        name: event.name.into_owned(),
        attributes: attributes(event.attributes),
    }
}

fn attributes(attributes: Vec<Attribute>) -> Vec<KeyValue> {
    attributes.into_iter().map(|(name, value)| key_value(&name, value)).collect()
}

fn key_value(name: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => Kind::Text(Cow::into_owned(text)),
        Value::Number(number) => Kind::Number(number),
        Value::Boolean(boolean) => Kind::Boolean(boolean),
        Value::Double(number) => Kind::Double(number),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

#[cfg(test)]
mod tests {
    use super::super::id::{SpanId, TraceId};
    use super::super::otlp::PartialSuccess;
    use super::*;
    use http::HeaderValue;

    /// A message with one span, as OpenTelemetry's own library for Python writes it (opentelemetry-proto 1.45.2).
    const GOLDEN: &str = "\
        0adc010a180a160a0c736572766963652e6e616d6512060a046564676512bf010a0d0a086c696e6b7370616e12013012\
        ad010a100102030405060708090a0b0c0d0e0f10120801020304050607081a03613d622208090a0b0c0d0e0f102a0547\
        4554202f30023901000000000000004102000000000000004a080a017412030a01784a100a016e120b18fdffffffffff\
        ffffff014a070a0162120210014a0e0a0164120921000000000000f83f50045a18090500000000000000120468616c66\
        1a070a016e1202180660077a0c120869742062726f6b651802850103030000";

    #[test]
    fn a_message_is_the_one_that_opentelemetry_writes() {
        let golden: Vec<u8> = (0..GOLDEN.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&GOLDEN[at..at + 2], 16).unwrap())
            .collect();
        let mut span = Span::new(
            SpanId::parse(b"0102030405060708").unwrap(),
            (SpanId::parse(b"090a0b0c0d0e0f10"), true),
            SpanKind::Server,
            "GET /".into(),
            1,
        );
        span.end = 2;
        for (name, value) in
            [("t", "x".into()), ("n", Value::Number(-3)), ("b", true.into()), ("d", Value::Double(1.5))]
        {
            span.set(name, value, 99);
        }
        (span.dropped_attributes, span.dropped_events) = (4, 7);
        span.add(Event { at: 5, name: "half".into(), attributes: vec![("n".into(), Value::Number(6))] }, 99);
        span.fail("it broke".into(), 99);
        let trace = FinishedTrace {
            id: TraceId::parse(b"0102030405060708090a0b0c0d0e0f10").unwrap(),
            flags: 3,
            state: Some(HeaderValue::from_static("a=b")),
            spans: vec![span],
        };
        let own = request(&[("service.name".to_owned(), "edge".to_owned())], vec![trace]);
        let mut own = ExportRequest::decode(&own[..]).unwrap();
        own.resource_spans[0].scope_spans[0].scope.as_mut().unwrap().version = "0".to_owned();
        assert_eq!(ExportRequest::decode(&golden[..]).unwrap(), own);
        assert_eq!(own.encode_to_vec(), golden);
    }

    #[test]
    fn an_answer_says_what_was_refused() {
        let answer = |rejected_spans| {
            let partial = PartialSuccess { rejected_spans, error_message: "no".to_owned() };
            ExportResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        assert_eq!((refused(&answer(3)), refused(&answer(-3)), refused(&answer(0))), (3, 0, 0));
        assert_eq!((refused(b""), refused(b"<html>"), refused(&[0xff; 100])), (0, 0, 0));
    }
}
