//! Kept traces as JSON, for the admin listener. Times are seconds, since 1970 or since the trace's beginning.

use serde_json::{Map, Value as Json, json};

use super::recent::{Kept, KeptTrace};
use super::span::{Attribute, Span, SpanKind, Value};

impl KeptTrace {
    /// What a list of traces says of it.
    pub fn summary(&self, kept: Option<Kept>) -> Json {
        let request = self.request();
        let attribute = |name| request.and_then(|span| span.get(name)).map_or(Json::Null, value);
        let mut own = self.trace.spans.iter().filter(|span| !span.told);
        let failed = own.find_map(|span| span.error.as_deref());
        json!({
            "id": self.trace.id.to_string(),
            "name": request.map(|span| &*span.name),
            "start": request.map(|span| seconds(span.start)),
            "duration": seconds(self.duration()),
            "status": attribute("http.response.status_code"),
            "pipeline": attribute("linkspan.pipeline"),
            "error": failed,
            "kept-as": kept.map(Kept::name),
            "spans": self.trace.spans.len(),
        })
    }

    /// All of it.
    pub fn whole(&self, kept: Option<Kept>) -> Json {
        let mut whole = self.summary(kept);
        let origin = self.trace.spans.iter().map(|span| span.start).min().unwrap_or_default();
        let mut spans: Vec<_> = self.trace.spans.iter().collect();
        spans.sort_by_key(|span| span.start);
        whole["spans"] = spans.into_iter().map(|span| self::span(span, origin)).collect();
        whole["forced"] = self.forced.into();
        whole
    }
}

fn span(span: &Span, origin: u64) -> Json {
    let since = |time: u64| seconds(time.saturating_sub(origin));
    let kind = match span.kind {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Internal => "internal",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    };
    let event = |event: &super::span::Event| json!({ "at": since(event.at), "name": event.name, "attributes": attributes(&event.attributes) });
    let heads = span.heads.as_ref().map(|heads| {
        let (status, response) = heads.response.as_ref().map(|(status, fields)| (status, fields)).unzip();
        json!({
            "method": heads.method,
            "target": heads.target,
            "request": heads.request,
            "status": status,
            "response": response,
            "bodies": heads.bodies.as_ref().map(|[request, response]| {
                json!({ "request": request.json(), "response": response.json() })
            }),
        })
    });
    json!({
        "id": span.id.to_string(),
        "parent": span.parent.filter(|_| !span.parent_is_remote).map(|parent| parent.to_string()),
        "kind": kind,
        "name": span.name,
        "start": since(span.start),
        "duration": seconds(span.end.saturating_sub(span.start)),
        "error": span.error,
        "told": span.told,
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "heads": heads,
    })
}

fn attributes(all: &[Attribute]) -> Map<String, Json> {
    all.iter().map(|(name, it)| (name.to_string(), value(it))).collect()
}

fn value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Number(number) => json!(number),
        Value::Boolean(boolean) => json!(boolean),
        Value::Double(double) => json!(double),
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    // A microsecond is kept of a time since 1970, and a nanosecond of a day.
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
}
