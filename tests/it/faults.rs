//! Guests that fail, in every way that a guest can: each request gets its answer within its bound, nobody else suffers,
//! and nothing stays behind.

use crate::chain_test;
use crate::harness::{
    Answer, Chain, Client, Gateway, Line, MS, PROTOCOLS, Pipeline, Protocol, Setup, body, get, in_time,
    request, run, soon,
};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

/// A fault, and what the client and the log are told.
struct Case {
    fault: &'static str,
    status: u16,
    kind: &'static str,
    /// In the log's `reason`.
    reason: &'static str,
    /// Whether the log names the stage.
    stage: bool,
}

const fn case(
    fault: &'static str,
    status: u16,
    kind: &'static str,
    reason: &'static str,
    stage: bool,
) -> Case {
    Case { fault, status, kind, reason, stage }
}

/// What every service and middleware of the tests can do.
const CASES: [Case; 6] = [
    case("trap", 500, "guest-trap", "`unreachable`", true),
    case("loop", 500, "guest-trap", "`limits.cpu`", true),
    case("allocate", 500, "guest-trap", "", true),
    case("hang", 504, "deadline", "`limits.deadline`", false),
    case("error", 500, "guest-error", "as asked", false),
    case("deny", 500, "guest-error", "HttpRequestDenied", false),
];

/// What only a middleware can: fail when the next stage has answered.
const AFTER: [Case; 2] = [
    case("trap-after", 500, "guest-trap", "`unreachable`", true),
    case("loop-after", 500, "guest-trap", "`limits.cpu`", true),
];

const SERVICES: [&str; 2] = ["fault-service", "fault-service-sync"];
const MIDDLEWARE: [&str; 2] = ["fault-middleware", "fault-middleware-sync"];

const LIMITS: &str = "cpu = \"50ms\"\nlinger = \"200ms\"";

/// Of the pipeline that a guest hangs in: no other fault meets its deadline, however busy the machine is.
const HASTY: &str = "hasty-";

/// A pipeline for each faulty component, at the path of its name, and one with a short deadline, on one worker, with
/// one that is sound.
fn setup(chain: Chain, limits: &str) -> Setup {
    let front = |name: &str, service: &str| chain.named(name, service).route(&format!("path = \"/{name}\""));
    let memory = "limits = { memory = \"16MiB\" }";
    let pipelines = ["", HASTY].into_iter().flat_map(|kind| {
        let services = SERVICES.map(|name| front(&format!("{kind}{name}"), name).service_with(memory));
        let of_middleware = |name: &str| front(&format!("{kind}{name}"), "hello").stage_with(name, memory);
        let pipelines = services.into_iter().chain(MIDDLEWARE.map(of_middleware));
        let hasty = if kind == HASTY { "deadline = \"400ms\"" } else { "" };
        pipelines.map(|pipeline| pipeline.limit(limits).limit(hasty))
    });
    Setup::of(pipelines.chain([front("neighbour", "hello")]))
}

/// Runs one fault and checks its answer, its log line, and that the pipeline and its neighbour go on.
async fn run_case(gateway: &Gateway, client: &mut Client, pipeline: &str, field: &str, case: &Case) {
    let pipeline = match case.fault {
        "hang" => &format!("{HASTY}{pipeline}"),
        _ => pipeline,
    };
    let path = format!("/{pipeline}/a?secret=1");
    let answer = client.get(&path, &[(field, case.fault)]).await;
    let id = answer.problem(case.status, case.kind);
    let line = gateway.reason(&id);
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["pipeline"], pipeline);
    assert_eq!(line["status"], case.status);
    assert_eq!(line["path"], format!("/{pipeline}/a"), "the query is not logged");
    let reason = line["reason"].as_str().unwrap();
    assert!(!reason.is_empty() && reason.contains(case.reason), "{line}");
    assert!(!reason.contains('\n'), "no backtrace in the log: {line}");
    match case.stage {
        true => {
            let stage = line["stage"].as_str().unwrap_or_else(|| panic!("no stage: {line}"));
            assert!(
                stage.starts_with(&format!("{pipeline}/")) && stage.ends_with(&format!(":{pipeline}")),
                "{line}"
            );
        }
        false => assert!(line.get("stage").is_none_or(Line::is_null), "{line}"),
    }
    client.get(&format!("/{pipeline}"), &[]).await.ok();
    client.get("/neighbour", &[]).await.ok();
}

chain_test! {
    /// Faults of services.
    fn services(chain) {
        let gateway = Gateway::start(&setup(chain, LIMITS));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for pipeline in SERVICES {
                    for case in &CASES {
                        run_case(&gateway, &mut client, pipeline, "x-fault", case).await;
                    }
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Faults of middleware, before and after the next stage has answered.
    fn middleware(chain) {
        let gateway = Gateway::start(&setup(chain, LIMITS));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for pipeline in MIDDLEWARE {
                    for case in CASES.iter().chain(&AFTER) {
                        run_case(&gateway, &mut client, pipeline, "x-middleware-fault", case).await;
                    }
                }
            }
        });
        gateway.stop();
    }
}

