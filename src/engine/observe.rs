//! What is seen of a stage that works on an observed request, and who learns of it: a span below that of who called the stage,
//! and the stage's counts.

use super::outcome::Failure;
use super::request::ChainRequest;
use crate::host::CallContext;
use crate::telemetry::trace::{BodyCopy, OpenSpan, SpanKind};
use crate::telemetry::{HostCall, Observation, Outcome, Sight, StageMetrics};
use std::sync::Arc;
use std::time::Duration;

/// Observes `request` at `stage` of `pipeline`, whose counts are `metrics`.
pub(super) fn observe(
    request: &ChainRequest,
    (pipeline, stage): (&Arc<str>, &Arc<str>),
    metrics: Arc<StageMetrics>,
) -> Arc<Observation> {
    let upload = request.body.limit();
    let trace = request.origin.trace.clone();
    let opened = trace.as_ref().zip(request.span);
    let mut span =
        opened.and_then(|(trace, parent)| trace.open(parent, SpanKind::Internal, stage.to_string()));
    if let Some(span) = &mut span {
        span.set("linkspan.pipeline", pipeline.to_string());
        span.set("linkspan.stage", stage.to_string());
        let head = &request.head;
        span.asked(&head.method, head.path_with_query.as_ref(), &head.headers);
    }
    let id = span.as_ref().and_then(OpenSpan::id);
    let copies = trace.as_ref().and_then(|trace| trace.shows_bodies());
    let copies = copies.map(|most| [upload.copy(most), Arc::new(BodyCopy::new(most))]);
    let response = copies.as_ref().map(|[_, response]| Arc::clone(response));
    let trace = trace.map(|trace| trace.id().to_string()).unwrap_or_default();
    let observation = Observation::new(id, move |sight| {
        let request_bytes = upload.bytes();
        metrics.observed.get_or_init(Box::default).count(&sight, request_bytes, trace);
        if let Some(mut span) = span {
            if let Some([request, response]) = copies {
                span.show_bodies([request.shown(request_bytes), response.shown(sight.response_bytes)]);
            }
            tell(span, sight, request_bytes);
        }
    });
    Arc::new(observation.with_copy(response))
}

/// The stage gave no response in the call with `context`.
pub(super) fn failed(
    observation: Option<&Arc<Observation>>,
    failure: &Failure,
    context: Option<&CallContext>,
) {
    let Some(observation) = observation else { return };
    let is_handed_on = matches!(failure, Failure::Guest(_)) && context.is_some_and(CallContext::next_failed);
    observation.end(
        0,
        match is_handed_on {
            true => Outcome::HandedOn,
            false => Outcome::Failed { kind: failure.kind(), reason: failure.to_string() },
        },
    );
}

/// Ends `span` with what was seen. Times are in seconds, as everywhere in the conventions.
fn tell(mut span: OpenSpan, sight: Sight, request_bytes: u64) {
    let seconds = |time: Duration| time.as_secs_f64();
    span.set("linkspan.stage.queue_time", seconds(sight.queued));
    span.set("linkspan.stage.own_time", seconds(sight.own));
    span.set("linkspan.stage.down_time", seconds(sight.down));
    span.set("linkspan.stage.back_time", seconds(sight.back));
    if let Some(busy) = sight.busy {
        span.set("linkspan.stage.busy_time", seconds(busy));
    }
    span.set("linkspan.stage.calls", u64::from(sight.calls));
    if let Some(calls) = sight.host_calls {
        span.set("linkspan.stage.host_calls", calls.all());
        let kinds =
            HostCall::ALL.into_iter().filter(|kind| *kind == HostCall::Request || calls.of(*kind) > 0);
        kinds.for_each(|kind| span.set(kind.attribute(), calls.of(kind)));
    }
    span.set("http.request.body.size", request_bytes);
    span.set("http.response.body.size", sight.response_bytes);
    let outcome = match sight.outcome {
        Outcome::Sent if sight.calls == 0 => "answered",
        Outcome::Sent => "passed-on",
        Outcome::BrokeOff => "broke-off",
        Outcome::HandedOn => "handed-on",
        Outcome::Abandoned => "abandoned",
        Outcome::Failed { kind, reason } => {
            span.set("error.type", kind);
            span.fail(reason);
            "failed"
        }
    };
    span.set("linkspan.stage.outcome", outcome);
}
