//! `wasi:otel`: spans that stages tell of by themselves, below their own, in every link and form.

use crate::harness::inside::{Inside, generation};
use crate::harness::{MS, SOON, dist, run};
use http::Request;
use http_body_util::BodyExt as _;
use linkspan::plan::PipelineIndex;
use linkspan::telemetry::trace::{DropReason, FinishedTrace, Span, SpanKind, SpanQueue, Value};
use linkspan::telemetry::{Format, Metrics};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A stage that tells what the field `x-NUMBER` says.
fn stage(number: usize, form: &str, more: &str) -> String {
    let clocks = if form == "-async" { ", clocks = true" } else { "" };
    format!(
        "{{ component = 'otel{form}', config = {{ field = 'x-{number}' }}, grant = {{ otel = true{clocks} }}{more} }}"
    )
}

/// Two such stages, with others before and behind them, in every link and form.
fn chains() -> Vec<(&'static str, String)> {
    let chain = |forms: [&str; 2], more: [&str; 2], keys: &str| {
        let [one, two] = [0, 1].map(|at| stage(at + 1, forms[at], more[at]));
        format!(
            "{keys}\nstages = [{{ component = 'request-id', grant = {{ random = true }} }}, {one}, {two}]\n\
             service = {{ component = 'hello' }}"
        )
    };
    let dynamic = ", link = 'dynamic'";
    vec![
        ("static", chain(["", ""], ["", ""], "")),
        ("component", chain(["", ""], ["", ""], "form = 'component'")),
        ("async", chain(["-async", "-async"], ["", ""], "")),
        ("both lifts", chain(["", "-async"], ["", ""], "")),
        ("dynamic", chain(["", "-async"], ["", ""], "link = 'dynamic'")),
        ("mixed", chain(["", ""], ["", dynamic], "")),
    ]
}

fn configuration(pipeline: &str, telemetry: &str) -> String {
    let names = ["otel", "otel-async", "request-id", "hello"];
    let components: String = names.iter().map(|name| format!("{name}.path = {:?}\n", dist(name))).collect();
    format!(
        "listeners = [{{ address = '127.0.0.1:0' }}]\nroutes = [{{ pipeline = 'main' }}]\n\
         [telemetry]\n{telemetry}\n[components]\n{components}[pipelines.main]\n{pipeline}\n"
    )
}

/// A gateway, and where its traces go.
struct Served {
    gateway: Inside,
    queue: Arc<SpanQueue>,
    metrics: Arc<Metrics>,
}

fn serve(pipeline: &str, telemetry: &str) -> Served {
    let stages = if telemetry.contains("stages =") { "" } else { "stages = true\n" };
    let generation = generation(&configuration(pipeline, &format!("{stages}{telemetry}")));
    let (metrics, queue) = (Metrics::new(), Arc::new(SpanQueue::new(10_000, 1, Arc::default())));
    Served { gateway: Inside::serve(generation, "127.0.0.1:4567", &metrics, &queue), queue, metrics }
}

impl Served {
    /// Series of stages' own, without the names of their labels for pipeline and library.
    fn metrics(&self) -> Vec<String> {
        self.metrics.set_own_metrics(self.gateway.live.load().own_metrics.clone());
        let text = self.metrics.render(Format::Prometheus);
        let own = |line: &&str| line.starts_with("stage_");
        let library = "otel_scope_name=\"guest\",otel_scope_version=\"1\"";
        text.lines()
            .filter(own)
            .map(|line| line.replace("linkspan_pipeline=\"main\",", "").replace(library, ""))
            .collect()
    }

    /// Spans that stages told of and that were dropped, until now.
    fn dropped(&self) -> u64 {
        self.metrics.traces().dropped(DropReason::Told)
    }

    /// The contexts that both stages were told, in the answer to a request with these fields.
    async fn ask(&self, fields: &[(&str, &str)]) -> [String; 2] {
        let request = Request::builder().uri("http://localhost/").header("host", "localhost");
        let response = self.gateway.ask(request, fields, "").await;
        assert_eq!(response.status(), 200, "{fields:?}");
        let context = |name| response.headers()[name].to_str().unwrap().to_owned();
        let contexts = ["x-1", "x-2"].map(context);
        response.into_body().collect().await.expect("a whole body");
        contexts
    }

