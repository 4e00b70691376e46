//! A middleware that tells the host of spans and metrics of its own, by `wasi:otel`, as the field `x-otel` says (or another one, by
//! configuration: `field`): words with commas between them, each done before the next stage is called.
//!
//! | word | what is told |
//! | --- | --- |
//! | `span` | a span `a` with attributes and an event, from now until the next stage has answered |
//! | `nested` | `outer`, within it `inner`, both over at once |
//! | `error` | `e`, which failed |
//! | `twice` | `t`, which ends two times |
//! | `unstarted` | `u`, which ends and never began |
//! | `unended` | a span that begins and does not end |
//! | `foreign` | a span of another trace |
//! | `orphan` | `o`, whose parent nobody knows |
//! | `circle` | `c1` and `c2`, each below the other |
//! | `stolen` | a span with the name of the stage's own |
//! | `unnamed` | spans whose names are no names |
//! | `times` | `w`, which ends before it begins, at both ends of time |
//! | `huge` | `h`, with 300 attributes, 300 events, links, and texts of 100,000 bytes |
//! | `many` | 300 spans |
//! | `reserved` | `r`, with an attribute that is the gateway's |
//! | `record` | a record for the log |
//! | `hits`, `level`, `heat` | a counter, a sum that falls later, a gauge: of how often this word came to this instance |
//! | `sizes`, `powers` | histograms, one with fixed ends and one without, of as many ones |
//! | `series` | 300 counters |
//! | `clash` | a gauge with the name of the counter |
//! | `late` | `l`, which ends when the response is out; of the async form only |
//!
//! The response gets the field `x-otel-NAME` with the context that the host gave, `TRACE-SPAN-FLAGS`, by NAME: the field's
//! own name; and `NAME-refused`, if the host did not take a metric.

mod metrics;

mod bindings {
    #![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]
    #![allow(clippy::undocumented_unsafe_blocks, reason = "generated code")]

    wit_bindgen::generate!({
        inline: "
            package linkspan:otel-guest;
            world guest {
                import wasi:otel/tracing@0.2.0-rc.2;
                import wasi:otel/logs@0.2.0-rc.2;
                import wasi:otel/metrics@0.2.0-rc.2;
            }
        ",
        path: "../../../wit/otel",
        world: "linkspan:otel-guest/guest",
        generate_all,
    });
}

use bindings::wasi::clocks::wall_clock::Datetime;
use bindings::wasi::otel::logs::{LogRecord, on_emit};
use bindings::wasi::otel::tracing::{
    Event, InstrumentationScope, KeyValue, Link, SpanContext, SpanData, SpanKind, Status, TraceFlags,
    current_span_context, on_end, on_start,
};
#[cfg(not(feature = "async"))]
use linkspan_sdk::Next;
#[cfg(feature = "async")]
use linkspan_sdk::{AsyncNext, Body, spawn_local};
use linkspan_sdk::{Config, Error, FromConfig, Request, Response, middleware};
use std::cell::Cell;

struct Options {
    field: String,
    refused: String,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let field = config.or("field", "x-otel".to_owned());
        Some(Self { refused: format!("{field}-refused"), field })
    }
}

thread_local! {
    static NAMED: Cell<u64> = const { Cell::new(0) };
}

