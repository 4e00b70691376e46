//! Observed requests: each stage's own time, whatever the chain is made of.

use crate::harness::inside::{Inside, generation};
use crate::harness::{MS, SOON, dist, run};
use http::Request;
use http_body_util::BodyExt as _;
use linkspan::telemetry::trace::{FinishedTrace, Span, SpanId, SpanQueue, Value};
use linkspan::telemetry::{Format, Metrics};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A stage that does what the field `x-NUMBER` says, calls the next one, and may wait and compute before.
fn fault(number: usize, lift: &str, more: &str) -> String {
    format!(
        "{{ component = 'fault-middleware{lift}', config = {{ field = 'x-{number}' }}, grant = {{ clocks = true }}{more} }}"
    )
}

/// What came of a request: its status and text, how long it took, and the spans of its trace.
struct Seen {
    status: u16,
    text: String,
    took: Duration,
    spans: Vec<Span>,
}

impl Seen {
    /// The span with this name.
    #[track_caller]
    fn span(&self, name: &str) -> &Span {
        let found = self.spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("{name} is not among {:?}", self.spans))
    }

    /// The names of the spans, each with that of its parent.
    fn tree(&self) -> Vec<(String, Option<String>)> {
        let name =
            |id: SpanId| self.spans.iter().find(|span| span.id == id).map(|span| span.name.to_string());
        let tree = self.spans.iter().map(|span| (span.name.to_string(), span.parent.and_then(name)));
        let mut tree: Vec<_> = tree.collect();
        tree.sort();
        tree
    }
}

fn value<'s>(span: &'s Span, name: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// A time of a span, in milliseconds.
#[track_caller]
fn ms(span: &Span, name: &str) -> f64 {
    match value(span, &format!("linkspan.stage.{name}")) {
        Some(Value::Double(seconds)) => seconds * 1e3,
        other => panic!("{name} is {other:?} in {span:?}"),
    }
}

#[track_caller]
fn outcome(span: &Span) -> &str {
    match value(span, "linkspan.stage.outcome") {
        Some(Value::Text(text)) => text,
        other => panic!("{other:?} in {span:?}"),
    }
}

/// The fields of a request, and its body.
type Asked<'a> = (&'a [(&'a str, &'a str)], &'static str);

