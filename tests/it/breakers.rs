//! What a stage's breaker learns: all that the stage does wrong, and nothing that others do.

use crate::chain_test;
use crate::harness::{
    Answer, Chain, Client, Folder, Gateway, Line, MS, Pipeline, Protocol, SOON, Setup, dist, eventually, get,
    in_time, run, soon,
};
use crate::swap::support::{Served, pipeline};
use std::time::Instant;

/// A middleware with a breaker, in a store of its own, and a service.
fn guarded(chain: Chain, breaker: &str) -> Pipeline {
    let keys = format!("link = \"dynamic\"\nbreaker = {{ {breaker} }}\n");
    chain.pipeline("fault-service").stage_with("fault-middleware", &keys).limit("deadline = \"1s\"")
}

fn opened(line: &Line) -> bool {
    line["message"] == "breaker opened"
}

fn closed(line: &Line) -> bool {
    line["message"] == "breaker closed: the stage works again"
}

/// Asks until the stage is tried again, which then answers 500.
async fn probe(client: &mut Client, fields: &[(&str, &str)]) {
    let start = Instant::now();
    while client.get("/", fields).await.status != 500 {
        assert!(start.elapsed() < SOON, "the stage is not tried again");
    }
}

/// What makes the middleware fail when the next stage has answered.
const AFTER: [(&str, &str); 1] = [("x-middleware-fault", "trap-after")];

chain_test! {
    /// A stage that fails once the next one has answered is taken out of the way, as one that fails before.
    fn failures_after_the_next_stage_answered(chain) {
        let gateway = Gateway::start(&Setup::of([guarded(chain, "failures = 3, open = \"1h\", then = \"close\"")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for _ in 0..3 {
                client.get("/", &AFTER).await.problem(500, "guest-trap");
            }
            assert_eq!(client.get("/", &[]).await.status, 503, "the breaker is open");
        });
        gateway.counts(1, opened);
        gateway.stop();
    }
}

chain_test! {
    /// A probe that fails after the next stage answered keeps the breaker open; one that hands on the next one's error
    /// closes it, for the stage did what it should.
    fn each_probe_decides(chain) {
        let gateway = Gateway::start(&Setup::of([guarded(chain, "failures = 1, open = \"50ms\", then = \"close\"")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            client.get("/", &AFTER).await.problem(500, "guest-trap");
            for _ in 0..3 {
                probe(&mut client, &AFTER).await;
                assert_eq!(gateway.count(closed), 0);
            }
            probe(&mut client, &[("x-fault", "error")]).await;
            soon("the breaker closes", || gateway.count(closed) == 1).await;
            client.get("/", &[]).await.ok();
        });
        gateway.stop();
    }
}

chain_test! {
    /// What a later stage does is not this one's failure: its errors, its traps, its silence.
    fn errors_that_are_handed_on(chain) {
        let gateway = Gateway::start(&Setup::of([guarded(chain, "failures = 1, open = \"1h\"")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for fault in ["error", "trap", "hang"] {
                let answer = client.get("/", &[("x-fault", fault)]).await;
                assert!(answer.status.is_server_error(), "{fault}: {answer:?}");
                client.get("/", &[]).await.ok();
            }
            assert_eq!(gateway.count(opened), 0);
            // Its own silence is.
            client.get("/", &[("x-middleware-fault", "hang")]).await.problem(504, "deadline");
        });
        gateway.counts(1, opened);
        gateway.stop();
    }
}

chain_test! {
    /// A stage's own deadline ends that stage, which is bypassed, or answered for with 504. The pipeline's is a promise
    /// to the client: past it, nobody is bypassed.
    fn deadlines(chain) {
        let pipeline = |name: &str, keys: &str, deadline: &str| {
            let keys = format!("link = \"dynamic\"\n{keys}\n");
            let pipeline = chain.named(name, "fault-service").stage_with("fault-middleware", &keys);
            pipeline.limit(&format!("deadline = \"{deadline}\"")).route(&format!("path = \"/{name}\""))
        };
        let (own, bypass) = ("limits = { deadline = \"200ms\" }", "on-failure = \"bypass\"");
        let gateway = Gateway::start(&Setup::of([
            pipeline("both", &format!("{own}\n{bypass}"), "10m"),
            pipeline("own", own, "10m"),
            pipeline("late", bypass, "300ms"),
        ]));
        run(async {
            let hang = [("x-middleware-fault", "hang")];
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let answer = client.get("/both", &hang).await.ok();
            let stage = format!("both/{}:fault-middleware", chain.front.len());
            assert_eq!((answer.text(), answer.header("linkspan-bypassed")), ("ok", Some(&*stage)));
            client.get("/own", &hang).await.problem(504, "deadline");
            client.get("/late", &hang).await.problem(504, "deadline");
        });
        gateway.counts(1, |line| line["message"] == "a stage failed and was bypassed");
        gateway.stop();
    }
}

/// A trap in the midst of the response's body counts as well, also of a probe, which its head had made a success.
#[test]
fn bodies_that_break_off() {
    let keys = "link = \"dynamic\"\nbreaker = { failures = 2, open = \"200ms\", then = \"close\" }";
    let pipeline = Pipeline::new("main", "fault-service").service_with(keys);
    let gateway = Gateway::start(&Setup::of([pipeline]));
    run(async {
        let half = || get("/", &[("x-fault", "half-body-chunked")]);
        for _ in 0..2 {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            // The head may not be out before the body breaks.
            drop(client.try_ask(half()).await);
        }
        soon("the breaker opens", || gateway.count(opened) == 1).await;
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        client.get("/", &[]).await.problem(503, "breaker-open");
        tokio::time::sleep(250 * MS).await;
        drop(client.try_ask(half()).await);
    });
    let again = |line: &Line| line["message"] == "breaker opened again: the probe's body broke off";
    eventually("the probe opens it again", || gateway.count(again) == 1);
    gateway.stop();
}

/// What fail-open did, and what a breaker does, is in the access log, in the metrics, and in the answers.
#[test]
fn what_was_bypassed_is_told() {
    let folder = Folder::new();
    let log = folder.path().join("access.log");
    let fault = |policy: &str| {
        let fault = "component = \"fault-middleware\", link = \"dynamic\", grant = { clocks = true }";
        format!("{{ {fault}, {policy} }}")
    };
    let breaker = |then: &str| format!("breaker = {{ failures = 1, open = \"1h\", then = \"{then}\" }}");
    let hello = "component = \"hello\"";
    let mut text = format!(
        "[access-log]\npath = {log:?}\n[components.fault-middleware]\npath = {:?}\n",
        dist("fault-middleware")
    );
    for (name, policy) in [
        ("failing", "on-failure = \"bypass\"".to_owned()),
        ("open", format!("on-failure = \"bypass\", {}", breaker("bypass"))),
        ("closed", breaker("close")),
    ] {
        text += &pipeline(name, &fault(&policy), hello);
        text += &format!("[[routes]]\npipeline = \"{name}\"\npath = \"/{name}\"\n");
    }
    let served = Served::start("", &text);
    let trap = [("x-middleware-fault", "trap")];
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        client.get("/failing", &trap).await.ok();
        client.get("/open", &trap).await.ok();
        client.get("/open", &[]).await.ok();
        client.get("/closed", &trap).await.problem(500, "guest-trap");
        client.get("/closed", &[]).await.problem(503, "breaker-open");
        let stage = |pipeline: &str| {
            format!("linkspan_pipeline=\"{pipeline}\",linkspan_stage=\"0:fault-middleware\"")
        };
        let bypassed = |pipeline: &str, reason: &str| {
            format!("linkspan_stage_bypassed_total{{{},reason=\"{reason}\"}}", stage(pipeline))
        };
        for (metric, expected) in [
            (bypassed("failing", "failed"), 1.0),
            (bypassed("failing", "breaker-open"), 0.0),
            (bypassed("open", "failed"), 1.0),
            (bypassed("open", "breaker-open"), 1.0),
            (format!("linkspan_breaker_refusals_total{{{}}}", stage("closed")), 1.0),
            (format!("linkspan_breaker_open{{{}}}", stage("closed")), 1.0),
            (format!("linkspan_breaker_opened_total{{{}}}", stage("open")), 1.0),
            ("linkspan_capacity_refusals_total{linkspan_pipeline=\"closed\"}".to_owned(), 0.0),
        ] {
            assert!((served.metric(&metric).await - expected).abs() < 0.5, "{metric}");
        }
    });
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("five lines", || lines().lines().count() == 5);
    let told: Vec<_> = lines()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (line["bypassed"].clone(), line["reason"].clone()))
        .collect();
    let (stage, none) = (serde_json::Value::from("0:fault-middleware"), serde_json::Value::Null);
    let bypassed = (stage, none.clone());
    let closed = [(none.clone(), "guest-trap".into()), (none, "breaker-open".into())];
    assert_eq!(told, [[bypassed.clone(), bypassed.clone(), bypassed].as_slice(), &closed].concat());
    served.gateway.stop();
}

