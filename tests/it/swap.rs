//! What happens to requests while the configuration changes: nothing.

mod canary;
mod files;
mod instances;
mod mutations;
mod operating;
pub(crate) mod support;

use self::support::{Served, pipeline, stamp};
use crate::harness::body::{self, empty};
use crate::harness::{
    Answer, Client, MS, PROTOCOLS, Protocol, SOON, get, in_time, request, run, scaled, soon,
};
use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

/// One pipeline whose two stages and service say which configuration they are from.
fn stamped(number: u64) -> String {
    // What is between the stamps comes and goes.
    let more = if number.is_multiple_of(2) { "{ component = \"pass-through-async\" }," } else { "" };
    let stages = format!("{}, {more} {}", stamp("outer", number), stamp("inner", number));
    pipeline("main", &stages, &format!("component = \"hello\", config = {{ greeting = \"{number}\" }}"))
        + "[[routes]]\npipeline = \"main\"\n"
}

/// The configuration that an answer is from; it may not be from two.
#[track_caller]
fn number(answer: &Answer) -> u64 {
    assert!(answer.cut.is_none() && answer.status == 200, "{answer:?}");
    let number: u64 = answer.text().trim().parse().unwrap();
    for name in ["x-probe-outer", "x-probe-inner"] {
        assert_eq!(answer.header(name), Some(number.to_string().as_str()), "{answer:?}");
    }
    number
}

#[test]
fn swaps_under_load_lose_nothing() {
    let served = Served::start("", &stamped(0));
    run(async {
        let (live, asked, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..6 {
            let protocol = PROTOCOLS[at % 2];
            let mut client = Client::connect(&served.gateway, protocol).await;
            let (live, asked, done) = (Rc::clone(&live), Rc::clone(&asked), Rc::clone(&done));
            tasks.spawn_local(async move {
                let mut count = 0_u32;
                while !done.get() {
                    let least = live.get();
                    let number = number(&client.get("/", &[]).await);
                    assert!((least..=asked.get()).contains(&number), "{least} {number} {}", asked.get());
                    count += 1;
                }
                count
            });
        }
        for number in 1..=scaled(200, 2000) {
            asked.set(number);
            served.swap(&stamped(number)).await;
            live.set(number);
        }
        done.set(true);
        while let Some(count) = tasks.join_next().await {
            assert!(count.unwrap() > 0);
        }
        served.nothing_retires().await;
    });
    served.gateway.stop();
}

#[test]
fn what_is_the_same_is_no_swap() {
    let served = Served::start("", &stamped(1));
    run(async {
        let (status, answer) = served.reload().await;
        assert_eq!((status, &answer["unchanged"], &answer["generation"]), (200, &true.into(), &1.into()));
        // Another text for the same pipeline: a new generation, of the segments that there are.
        served.write(&(stamped(1) + "# a comment\n"));
        let (status, answer) = served.reload().await;
        assert_eq!((status, &answer["generation"]), (200, &2.into()));
        let details = &answer["report"]["details"];
        assert_eq!((&details["compiled"], &details["reused"]), (&0.into(), &1.into()), "{answer}");
    });
}

/// `limits.rate-limit-keys` changes for the limiters that are there, with all that they count, and makes no segment
/// anew.
#[test]
fn limiters_take_more_keys_after_a_reload() {
    let rest = |keys: usize| {
        format!(
            "[limits]\nrate-limit-keys = {keys}\n[[routes]]\npipeline = \"main\"\n[pipelines.main]\n\
             service = {{ component = \"hello\" }}\n[[pipelines.main.stages]]\ncomponent = \"rate-limit\"\n\
             config = {{ rate = \"1/h\", key-header = \"x-key\" }}\n"
        )
    };
    let served = Served::start("", &rest(16));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        let mut allowed = async |of: &str| {
            let mut allowed = 0;
            for number in 0..100 {
                allowed +=
                    u32::from(client.get("/", &[("x-key", &format!("{of}-{number}"))]).await.status == 200);
            }
            allowed
        };
        let first = allowed("a").await;
        assert!((1..=16).contains(&first), "{first}");
        served.write(&rest(4096));
        let (status, answer) = served.reload().await;
        let details = &answer["report"]["details"];
        assert_eq!(
            (status, &details["compiled"], &details["reused"]),
            (200, &0.into(), &1.into()),
            "{answer}"
        );
        assert_eq!(allowed("b").await, 100);
        // What was used up is used up still.
        assert_eq!(allowed("a").await, 100 - first);
    });
    served.gateway.stop();
}

#[test]
fn a_rollback_brings_the_one_before_back() {
    let served = Served::start("", &stamped(1));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let (status, _) = served.ask(Method::POST, "/-/rollback").await;
        assert_eq!(status, 422, "there is nothing to go back to");
        for number in 2..=8 {
            served.swap(&stamped(number)).await;
        }
        // Five are kept by default.
        for expected in [7, 6, 5, 4, 3] {
            let (status, answer) = served.ask(Method::POST, "/-/rollback").await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(number(&client.get("/", &[]).await), expected);
        }
        assert_eq!(served.ask(Method::POST, "/-/rollback").await.0, 422);
        assert_eq!(number(&client.get("/", &[]).await), 3);
        // The file still has what was rolled back; who asks for it gets it.
        assert_eq!(served.reload().await.0, 200);
        assert_eq!(number(&client.get("/", &[]).await), 8);
    });
}

/// A service that streams what it gets, and a stamp that tells configurations apart.
fn echo(number: u64) -> String {
    pipeline("main", &stamp("outer", number), "component = \"echo\"") + "[[routes]]\npipeline = \"main\"\n"
}