/// What came of `requests` to a pipeline with these keys, one after the other, and what was counted.
fn observe(pipeline: &str, telemetry: &str, requests: &[Asked<'_>]) -> (Vec<Seen>, String) {
    let components = ["fault-middleware", "fault-middleware-sync", "fault-service", "pass-through-async"]
        .map(|name| format!("{name}.path = {:?}\n", dist(name)));
    let text = format!(
        "listeners = [{{ address = '127.0.0.1:0' }}]\nroutes = [{{ pipeline = 'main' }}]\n\
         [telemetry]\nsample = 1\n{telemetry}\n[components]\n{}[pipelines.main]\n{pipeline}\n",
        components.concat()
    );
    let generation = generation(&text);
    let (metrics, queue) = (Metrics::new(), Arc::new(SpanQueue::new(1000, 1, Arc::default())));
    let seen = run(async {
        let gateway = Inside::serve(generation, "127.0.0.1:4567", &metrics, &queue);
        let mut seen = Vec::new();
        for (fields, body) in requests {
            seen.push(ask(&gateway, fields, body, &queue).await);
        }
        seen
    });
    (seen, metrics.render(Format::OpenMetrics))
}

async fn ask(gateway: &Inside, fields: &[(&str, &str)], body: &'static str, queue: &SpanQueue) -> Seen {
    let request = Request::builder().method("POST").uri("http://localhost/").header("host", "localhost");
    let start = Instant::now();
    let response = gateway.ask(request, fields, body).await;
    let status = response.status().as_u16();
    let text = response.into_body().collect().await.map_or_else(
        |error| format!("{error}"),
        |body| String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    );
    let took = start.elapsed();
    // An instance that ends may hold on to it for a moment.
    while queue.is_empty() {
        assert!(start.elapsed() < SOON, "the trace of a request with {fields:?} has no end");
        tokio::time::sleep(MS).await;
    }
    let FinishedTrace { spans, .. } = queue.take(Duration::ZERO).unwrap().remove(0);
    Seen { status, text, took, spans }
}

/// Three stages and a service in every link and form; what differs between these is only how the chain is made.
fn chains() -> Vec<(&'static str, String)> {
    let chain = |lifts: [&str; 3], more: [&str; 3], keys: &str| {
        let stages: Vec<_> = lifts
            .iter()
            .zip(more)
            .enumerate()
            .map(|(number, (lift, more))| fault(number, lift, more))
            .collect();
        format!(
            "{keys}\nstages = [{}]\nservice = {{ component = 'fault-service', grant = {{ clocks = true }} }}",
            stages.join(", ")
        )
    };
    let (a, s, dynamic) = (["", "", ""], ["-sync", "-sync", "-sync"], ", link = 'dynamic'");
    vec![
        ("direct", chain(a, [""; 3], "")),
        ("component", chain(a, [""; 3], "form = 'component'")),
        ("sync", chain(s, [""; 3], "")),
        ("rewritten", chain(["", "-sync", "-sync"], [""; 3], "").replacen(&fault(0, "", ""), REWRITTEN, 1)),
        ("dynamic", chain(a, [dynamic; 3], "link = 'dynamic'")),
        ("mixed", chain(["-sync", "", ""], ["", dynamic, ""], "")),
    ]
}

const REWRITTEN: &str = "{ component = 'pass-through-async', lift = 'sync' }";

/// The name of the stage at `place`, whatever it is.
#[track_caller]
fn name(seen: &Seen, place: usize) -> String {
    let is = |span: &&Span| span.name.starts_with(&format!("{place}:"));
    let found = seen.spans.iter().find(is);
    found.unwrap_or_else(|| panic!("{place} is not among {:?}", seen.spans)).name.to_string()
}

/// The stage with the largest `time`, and that.
#[track_caller]
fn largest(seen: &Seen, time: &str) -> (usize, f64) {
    let times = (0..4).map(|place| (place, ms(seen.span(&name(seen, place)), time)));
    times.max_by(|one, other| one.1.total_cmp(&other.1)).unwrap()
}

#[test]
fn each_stage_hangs_under_the_one_that_called_it_and_a_sleep_is_its_own() {
    for (kind, pipeline) in chains() {
        let slow: Asked<'_> = (&[("x-1", "slow"), ("x-delay-ms", "100")], "hello");
        let (seen, metrics) = observe(&pipeline, "stages = true", &[(&[], "hello"), slow]);
        for seen in &seen {
            assert_eq!((seen.status, &*seen.text), (200, "ok"), "{kind}");
            let names: Vec<_> = (0..4).map(|place| name(seen, place)).collect();
            let mut wanted = vec![("POST /".to_owned(), None), (names[0].clone(), Some("POST /".to_owned()))];
            wanted.extend((1..4).map(|place| (names[place].clone(), Some(names[place - 1].clone()))));
            wanted.sort();
            assert_eq!(seen.tree(), wanted, "{kind}");
            for pair in names.windows(2) {
                let (outer, inner) = (seen.span(&pair[0]), seen.span(&pair[1]));
                assert!(outer.start <= inner.start && inner.end <= outer.end, "{kind}: {:?}", seen.spans);
                assert_eq!(outcome(outer), "passed-on", "{kind}");
            }
            assert_eq!(outcome(seen.span(&names[3])), "answered", "{kind}");
        }
        let slow = &seen[1];
        let (place, own) = largest(slow, "own_time");
        let took = slow.took.as_secs_f64() * 1e3;
        assert!(place == 1 && own >= 100.0 && own <= took, "{kind}: {own} of {took}");
        let down = ms(slow.span(&name(slow, 1)), "down_time");
        assert!(down >= 100.0 && down <= own, "{kind}: {down} of {own}");
        let trace = slow.span("POST /");
        assert!(trace.end - trace.start >= 100_000_000, "{kind}");
        let counted =
            metrics.lines().filter(|line| line.starts_with("linkspan_stage_own_duration_seconds_count"));
        assert!(
            counted.clone().count() == 4 && counted.clone().all(|line| line.ends_with(" 2")),
            "{metrics}"
        );
        assert!(metrics.contains("trace_id="), "{metrics}");
    }
}

/// Requests that wait have an instance of each stage: where many are sampled at once, none may wait for another's.
#[test]
fn many_at_once_wait_for_nobody() {
    let components =
        ["fault-service", "pass-through-sync"].map(|name| format!("{name}.path = {:?}\n", dist(name)));
    let text = format!(
        "listeners = [{{ address = '127.0.0.1:0' }}]\nroutes = [{{ pipeline = 'main' }}]\n\
         [telemetry]\nsample = 1\nstages = true\n[components]\n{}[pipelines.main]\nstages = [{}]\n\
         service = {{ component = 'fault-service', grant = {{ clocks = true }} }}\n",
        components.concat(),
        ["{ component = 'pass-through-sync' }"; 8].join(", ")
    );
    let generation = generation(&text);
    let (metrics, queue) = (Metrics::new(), Arc::new(SpanQueue::new(10_000, 1, Arc::default())));
    run(async {
        let gateway = Inside::serve(generation, "127.0.0.1:4567", &metrics, &queue);
        // Twice: who is over makes room.
        for _ in 0..2 {
            let asked = (0..40).map(|_| async {
                let request = Request::builder().uri("http://localhost/").header("host", "localhost");
                let response = gateway.ask(request, &[("x-fault", "slow"), ("x-delay-ms", "300")], "").await;
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.expect("a whole body");
            });
            futures::future::join_all(asked).await;
        }
    });
    let (mut traces, start) = (Vec::new(), Instant::now());
    while traces.len() < 80 {
        assert!(start.elapsed() < SOON, "{} traces", traces.len());
        traces.extend(queue.take(MS).unwrap());
    }
    let stages = |trace: &FinishedTrace| trace.spans.iter().filter(|span| span.name.contains(':')).count();
    let observed = traces.iter().filter(|trace| stages(trace) == 9).count();
    let others = traces.iter().filter(|trace| stages(trace) == 0).count();
    // An instance of the first ones may hold on to its request for a moment.
    assert!((17..=32).contains(&observed) && observed + others == 80, "{observed} and {others}");
}

#[test]
fn a_computation_is_that_of_its_stage() {
    for (kind, pipeline) in chains() {
        let compute: Asked<'_> = (&[("x-2", "compute"), ("x-rounds", "100000000")], "");
        let (seen, _) = observe(&pipeline, "stages = true", &[(&[], ""), compute]);
        let seen = &seen[1];
        for time in ["own_time", "busy_time"] {
            let (place, largest) = largest(seen, time);
            let took = seen.took.as_secs_f64() * 1e3;
            assert!(place == 2 && largest <= took, "{kind}: {time} of {place} is {largest} of {took}");
        }
    }
}

#[test]
fn who_refuses_and_who_traps_is_named() {
    for (kind, pipeline) in chains() {
        let (refuses, traps): (Asked<'_>, Asked<'_>) =
            ((&[("x-1", "status"), ("x-status", "403")], ""), (&[("x-2", "trap")], ""));
        let errs: Asked<'_> = (&[("x-fault", "error")], "");
        let (seen, metrics) = observe(&pipeline, "stages = true", &[refuses, traps, errs]);
        let [refused, trapped, failed] = &seen[..] else { panic!() };
        assert_eq!(refused.status, 403, "{kind}");
        assert_eq!(outcome(refused.span(&name(refused, 1))), "answered", "{kind}");
        assert_eq!(refused.spans.len(), 3, "{kind}: {:?}", refused.spans);

        assert_eq!(trapped.status, 500, "{kind}: {}", trapped.text);
        let span = trapped.span(&name(trapped, 2));
        assert_eq!(value(span, "error.type"), Some(&Value::Text("trap".into())), "{kind}");
        assert!(span.error.as_deref().unwrap().contains("unreachable"), "{kind}: {span:?}");
        assert_eq!(outcome(span), "failed");
        for before in [0, 1] {
            assert_eq!(outcome(trapped.span(&name(trapped, before))), "handed-on", "{kind}");
        }

        let span = failed.span(&name(failed, 3));
        assert_eq!(value(span, "error.type"), Some(&Value::Text("guest-error".into())), "{kind}: {span:?}");
        let failed = metrics.lines().filter(|line| line.starts_with("linkspan_stage_failed_total"));
        let sum: u64 = failed.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
        assert!(sum >= 2, "{kind}: {metrics}");
    }
}

#[test]
fn bodies_are_counted_where_they_pass() {
    for (kind, pipeline) in chains() {
        let (seen, metrics) =
            observe(&pipeline, "stages = true", &[(&[("x-fault", "read-body")], "0123456789")]);
        let seen = &seen[0];
        assert_eq!(seen.text, "10", "{kind}");
        for place in 0..4 {
            let span = seen.span(&name(seen, place));
            assert_eq!(value(span, "http.request.body.size"), Some(&Value::Number(10)), "{kind}: {span:?}");
            assert_eq!(value(span, "http.response.body.size"), Some(&Value::Number(2)), "{kind}: {span:?}");
        }
        assert!(metrics.contains("direction=\"request\"} 10"), "{metrics}");
    }
}

/// A stage with a condition, of a segment whose stages are otherwise linked.
#[test]
fn a_stage_that_does_not_apply_is_not_met() {
    let conditional = fault(1, "", ", when = { path = '/none' }");
    let pipeline = format!(
        "stages = [{}, {conditional}, {}]\nservice = {{ component = 'fault-service', grant = {{ clocks = true }} }}",
        fault(0, "", ""),
        fault(2, "", "")
    );
    let (seen, _) = observe(&pipeline, "stages = true", &[(&[], "")]);
    let names: Vec<_> = seen[0].tree().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["0:fault-middleware", "2:fault-middleware", "3:fault-service", "POST /"]);
}

#[test]
fn without_stages_a_trace_has_none_of_a_static_chain() {
    let (seen, metrics) = observe(&chains()[0].1, "stages = false", &[(&[], "")]);
    assert_eq!(seen[0].tree(), [("POST /".to_owned(), None)]);
    assert!(!metrics.contains("linkspan_stage_own_duration_seconds_count"), "{metrics}");
}
