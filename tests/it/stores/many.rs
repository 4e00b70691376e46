//! A limit with a burst of 10, which two gateways have together, and more than that is asked for; and a server that breaks
//! meanwhile. `LINKSPAN_TEST_FULL=1 cargo xtask test stores::many -- --nocapture --test-threads 1` prints the figures of a minute
//! of 1,000 requests a second.

use super::redis::{Redis, installed};
use super::{main, run};
use crate::harness::{Client, Gateway, MS, Pipeline, Protocol, Setup, get, scaled};
use rustix::process::Signal;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

const BURST: f64 = 10.0;

/// A second. On a machine that does other things too, nobody may ask for some milliseconds, in which a burst of 10 is lost: the
/// short form has a lower rate.
fn rate() -> f64 {
    scaled(100.0, 1000.0)
}

/// A request that was answered: when it was sent, and when its answer was there.
#[derive(Clone, Copy, Debug)]
struct Asked {
    sent: Duration,
    answered: Duration,
    status: u16,
}

/// Sends requests to both for `time` from `connections` connections each, without a pause but `pause`.
async fn offer(gateways: [&Gateway; 2], connections: usize, time: Duration, pause: Duration) -> Vec<Asked> {
    let (start, all) = (Instant::now(), Rc::new(RefCell::new(Vec::new())));
    let mut tasks = tokio::task::JoinSet::new();
    for gateway in gateways {
        for _ in 0..connections {
            let (all, mut client) = (Rc::clone(&all), Client::connect(gateway, Protocol::Http1).await);
            tasks.spawn_local(async move {
                while start.elapsed() < time {
                    let sent = start.elapsed();
                    let answer = client.try_ask(get("/", &[])).await.unwrap();
                    let status = answer.status.as_u16();
                    all.borrow_mut().push(Asked { sent, answered: start.elapsed(), status });
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
            });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    Rc::try_unwrap(all).unwrap().into_inner()
}

/// The most that was allowed above limit and burst in any window. Each decision was made between a request and its answer,
/// so what was sent and answered within a window was decided there.
fn most_above(asked: &[Asked]) -> f64 {
    let mut allowed: Vec<_> = asked.iter().filter(|asked| asked.status == 200).collect();
    allowed.sort_by_key(|asked| asked.answered);
    let longest = allowed.iter().map(|asked| asked.answered - asked.sent).max().unwrap_or_default();
    let mut most = f64::MIN;
    for window in [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 60_000_u32].map(|ms| MS * ms) {
        for (at, last) in allowed.iter().enumerate() {
            let begin = last.answered.saturating_sub(window);
            let first = allowed.partition_point(|asked| asked.answered < begin);
            // What was sent before and answered within is among the first ones: nobody waits for longer than the longest.
            let early = allowed[first..=at].iter().take_while(|asked| asked.answered <= begin + longest);
            let inside = at + 1 - first - early.filter(|asked| asked.sent < begin).count();
            let length = window.min(last.answered).as_secs_f64();
            most = most.max(inside as f64 - (BURST + rate() * length));
        }
    }
    most
}

/// How many of these one limiter alone would have allowed, that decides when they were answered. On a machine that does other
/// things too, nobody asks for some milliseconds now and then, in which a burst of 10 is lost to whoever decides.
fn ideal(asked: &[Asked]) -> usize {
    let mut times: Vec<_> = asked.iter().map(|asked| asked.answered.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    let mut arrival = 0.0_f64;
    let mut allowed = 0;
    for now in times {
        let after = arrival.max(now) + 1.0 / rate();
        if after - now <= BURST / rate() {
            (arrival, allowed) = (after, allowed + 1);
        }
    }
    allowed
}

fn percentile(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort();
    times
        .get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

#[test]
fn two_gateways_never_let_more_through_than_one_would() {
    let Some(binary) = installed() else { return };
    let redis = Redis::start(binary, &[]);
    let config = format!("rate = \"{}/s\", burst = {BURST}, on-store-failure = \"closed\"", rate());
    let setup = Setup::of([main(&config)]).more(&redis.store("timeout = \"20s\""));
    let gateways = [Gateway::start(&setup), Gateway::start(&setup)];
    let time = scaled(Duration::from_secs(3), Duration::from_secs(60));
    let asked = run(offer([&gateways[0], &gateways[1]], 8, time, Duration::ZERO));
    let allowed = asked.iter().filter(|asked| asked.status == 200).count();
    assert!(asked.iter().all(|asked| matches!(asked.status, 200 | 429)), "another status");
    let (share, above) = (allowed as f64 / (rate() * time.as_secs_f64()), most_above(&asked));
    let of_one = allowed as f64 / ideal(&asked) as f64;
    eprintln!(
        "offered {} in {time:?}, allowed {allowed}: {:.2} % of the limit, {:.2} % of what one limiter would have allowed of these \
         requests; at most {above:.1} above limit and burst in a window",
        asked.len(),
        share * 100.0,
        of_one * 100.0,
    );
    assert!(above <= 0.0, "{above} above limit and burst");
    assert!(of_one >= scaled(0.9, 0.99), "{of_one}");
    gateways.into_iter().for_each(Gateway::stop);
}

/// The server is killed, replaced and paused while requests come: the chosen policy, and nobody waits for longer than the bounds.
#[test]
fn a_server_that_breaks_under_load() {
    let Some(binary) = installed() else { return };
    for (choice, meanwhile) in [("open", 200), ("closed", 503)] {
        let mut redis = Redis::start(binary.clone(), &[]);
        let config = format!("rate = \"1000000/s\", burst = 1000000, on-store-failure = \"{choice}\"");
        let bounds = "timeout = \"200ms\"\nconnect-timeout = \"200ms\"\nretry-interval = \"20ms\"\nretry-interval-max = \"50ms\"";
        let setup = Setup::of([main(&config)]).more(&redis.store(bounds));
        let gateways = [Gateway::start(&setup), Gateway::start(&setup)];
        let time = scaled(Duration::from_secs(4), Duration::from_secs(20));
        let breaks = std::thread::spawn(move || {
            let pause = || std::thread::sleep(time / 8);
            pause();
            redis.kill();
            pause();
            redis.replace();
            pause();
            redis.signal(Signal::STOP);
            pause();
            redis.signal(Signal::CONT);
            pause();
            redis.replace();
            redis
        });
        let asked = run(offer([&gateways[0], &gateways[1]], 8, time, MS));
        drop(breaks.join().unwrap());
        let waits: Vec<_> = asked.iter().map(|asked| asked.answered - asked.sent).collect();
        let other = asked.iter().filter(|asked| asked.status == meanwhile).count();
        eprintln!(
            "{choice}: {} requests, {other} of them {meanwhile}; p50 {:?}, p99 {:?}, longest {:?}",
            asked.len(),
            percentile(waits.clone(), 0.5),
            percentile(waits.clone(), 0.99),
            percentile(waits.clone(), 1.0),
        );
        assert!(asked.iter().all(|asked| matches!(asked.status, 200) || asked.status == meanwhile));
        assert!(other > 0, "nobody met a server that was away");
        // The bound, and what a busy machine adds.
        assert!(percentile(waits, 1.0) < Duration::from_secs(10), "a request hangs");
        let end = asked.iter().filter(|asked| asked.sent > time * 7 / 8);
        assert!(
            end.clone().count() > 0 && end.clone().all(|asked| asked.status == 200),
            "all is well at the end"
        );
        gateways.into_iter().for_each(Gateway::stop);
    }
}

/// What a decision in Redis adds to a request: three gateways in turn, one connection to each, so that nothing else differs.
#[test]
fn what_sharing_adds() {
    let Some(binary) = installed() else { return };
    let redis = Redis::start(binary, &[]);
    let config = "rate = \"1000000/s\", burst = 1000000, on-store-failure = \"closed\"";
    let own = Pipeline::new("main", "empty")
        .stage_with("rate-limit-in-place", "config = { rate = \"1000000/s\", key-header = \"x-key\" }");
    let setups = [
        ("the gateway's own memory", Setup::of([own])),
        ("a store in memory", Setup::of([main(config)]).more("[stores.shared]\nkind = \"memory\"\n")),
        ("a store in Redis", Setup::of([main(config)]).more(&redis.store("timeout = \"20s\""))),
    ];
    let gateways = setups.map(|(name, setup)| (name, Gateway::start(&setup)));
    let times = run(async {
        let mut clients = Vec::new();
        for (_, gateway) in &gateways {
            clients.push((Client::connect(gateway, Protocol::Http1).await, Vec::new()));
        }
        for round in 0..scaled(300, 5_000) {
            for (client, times) in &mut clients {
                let began = Instant::now();
                client.get("/", &[]).await.ok();
                // Until all is warm.
                if round >= 100 {
                    times.push(began.elapsed());
                }
            }
        }
        clients.into_iter().map(|(_, times)| times).collect::<Vec<_>>()
    });
    for ((name, gateway), times) in gateways.into_iter().zip(times) {
        let (half, most) = (percentile(times.clone(), 0.5), percentile(times, 0.99));
        eprintln!("{name}: p50 {half:?}, p99 {most:?}");
        gateway.stop();
    }
}
