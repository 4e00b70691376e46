//! Middleware that is lifted asynchronously, in both forms.

use super::REAL_REQUESTS;
use super::both::{BUDGET, Both, DEADLINE, Stage, dist, fields, run, runtime, text, with_config};
use super::end::{BROKE, read};
use super::guests::{erring, with_handle};
use super::passing::{called, middleware, named, passing};
use super::services::{compare_all, open};
use crate::harness::full;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use linkspan::host::Budget;
use std::time::{Duration, Instant};

/// Middleware as it is delivered, in front of the end and of services, between stages that are lifted synchronously.
#[test]
fn real_middleware_answers_alike() {
    let pass = || dist("pass-through-async");
    let plain = || dist("plain-async");
    let keys = || with_config("key-auth", &[("keys.alice", "secret"), ("keys.bob", "another")]);
    let chains = vec![
        vec![pass()],
        vec![plain()],
        vec![pass(), plain(), pass()],
        vec![pass(); 8],
        vec![dist("measured-async")],
        vec![dist("edit-p3")],
        vec![dist("pass-through-sync"), dist("edit-p3"), dist("hello")],
        vec![dist("mixed-async")],
        vec![dist("mixed-async"), dist("measured-async"), pass()],
        vec![pass(), dist("hello")],
        vec![pass(), dist("empty")],
        vec![pass(), dist("mixed-async"), dist("hello")],
        vec![plain(), dist("pass-through-sync"), dist("security-headers"), dist("empty")],
        vec![dist("pass-through-sync"), pass()],
        vec![dist("security-headers"), keys(), dist("mixed-async"), pass(), dist("hello")],
        vec![
            dist("pass-through-sync"),
            pass(),
            dist("measured-async"),
            dist("pass-through-sync"),
            dist("empty"),
        ],
    ];
    let runtime = runtime(&chains);
    run(async {
        for (number, stages) in chains.iter().enumerate() {
            let mut both = Both::new(&runtime, stages);
            let slow: &[(&str, &str)] = &[("x-body", "slow"), ("x-api-key", "secret")];
            for list in REAL_REQUESTS.iter().copied().chain([slow]) {
                both.compare(&format!("chain {number} {list:?}"), &fields(list)).await;
            }
            assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
        }
    });
}

/// Short, for those that wait for what never comes.
const SHORT: (Budget, Duration) = (BUDGET, Duration::from_secs(2));

/// In front of what waits outside: the end, where a body that comes slowly is read, or an error comes.
#[test]
fn hostile_middleware_is_met_alike() {
    let pass = dist("pass-through-sync");
    let guests = passing().into_iter().flat_map(|(what, guest)| {
        let guest = text(&guest);
        let behind = (what.to_owned(), vec![pass.clone(), guest.clone()]);
        std::iter::once((what.to_owned(), vec![guest])).chain(full().then_some(behind))
    });
    let guests: Vec<_> = guests.collect();
    let slow: &[_] = &[("a", "value"), ("x-body", "slow")];
    run(async {
        compare_all(
            &guests,
            SHORT,
            &[&[("a", "value")], slow, &[("x-end", "text"), ("x-body", "slow")], slow],
        )
        .await
    });
}

/// Guests whose fault the component form blames on the stage that returns to them.
const MISPLACED: &[&str] = &["a result out of bounds", "a result that is not aligned"];

/// In front of stages that do all that a stage can do when it is called: also trap after an answer, with which another request
/// would race.
#[test]
fn hostile_pairs_are_met_alike() {
    let (mut passing, called) = (passing(), called());
    passing.retain(|(what, _)| !MISPLACED.contains(what));
    let pairs = passing.iter().flat_map(|first| called.iter().map(move |second| (first, second)));
    // The short form has a part of them.
    let pairs = pairs.enumerate().filter(|(at, _)| full() || at % 5 == 0).map(|(_, pair)| pair);
    let guests: Vec<_> = pairs
        .map(|((first, one), (second, other))| {
            // What is at one's address is not what the other has there.
            let other = other.replace("x-edited and a value", "the callees own text");
            (format!("{first}; the next one {second}"), vec![text(one), text(&other)])
        })
        .collect();
    run(async { compare_all(&guests, SHORT, &[&[("a", "value")]]).await });
}

