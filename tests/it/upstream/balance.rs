//! Which server gets a request: turns, load, health.

use super::support::{Origin, Raw, Speaks, configuration, gateway, nowhere, read_head};
use crate::harness::{Client, Protocol, get, in_time, run, soon};
use crate::swap::support::Served;
use std::io::Write as _;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

#[test]
fn servers_take_turns() {
    let origins = [Origin::start(), Origin::start(), Origin::start()];
    let servers: Vec<_> = origins.iter().map(Origin::url).collect();
    for balance in ["round-robin", "least-requests"] {
        let served = gateway(&servers, &format!("balance = \"{balance}\""));
        let before: Vec<_> = origins.iter().map(Origin::requests).collect();
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
            for _ in 0..30 {
                client.get("/", &[]).await.ok();
            }
        });
        for (origin, before) in origins.iter().zip(before) {
            assert_eq!(origin.requests() - before, 10, "{balance}");
        }
    }
}

#[test]
fn the_least_loaded_server_is_next() {
    let origins = [Origin::start(), Origin::start()];
    let served = gateway(&[origins[0].url(), origins[1].url()], "balance = \"least-requests\"");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let held = in_time(client.start(get("/first-and-never", &[]))).await.unwrap();
        let busy = usize::from(origins[1].requests() > 0);
        for _ in 0..10 {
            client.get("/", &[]).await.ok();
        }
        assert_eq!((origins[busy].requests(), origins[1 - busy].requests()), (1, 10));
        drop(held);
    });
}

/// A server that fails is left out for a time, and comes back; the log and the admin listener say so.
#[test]
fn a_failing_server_is_ejected_and_comes_back() {
    let good = Origin::start();
    let address = nowhere();
    let bad = format!("http://{address}");
    let keys = "ejection = { failures = 2, time = \"1s\" }";
    let served = gateway(&[good.url(), bad.clone()], keys);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        for _ in 0..20 {
            client.get("/", &[]).await.ok();
        }
        let line = served.gateway.line(|line| line["message"] == "a server failed and is ejected");
        assert_eq!((&line["server"], &line["upstream"]), (&bad.clone().into(), &"backend".into()));
        let labels = format!("linkspan_upstream=\"backend\",server=\"{bad}\"");
        assert!(served.of_upstream("faults_total", &format!("fault=\"connect\",{labels}")).await >= 2.0);
        let back = Origin::at(address, Speaks::Http1);
        let start = Instant::now();
        while back.requests() == 0 {
            assert!(start.elapsed() < crate::harness::SOON, "it does not come back");
            client.get("/", &[]).await.ok();
        }
        served.gateway.line(|line| line["message"] == "an ejected server gets requests again");
        assert_eq!(served.of_upstream("server_up", &labels).await, 1.0);
        let servers = served.servers().await;
        assert_eq!(servers[1]["server"], bad);
        assert_eq!((&servers[1]["up"], &servers[1]["ejected"]), (&true.into(), &false.into()));
    });
}

/// No more than a share of the servers is ejected: the last ones are tried on.
#[test]
fn ejection_has_a_bound() {
    let servers: Vec<_> = (0..4).map(|_| format!("http://{}", nowhere())).collect();
    let served =
        gateway(&servers, "ejection = { failures = 1, time = \"1h\", share = 50 }\nretry = { attempts = 0 }");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        for _ in 0..20 {
            client.get("/", &[]).await.problem(502, "upstream-unreachable");
        }
        let ejected =
            served.servers().await.as_array().unwrap().iter().filter(|it| it["ejected"] == true).count();
        assert_eq!(ejected, 2);
    });
    served.gateway.counts(2, |line| line["message"] == "a server failed and is ejected");
}

/// Servers are asked for their health; with none left, requests are refused at once.
#[test]
fn checks_take_servers_out_and_bring_them_back() {
    let origins = [Origin::start(), Origin::speaking(Speaks::Http1)];
    let health = "health = { path = \"/health\", interval = \"50ms\", healthy = 2, unhealthy = 2 }";
    let served = gateway(&[origins[0].url(), origins[1].url()], health);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        origins[0].seen.ill.store(true, SeqCst);
        served
            .gateway
            .line(|line| line["server"] == origins[0].url().as_str() && line["reason"] == "status 500");
        let before = origins[0].requests();
        for _ in 0..6 {
            client.get("/", &[]).await.ok();
        }
        assert_eq!(origins[0].requests(), before);
        origins[1].seen.ill.store(true, SeqCst);
        served
            .gateway
            .line(|line| line["server"] == origins[1].url().as_str() && line["reason"] == "status 500");
        let answer = client.get("/", &[]).await;
        answer.problem(503, "upstream-down");
        assert_eq!(answer.header("retry-after"), Some("1"));
        let servers = served.servers().await;
        assert_eq!((&servers[0]["up"], &servers[0]["failing"]), (&false.into(), &true.into()));
        origins[0].seen.ill.store(false, SeqCst);
        served.gateway.line(|line| line["message"] == "a server's checks succeed again");
        client.get("/", &[]).await.ok();
    });
}

/// A check that has no answer in time, or another status than is wanted, is a bad one.
#[test]
fn checks_have_a_timeout_and_a_status() {
    let silent = Raw::start(|mut stream, _| {
        read_head(&mut stream);
        read_head(&mut stream);
    });
    let other = Raw::start(|mut stream, _| {
        if read_head(&mut stream).is_some_and(|head| head.starts_with("GET /up?x ")) {
            drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"));
        }
    });
    let served = gateway(
        &[silent.url()],
        "health = { path = \"/\", interval = \"50ms\", timeout = \"200ms\", unhealthy = 1 }",
    );
    served.gateway.line(|line| line["reason"].as_str().is_some_and(|it| it.contains("health.timeout")));
    let served = gateway(
        &[other.url()],
        "health = { path = \"/up?x\", interval = \"50ms\", timeout = \"1m\", unhealthy = 1, status = 200 }",
    );
    served.gateway.line(|line| line["reason"] == "status 204");
}

/// Checks end with the upstream that they are for.
#[test]
fn checks_end_with_their_upstream() {
    let (old, new) = (Origin::start(), Origin::start());
    let health = "health = { path = \"/checked\", interval = \"20ms\" }";
    let served = Served::start("history = 1", &configuration(&[old.url()], health, ""));
    run(async {
        soon("the old one is checked", || old.requests() > 2).await;
        served.swap(&configuration(&[new.url()], health, "")).await;
        soon("the new one is checked", || new.requests() > 2).await;
        served.nothing_retires().await;
        let (mut last, mut since) = (old.requests(), Instant::now());
        soon("the old one is left alone", || {
            if old.requests() != last {
                (last, since) = (old.requests(), Instant::now());
            }
            since.elapsed() > 20 * 20 * crate::harness::MS
        })
        .await;
    });
}
