//! `otel`: spans and metrics that a stage tells of by itself, and its lines in the log, in the terms of OpenTelemetry.
//!
//! Only an observed request has spans of its stages, under which others can hang. For any other request, a stage is told that
//! nothing is recorded, and what it tells all the same goes nowhere.

mod metrics;

use super::types::for_their_types;
use crate::host::bindings::otel::named_imports as own;
use crate::host::bindings::otel::wasi::otel::{logs::LogRecord, tracing as otel, types};
use crate::host::context::{Behalf, CallContext};
use crate::host::next;
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::telemetry::HostCall;
use crate::telemetry::trace::{SpanId, SpanKind, ToldSpan, Trace};
use std::sync::Arc;
use tracing::Level;
use wasmtime::component::{Access, HasSelf};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

offers! {
    own "wasi:otel/tracing" "0.2.0-rc.2" (own::wasi::otel::tracing) needs Otel;
    own "wasi:otel/logs" "0.2.0-rc.2" (own::wasi::otel::logs) needs Otel;
    own "wasi:otel/metrics" "0.2.0-rc.2" (own::wasi::otel::metrics) needs Otel;
    shared "wasi:otel/types" "0.2.0-rc.2" (|linker| {
        types::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)?;
        for_their_types(linker, &[(TRACING, &TRACING_FUNCTIONS)])
    }) needs Otel;
}

/// `logs` and `metrics` take types from it.
const TRACING: &str = "wasi:otel/tracing@0.2.0-rc.2";
const TRACING_FUNCTIONS: [&str; 4] = ["on-start", "on-end", "current-span-context", "outer-span-context"];

impl types::Host for InstanceState {}

impl own::wasi::otel::tracing::Host for InstanceState {}

impl own::wasi::otel::tracing::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    fn on_start(
        mut store: Access<'_, InstanceState, Self>,
        _: Scope,
        context: otel::SpanContext,
    ) -> wasmtime::Result<()> {
        store.get().count_call(HostCall::Otel);
        if let Some((trace, stage)) = observed(&mut store)? {
            store.get().pulse.act();
            if context.trace_flags.contains(otel::TraceFlags::SAMPLED) {
                trace.begin_told(stage, &context.trace_id, &context.span_id);
            }
        }
        Ok(())
    }

    fn on_end(
        mut store: Access<'_, InstanceState, Self>,
        scope: Scope,
        span: otel::SpanData,
    ) -> wasmtime::Result<()> {
        store.get().count_call(HostCall::Otel);
        if let Some((trace, stage)) = observed(&mut store)? {
            store.get().pulse.act();
            trace.end_told(stage, scope.id.label(), told(span));
        }
        Ok(())
    }

    fn current_span_context(
        mut store: Access<'_, InstanceState, Self>,
        _: Scope,
    ) -> wasmtime::Result<otel::SpanContext> {
        context(&mut store, Trace::current)
    }

    fn outer_span_context(
        mut store: Access<'_, InstanceState, Self>,
        _: Scope,
    ) -> wasmtime::Result<otel::SpanContext> {
        context(&mut store, |_, stage| stage)
    }
}

impl own::wasi::otel::logs::Host for InstanceState {}

impl own::wasi::otel::logs::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    fn on_emit(
        mut store: Access<'_, InstanceState, Self>,
        scope: Scope,
        record: LogRecord,
    ) -> wasmtime::Result<()> {
        store.get().count_call(HostCall::Otel);
        store.get().pulse.act();
        let behalf = next::behalf(&mut store)?;
        let name = record.event_name.as_deref().unwrap_or("otel");
        scope.log(behalf.as_ref(), level(record.severity_number), name, &line(&record));
        Ok(())
    }
}

/// The trace of the request that the running guest works on, and the stage's span in it, if the request is observed.
fn observed(store: &mut Access<'_, InstanceState>) -> wasmtime::Result<Option<(Arc<Trace>, SpanId)>> {
    Ok(next::observed(store)?.as_deref().and_then(place))
}

fn place(context: &CallContext) -> Option<(Arc<Trace>, SpanId)> {
    let stage = context.observation.as_ref()?.span?;
    Some((Arc::clone(context.origin.trace.as_ref()?), stage))
}

/// What a stage is told of its place: `span`, if the request is observed; else where it comes from, and that nothing is
/// recorded.
fn context(
    store: &mut Access<'_, InstanceState>,
    span: fn(&Trace, SpanId) -> SpanId,
) -> wasmtime::Result<otel::SpanContext> {
    store.get().count_call(HostCall::Otel);
    if let Some((trace, stage)) = observed(store)? {
        return Ok(told_of(&trace, Some(span(&trace, stage)), true));
    }
    let trace = next::behalf(store)?.and_then(|Behalf { origin, .. }| origin.trace.clone());
    Ok(match trace {
        Some(trace) => told_of(&trace, trace.root().or(trace.remote()), false),
        None => otel::SpanContext {
            trace_id: "0".repeat(32),
            span_id: "0".repeat(16),
            trace_flags: otel::TraceFlags::empty(),
            is_remote: false,
            trace_state: Vec::new(),
        },
    })
}

