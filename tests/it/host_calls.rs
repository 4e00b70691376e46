//! What an observed stage asks of its host, in every link and form.

use crate::harness::inside::{Inside, generation};
use crate::harness::{MS, SOON, dist, run};
use http::Request;
use http_body_util::BodyExt as _;
use linkspan::telemetry::trace::{FinishedTrace, Span, SpanQueue, Value};
use linkspan::telemetry::{Format, Metrics};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Three stages and a service, in every link and form.
fn chains() -> Vec<(&'static str, String)> {
    let stages = "stages = [{ component = 'request-id', grant = { random = true } }, \
                  { component = 'rate-limit', config = { rate = '1000/s' } }, \
                  { component = 'fault-middleware', grant = { clocks = true } }]\n\
                  service = { component = 'caller', grant = { calls = ['other'] } }";
    vec![
        ("direct", stages.to_owned()),
        ("component", format!("form = 'component'\n{stages}")),
        ("dynamic", format!("link = 'dynamic'\n{stages}")),
        ("dynamic components", format!("link = 'dynamic'\nform = 'component'\n{stages}")),
        ("mixed", stages.replace("config = { rate", "link = 'dynamic', config = { rate")),
    ]
}

fn configuration(pipeline: &str) -> String {
    let names = ["fault-middleware", "request-id", "rate-limit", "caller", "hello"];
    let components: String = names.iter().map(|name| format!("{name}.path = {:?}\n", dist(name))).collect();
    format!(
        "listeners = [{{ address = '127.0.0.1:0' }}]\nroutes = [{{ pipeline = 'main' }}]\n\
         [telemetry]\nsample = 1\nstages = true\n[components]\n{components}\
         [pipelines.main]\n{pipeline}\n[pipelines.other]\nservice = {{ component = 'hello' }}\n"
    )
}

async fn spans(gateway: &Inside, fields: &[(&str, &str)], queue: &SpanQueue) -> Vec<Span> {
    let request = Request::builder().uri("http://localhost/").header("host", "localhost");
    let response = gateway.ask(request, fields, "").await;
    assert_eq!(response.status(), 200);
    let _ = response.into_body().collect().await;
    let start = Instant::now();
    while queue.is_empty() {
        assert!(start.elapsed() < SOON, "the trace of a request with {fields:?} has no end");
        tokio::time::sleep(MS).await;
    }
    let FinishedTrace { spans, .. } = queue.take(Duration::ZERO).unwrap().remove(0);
    spans
}

