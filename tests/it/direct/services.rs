//! Services that are lifted asynchronously with a callback, in both forms.

use super::both::{BUDGET, Both, DEADLINE, Linked, Stage, dist, fields, run, runtime, text, with_config};
use super::end::read;
use super::tasks::{named, patient, relifted, service, services};
use crate::harness::{full, scaled};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use linkspan::engine::{ChainRequest, RequestBody};
use linkspan::host::{Budget, RequestHead};
use std::sync::Arc;
use std::time::Duration;

/// Services as they are delivered, alone and behind middleware.
#[test]
fn real_services_answer_alike() {
    let pass = || dist("pass-through-sync");
    let hello = || with_config("hello", &[("greeting", "Hello from both!")]);
    let chains = vec![
        vec![hello()],
        vec![dist("hello")],
        vec![pass(), hello()],
        vec![dist("security-headers"), pass(), dist("request-id"), hello()],
        vec![
            dist("security-headers-in-place"),
            with_config("key-auth", &[("keys.alice", "secret")]),
            hello(),
        ],
        vec![with_config("catalogue", &[("a", "1")])],
    ];
    let runtime = runtime(&chains);
    run(async {
        for (number, stages) in chains.iter().enumerate() {
            let mut both = Both::new(&runtime, stages);
            for round in 0..scaled(3, 10) {
                for list in super::REAL_REQUESTS {
                    if list.iter().any(|(name, _)| *name == "x-request-id") {
                        both.compare(&format!("chain {number} {round} {list:?}"), &fields(list)).await;
                    }
                }
            }
            assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
        }
    });
}

/// Requests with bodies that are there, that come slowly, and none.
const REQUESTS: &[&[(&str, &str)]] =
    &[&[("a", "value")], &[("x-body", "slow")], &[("a", "value")], &[("x-body", "at once")]];

/// How long a chain may compute and wait, unless there is a reason.
const BOUNDS: (Budget, Duration) = (BUDGET, DEADLINE);

/// Each of `guests` meets each of `requests` alike in both forms.
pub async fn compare_all(
    guests: &[(String, Vec<Stage>)],
    bounds: (Budget, Duration),
    requests: &[&[(&str, &str)]],
) {
    let chains: Vec<_> = guests.iter().map(|(_, stages)| stages.clone()).collect();
    let runtime = runtime(&chains);
    let mut differences = Vec::new();
    for (what, stages) in guests {
        let mut both = Both::within(bounds, &runtime, stages);
        both.races = true;
        for (number, request) in requests.iter().enumerate() {
            both.compare(&format!("{what}, {} stages, {number}", stages.len()), &fields(request)).await;
        }
        differences.append(&mut both.differences);
    }
    assert!(differences.is_empty(), "{} differ\n\n{}", differences.len(), differences.join("\n\n"));
}

/// Each behind a middleware, and alone.
fn placed(guests: Vec<(impl Into<String>, String)>) -> Vec<(String, Vec<Stage>)> {
    let pass = dist("pass-through-sync");
    let chains = guests.into_iter().flat_map(|(what, guest)| {
        let (what, guest) = (what.into(), text(&guest));
        [(what.clone(), vec![pass.clone(), guest.clone()]), (what, vec![guest])]
    });
    chains.collect()
}

#[test]
fn hostile_services_are_met_alike() {
    run(async { compare_all(&placed(services()), BOUNDS, REQUESTS).await });
}

#[test]
fn hostile_guests_are_met_alike_as_services() {
    // The short form has some of them, at one place each.
    let guests = placed(relifted()).into_iter().enumerate();
    let guests: Vec<_> = guests.filter(|(at, _)| full() || at % 9 == 0).map(|(_, guest)| guest).collect();
    run(async { compare_all(&guests, BOUNDS, &REQUESTS[..2]).await });
}

/// What waits for what never comes has its deadline, and its instance goes.
#[test]
fn patient_services_have_their_deadlines_alike() {
    let mut guests = placed(patient());
    guests.truncate(if full() { guests.len() } else { 3 });
    run(async { compare_all(&guests, BOUNDS, &REQUESTS[..1]).await });
}

/// A service that computes without an end is ended, in its function and in its callback.
#[test]
fn services_have_the_bound_of_computation() {
    let endless = "(loop (br 0)) unreachable";
    let guests = vec![
        ("in the function", service(endless, "unreachable")),
        ("in the function, answered", service(&format!("(call $return-empty) {endless}"), "unreachable")),
        ("in the callback", service("(i32.const 1)", endless)),
        ("in the callback, answered", service("(call $return-body) (i32.const 1)", endless)),
    ];
    // Long before the deadline, also where eight others compute.
    let budget = Budget { cpu: Duration::from_millis(50), ..BUDGET };
    run(async { compare_all(&placed(guests), (budget, DEADLINE), &REQUESTS[..1]).await });
}