fn told_of(trace: &Trace, span: Option<SpanId>, sampled: bool) -> otel::SpanContext {
    let state = trace.state().and_then(|state| state.to_str().ok()).unwrap_or_default();
    let member = |member: &str| {
        let (key, value) = member.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    otel::SpanContext {
        trace_id: trace.id().to_string(),
        span_id: span.map_or_else(|| "0".repeat(16), |span| span.to_string()),
        trace_flags: if sampled { otel::TraceFlags::SAMPLED } else { otel::TraceFlags::empty() },
        is_remote: !sampled && trace.root().is_none(),
        trace_state: state.split(',').filter_map(member).collect(),
    }
}

/// What a guest says of a span, as the trace takes it.
fn told(span: otel::SpanData) -> ToldSpan {
    let attributes = |all: Vec<types::KeyValue>| {
        all.into_iter().map(|attribute| (attribute.key, attribute.value)).collect()
    };
    let links = u32::try_from(span.links.len()).unwrap_or(u32::MAX);
    ToldSpan {
        trace: span.span_context.trace_id,
        id: span.span_context.span_id,
        parent: span.parent_span_id,
        sampled: span.span_context.trace_flags.contains(otel::TraceFlags::SAMPLED),
        kind: match span.span_kind {
            otel::SpanKind::Client => SpanKind::Client,
            otel::SpanKind::Server => SpanKind::Server,
            otel::SpanKind::Producer => SpanKind::Producer,
            otel::SpanKind::Consumer => SpanKind::Consumer,
            otel::SpanKind::Internal => SpanKind::Internal,
        },
        name: span.name,
        times: (nanoseconds(span.start_time), nanoseconds(span.end_time)),
        attributes: attributes(span.attributes),
        events: span
            .events
            .into_iter()
            .map(|event| (nanoseconds(event.time), event.name, attributes(event.attributes)))
            .collect(),
        error: match span.status {
            otel::Status::Error(why) => Some(why),
            otel::Status::Unset | otel::Status::Ok => None,
        },
        library: (span.instrumentation_scope.name, span.instrumentation_scope.version),
        dropped: [span.dropped_attributes, span.dropped_events, span.dropped_links.saturating_add(links)],
    }
}

fn nanoseconds(time: Datetime) -> u64 {
    time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanoseconds.into())
}

/// The level of a severity ("Logs Data Model", severity fields).
fn level(severity: Option<u8>) -> Level {
    match severity {
        Some(1..=4) => Level::TRACE,
        Some(5..=8) => Level::DEBUG,
        Some(13..=16) => Level::WARN,
        Some(17..) => Level::ERROR,
        None | Some(0 | 9..=12) => Level::INFO,
    }
}

/// A record as a line: its body, and its attributes behind that.
fn line(record: &LogRecord) -> String {
    let text = |json: &str| serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned());
    let mut line = record.body.as_deref().map(text).unwrap_or_default();
    for attribute in record.attributes.iter().flatten() {
        line.push_str(&format!(" {}={}", attribute.key, attribute.value));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_measure_are_the_last_there_is() {
        let time = |seconds, nanoseconds| super::nanoseconds(Datetime { seconds, nanoseconds });
        assert_eq!(time(1, 2), 1_000_000_002);
        assert_eq!(
            (time(u64::MAX, u32::MAX), time(u64::MAX / 1_000_000_000, u32::MAX)),
            (u64::MAX, u64::MAX)
        );
    }

    #[test]
    fn a_record_is_a_line() {
        let attribute = |key: &str, value: &str| types::KeyValue { key: key.into(), value: value.into() };
        let mut record = LogRecord {
            timestamp: None,
            observed_timestamp: None,
            severity_text: None,
            severity_number: Some(17),
            body: Some("\"no room\"".into()),
            attributes: Some(vec![attribute("n", "7"), attribute("s", "\"x\"")]),
            event_name: None,
            resource: None,
            instrumentation_scope: None,
            trace_id: None,
            span_id: None,
            trace_flags: None,
        };
        assert_eq!(line(&record), "no room n=7 s=\"x\"");
        record.body = Some("{".into());
        assert_eq!(line(&record), "{ n=7 s=\"x\"");
        let levels = [0, 1, 4, 5, 9, 13, 16, 17, 24, 255].map(|number| level(Some(number)));
        use Level as L;
        assert_eq!(
            levels,
            [L::INFO, L::TRACE, L::TRACE, L::DEBUG, L::INFO, L::WARN, L::WARN, L::ERROR, L::ERROR, L::ERROR]
        );
    }
}