    async fn trace(&self) -> FinishedTrace {
        let start = Instant::now();
        while self.queue.is_empty() {
            assert!(start.elapsed() < SOON, "the trace has no end");
            tokio::time::sleep(MS).await;
        }
        self.queue.take(Duration::ZERO).unwrap().remove(0)
    }
}

#[track_caller]
fn span<'s>(trace: &'s FinishedTrace, name: &str) -> &'s Span {
    let found = trace.spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in {:?}", trace.spans))
}

/// The spans that were told of, each with the name of its parent, sorted.
fn told(trace: &FinishedTrace) -> Vec<(String, String)> {
    let name = |span: &Span| {
        let parent = trace.spans.iter().find(|other| Some(other.id) == span.parent);
        (span.name.to_string(), parent.map(|parent| parent.name.to_string()).unwrap_or_default())
    };
    let mut told: Vec<_> = trace.spans.iter().filter(|span| span.told).map(name).collect();
    told.sort();
    told
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, parent)| ((*name).to_owned(), (*parent).to_owned())).collect()
}

/// The stage at a place, as its span is called.
fn names(trace: &FinishedTrace) -> [String; 2] {
    [1, 2].map(|place| {
        let is = |span: &&Span| span.name.starts_with(&format!("{place}:"));
        trace.spans.iter().find(is).unwrap_or_else(|| panic!("{:?}", trace.spans)).name.to_string()
    })
}

#[test]
fn spans_hang_below_those_of_their_stages() {
    for (kind, pipeline) in chains() {
        run(async {
            let served = serve(&pipeline, "sample = 1");
            // Twice: an instance that has told before tells of another trace.
            for _ in 0..2 {
                let contexts = served.ask(&[("x-1", "span,nested,error"), ("x-2", "span,circle")]).await;
                let trace = served.trace().await;
                let [one, two] = names(&trace);
                let mut expected = pairs(&[
                    ("a", &one),
                    ("a", &two),
                    ("c1", "c2"),
                    ("c2", &two),
                    ("e", &one),
                    ("inner", "outer"),
                    ("outer", &one),
                ]);
                // Which of a circle hangs under the stage is the first one's matter.
                let mut found = told(&trace);
                if found.contains(&("c1".to_owned(), two.clone())) {
                    (expected[2], expected[3]) = (("c1".into(), two.clone()), ("c2".into(), "c1".into()));
                }
                expected.sort();
                found.sort();
                assert_eq!(found, expected, "{kind}");
                for (context, name) in contexts.iter().zip([&one, &two]) {
                    assert_eq!(*context, format!("{}-{}-01", trace.id, span(&trace, name).id), "{kind}");
                }
                for told in trace.spans.iter().filter(|span| span.told) {
                    let parent = trace.spans.iter().find(|span| Some(span.id) == told.parent).unwrap();
                    assert!(parent.start <= told.start && told.end <= parent.end, "{kind}: {told:?}");
                    assert_eq!(told.get("otel.scope.name"), Some(&"guest".into()), "{kind}");
                }
                let a = span(&trace, "a");
                assert_eq!(
                    (a.kind, a.get("number")),
                    (SpanKind::Internal, Some(&Value::Number(7))),
                    "{kind}"
                );
                assert_eq!((&*a.events[0].name, a.events.len()), ("half", 1), "{kind}");
                assert_eq!(span(&trace, "e").error.as_deref(), Some("no room"), "{kind}");
                assert!(span(&trace, &one).error.is_none() && served.dropped() == 0, "{kind}");
            }
        });
    }
}

