//! Sound traffic at full speed.

use crate::harness::{Answer, Gateway, Load, Pipeline, Protocol, Setup, drive, get, run, scaled};
use std::time::Duration;

fn setup() -> Setup {
    let pipeline = Pipeline::new("edge", "hello")
        .stage("request-id")
        .stage("security-headers")
        .stage_with("cors", "config = { origins = [\"https://app.example.com\"] }")
        .stage_with("key-auth", "config = { keys = { alice = \"secret\" } }")
        .stage_with("rate-limit", "config = { rate = \"1000000000/s\" }");
    Setup::of([pipeline]).workers(2)
}

/// 64 connections as fast as they can, through five middleware: no failed request, and memory stays where it was.
#[test]
fn full_speed_through_five_middleware() {
    let gateway = Gateway::start(&setup());
    let files = gateway.files_at_rest();
    let seconds = scaled(5, 60);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let time = |seconds| Load::time(64, Duration::from_secs(seconds));
        let send = |load| {
            let make = |_| get("/", &[("x-api-key", "secret"), ("origin", "https://app.example.com")]);
            let check = |_, answer: hyper::Result<Answer>| {
                let answer = answer.unwrap().ok();
                assert_eq!(answer.text(), "Hello!\n");
                assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
                assert!(
                    answer.headers.contains_key("x-request-id") && answer.headers.contains_key("ratelimit")
                );
            };
            run(drive(&gateway, protocol, load, make, check))
        };
        // As many instances and buffers as it takes, however slow the machine is.
        send(Load::requests(64, 5_000));
        let before = gateway.resident();
        let sent = send(time(seconds));
        let after = gateway.resident();
        assert!(after < before + (8 << 20), "{protocol:?}: {before} → {after}");
        let (before, after) = (before >> 10, after >> 10);
        println!("{protocol:?}: {sent} requests in {seconds} s: resident {before} → {after} KiB");
        gateway.closes_down_to(files);
    }
    gateway.stop();
}