/// The number `name` of the span of `stage`; 0 if it is not there.
#[track_caller]
fn number(spans: &[Span], stage: &str, name: &str) -> i64 {
    let span = spans.iter().find(|span| span.name == stage);
    match span.unwrap_or_else(|| panic!("{stage} is not in {spans:?}")).get(name) {
        None => 0,
        Some(Value::Number(number)) => *number,
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn calls_of_the_host_are_those_of_the_stage_that_makes_them() {
    const KINDS: [&str; 4] = ["random", "limiter", "log", "timer"];
    for (kind, pipeline) in chains() {
        let (metrics, queue) = (Metrics::new(), Arc::new(SpanQueue::new(1000, 1, Arc::default())));
        run(async {
            let gateway =
                Inside::serve(generation(&configuration(&pipeline)), "127.0.0.1:4567", &metrics, &queue);
            let way = [("x-way", "http://other.internal"), ("x-times", "3"), ("x-middleware-fault", "log")];
            // What a stage asks when its instance is new is no matter of the second request.
            spans(&gateway, &way, &queue).await;
            let logs = spans(&gateway, &way, &queue).await;
            let waits = [way[0], way[1], ("x-middleware-fault", "slow"), ("x-delay-ms", "1")];
            let waits = spans(&gateway, &waits, &queue).await;
            let stages = ["0:request-id", "1:rate-limit", "2:fault-middleware", "3:caller"];
            let of = |spans: &[Span], stage: &str| {
                KINDS.map(|kind| number(spans, stage, &format!("linkspan.stage.host_calls.{kind}")) > 0)
            };
            let expected = [
                [true, false, false, false],
                [false, true, false, false],
                [false, false, true, false],
                [false; 4],
            ];
            assert_eq!(stages.map(|stage| of(&logs, stage)), expected, "{kind}: {logs:?}");
            for (spans, kind_of_call) in [(&logs, "log"), (&waits, "timer")] {
                let name = format!("linkspan.stage.host_calls.{kind_of_call}");
                assert_eq!(number(spans, stages[2], &name), 1, "{kind}: {spans:?}");
                assert_eq!(number(spans, stages[1], "linkspan.stage.host_calls.limiter"), 1, "{kind}");
            }
            assert_eq!(of(&waits, stages[2]), [false, false, false, true], "{kind}: {waits:?}");
            for stage in stages {
                let all = number(&logs, stage, "linkspan.stage.host_calls");
                assert!(all >= of(&logs, stage).into_iter().map(i64::from).sum(), "{kind}: {logs:?}");
                let requests = number(&logs, stage, "linkspan.stage.outgoing_requests");
                assert_eq!(requests, if stage == stages[3] { 3 } else { 0 }, "{kind}: {logs:?}");
            }
        });
        let counted = "linkspan_stage_outgoing_requests_total{linkspan_pipeline=\"main\",linkspan_stage=\"3:caller\"} 9\n";
        let text = metrics.render(Format::Prometheus);
        assert!(text.contains(counted), "{kind}: {text}");
    }
}

/// A signature is verified once, and its token remembered.
#[test]
fn a_signature_that_the_host_verifies_is_a_call() {
    const TOKEN: &str =
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.1LyJX3n8HF4PKpKt6cAnOsvYK1JymjhYdwLb9Q6B8gQ";
    let stage = "{ component = 'jwt-in-place', grant = { clocks = true }, config = { \
                 secrets = { a = '0123456789abcdef0123456789abcdef' }, algorithms = ['HS256'], require-expiry = false } }";
    for form in ["", "form = 'component'\n", "link = 'dynamic'\n"] {
        let (metrics, queue) = (Metrics::new(), Arc::new(SpanQueue::new(1000, 1, Arc::default())));
        let components =
            ["jwt-in-place", "hello"].map(|name| format!("{name}.path = {:?}\n", dist(name))).concat();
        let configuration = format!(
            "listeners = [{{ address = '127.0.0.1:0' }}]\nroutes = [{{ pipeline = 'main' }}]\n[telemetry]\nsample = 1\n\
             stages = true\n[components]\n{components}[pipelines.main]\n{form}stages = [{stage}]\nservice = {{ component = 'hello' }}\n"
        );
        run(async {
            let gateway = Inside::serve(generation(&configuration), "127.0.0.1:4567", &metrics, &queue);
            let bearer = format!("Bearer {TOKEN}");
            for expected in [1, 0] {
                let spans = spans(&gateway, &[("authorization", &bearer)], &queue).await;
                let name = "linkspan.stage.host_calls.signatures";
                assert_eq!(number(&spans, "0:jwt-in-place", name), expected, "{form}: {spans:?}");
            }
        });
    }
}

/// Stages of a store that has two requests at once: whose calls they are is not known, and not told.
#[test]
fn calls_of_two_requests_at_once_are_nobodys() {
    let (metrics, queue) = (Metrics::new(), Arc::new(SpanQueue::new(1000, 1, Arc::default())));
    let pipeline = "link = 'dynamic'\nlimits = { concurrency = 2, instances = 1 }\n\
                    stages = [{ component = 'fault-middleware', grant = { clocks = true } }]\n\
                    service = { component = 'hello' }";
    run(async {
        let gateway = Inside::serve(generation(&configuration(pipeline)), "127.0.0.1:4567", &metrics, &queue);
        let ask = async |delay| {
            let request = Request::builder().uri("http://localhost/").header("host", "localhost");
            let fields = [("x-middleware-fault", "slow"), ("x-delay-ms", delay)];
            let response = gateway.ask(request, &fields, "").await;
            drop(response.into_body().collect().await);
        };
        futures::join!(ask("200"), ask("200"));
        let start = Instant::now();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            assert!(start.elapsed() < SOON);
            tokio::time::sleep(MS).await;
            seen.extend(queue.take(Duration::ZERO).unwrap_or_default());
        }
        for FinishedTrace { spans, .. } in seen {
            let span = spans.iter().find(|span| span.name == "0:fault-middleware").expect("the stage");
            assert!(span.get("linkspan.stage.host_calls").is_none(), "{span:?}");
        }
    });
}
