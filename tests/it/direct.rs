//! The direct form against the component form: the same chains on the same requests give the same answers, the same
//! traps and the same blame.

mod both;
mod coverage;
mod end;
mod ends;
mod exchanges;
mod gateway;
mod guests;
mod interpreter;
mod lines;
mod list;
mod middleware;
mod outgoing;
mod outward;
mod passing;
mod programs;
mod requests;
mod services;
mod steps;
mod tasks;
mod turns;

use crate::harness::{full, scaled};
use both::{BUDGET, Both, DEADLINE, Stage, dist, fields, run, runtime, text, with_config};
use guests::{erring, hostile, with_handle};
use http::HeaderMap;
use linkspan::host::Budget;
use std::time::Duration;

/// Chains of middleware and services as they are delivered.
fn real_chains() -> Vec<Vec<Stage>> {
    let pass = || dist("pass-through-sync");
    let secure = || dist("security-headers-in-place");
    let id = || dist("request-id-in-place");
    let keys = |name: &str| with_config(name, &[("keys.alice", "secret"), ("keys.bob", "another")]);
    let cors = |name: &str| with_config(name, &[("origins", "https://a.example"), ("expose", "x-a")]);
    let rate = |name: &str| with_config(name, &[("rate", "5/h")]);
    vec![
        vec![pass()],
        vec![pass(); 4],
        vec![
            pass(),
            Stage { apart: true, ..secure() },
            cors("cors"),
            Stage { apart: true, ..keys("key-auth") },
        ],
        vec![secure()],
        vec![id(), pass(), secure(), pass(), secure()],
        vec![dist("security-headers")],
        vec![dist("security-headers"), pass(), dist("request-id"), dist("security-headers")],
        vec![keys("key-auth")],
        vec![keys("key-auth-in-place")],
        vec![
            dist("security-headers"),
            cors("cors"),
            keys("key-auth"),
            rate("rate-limit"),
            dist("request-id"),
        ],
        vec![secure(), cors("cors-in-place"), keys("key-auth-in-place"), rate("rate-limit-in-place"), id()],
        vec![dist("empty")],
        vec![pass(), dist("security-headers"), dist("empty")],
        vec![with_config("cors", &[("origins", "*")]), dist("request-id")],
    ]
}

/// The fields of requests to them.
const REAL_REQUESTS: &[&[(&str, &str)]] = &[
    &[],
    &[("x-request-id", "given"), ("a", "1"), ("a", "2"), ("b", "")],
    &[("x-end", "error"), ("x-request-id", "given")],
    &[("x-end", "text"), ("x-request-id", "given")],
    &[("x-end", "dns"), ("x-request-id", "given")],
    &[("x-end", "size"), ("x-request-id", "given")],
    &[("x-end", "status"), ("x-request-id", "given")],
    &[("x-end", "trailers"), ("x-request-id", "given")],
    &[("x-body", ""), ("x-request-id", "given"), ("x-api-key", "secret")],
    &[("x-body", ""), ("x-end", "trailers"), ("x-request-id", "given"), ("x-api-key", "secret")],
    &[("x-body", ""), ("x-method", "POST"), ("x-request-id", "given"), ("authorization", "Bearer another")],
    &[("x-api-key", "secret"), ("x-end", "text"), ("x-request-id", "given"), ("x-consumer", "forged")],
    &[("x-api-key", "wrong"), ("x-request-id", "given")],
    &[("x-api-key", "secret"), ("x-api-key", "another"), ("x-request-id", "given")],
    &[
        ("x-method", "OPTIONS"),
        ("origin", "https://a.example"),
        ("access-control-request-method", "PUT"),
        ("x-request-id", "given"),
    ],
    &[("origin", "https://a.example"), ("x-api-key", "secret"), ("x-request-id", "given")],
    &[("origin", "https://b.example"), ("x-api-key", "secret"), ("x-request-id", "given")],
    &[("x-api-key", "secret"), ("x-request-id", "given")],
];

#[test]
fn real_middleware_answer_alike() {
    let chains = real_chains();
    let runtime = runtime(&chains);
    run(async {
        for (number, stages) in chains.iter().enumerate() {
            let mut both = Both::new(&runtime, stages);
            for list in REAL_REQUESTS {
                // Random numbers differ.
                let makes_ids =
                    stages.iter().any(|stage| stage.component.path.to_string_lossy().contains("request-id"));
                if makes_ids && list.is_empty() {
                    continue;
                }
                both.compare(&format!("chain {number} {list:?}"), &fields(list)).await;
            }
            assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
        }
    });
}