/// A name that no other span of this stage has: with the digits of the stage's own, as it has no random numbers.
fn name(of: &SpanContext) -> String {
    let number = NAMED.get() + 1;
    NAMED.set(number);
    let seed = u64::from_str_radix(&of.span_id, 16).unwrap_or(1);
    format!("{:016x}", seed.rotate_left(17) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn context(of: &SpanContext, id: String) -> SpanContext {
    SpanContext {
        trace_id: of.trace_id.clone(),
        span_id: id,
        trace_flags: TraceFlags::SAMPLED,
        is_remote: false,
        trace_state: Vec::new(),
    }
}

fn attribute(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    KeyValue { key: key.into(), value: value.into() }
}

/// A span below `parent` that lasts as long as time does: the host has the last word on when it was.
fn span(of: &SpanContext, id: String, parent: &str, name: &str) -> SpanData {
    SpanData {
        span_context: context(of, id),
        parent_span_id: parent.to_owned(),
        span_kind: SpanKind::Internal,
        name: name.to_owned(),
        start_time: Datetime { seconds: 0, nanoseconds: 0 },
        end_time: Datetime { seconds: u64::MAX, nanoseconds: u32::MAX },
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope {
            name: "guest".to_owned(),
            version: Some("1".to_owned()),
            schema_url: None,
            attributes: Vec::new(),
        },
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
    }
}

/// Begins a span below `parent`.
fn begin(of: &SpanContext, parent: &str, name_of: &str) -> SpanData {
    let id = name(of);
    on_start(&context(of, id.clone()));
    span(of, id, parent, name_of)
}

fn whole(of: &SpanContext, parent: &str, name: &str, change: impl FnOnce(&mut SpanData)) {
    let mut span = begin(of, parent, name);
    change(&mut span);
    on_end(&span);
}

/// Tells what `word` says; the spans that are to end later.
fn tell(word: &str, own: &SpanContext) -> Option<SpanData> {
    let parent = own.span_id.as_str();
    match word {
        "span" => {
            let mut span = begin(own, parent, "a");
            span.attributes = vec![attribute("text", "\"x\""), attribute("number", "7")];
            let time = Datetime { seconds: 0, nanoseconds: 0 };
            span.events = vec![Event { name: "half".into(), time, attributes: vec![attribute("n", "1")] }];
            return Some(span);
        }
        "late" => return Some(begin(own, parent, "l")),
        "nested" => {
            let outer = begin(own, parent, "outer");
            // What is begun last is what the host names.
            let inner = begin(own, &current_span_context().span_id, "inner");
            on_end(&inner);
            on_end(&outer);
        }
        "error" => whole(own, parent, "e", |span| span.status = Status::Error("no room".into())),
        "twice" => {
            let span = begin(own, parent, "t");
            on_end(&span);
            on_end(&span);
        }
        "unstarted" => on_end(&span(own, name(own), parent, "u")),
        "unended" => drop(begin(own, parent, "never")),
        "foreign" => whole(own, parent, "f", |span| span.span_context.trace_id = "1".repeat(32)),
        "orphan" => whole(own, "00000000000000ff", "o", |_| ()),
        "circle" => {
            let (mut one, mut two) = (begin(own, parent, "c1"), begin(own, parent, "c2"));
            one.parent_span_id = two.span_context.span_id.clone();
            two.parent_span_id = one.span_context.span_id.clone();
            on_end(&one);
            on_end(&two);
        }
        "stolen" => on_end(&span(own, own.span_id.clone(), parent, "stolen")),
        "unnamed" => {
            for id in ["", "0000000000000000", "x", "é"] {
                on_start(&context(own, id.into()));
                on_end(&span(own, id.into(), parent, "unnamed"));
            }
        }
        "times" => whole(own, parent, "w", |span| std::mem::swap(&mut span.start_time, &mut span.end_time)),
        "huge" => huge(own, parent),
        "many" => (0..300).for_each(|_| whole(own, parent, "m", |_| ())),
        "reserved" => whole(own, parent, "r", |span| {
            span.attributes = vec![attribute("linkspan.stage.own_time", "99"), attribute("mine", "true")];
        }),
        "record" => on_emit(&LogRecord {
            timestamp: None,
            observed_timestamp: None,
            severity_text: None,
            severity_number: Some(13),
            body: Some("\"recorded\"".into()),
            attributes: Some(vec![attribute("n", "7")]),
            event_name: None,
            resource: None,
            instrumentation_scope: None,
            trace_id: None,
            span_id: None,
            trace_flags: None,
        }),
        _ => {}
    }
    None
}

fn huge(own: &SpanContext, parent: &str) {
    let text = "h".repeat(100_000);
    whole(own, parent, "h", |span| {
        span.name.push_str(&text);
        span.attributes = (0..300).map(|at| attribute(format!("a{at}"), format!("{at}"))).collect();
        span.attributes.push(attribute("long", format!("\"{text}\"")));
        let time = Datetime { seconds: 1, nanoseconds: 0 };
        span.events =
            (0..300).map(|_| Event { name: "event".into(), time, attributes: Vec::new() }).collect();
        span.links = vec![Link { span_context: context(own, name(own)), attributes: Vec::new() }];
        span.status = Status::Error(text.clone());
    });
}

/// What the host said, and the spans that are still to end.
struct Before {
    shown: String,
    refused: String,
    open: Vec<SpanData>,
}

impl Before {
    /// Adds what the host said.
    fn tell(&self, options: &'static Options, response: &mut Response) {
        response.headers_mut().set(options.field.as_str(), self.shown.as_str());
        if !self.refused.is_empty() {
            response.headers_mut().set(options.refused.as_str(), self.refused.as_str());
        }
    }
}

fn before(options: &Options, request: &Request) -> Before {
    let own = current_span_context();
    let flags = u8::from(own.trace_flags.contains(TraceFlags::SAMPLED));
    let shown = format!("{}-{}-{flags:02x}", own.trace_id, own.span_id);
    let words = request.header(options.field.as_str()).unwrap_or_default();
    let words = || words.split(',').map(str::trim);
    let refused = words().filter_map(|word| metrics::tell(word)?.err()).collect();
    Before { shown, refused, open: words().filter_map(|word| tell(word, &own)).collect() }
}

#[cfg(not(feature = "async"))]
fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let before = before(options, &request);
    let mut response = next.call(request)?;
    before.open.iter().for_each(on_end);
    before.tell(options, &mut response);
    Ok(response)
}

#[cfg(feature = "async")]
async fn handle(options: &'static Options, request: Request, next: AsyncNext) -> Result<Response, Error> {
    let before = before(options, &request);
    let mut response = next.call(request).await?;
    before.tell(options, &mut response);
    let open = before.open;
    if open.iter().all(|span| span.name != "l") {
        open.iter().for_each(on_end);
        return Ok(response);
    }
    let (mut writer, body) = Body::channel();
    spawn_local(async move {
        linkspan_sdk::clock::sleep(std::time::Duration::from_millis(20)).await;
        open.iter().for_each(on_end);
        writer.contents.write_all(b"late".to_vec()).await;
        drop(writer.contents);
        let _ = writer.trailers.write(Ok(None)).await;
    });
    response.headers_mut().remove("content-length");
    response.set_body(body);
    Ok(response)
}

#[cfg(not(feature = "async"))]
middleware!(handle, Options);
#[cfg(feature = "async")]
middleware!(async handle, Options);
