//! Five isolated stages, any of which traps, computes for ever, takes all memory, stalls or breaks off, as a seed has
//! it, under load: every request has the outcome that was asked for, and nothing stays behind.
//!
//! `LINKSPAN_TEST_SEED` replays a run; `LINKSPAN_TEST_FULL=1` sends 1,000,000 requests.

use crate::harness::{
    Answer, Gateway, Load, PROTOCOLS, Pipeline, Seeded, Setup, body, drive, eventually, request, run, scaled,
};
use http::{Method, Request};
use std::cell::Cell;
use std::rc::Rc;

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// That all of so many bytes arrive.
    Sent(usize),
    /// So many bytes, one by one.
    Received(usize),
    /// The gateway's own answer, by a fault in this stage.
    Refused { stage: usize, fault: &'static str, status: u16, kind: &'static str },
    /// A body that is cut short.
    Cut(&'static str),
}

/// Middleware in front of the service.
const MIDDLEWARE: usize = 4;

const TRAPS: [&str; 3] = ["trap", "loop", "allocate"];
const TRAPS_OF_MIDDLEWARE: [&str; 5] = ["trap", "loop", "allocate", "trap-after", "loop-after"];

/// The fate of request `number`: one in eight has a fault.
fn fate(seed: u64, number: u64) -> Fate {
    let mut seeded = Seeded(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ number);
    let mut below = |bound| seeded.below(bound);
    if below(8) > 0 {
        return if below(4) > 0 { Fate::Sent(below(5_000)) } else { Fate::Received(below(300)) };
    }
    let stage = below(MIDDLEWARE + 1);
    let refused = |fault, status, kind| Fate::Refused { stage, fault, status, kind };
    match below(8) {
        0 => refused("hang", 504, "deadline"),
        1 | 2 => refused("error", 500, "guest-error"),
        3 if stage == MIDDLEWARE => Fate::Cut("half-body"),
        4 if stage == MIDDLEWARE => Fate::Cut("half-body-chunked"),
        5 if stage == MIDDLEWARE => Fate::Cut("stalled-body"),
        _ if stage == MIDDLEWARE => refused(TRAPS[below(TRAPS.len())], 500, "guest-trap"),
        _ => refused(TRAPS_OF_MIDDLEWARE[below(TRAPS_OF_MIDDLEWARE.len())], 500, "guest-trap"),
    }
}

impl Fate {
    fn request(self) -> Request<body::TestBody> {
        let get = |path, fields: &[(&str, &str)]| request(Method::GET, path, fields, body::empty());
        match self {
            Self::Sent(bytes) => {
                request(Method::POST, "/", &[("x-fault", "read-body")], body::whole(vec![7; bytes]))
            }
            Self::Received(count) => get("/", &[("x-fault", "many-chunks"), ("x-count", &count.to_string())]),
            Self::Refused { stage, fault, .. } => {
                let field = match stage {
                    MIDDLEWARE => "x-fault".to_owned(),
                    stage => format!("x-fault-{stage}"),
                };
                get(if fault == "hang" { "/hasty" } else { "/" }, &[(&field, fault)])
            }
            Self::Cut("stalled-body") => get("/stalling", &[("x-fault", "stalled-body")]),
            Self::Cut(fault) => get("/", &[("x-fault", fault)]),
        }
    }

    fn check(self, answer: hyper::Result<Answer>) {
        match (self, answer) {
            (Self::Sent(bytes), Ok(answer)) => assert_eq!(answer.ok().text(), bytes.to_string()),
            (Self::Received(count), Ok(answer)) => assert_eq!(answer.ok().body.len(), count),
            (Self::Refused { status, kind, .. }, Ok(answer)) => drop(answer.problem(status, kind)),
            (Self::Cut(_), Ok(answer)) => assert!(answer.status == 200 && answer.cut.is_some(), "{answer:?}"),
            // Cut before its head was out.
            (Self::Cut(_), Err(_)) => {}
            (fate, Err(error)) => panic!("{fate:?}: {error}"),
        }
    }
}

/// Every stage is a world of its own; a request has each instance to itself, so that no fault has another's answer.
fn pipeline(name: &str) -> Pipeline {
    let mut pipeline = Pipeline::new(name, "fault-service").link("dynamic");
    for stage in 0..MIDDLEWARE {
        let component = if stage % 2 == 0 { "fault-middleware-sync" } else { "fault-middleware" };
        let isolation = if stage == 1 { "isolation = \"request\"\n" } else { "" };
        let keys = format!(
            "{isolation}config = {{ field = \"x-fault-{stage}\" }}\nlimits = {{ memory = \"4MiB\" }}"
        );
        pipeline = pipeline.stage_with(component, &keys);
    }
    pipeline.service_with("limits = { memory = \"4MiB\" }").limit(
        "concurrency = 1\ninstances = 64\nqueue = 1000\nqueue-timeout = \"30s\"\ncpu = \"20ms\"\nlinger = \"20ms\"",
    )
}

#[test]
fn faults_in_any_of_five_isolated_stages() {
    let seed = std::env::var("LINKSPAN_TEST_SEED").map_or(1, |text| text.parse().unwrap());
    let main = pipeline("main").limit("deadline = \"30s\"");
    // What waits for a bound must not wait for long, and the bound must meet nobody else.
    let hasty = pipeline("hasty").limit("deadline = \"50ms\"").route("path = \"/hasty\"");
    let stalling = pipeline("stalling")
        .limit("deadline = \"30s\"\nbody-idle-timeout = \"50ms\"")
        .route("path = \"/stalling\"");
    let setup = Setup::of([main, hasty, stalling]).workers(2).log("error");
    let gateway = Gateway::start(&setup);
    let files = gateway.files_at_rest();
    let send = |first: u64, count: u64| {
        let outcomes = Rc::new(Cell::new(0));
        let half = |protocol, first: u64| {
            let outcomes = Rc::clone(&outcomes);
            let make = move |number| fate(seed, first + number).request();
            let check = move |number, answer| {
                fate(seed, first + number).check(answer);
                outcomes.set(outcomes.get() + 1);
            };
            drive(&gateway, protocol, Load::requests(16, count / 2), make, check)
        };
        let [one, other] = PROTOCOLS;
        run(futures::future::join(half(one, first), half(other, first + count / 2)));
        assert_eq!(outcomes.get(), count);
        gateway.closes_down_to(files);
    };
    let all = scaled(8_000, 1_000_000);
    // What grows once is there after the first ones.
    send(0, all / 4);
    let before = gateway.resident();
    send(all / 4, all - all / 4);
    eventually("memory is back", || gateway.resident() < before + (16 << 20));
    println!("seed {seed}, {all} requests: resident {} → {} KiB", before >> 10, gateway.resident() >> 10);
    gateway.stop();
}