#[test]
fn whatever_a_stage_tells_has_its_place_or_is_dropped() {
    // What is told, what is kept of it, and how many are dropped.
    let cases: [(&str, &[&str], u64); 12] = [
        ("twice", &["t"], 1),
        ("unstarted", &["u"], 0),
        ("unended", &[], 1),
        ("foreign", &[], 2),
        ("orphan", &["o"], 0),
        ("stolen", &[], 1),
        ("unnamed", &[], 8),
        ("times", &["w"], 0),
        ("huge", &["h"], 0),
        ("reserved", &["r"], 0),
        ("many", &["m"; 64], 2 * (300 - 64)),
        ("twice,unended,orphan", &["o", "t"], 2),
    ];
    for (kind, pipeline) in [chains().swap_remove(0), chains().swap_remove(4)] {
        run(async {
            let served = serve(&pipeline, "sample = 1");
            for (words, kept, dropped) in cases {
                let before = served.dropped();
                served.ask(&[("x-1", words)]).await;
                let trace = served.trace().await;
                let [stage, _] = names(&trace);
                let found = told(&trace);
                let is_cut =
                    |name: &str| if name.starts_with('h') { "h".to_owned() } else { name.to_owned() };
                let found: Vec<_> =
                    found.iter().map(|(name, parent)| (is_cut(name), parent.clone())).collect();
                let expected: Vec<_> = kept.iter().map(|name| ((*name).to_owned(), stage.clone())).collect();
                assert_eq!(found, expected, "{kind}: {words}");
                assert_eq!(served.dropped() - before, dropped, "{kind}: {words}");
                let own = span(&trace, &stage);
                let counted = own.get("linkspan.stage.dropped_spans");
                let expected = (dropped > 0).then_some(Value::Number(dropped as i64));
                assert_eq!(counted, expected.as_ref(), "{kind}: {words}");
                for told in trace.spans.iter().filter(|span| span.told) {
                    assert!(
                        own.start <= told.start && told.start <= told.end && told.end <= own.end,
                        "{told:?}"
                    );
                    assert!(told.get("linkspan.stage.own_time").is_none(), "{told:?}");
                    let texts =
                        told.attributes.iter().map(|(name, value)| name.len() + format!("{value:?}").len());
                    assert!(texts.sum::<usize>() < 20_000 && told.attributes.len() <= 64, "{kind}: {words}");
                }
                if words == "huge" {
                    let told = trace.spans.iter().find(|span| span.told).unwrap();
                    assert!(told.dropped_attributes > 200 && told.dropped_events > 200, "{told:?}");
                    assert_eq!((told.dropped_links, told.name.len()), (1, 256));
                }
            }
        });
    }
}

#[test]
fn the_file_says_how_much_may_be_told() {
    run(async {
        let served = serve(&chains()[0].1, "sample = 1\nstage-spans = 3\nstage-span-size = '1KiB'");
        served.ask(&[("x-1", "many"), ("x-2", "many")]).await;
        let trace = served.trace().await;
        assert_eq!(told(&trace).len(), 3, "of all stages together");
        let served = serve(&chains()[0].1, "sample = 1\nspans = 10");
        served.ask(&[("x-1", "many")]).await;
        let trace = served.trace().await;
        assert!(trace.spans.len() <= 10 && !told(&trace).is_empty(), "{}", trace.spans.len());
        let served = serve(&chains()[0].1, "sample = 1\nstage-spans = 0");
        served.ask(&[("x-1", "span")]).await;
        assert!(told(&served.trace().await).is_empty());
    });
}

#[test]
fn a_request_that_is_not_observed_has_an_unsampled_context() {
    let all = "span,nested,twice,unended,foreign,stolen,huge,many";
    for (kind, pipeline) in chains() {
        run(async {
            let served = serve(&pipeline, "sample = 0");
            let none = format!("{}-{}-00", "0".repeat(32), "0".repeat(16));
            assert_eq!(served.ask(&[("x-1", all)]).await, [none.clone(), none], "{kind}");
            let sent = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
            let parent = format!("00-{sent}-01");
            let contexts = served.ask(&[("x-1", all), ("traceparent", &parent)]).await;
            assert_eq!(contexts, [format!("{sent}-00"), format!("{sent}-00")], "{kind}");
            assert_eq!((served.dropped(), served.queue.len()), (0, 0), "{kind}");
        });
        run(async {
            // Sampled, without spans of stages: there is nothing under which it could hang.
            let served = serve(&pipeline.replace("link = 'dynamic'", ""), "sample = 1\nstages = false");
            let [one, two] = served.ask(&[("x-1", all)]).await;
            let trace = served.trace().await;
            let root = span(&trace, "GET /");
            assert_eq!((&one, &two), (&format!("{}-{}-00", trace.id, root.id), &one), "{kind}");
            assert_eq!((trace.spans.len(), served.dropped()), (1, 0), "{kind}");
        });
    }
}

#[test]
fn a_span_may_end_with_the_body_of_the_response() {
    for (kind, pipeline) in chains().into_iter().filter(|(_, pipeline)| pipeline.contains("otel-async")) {
        run(async {
            let served = serve(&pipeline, "sample = 1");
            served.ask(&[("x-2", "late")]).await;
            let trace = served.trace().await;
            let [_, two] = names(&trace);
            assert_eq!(told(&trace), pairs(&[("l", &two)]), "{kind}");
            assert_eq!(served.dropped(), 0, "{kind}");
        });
    }
}