#[test]
fn a_stream_ends_whole_after_a_swap_and_its_generation_is_gone() {
    let served = Served::start("", &echo(1));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&served.gateway, protocol).await;
            let (feeder, sent) = body::channel();
            feeder.send(Frame::data(Bytes::from_static(b"before "))).await.unwrap();
            let response = client.send(request(Method::POST, "/", &[], sent)).await.unwrap();
            let stamped = response.headers()["x-probe-outer"].clone();
            let mut answer = response.into_body();
            let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(first, "before ");
            served.swap(&echo(if protocol == Protocol::Http1 { 2 } else { 3 })).await;
            assert_eq!(served.retiring().await, 1);
            let mut other = Client::connect(&served.gateway, protocol).await;
            assert_ne!(other.get("/", &[]).await.ok().headers["x-probe-outer"], stamped);
            feeder.send(Frame::data(Bytes::from_static(b"after"))).await.unwrap();
            drop(feeder);
            assert_eq!(answer.collect().await.unwrap().to_bytes(), "after");
            served.nothing_retires().await;
        }
    });
    served.gateway.stop();
}

#[test]
fn a_stream_that_outlives_its_time_is_cut_and_counted() {
    // The new generation has the same segment, or another one.
    let shared = echo(1) + &pipeline("other", "", "component = \"hello\"");
    for next in [echo(2), shared] {
        let served = Served::start("retire-timeout = \"300ms\"\n", &echo(1));
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
            let (feeder, sent) = body::channel();
            feeder.send(Frame::data(Bytes::from_static(b"before"))).await.unwrap();
            let mut answer = client.send(request(Method::POST, "/", &[], sent)).await.unwrap().into_body();
            assert!(answer.frame().await.unwrap().is_ok());
            served.swap(&next).await;
            let cut = in_time(answer.frame()).await;
            assert!(cut.is_some_and(|frame| frame.is_err()), "an end would say that it is whole");
            served.nothing_retires().await;
            let start = Instant::now();
            while served.metric("linkspan_retirement_streams_cut_total").await < 1.0 {
                assert!(start.elapsed() < SOON, "it is not counted");
                tokio::time::sleep(10 * MS).await;
            }
            client.get("/", &[]).await.ok();
            drop(feeder);
        });
        served.gateway.stop();
    }
}

#[test]
fn counters_survive_a_swap() {
    let limited = |number| {
        let stages = format!(
            "{}, {{ component = \"rate-limit\", config = {{ rate = \"5/h\", key-header = \"\" }} }}",
            stamp("outer", number)
        );
        pipeline("main", &stages, "component = \"hello\"") + "[[routes]]\npipeline = \"main\"\n"
    };
    let served = Served::start("", &limited(1));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        for _ in 0..3 {
            client.get("/", &[]).await.ok();
        }
        served.swap(&limited(2)).await;
        for _ in 0..2 {
            assert_eq!(client.get("/", &[]).await.ok().header("x-probe-outer"), Some("2"));
        }
        assert_eq!(client.get("/", &[]).await.status, 429);
    });
}

#[test]
fn memory_does_not_grow_with_swaps() {
    // Five stages.
    let five = |number| {
        let stages = [
            stamp("outer", number),
            "{ component = \"pass-through-async\" }".to_owned(),
            "{ component = \"pass-through-sync\" }".to_owned(),
            "{ component = \"security-headers\" }".to_owned(),
            stamp("inner", number),
        ];
        let service = format!("component = \"hello\", config = {{ greeting = \"{number}\" }}");
        pipeline("main", &stages.join(", "), &service) + "[[routes]]\npipeline = \"main\"\n"
    };
    let served = Served::start("", &five(0));
    let (few, many, bound) = scaled((20, 100, 1.5), (50, 500, 1.1));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let mut resident = Vec::new();
        for swap in 1..=many {
            served.swap(&five(swap)).await;
            assert_eq!(number(&client.ask(get("/", &[])).await), swap);
            if swap == few || swap == many {
                served.nothing_retires().await;
                resident.push(served.gateway.resident() as f64);
            }
        }
        assert!(resident[1] < resident[0] * bound, "{resident:?}");
    });
}

#[test]
fn a_drain_says_so_before_it_stops() {
    let served = Served::start("drain-delay = \"1s\"\n", &stamped(1));
    let mut gateway = run(async {
        assert_eq!(served.ask(Method::GET, "/readyz").await.0, 200);
        served.gateway.signal(rustix::process::Signal::TERM);
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        let mut refused = false;
        for _ in 0..100 {
            refused = served.ask(Method::GET, "/readyz").await.0 == 503;
            if refused {
                break;
            }
            tokio::time::sleep(5 * MS).await;
        }
        assert!(refused);
        // Still served, on old connections and new ones.
        assert_eq!(number(&client.get("/", &[]).await), 1);
        let mut late = Client::connect(&served.gateway, Protocol::Http2).await;
        assert_eq!(number(&late.ask(request(Method::GET, "/", &[], empty())).await), 1);
        assert_eq!(served.ask(Method::GET, "/healthz").await.0, 200);
        served.gateway
    });
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_hangup_reloads() {
    let served = Served::start("", &stamped(1));
    run(async {
        served.write(&stamped(2));
        served.gateway.signal(rustix::process::Signal::HUP);
        let live = |line: &crate::harness::Line| {
            line["message"] == "a new generation is live" && line["trigger"] == "signal"
        };
        soon("it reloads", || served.gateway.count(live) == 1).await;
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        assert_eq!(number(&client.get("/", &[]).await), 2);
    });
}