/// Three in a row, of which the one in the middle does anything.
#[test]
fn hostile_middleware_in_the_middle_is_met_alike() {
    let (pass, last) = (text(&named("it passes")), dist("pass-through-async"));
    let guests: Vec<_> = passing()
        .into_iter()
        .enumerate()
        .filter(|(at, (what, _))| (full() || at % 3 == 0) && !MISPLACED.contains(what))
        .map(|(_, (what, guest))| (what.to_owned(), vec![pass.clone(), text(&guest), last.clone()]))
        .collect();
    run(async { compare_all(&guests, SHORT, &[&[("a", "value")], &[("x-body", "slow")]]).await });
}

/// A service that is lifted synchronously, and answers with an error that has a text.
fn erring_service() -> String {
    let lower =
        "(core func $handle (canon lower (func $next \"handle\") (memory $memory) (realloc $realloc)))";
    let import = "(import \"wasi:http/handler@0.3.0\" \"handle\" (func $handle (param i32 i32)))";
    let with = "(with \"wasi:http/handler@0.3.0\" (instance (export \"handle\" (func $handle))))";
    let guest = erring().replace(lower, "").replace(import, "").replace(with, "");
    guest.replace("(func $pass ", "(func $handle (param i32 i32) unreachable) (func $pass ")
}

/// An allocator that is called for an answer, while the stage that returns it is at work: it can't call out, and its trap is its
/// own.
#[test]
fn allocators_for_answers_are_met_alike() {
    const OUTSIDE: &str = "(i32.const 65535)";
    let pass = named("it passes");
    let error = |name: &str| called().into_iter().find(|(what, _)| *what == name).expect("it is there").1;
    let allocators = [
        "unreachable",
        "(call_indirect (type $out) (i32.const 0)) (i32.const 4096)",
        OUTSIDE,
        "(i32.const 8192)",
    ];
    let guests: Vec<_> = allocators
        .iter()
        .flat_map(|allocator| {
            let start = pass.find("(local $at i32)").expect("an allocator");
            let end = start + pass[start..].find("(data ").expect("data behind it");
            let guest = format!("{}{allocator}){}", &pass[..start], &pass[end..]);
            let chain = |last: Vec<Stage>| [vec![text(&guest)], last].concat();
            // The component form blames the stage behind for a place out of bounds.
            let behind = if *allocator == OUTSIDE { 1 } else { 4 };
            let chains = [
                ((*allocator).to_owned(), chain(vec![])),
                ((*allocator).to_owned(), chain(vec![text(&error("returns a text"))])),
                ((*allocator).to_owned(), chain(vec![text(&error("yields, and returns a text"))])),
                ((*allocator).to_owned(), chain(vec![text(&erring_service())])),
            ];
            chains.into_iter().take(behind)
        })
        .collect();
    let requests: &[&[(&str, &str)]] = &[&[("x-end", "text")], &[("x-end", "text"), ("x-body", "slow")]];
    run(async { compare_all(&guests, SHORT, requests).await });
}

/// Budgets, and a next stage that never answers.
#[test]
fn bounds_of_middleware_hold_alike() {
    let budget = Budget { host_memory: 1 << 20, cpu: Duration::from_millis(20), ..BUDGET };
    let endless = "(loop (br 0)) unreachable";
    let guests: Vec<_> = [
        ("in the function", middleware(endless, "unreachable")),
        ("behind the call", middleware(&format!("(call $ask (local.get $q)) {endless}"), "unreachable")),
        (
            "in the callback",
            middleware("(call $ask (local.get $q)) (call $wait (i32.load (i32.const 1912)))", endless),
        ),
        (
            "what it keeps",
            middleware(
                "(call $ask (local.get $q)) (loop (drop (call $fields-new)) (br 0)) unreachable",
                "unreachable",
            ),
        ),
    ]
    .into_iter()
    .map(|(what, guest)| (what.to_owned(), vec![text(&guest), dist("pass-through-async")]))
    .collect();
    run(async {
        compare_all(&guests, (budget, DEADLINE), &[&[("x-body", "slow")], &[]]).await;
        let never = [
            ("one".to_owned(), vec![dist("pass-through-async")]),
            ("three".to_owned(), vec![dist("pass-through-async"); 3]),
            ("mixed".to_owned(), vec![dist("pass-through-sync"), dist("pass-through-async")]),
        ];
        compare_all(&never, SHORT, &[&[("x-end", "never")], &[("a", "1")]]).await;
    });
}