/// A fault in a later store has one line for its stage, whatever stages hand its error on.
#[test]
fn one_line_for_the_stage_at_fault() {
    // The service's own: that of the pipeline may end the request before the service has failed.
    let deadline = "limits = { deadline = \"1s\" }";
    let pipeline = Pipeline::new("main", "fault-service").service_with(deadline).link("dynamic");
    let pipeline = pipeline.stage("pass-through-sync").stage("pass-through-async").stage("pass-through-sync");
    let gateway = Gateway::start(&Setup::of([pipeline]));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for fault in ["error", "trap", "hang"] {
            let answer = client.get("/", &[("x-fault", fault)]).await;
            let id = answer.json()["request-id"].as_str().unwrap().to_owned();
            gateway.reason(&id);
            let stages =
                |line: &Line| line["request_id"] == *id && line["message"] == "a stage gave no response";
            assert_eq!(gateway.count(stages), 1, "{fault}: {:#?}", gateway.log());
            assert_eq!(gateway.line(stages)["stage"], "main/3:fault-service", "{fault}");
        }
    });
    gateway.stop();
}

chain_test! {
    /// A stage's own lines say for which request it works.
    fn lines_have_the_request(chain) {
        let gateway = Gateway::start(&Setup::of([chain.pipeline("fault-service").stage("fault-middleware")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            let asked = || get("/", &[("x-middleware-fault", "log"), ("x-fault", "error")]);
            let asked: Vec<_> = (0..8).map(|_| client.start(asked())).collect();
            for answer in asked {
                let answer = Answer::read(in_time(answer).await.unwrap()).await;
                let id = answer.problem(500, "guest-error");
                let own = |line: &Line| line["target"] == "linkspan::stage" && line["request_id"] == *id;
                assert_eq!(gateway.line(own)["message"], "as asked");
            }
        });
        gateway.stop();
    }
}
