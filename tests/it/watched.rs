//! Traces that an operator asks for, traces that are kept, and the ways that observed requests take.

use crate::harness::inside::{Inside, built, generation};
use crate::harness::{MS, SOON, dist, run};
use http::Request;
use http_body_util::BodyExt as _;
use linkspan::gateway::observed;
use linkspan::telemetry::Metrics;
use linkspan::telemetry::trace::{KeptTrace, Show, SpanQueue, Wanted, WatchState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A configuration whose requests are not sampled, unless `telemetry` says so.
fn configuration(pipeline: &str, telemetry: &str) -> String {
    let names = ["fault-middleware", "request-id", "security-headers", "key-auth", "hello"];
    let components: String = names.iter().map(|name| format!("{name}.path = {:?}\n", dist(name))).collect();
    format!(
        "listeners = [{{ address = '127.0.0.1:0' }}]\nroutes = [{{ pipeline = 'main' }}]\n\
         admin = {{ address = '127.0.0.1:0' }}\n[telemetry]\n{telemetry}\n[components]\n{components}\
         [pipelines.main]\n{pipeline}\nservice = {{ component = 'hello' }}\n"
    )
}

/// Four stages, in every link and form.
fn chains() -> Vec<(&'static str, String)> {
    let stages = "stages = [{ component = 'request-id', grant = { random = true } }, { component = 'key-auth', config = { keys = { alice = 'the-key' } } }, \
                  { component = 'fault-middleware', grant = { clocks = true } }, { component = 'security-headers' }]";
    vec![
        ("static", stages.to_owned()),
        ("component", format!("form = 'component'\n{stages}")),
        ("dynamic", format!("link = 'dynamic'\n{stages}")),
        ("mixed", stages.replace("grant = { clocks", "link = 'dynamic', grant = { clocks")),
    ]
}

async fn ask(gateway: &Inside, path: &str, fields: &[(&str, &str)]) -> u16 {
    let request = Request::builder().uri(format!("http://localhost{path}")).header("host", "localhost");
    let response = gateway.ask(request, fields, "").await;
    let status = response.status().as_u16();
    let _ = response.into_body().collect().await;
    status
}

/// Asks for the trace of the next request below `path`.
fn watch(gateway: &Inside, path: &str, reveal: bool) -> String {
    let wanted = Wanted { path: Some(path.to_owned()), ..Wanted::default() };
    let show = Show { secrets: reveal, bodies: false };
    let id = gateway.tracer.watches().add(wanted, show, Duration::from_secs(60)).unwrap();
    gateway.tracer.watches().arm(id);
    id.to_string()
}

async fn watched(gateway: &Inside, id: &str) -> Arc<KeptTrace> {
    let start = Instant::now();
    loop {
        match gateway.tracer.watches().look(id) {
            Some(WatchState::Done(trace)) => return trace,
            other => assert!(start.elapsed() < SOON, "{other:?}"),
        }
        tokio::time::sleep(MS).await;
    }
}

fn serve(text: &str) -> Inside {
    let queue = Arc::new(SpanQueue::new(1000, 1, Arc::default()));
    Inside::serve(generation(text), "127.0.0.1:4567", &Metrics::new(), &queue)
}

/// The field `name` of the request, or of the response, that the span with this name shows.
fn shown(trace: &serde_json::Value, span: &str, head: &str, name: &str) -> Option<String> {
    let span = trace["spans"].as_array().unwrap().iter().find(|it| it["name"] == span);
    let fields = span.unwrap_or_else(|| panic!("a span is not in {trace:#}"))["heads"][head].as_array()?;
    fields.iter().find(|field| field[0] == name).map(|field| field[1].as_str().unwrap().to_owned())
}

#[test]
fn a_trace_that_was_asked_for_has_heads_and_lines_of_each_stage() {
    for (kind, pipeline) in chains() {
        run(async {
            let gateway = serve(&configuration(&pipeline, "sample = 0"));
            let fields = [("x-api-key", "the-key"), ("x-middleware-fault", "log")];
            assert_eq!(ask(&gateway, "/other", &fields).await, 200, "{kind}");
            assert!(gateway.tracer.recent().all().is_empty(), "{kind}: it is not sampled");
            let id = watch(&gateway, "/this", false);
            assert_eq!(ask(&gateway, "/other", &fields).await, 200, "{kind}");
            assert!(matches!(gateway.tracer.watches().look(&id), Some(WatchState::Armed)), "{kind}");
            assert_eq!(ask(&gateway, "/this?token=1", &fields).await, 200, "{kind}");
            let trace = watched(&gateway, &id).await;
            assert!(gateway.tracer.watches().look(&id).is_none(), "it is given out once");
            let trace = trace.whole(None);
            let has = |span: &str, head: &str, name: &str| shown(&trace, span, head, name);

            let names = ["0:request-id", "1:key-auth", "2:fault-middleware", "3:security-headers", "4:hello"];
            // The request's id is there from its stage on, and the fields of security at the stages before theirs.
            assert_eq!(has(names[0], "request", "x-api-key").as_deref(), Some("<7 bytes>"), "{kind}");
            assert!(has(names[1], "request", "x-request-id").is_some(), "{kind}: {trace:#}");
            for (name, secured) in names.iter().zip([true, true, true, true, false]) {
                let field = has(name, "response", "x-content-type-options");
                assert_eq!(field.is_some(), secured, "{kind}, {name}: {trace:#}");
            }
            assert!(has("GET /", "response", "x-content-type-options").is_some(), "{kind}: {trace:#}");
            let spans = trace["spans"].as_array().unwrap();
            assert_eq!(spans[0]["heads"]["target"], "/this?token=…", "{kind}");
            let says = |span: &&serde_json::Value| {
                let events = span["events"].as_array().unwrap().iter();
                events.map(|event| &event["attributes"]["log.message"]).any(|message| message == "as asked")
            };
            assert_eq!(spans.iter().find(says).unwrap()["name"], names[2], "{kind}: {trace:#}");
        });
    }
}

#[test]
fn secrets_are_for_who_asks_for_them_and_for_nobody_else() {
    run(async {
        let gateway = serve(&configuration(&chains()[0].1, "sample = 0"));
        let fields = [("x-api-key", "the-key")];
        for (reveal, value, kept) in [(false, "<7 bytes>", 1), (true, "the-key", 1)] {
            let id = watch(&gateway, "/", reveal);
            ask(&gateway, "/", &fields).await;
            let trace = watched(&gateway, &id).await.whole(None);
            assert_eq!(shown(&trace, "GET /", "request", "x-api-key").as_deref(), Some(value));
            assert_eq!(gateway.tracer.recent().all().len(), kept, "a list has none with secrets");
        }
    });
}

#[test]
fn traces_are_kept_and_failed_ones_longer() {
    run(async {
        let keys = "sample = 1\nsample-max = 100000\nrecent = '64KiB'";
        let gateway = serve(&configuration(&chains()[0].1, keys));
        assert_eq!(
            ask(&gateway, "/", &[("x-api-key", "the-key"), ("x-middleware-fault", "trap")]).await,
            500
        );
        for _ in 0..200 {
            assert_eq!(ask(&gateway, "/", &[("x-api-key", "the-key")]).await, 200);
        }
        let start = Instant::now();
        let failed = loop {
            let all = gateway.tracer.recent().all();
            if let Some((kept, trace)) = all.iter().find(|(_, trace)| !trace.summary(None)["error"].is_null())
            {
                assert!(all.len() < 100, "{} are kept", all.len());
                break trace.summary(Some(*kept));
            }
            assert!(start.elapsed() < SOON);
            tokio::time::sleep(MS).await;
        };
        assert_eq!((&failed["kept-as"], &failed["status"]), (&"failed".into(), &500.into()));
        assert!(failed["error"].as_str().unwrap().contains("unreachable"), "{failed:#}");
    });
}

/// The names of the stages that the last trace has, sorted.
async fn stages(gateway: &Inside, before: usize) -> Vec<String> {
    let start = Instant::now();
    let trace = loop {
        let all = gateway.tracer.recent().all();
        if all.len() > before {
            break all[0].1.whole(None);
        }
        assert!(start.elapsed() < SOON);
        tokio::time::sleep(MS).await;
    };
    let spans = trace["spans"].as_array().unwrap().iter();
    let mut names: Vec<_> = spans.map(|span| span["name"].as_str().unwrap().to_owned()).collect();
    names.retain(|name| name.contains(':'));
    names.sort();
    names
}

#[test]
fn ways_are_made_when_an_observed_request_wants_them() {
    let all = ["0:request-id", "1:key-auth", "2:fault-middleware", "3:security-headers", "4:hello"];
    let alone = ["2:fault-middleware"];
    let none: [&str; 0] = [];
    for ((kind, pipeline), (before, ways)) in
        chains().iter().zip([(&none[..], 1), (&none, 1), (&all, 0), (&alone, 2)])
    {
        run(async {
            let (generation, inputs, workshop) = built(&configuration(pipeline, "sample = 1"));
            let queue = Arc::new(SpanQueue::new(1000, 1, Arc::default()));
            assert_eq!(observed::make(&inputs, &generation, &workshop), 0, "{kind}: none is wanted");
            let gateway = Inside::serve(generation, "127.0.0.1:4567", &Metrics::new(), &queue);
            let fields = [("x-api-key", "the-key")];
            ask(&gateway, "/", &fields).await;
            assert_eq!(stages(&gateway, 0).await, before, "{kind}");
            // A request wants the ways that it would have taken.
            let mut made = 0;
            while made < ways {
                let more = observed::make(&inputs, &gateway.live.load(), &workshop);
                assert!(more > 0, "{kind}: {made} of {ways}");
                made += more;
                ask(&gateway, "/", &fields).await;
            }
            let traces = gateway.tracer.recent().all().len();
            ask(&gateway, "/", &fields).await;
            assert_eq!(stages(&gateway, traces).await, all, "{kind}");
            assert_eq!(observed::make(&inputs, &gateway.live.load(), &workshop), 0, "{kind}");
        });
    }
}

/// The body `what`, `request` or `response`, of the span with this name.
fn body(trace: &serde_json::Value, span: &str, what: &str) -> serde_json::Value {
    let span = trace["spans"].as_array().unwrap().iter().find(|it| it["name"] == span);
    span.unwrap_or_else(|| panic!("a span is not in {trace:#}"))["heads"]["bodies"][what].clone()
}

/// Stages that change bodies, in every link and form.
fn with_bodies() -> Vec<(&'static str, String)> {
    let stages = "stages = [{ component = 'pass-through-async' }, { component = 'fault-middleware', grant = { clocks = true } }, \
                  { component = 'pass-through-sync' }]\nservice = { component = 'echo' }";
    vec![
        ("static", stages.to_owned()),
        ("component", format!("form = 'component'\n{stages}")),
        ("dynamic", format!("link = 'dynamic'\n{stages}")),
        ("mixed", stages.replace("grant = { clocks", "link = 'dynamic', grant = { clocks")),
    ]
}

#[test]
fn bodies_are_shown_to_who_asks_for_them() {
    const STAGES: [&str; 4] = ["0:pass-through-async", "1:fault-middleware", "2:pass-through-sync", "3:echo"];
    let (sent, upper) = ("hello, body", "HELLO, BODY");
    for (kind, pipeline) in with_bodies() {
        run(async {
            let gateway = serve(&bodies_of(&pipeline, "body-size = '1KiB'"));
            let long = &*Box::leak("é".repeat(1000).into_boxed_str());
            for (bodies, text, before, behind, cut) in [
                (true, sent, sent, upper, false),
                (false, sent, "", "", false),
                (true, long, long, long, true),
            ] {
                let show = Show { secrets: false, bodies };
                let wanted = Wanted::default();
                let id = gateway.tracer.watches().add(wanted, show, Duration::from_secs(60)).unwrap();
                gateway.tracer.watches().arm(id);
                let before_it = gateway.tracer.recent().all().len();
                let request = Request::post("http://localhost/").header("host", "localhost");
                let fields = [("x-middleware-fault", "transform-request")];
                let response = gateway.ask(request, &fields, text).await;
                let echoed = response.into_body().collect().await.unwrap().to_bytes();
                let trace = watched(&gateway, &id.to_string()).await.whole(None);
                let kept = gateway.tracer.recent().all().len() - before_it;
                assert_eq!(kept, usize::from(!bodies), "a list has none with bodies");
                if !bodies {
                    assert!(body(&trace, STAGES[0], "request").is_null(), "{kind}: {trace:#}");
                    continue;
                }
                for (stage, got) in STAGES.iter().zip([before, before, behind, behind]) {
                    let got = if cut { "é".repeat(512) } else { got.to_owned() };
                    let expected = serde_json::json!({
                        "bytes": text.len(), "shown": got.len(), "truncated": cut, "text": got,
                    });
                    let request = body(&trace, stage, "request");
                    // What is no ASCII is not changed by this stage, and what is cut is the same.
                    assert_eq!(request, expected, "{kind}: {stage}");
                    let response = body(&trace, stage, "response");
                    assert_eq!(response["bytes"], echoed.len(), "{kind}: {stage}");
                    let given = if cut { "é".repeat(512) } else { behind.to_owned() };
                    assert_eq!(response["text"], given, "{kind}: {stage}");
                }
                assert!(body(&trace, "POST /", "request").is_null(), "the first stage has it");
            }
        });
    }
}

fn bodies_of(pipeline: &str, telemetry: &str) -> String {
    let names = ["pass-through-async", "fault-middleware", "pass-through-sync", "echo"];
    let components: String = names.iter().map(|name| format!("{name}.path = {:?}\n", dist(name))).collect();
    format!(
        "listeners = [{{ address = '127.0.0.1:0' }}]\nroutes = [{{ pipeline = 'main' }}]\n\
         admin = {{ address = '127.0.0.1:0' }}\n[telemetry]\nsample = 0\n{telemetry}\n[components]\n{components}\
         [pipelines.main]\n{pipeline}\n"
    )
}