/// The time in which the host verifies signatures is the guest's.
#[test]
fn verifying_is_computing() {
    let budget = Budget { cpu: Duration::from_millis(20), ..BUDGET };
    let endless =
        "(loop (call $verify (i32.const 11) (i32.const 40000) (i32.const 64) (i32.const 0) (i32.const 16384)
        (i32.const 40064) (i32.const 64) (i32.const 128)) (br 0)) unreachable";
    let guests = [("for ever".to_owned(), vec![text(&with_handle(endless))])];
    let (deadline, began) = (Duration::from_secs(60), Instant::now());
    run(async { compare_all(&guests, (budget, deadline), &[&[]]).await });
    assert!(began.elapsed() < deadline, "the deadline ended it");
}

/// A stage that may hold the fiber does not stand behind one that goes on.
#[test]
fn the_order_of_stages_decides() {
    let order = |stages: &[&str]| {
        let read = |name: &&str| linkspan::direct::read(&dist(name).component).expect("on the list");
        let stages: Vec<_> = stages.iter().map(read).collect();
        linkspan::direct::order(&stages).map_err(|(at, _)| at)
    };
    let (sync, gone) = ("pass-through-sync", "pass-through-async");
    assert_eq!(order(&[sync, sync, gone, gone, "hello"]), Ok(()));
    assert_eq!(order(&[gone, sync, "empty"]), Ok(()));
    assert_eq!(order(&[sync, "hello"]), Ok(()));
    assert_eq!(order(&[gone, sync]), Err(1));
    assert_eq!(order(&[gone, gone, sync, gone]), Err(2));
    assert_eq!(order(&[gone, sync, "hello"]), Err(1));
}

/// Many requests at once in one instance, of which some clients go away before they have an answer, or in its middle.
#[test]
fn many_at_once_are_answered_alike() {
    let pass = || dist("pass-through-async");
    let chains = [vec![pass(), pass()], vec![pass(), dist("hello")], vec![dist("mixed-async"), pass()]];
    let runtime = runtime(&chains);
    run(async {
        for stages in &chains {
            let both = Both::new(&runtime, stages);
            for chain in [&both.component, &both.direct] {
                let never = &[("x-end", "never")][..];
                for round in 0..3 {
                    // Its client does not wait for it.
                    let gone =
                        tokio::time::timeout(Duration::from_millis(20), open(&both, chain, never)).await;
                    assert!(gone.is_err() || stages[1].component.path.ends_with("hello.wasm"), "{round}");
                    let asked: FuturesUnordered<_> =
                        (0..20).map(|_| open(&both, chain, &[("x-end", "trailers")])).collect();
                    let responses: Vec<_> = asked.collect().await;
                    for (number, response) in responses.into_iter().enumerate() {
                        assert_eq!(response.status(), 200);
                        let mut body = response.into_body();
                        match number % 3 {
                            0 => drop(body),
                            1 => assert!(body.frame().await.is_some_and(|frame| frame.is_ok())),
                            _ => assert_ne!(read(body).await, BROKE),
                        }
                    }
                }
            }
        }
    });
}