/// An instance that has one call at a time takes requests in a row. What one of them does to it, the others don't
/// notice: those with which it did not begin go elsewhere.
#[test]
fn in_a_row() {
    const ROW: usize = 24;
    for link in ["static", "dynamic"] {
        let pipeline = |name: &str| {
            Pipeline::new(name, "fault-service-sync").link(link).stage("fault-middleware-sync").limit(LIMITS)
        };
        let hasty = pipeline("hasty").limit("deadline = \"2s\"").route("path = \"/hasty\"");
        let gateway = Gateway::start(&Setup::of([pipeline("main"), hasty]).workers(1));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            for (path, fault, status) in [("/", "trap", 500), ("/", "loop", 500), ("/hasty", "hang", 504)] {
                for at in [0, ROW / 2] {
                    // With an instance that is there.
                    client.get(path, &[]).await.ok();
                    let asked = |n| if n == at { get(path, &[("x-fault", fault)]) } else { get(path, &[]) };
                    let row: Vec<_> = (0..ROW).map(|n| client.start(asked(n))).collect();
                    for (n, response) in row.into_iter().enumerate() {
                        let answer = Answer::read(in_time(response).await.unwrap()).await;
                        let expected = if n == at { status } else { 200 };
                        assert_eq!(answer.status, expected, "{link}, {fault} at {at}: {n}: {answer:?}");
                    }
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A middleware may drop an answer and give its own, or call the next stage twice.
    fn unusual_middleware(chain) {
        let gateway = Gateway::start(&setup(chain, LIMITS));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for pipeline in MIDDLEWARE {
                    let path = format!("/{pipeline}");
                    for (fault, expected) in [("drop-response", "ok"), ("next-twice", "Hello!\n"), ("drop-body", "ok")] {
                        for _ in 0..3 {
                            let body = body::whole("some bytes");
                            let fields = [("x-middleware-fault", fault)];
                            let answer = client.ask(request(Method::POST, &path, &fields, body)).await.ok();
                            assert_eq!(answer.text(), expected, "{pipeline} {fault}");
                        }
                    }
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A body that its guest did not finish is seen as cut short, with a length announced and without.
    fn half_bodies(chain) {
        let gateway = Gateway::start(&setup(chain, LIMITS));
        run(async {
            for protocol in [Protocol::Http1, Protocol::Http1Tls, Protocol::Http2] {
                for fault in ["half-body", "half-body-chunked", "body-error"] {
                    for _ in 0..10 {
                        let mut client = Client::connect(&gateway, protocol).await;
                        let sent = client.try_ask(get("/fault-service", &[("x-fault", fault)])).await;
                        // A stream that is reset before its head was sent is seen to be, too.
                        let Ok(answer) = sent else { continue };
                        assert_eq!(answer.status, StatusCode::OK);
                        assert!(answer.cut.is_some(), "{protocol:?} {fault} looks complete: {answer:?}");
                        assert!("hello".starts_with(answer.text()), "{answer:?}");
                    }
                    let mut client = Client::connect(&gateway, protocol).await;
                    client.get("/fault-service", &[]).await.ok();
                }
            }
        });
        let cut = |line: &Line| line["message"] == "a response was cut short" && line["pipeline"] == "fault-service";
        let reason = |line: &Line, reason: &str| line["reason"].as_str().unwrap().contains(reason);
        gateway.counts(90, cut);
        gateway.counts(60, |line| cut(line) && reason(line, "the instance died"));
        gateway.counts(30, |line| cut(line) && reason(line, "as asked"));
        gateway.stop();
    }
}

chain_test! {
    /// What a stage makes of a response that breaks off is seen as cut short, too, though the stage ends it as if
    /// nothing had been; an answer of its own is whole.
    fn half_bodies_that_a_stage_completes(chain) {
        let gateway = Gateway::start(&Setup::of([chain.pipeline("fault-service").stage("fault-middleware").limit(LIMITS)]));
        run(async {
            for protocol in [Protocol::Http1, Protocol::Http1Tls, Protocol::Http2] {
                for fault in ["half-body-chunked", "body-error"] {
                    if chain.link == "static" && fault == "body-error" {
                        // Within a store, it is the stage's word that counts.
                        continue;
                    }
                    let fields = |middleware| [("x-middleware-fault", middleware), ("x-fault", fault)];
                    for _ in 0..5 {
                        let mut client = Client::connect(&gateway, protocol).await;
                        let sent = client.try_ask(get("/", &fields("swallow-response"))).await;
                        let Ok(answer) = sent else { continue };
                        assert_eq!(answer.status, StatusCode::OK);
                        assert!(answer.cut.is_some(), "{protocol:?} {fault} looks complete: {answer:?}");
                    }
                    let mut client = Client::connect(&gateway, protocol).await;
                    if chain.link == "dynamic" {
                        let answer = client.get("/", &fields("drop-response")).await.ok();
                        assert_eq!(answer.text(), "ok", "{protocol:?} {fault}");
                    }
                    client.get("/", &[]).await.ok();
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// When an instance dies, the answers of others that it was still sending are cut short too, and seen to be.
    fn answers_in_a_dying_instance(chain) {
        for fault in ["trap", "loop"] {
            let setup = Setup::of([chain.pipeline("fault-service").limit("instances = 1").limit("cpu = \"50ms\"")]);
            let gateway = Gateway::start(&setup);
            run(async {
                for protocol in PROTOCOLS {
                    let mut first = Client::connect(&gateway, protocol).await;
                    let fields = [("x-fault", "stalled-body")];
                    let response = in_time(first.send(get("/", &fields))).await.unwrap();
                    let mut body = response.into_body();
                    let part = in_time(body.frame()).await.unwrap().unwrap();
                    assert_eq!(part.into_data().unwrap(), "hello");
                    let mut second = Client::connect(&gateway, protocol).await;
                    second.get("/", &[("x-fault", fault)]).await.problem(500, "guest-trap");
                    let end = in_time(body.collect()).await;
                    assert!(end.is_err(), "{protocol:?}: the end of a dead instance's body is no end");
                    second.get("/", &[]).await.ok();
                }
            });
            gateway.stop();
        }
    }
}

chain_test! {
    /// Work that goes on after the answer hurts neither the answer nor the next request, and ends.
    fn work_left_behind(chain) {
        let gateway = Gateway::start(&setup(chain, LIMITS).log("linkspan=debug"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (pipeline, field, expected) in
                    [("fault-service", "x-fault", "ok"), ("fault-middleware", "x-middleware-fault", "Hello!\n")]
                {
                    let path = format!("/{pipeline}");
                    for _ in 0..20 {
                        let answer = client.get(&path, &[(field, "leftover")]).await.ok();
                        assert_eq!(answer.text(), expected);
                    }
                    let lingered = |line: &Line| {
                        line["pipeline"] == pipeline
                            && line["reason"].as_str().is_some_and(|reason| reason.contains("`limits.linger`"))
                    };
                    gateway.line(lingered);
                    client.get(&path, &[]).await.ok();
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// An answer whose guest traps or computes for ever after it is whole.
    fn death_after_the_answer(chain) {
        let gateway = Gateway::start(&setup(chain, "cpu = \"50ms\"\nlinger = \"20s\""));
        let died = |line: &Line| line["message"].as_str().is_some_and(|text| text.starts_with("the instance died"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for fault in ["trap-after", "spin-after"] {
                    for _ in 0..5 {
                        let before = gateway.count(died);
                        let answer = client.get("/fault-service", &[("x-fault", fault)]).await.ok();
                        assert_eq!(answer.text(), "ok");
                        // Another request in the instance would die with it.
                        soon(fault, || gateway.count(died) > before).await;
                        client.get("/fault-service", &[]).await.ok();
                        client.get("/neighbour", &[]).await.ok();
                    }
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A request that waits for an instance which dies before it has begun the request is served by another.
    fn requests_that_were_not_begun(chain) {
        let pipeline = chain.pipeline("fault-service").limit("cpu = \"600ms\"").limit("instances = 1");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for _ in 0..2 {
                    client.get("/", &[("x-fault", "spin-after")]).await.ok();
                    // The answer is there before the guest starts to compute.
                    let before = gateway.cpu();
                    soon("the guest computes", || gateway.cpu() > before + 50 * MS).await;
                    assert_eq!(client.get("/", &[]).await.ok().text(), "ok");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A guest that computes leaves its worker's time to its neighbours: they are answered before it is.
    fn neighbours_of_a_busy_guest(chain) {
        let gateway = Gateway::start(&setup(chain, "cpu = \"800ms\""));
        run(async {
            for (pipeline, field) in SERVICES.map(|name| (name, "x-fault")).into_iter().chain(
                MIDDLEWARE.map(|name| (name, "x-middleware-fault")),
            ) {
                let mut busy = Client::connect(&gateway, Protocol::Http1).await;
                let request = get(&format!("/{pipeline}"), &[(field, "loop")]);
                let busy = tokio::task::spawn_local(async move { busy.ask(request).await });
                let mut client = Client::connect(&gateway, Protocol::Http2).await;
                for _ in 0..20 {
                    client.get("/neighbour", &[]).await.ok();
                    // The same pipeline has other instances.
                    client.get(&format!("/{pipeline}"), &[]).await.ok();
                }
                assert!(!busy.is_finished(), "the neighbour had to wait for {pipeline}");
                let answer: Answer = in_time(busy).await.unwrap();
                answer.problem(500, "guest-trap");
            }
        });
        gateway.stop();
    }
}