#[test]
fn hostile_guests_are_met_alike() {
    let guests = hostile();
    let chains: Vec<(&str, Vec<Stage>)> = guests
        .iter()
        .enumerate()
        .flat_map(|(number, (what, guest))| {
            let guest = text(guest);
            let pass = dist("pass-through-sync");
            let beside = [
                vec![pass.clone(), guest.clone(), pass],
                vec![guest.clone(), guest.clone()],
                vec![guest.clone(), text(&erring())],
            ];
            // The long form has each guest at each place, the short one half of them at one.
            let beside = beside.into_iter().enumerate().filter(move |(at, _)| full() || *at == number % 6);
            std::iter::once(vec![guest])
                .chain(beside.map(|(_, stages)| stages))
                .map(|stages| (&**what, stages))
        })
        .collect();
    let all: Vec<_> = chains.iter().map(|(_, stages)| stages.clone()).collect();
    let runtime = runtime(&all);
    run(async {
        let mut differences = Vec::new();
        for (what, stages) in &chains {
            let mut both = Both::new(&runtime, stages);
            for round in 0..scaled(2, 3) {
                let what = format!("{what}, {} stages, {round}", stages.len());
                both.compare(&what, &fields(&[("a", "value"), ("b", "2")])).await;
            }
            differences.append(&mut both.differences);
        }
        assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    });
}

/// A body that one stage writes, and another one reads or passes on.
#[test]
fn bodies_go_from_stage_to_stage_alike() {
    let named = |names: &[&str]| -> Vec<_> {
        hostile().into_iter().filter(|(what, _)| names.contains(&&**what)).collect()
    };
    let readers = named(&[
        "a response read and told",
        "a response read to its end, with its trailers",
        "a response half read and passed on",
        "a response read with no room",
        "a response whose trailers are read early",
        "a response passed on in one of its own",
    ]);
    let writers = named(&[
        "a body of twenty bytes",
        "a body that is written before it is given",
        "a body of no bytes",
        "a body with trailers",
        "a body that ends with an error",
        "a body that is too long",
        "an answer of its own",
    ]);
    assert_eq!((readers.len(), writers.len()), (6, 7));
    let pairs = readers.iter().flat_map(|reader| writers.iter().map(move |writer| (reader, writer)));
    let (what, chains): (Vec<_>, Vec<_>) = pairs
        .map(|((reads, reader), (writes, writer))| {
            // What is at a reader's address is not what the writer has at the same address.
            let writer = writer.replace("x-edited and a value", "the writers own text");
            (format!("{reads}: {writes}"), vec![text(reader), text(&writer)])
        })
        .unzip();
    let runtime = runtime(&chains);
    run(async {
        let mut differences = Vec::new();
        for (what, stages) in what.iter().zip(&chains) {
            let mut both = Both::new(&runtime, stages);
            for round in 0..scaled(1, 3) {
                both.compare(&format!("{what}, {round}"), &fields(&[("a", "value")])).await;
            }
            differences.append(&mut both.differences);
        }
        assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    });
}

/// What a guest may use has the same bounds, and says the same when it is too much.
#[test]
fn budgets_hold_alike() {
    let budget = Budget {
        one_memory: 1 << 20,
        host_memory: 1 << 20,
        table_elements: 100,
        cpu: Duration::from_millis(20),
        ..BUDGET
    };
    let grows = "(if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then unreachable))";
    let guests = [
        ("(loop (br 0)) unreachable", "computed for more than 20ms"),
        (&format!("(loop {grows} (br 0)) unreachable"), "unreachable"),
        ("(loop (drop (call $fields-of (local.get $q))) (br 0)) unreachable", "limits.host-memory"),
    ];
    let chains: Vec<_> = guests.iter().map(|(handle, _)| vec![text(&with_handle(handle)); 2]).collect();
    let runtime = runtime(&chains);
    run(async {
        for (stages, (handle, reason)) in chains.iter().zip(guests) {
            let mut both = Both::within((budget, DEADLINE), &runtime, stages);
            for _ in 0..2 {
                both.compare(handle, &HeaderMap::new()).await;
                assert!(both.last.contains(reason), "{handle}: {}", both.last);
            }
            assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
        }
    });
}

/// A stage that waits for ever for the next one has its deadline, and its instance goes.
#[test]
fn deadlines_hold_alike() {
    let chains = [vec![dist("pass-through-sync"); 2]];
    let runtime = runtime(&chains);
    run(async {
        let mut both = Both::new(&runtime, &chains[0]);
        both.compare("never", &fields(&[("x-end", "never")])).await;
        both.compare("again", &fields(&[("a", "1")])).await;
        assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
    });
}