/// A stage that answers, and calls the next one when its caller is over, is no caller of its own: each call of the host that asks
/// for whom it is comes to an end.
#[test]
fn calls_after_an_answer_come_to_an_end() {
    let refreshing = middleware(
        "(i32.store (i32.const 1952) (local.get $q)) (call $return-empty) (i32.const 1)",
        "(if (i32.ne (local.get $kind) (i32.const 1)) (then
          (call $ask (i32.load (i32.const 1952)))
          (if (i32.eqz (call $sub)) (then (return (i32.const 0))))
          (return (call $wait (i32.load (i32.const 1912))))))
        (call $subtask-drop (call $sub)) (i32.const 0)",
    );
    let pass = || dist("pass-through-async");
    let chains = vec![
        ("in the middle".to_owned(), vec![pass(), text(&refreshing), pass()]),
        ("before two".to_owned(), vec![pass(), text(&refreshing), pass(), dist("mixed-async")]),
    ];
    // It would hold its thread.
    let (over, is_over) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let requests: [&[(&str, &str)]; 8] = [&[("a", "value")]; 8];
        run(async { compare_all(&chains, SHORT, &requests).await });
        over.send(())
    });
    is_over.recv_timeout(Duration::from_secs(60)).expect("the calls are over");
}

/// A stage that cancels its call and waits for the host's word lets others have their turns first, as wasmtime does: not the stage
/// that called it, if that is below it on the stack.
#[test]
fn others_have_their_turns_while_a_call_is_cancelled() {
    let ask = "(call $ask (local.get $q))";
    let wait = "(call $wait (i32.load (i32.const 1912)))";
    let cancel = "(call $alone) (drop (call $cancel (call $sub))) unreachable";
    let later = middleware(&format!("{ask} (i32.const 1)"), &format!("(call $return-empty) {cancel}"));
    let at_once = middleware(&format!("{ask} {cancel}"), "unreachable");
    let traps = |stage: usize| format!("trap of test/{stage}:stage");
    let answers = "(call $return-number (i32.const 7)) (i32.const 0)";
    let seven = || "ErrorCode::HttpRequestHeaderSectionSize(Some(7))".to_owned();
    let chains = [
        (middleware(&format!("{ask} {wait}"), "unreachable"), later.clone(), [traps(0), traps(0)]),
        (middleware(&format!("{ask} {wait}"), answers), later, [seven(), seven()]),
        (middleware(&format!("{ask} unreachable"), "unreachable"), at_once, [traps(0), traps(1)]),
    ];
    let (chains, said): (Vec<_>, Vec<_>) =
        chains.map(|(first, second, said)| (vec![text(&first), text(&second)], said)).into_iter().unzip();
    let runtime = runtime(&chains);
    run(async {
        for (stages, expected) in chains.iter().zip(said) {
            let both = Both::within(SHORT, &runtime, stages);
            let never = fields(&[("x-end", "never")]);
            let component = both.ask(&both.component, &never).await.0;
            let direct = both.ask(&both.direct, &never).await.0;
            assert_eq!([component, direct], expected);
        }
    });
}

/// A trap names its stage, whatever is at work around it.
#[test]
fn a_trap_in_the_middle_names_its_stage() {
    let pass = || dist("pass-through-async");
    let traps = |handle: &str, callback: &str| text(&middleware(handle, callback));
    let chains = [
        vec![pass(), traps("unreachable", "unreachable"), pass()],
        vec![pass(), traps("(call $ask (local.get $q)) unreachable", "unreachable"), pass()],
        vec![
            pass(),
            traps(
                "(call $ask (local.get $q)) (if (i32.eqz (call $sub)) (then unreachable)) (call $or-wait)",
                "unreachable",
            ),
            pass(),
        ],
        // Its place for a result is its own fault, whoever returns that.
        vec![pass(), text(&named("a result that is not aligned")), pass()],
        vec![
            dist("pass-through-sync"),
            traps("(call $ask (local.get $q)) (i32.const 7)", "unreachable"),
            pass(),
        ],
        vec![pass(), text(&with_handle("unreachable")), dist("empty")],
    ];
    let runtime = runtime(&chains);
    run(async {
        for stages in &chains {
            let both = Both::new(&runtime, stages);
            for body in ["", "slow"] {
                let (said, reason) = both.ask(&both.direct, &fields(&[("x-body", body)])).await;
                assert_eq!(said, "trap of test/1:stage", "{reason}");
            }
            // The next one has a new instance.
            let (said, _) = both.ask(&both.direct, &HeaderMap::new()).await;
            assert_eq!(said, "trap of test/1:stage");
        }
    });
}