/// Sends a request; the response's body is not read yet.
pub async fn open(
    both: &Both,
    chain: &Linked,
    list: &[(&str, &str)],
) -> http::Response<linkspan::engine::ResponseBody> {
    let headers = fields(list);
    let head = RequestHead { authority: Some("host".parse().unwrap()), headers, ..RequestHead::default() };
    let request = ChainRequest::new(head, RequestBody::empty(), Arc::default());
    chain.onward.handle(&both.worker, Box::new(request)).await.unwrap()
}

/// Many requests whose bodies are open at once, which are read one after the other, some only in part.
#[test]
fn bodies_that_are_open_at_once_are_written_alike() {
    let many = service(
        // Each has its own ends, which its task knows.
        "(call $return-body) (call $set-context (i32.load (i32.const 1904)))
        (i32.store (i32.add (i32.const 32768) (i32.shl (i32.load (i32.const 1904)) (i32.const 2))) (i32.load (i32.const 1908)))
        (drop (call $write (i32.const 1024) (i32.const 11))) (call $wait-for-body)",
        "(if (i32.ne (local.get $end) (call $context)) (then unreachable))
        (if (i32.eq (local.get $code) (i32.const 0xb0)) (then
          (if (i32.eq (call $stream-write (local.get $end) (i32.const 1035) (i32.const 9)) (i32.const -1)) (then
            (local.set $x (call $set-new)) (call $join (local.get $end) (local.get $x)) (return (call $wait (local.get $x)))))))
        (call $stream-drop-writable (call $context))
        (drop (call $behind-write (i32.load (i32.add (i32.const 32768) (i32.shl (call $context) (i32.const 2)))) (i32.const 1536))) (i32.const 0)",
    );
    let chains = [vec![text(&many)], vec![dist("pass-through-sync"), text(&many)], vec![dist("hello")]];
    let runtime = runtime(&chains);
    run(async {
        for stages in &chains {
            let both = Both::new(&runtime, stages);
            for chain in [&both.component, &both.direct] {
                let asked: FuturesUnordered<_> = (0..20).map(|_| open(&both, chain, &[])).collect();
                let responses: Vec<_> = asked.collect().await;
                for (number, response) in responses.into_iter().enumerate() {
                    match number % 3 {
                        0 => drop(response),
                        1 => {
                            let mut body = response.into_body();
                            let frame = body.frame().await;
                            assert!(frame.is_some_and(|frame| frame.is_ok()));
                        }
                        _ => {
                            let body = read(response.into_body()).await;
                            assert!(
                                body.contains("x-edited and a value") || body.contains("Hello"),
                                "{body}"
                            );
                        }
                    }
                }
                // The instances are as good as before.
                let body = read(open(&both, chain, &[]).await.into_body()).await;
                assert!(body.contains("x-edited and a value") || body.contains("Hello"), "{body}");
            }
        }
    });
}

/// A client that goes away in the middle of a body: the writer is told, and its task comes to its end.
#[test]
fn a_client_that_goes_away_is_told_alike() {
    // It answers with the code of the last event of the body before, once that is over.
    let writer = service(
        "(if (i32.load (i32.const 1928)) (then (call $return-number (i32.load (i32.const 1928))) (return (i32.const 0))))
        (call $return-body) (drop (call $write (i32.const 1024) (i32.const 5))) (call $wait-for-body)",
        "(if (i32.eqz (i32.and (local.get $code) (i32.const 1))) (then
          (if (i32.eq (call $write (i32.const 1024) (i32.const 5)) (i32.const -1)) (then (return (call $wait-for-body))))))
        (i32.store (i32.const 1928) (i32.const 77))
        (call $stream-drop-writable (i32.load (i32.const 1904)))
        (drop (call $behind-write (i32.load (i32.const 1908)) (i32.const 1536))) (i32.const 0)",
    );
    let chains = [vec![text(&writer)], vec![dist("pass-through-sync"), text(&writer)]];
    let runtime = runtime(&chains);
    run(async {
        for stages in &chains {
            let mut both = Both::new(&runtime, stages);
            for chain in [&both.component, &both.direct] {
                let mut body = open(&both, chain, &[]).await.into_body();
                assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
                drop(body);
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            both.compare("after it", &HeaderMap::new()).await;
            assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
            assert_eq!(both.outcome, 1, "{:?}", both.last);
        }
    });
}

/// A trap names the service, wherever the task was.
#[test]
fn a_trap_of_a_task_names_the_service() {
    let names = [
        "it is over without an answer",
        "it returns twice",
        "it traps",
        "a code that is none",
        "it waits for a forged set",
        "it traps in its callback",
    ];
    let pass = dist("pass-through-sync");
    let chains: Vec<_> =
        names.iter().map(|name| vec![pass.clone(), pass.clone(), text(&named(name))]).collect();
    let runtime = runtime(&chains);
    run(async {
        for (name, stages) in names.iter().zip(&chains) {
            let both = Both::new(&runtime, stages);
            let (said, reason) = both.ask(&both.direct, &HeaderMap::new()).await;
            assert_eq!(said, "trap of test/2:stage", "{name}: {reason}");
        }
    });
}