#[test]
fn a_record_is_a_line_of_the_log() {
    run(async {
        let served = serve(&chains()[0].1, "sample = 1");
        served.ask(&[("x-1", "record")]).await;
        let trace = served.trace().await;
        let [one, _] = names(&trace);
        let calls = span(&trace, &one).get("linkspan.stage.host_calls.otel");
        // Its context, and the record.
        assert_eq!(calls, Some(&Value::Number(2)));
    });
}

#[test]
fn metrics_of_stages_are_those_of_the_gateway() {
    for (kind, pipeline) in chains() {
        run(async {
            // Instances of one request, so that what several have told is added up.
            for keys in ["", "limits = { reuse = 1 }\n"] {
                let served = serve(&format!("{keys}{pipeline}"), "sample = 0");
                for _ in 0..3 {
                    served.ask(&[("x-1", "hits,sizes"), ("x-2", "hits,powers,level,heat,record")]).await;
                }
                let label = |place: usize| {
                    let stages = served.gateway.live.load();
                    let stage = stages.plan.pipelines[0].all_stages().nth(place).unwrap().id.label();
                    format!("linkspan_stage=\"{stage}\"")
                };
                let (one, two) = (label(1), label(2));
                let metrics = served.metrics();
                for line in [
                    format!("stage_hits_total{{{one},kind=\"page\",}} 3"),
                    format!("stage_hits_total{{{two},kind=\"page\",}} 3"),
                    format!("stage_sizes_bucket{{{one},,le=\"0.5\"}} 0"),
                    format!("stage_sizes_bucket{{{one},,le=\"10\"}} 3"),
                    format!("stage_sizes_sum{{{one},}} 3"),
                    format!("stage_powers_bucket{{{two},,le=\"1\"}} 3"),
                    format!("stage_powers_count{{{two},}} 3"),
                ] {
                    assert!(metrics.contains(&line), "{kind}, {keys}: {line}\n{metrics:#?}");
                }
                // What falls with its instance: three of one, or none of those that are gone.
                let level = metrics.iter().find(|line| line.starts_with("stage_level{")).unwrap();
                let alive = level.rsplit_once(' ').unwrap().1;
                assert!(
                    if keys.is_empty() { alive == "3" } else { ["0", "1"].contains(&alive) },
                    "{kind}: {level}"
                );
            }
        });
    }
}

#[test]
fn metrics_without_room_are_dropped_and_the_stage_is_told() {
    for (kind, pipeline) in chains() {
        run(async {
            let served = serve(&pipeline, "sample = 0\nstage-series = 5");
            let request = Request::builder().uri("http://localhost/").header("host", "localhost");
            let response =
                served.gateway.ask(request, &[("x-1", "hits,series,clash"), ("x-2", "series")], "").await;
            let refused = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            let full = "points were dropped: there are as many series as there may be";
            let clash = "1 points were dropped: the name stands for a metric of another type";
            assert_eq!(refused("x-1-refused"), format!("296 {full}{clash}"), "{kind}");
            assert_eq!(refused("x-2-refused"), format!("295 {full}"), "{kind}");
            let metrics = served.metrics();
            assert_eq!(metrics.len(), 10, "{kind}: {metrics:#?}");
            let text = served.metrics.render(Format::Prometheus);
            let dropped =
                text.lines().filter(|line| line.starts_with("linkspan_stage_points_dropped_total{"));
            let dropped: Vec<_> = dropped.map(|line| line.rsplit_once(' ').unwrap().1).collect();
            assert_eq!(dropped, ["297", "295"], "{kind}");
        });
    }
}

#[test]
fn a_segment_with_such_a_stage_has_the_component_form_and_says_why() {
    let generation = generation(&configuration(&chains()[0].1, "stages = true"));
    let forks: Vec<_> = generation.pipeline(PipelineIndex(0)).forks().collect();
    let reason = forks[0].whole().segment.form.reason().map(str::to_owned);
    assert!(
        reason.as_deref().is_some_and(|reason| {
            reason.contains("1:otel")
                && reason.contains("wasi:otel/")
                && reason.ends_with("is not on the list")
        }),
        "{reason:?}"
    );
}
