//! Thousands of failing requests leave the gateway as it was: memory, files, and a pipeline that answers.

use crate::harness::{
    Answer, Client, Gateway, Load, Pipeline, Protocol, Setup, drive, eventually, get, run, scaled,
};
use std::time::Instant;

/// Bounds so tight that each fault is over soon.
const LIMITS: &str = "linger = \"20ms\"\nqueue-timeout = \"30s\"";

/// How a fault shows.
#[derive(Clone, Copy)]
enum Expected {
    /// The gateway's own answer.
    Problem(u16, &'static str),
    /// A body that is cut short.
    Cut,
    /// The same, or caught in another one's trap.
    CutOrCaught,
    /// A whole answer; what is wrong comes after it, and may end another answer in the same instance.
    WholeOrCaught,
}

fn check(fault: &str, expected: Expected, answer: &Answer) {
    match expected {
        Expected::Problem(status, kind) => drop(answer.problem(status, kind)),
        Expected::Cut => assert!(answer.status == 200 && answer.cut.is_some(), "{fault}: {answer:?}"),
        Expected::CutOrCaught if answer.status == 200 => assert!(answer.cut.is_some(), "{fault}: {answer:?}"),
        Expected::WholeOrCaught if answer.status == 200 => {}
        Expected::CutOrCaught | Expected::WholeOrCaught => drop(answer.problem(500, "guest-trap")),
    }
}

/// Sends `count` requests with a fault, half of them over each protocol.
fn send(gateway: &Gateway, field: &'static str, fault: &'static str, expected: Expected, count: u64) {
    run(async {
        // Other faults must not meet the bounds that these do, however busy the machine is.
        let path = match fault {
            "hang" => "/hasty",
            "loop" | "loop-after" | "spin-after" => "/brief",
            _ => "/",
        };
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let make = move |_| get(path, &[(field, fault)]);
            let look = move |_, answer: hyper::Result<Answer>| match (answer, expected) {
                (Ok(answer), _) => check(fault, expected, &answer),
                // It was cut before its head was out.
                (Err(_), Expected::Cut | Expected::CutOrCaught | Expected::WholeOrCaught) => {}
                (Err(error), Expected::Problem(..)) => panic!("{fault}: {error}"),
            };
            drive(gateway, protocol, Load::requests(32, count / 2), make, look).await;
        }
    });
}

fn mass(pipeline: fn(&str) -> Pipeline, field: &'static str, faults: &[(&'static str, Expected)]) {
    let hasty = pipeline("hasty").limit("deadline = \"20ms\"").route("path = \"/hasty\"");
    let brief = pipeline("brief").limit("cpu = \"4ms\"").route("path = \"/brief\"");
    let setup = Setup::of([pipeline("main"), hasty, brief]).each(LIMITS).workers(2).log("error");
    let gateway = Gateway::start(&setup);
    let files = gateway.files_at_rest();
    let (few, many) = (scaled(400, 4_000), scaled(1_000, 100_000));
    for (fault, expected) in faults {
        // What grows once, to as many instances as are needed at once, is there after the first ones.
        send(&gateway, field, fault, *expected, few);
        gateway.closes_down_to(files);
        let (before, start) = (gateway.resident(), Instant::now());
        send(&gateway, field, fault, *expected, many);
        let seconds = start.elapsed().as_secs_f64();
        gateway.closes_down_to(files);
        eventually("memory is back", || gateway.resident() < before + (16 << 20));
        let (before, after) = (before >> 10, gateway.resident() >> 10);
        println!(
            "{field}: {many} × {fault} in {seconds:.1} s: resident {before} → {after} KiB, {files} files"
        );
        eventually("the pipeline answers", || {
            run(async { Client::connect(&gateway, Protocol::Http1).await.get("/", &[]).await.status == 200 })
        });
    }
    gateway.stop();
}

const TRAP: Expected = Expected::Problem(500, "guest-trap");
const ERROR: Expected = Expected::Problem(500, "guest-error");
const DEADLINE: Expected = Expected::Problem(504, "deadline");
const COMMON: [(&str, Expected); 5] =
    [("trap", TRAP), ("loop", TRAP), ("allocate", TRAP), ("error", ERROR), ("hang", DEADLINE)];
const MEMORY: &str = "limits = { memory = \"4MiB\" }";

/// One request at a time in an instance, so that no fault has another's answer.
fn alone(pipeline: Pipeline) -> Pipeline {
    pipeline.limit("concurrency = 1").limit("instances = 100")
}

#[test]
fn sync_services() {
    mass(|name| alone(Pipeline::new(name, "fault-service-sync").service_with(MEMORY)), "x-fault", &COMMON);
}

#[test]
fn async_services() {
    mass(|name| alone(Pipeline::new(name, "fault-service").service_with(MEMORY)), "x-fault", &COMMON);
}

const OF_MIDDLEWARE: [(&str, Expected); 5] =
    [("trap", TRAP), ("loop-after", TRAP), ("allocate", TRAP), ("trap-after", TRAP), ("hang", DEADLINE)];

#[test]
fn sync_middleware() {
    let pipeline = |name: &str| {
        alone(Pipeline::new(name, "hello").service_with(MEMORY).stage_with("fault-middleware-sync", MEMORY))
    };
    mass(pipeline, "x-middleware-fault", &OF_MIDDLEWARE);
}

#[test]
fn async_middleware() {
    let pipeline = |name: &str| {
        alone(Pipeline::new(name, "hello").service_with(MEMORY).stage_with("fault-middleware", MEMORY))
    };
    mass(pipeline, "x-middleware-fault", &OF_MIDDLEWARE);
}

#[test]
fn bodies_and_leftovers() {
    let faults = [
        ("half-body", Expected::Cut),
        ("half-body-chunked", Expected::Cut),
        ("body-error", Expected::Cut),
        ("leftover", Expected::WholeOrCaught),
        ("trap-after", Expected::WholeOrCaught),
        ("spin-after", Expected::WholeOrCaught),
    ];
    let pipeline = |name: &str| {
        let pipeline = Pipeline::new(name, "fault-service").service_with(MEMORY);
        alone(pipeline.stage("pass-through-async"))
    };
    mass(pipeline, "x-fault", &faults);
}

/// Many requests in one instance: a trap ends them all, and none of them looks complete.
#[test]
fn shared_instances() {
    let faults = [("half-body", Expected::CutOrCaught), ("leftover", Expected::WholeOrCaught)];
    let pipeline =
        |name: &str| Pipeline::new(name, "fault-service").service_with(MEMORY).limit("instances = 4");
    mass(pipeline, "x-fault", &faults);
}
