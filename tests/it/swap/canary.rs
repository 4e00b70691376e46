//! Routes that several pipelines share, and mirrors.

use super::support::{Served, pipeline, stamp};
use crate::harness::{Client, Load, Protocol, drive, get, request, run, scaled};
use http::Method;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

fn two(route: &str) -> String {
    let one = pipeline("stable", &stamp("which", "stable"), "component = \"hello\"");
    let other = pipeline("next", &stamp("which", "next"), "component = \"hello\"");
    format!(
        "{one}{other}[[routes]]\nsplit = [{{ pipeline = \"stable\", weight = 90 }}, \
         {{ pipeline = \"next\", weight = 10 }}]\n{route}\n"
    )
}

#[test]
fn a_canary_takes_its_share() {
    let served = Served::start("", &two(""));
    let (requests, tolerance) = scaled((10_000, 0.02), (100_000, 0.01));
    let next = Rc::new(Cell::new(0_u32));
    let count = Rc::clone(&next);
    let sent = run(drive(
        &served.gateway,
        Protocol::Http1,
        Load::requests(8, requests),
        |_| get("/", &[]),
        move |_, answer| {
            if answer.expect("an answer").ok().header("x-probe-which") == Some("next") {
                count.set(count.get() + 1);
            }
        },
    ));
    let share = f64::from(next.get()) / sent as f64;
    assert!((share - 0.1).abs() <= tolerance, "{share}");
}

/// Which pipeline serves a request with a field.
async fn which(client: &mut Client, field: (&str, &str)) -> String {
    client.get("/", &[field]).await.ok().header("x-probe-which").unwrap().to_owned()
}

#[test]
fn a_pin_decides_instead_of_chance() {
    for (pin, field, form) in
        [("header = \"x-user\"", "x-user", ""), ("cookie = \"user\"", "cookie", "a=b; user=")]
    {
        let served = Served::start("", &two(&format!("pin = {{ {pin} }}")));
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
            let mut next = 0;
            for user in 0..200 {
                let value = format!("{form}u{user}");
                let first = which(&mut client, (field, &value)).await;
                assert_eq!(which(&mut client, (field, &value)).await, first);
                next += u32::from(first == "next");
            }
            assert!((5..50).contains(&next), "{next} of 200");
            // A value that is a pipeline's name chooses it.
            for name in ["next", "stable"] {
                assert_eq!(which(&mut client, (field, &format!("{form}{name}"))).await, name);
            }
        });
    }
}

#[test]
fn a_mirror_that_is_slow_or_fails_changes_nothing() {
    let mirrored = pipeline("main", &stamp("which", "main"), "component = \"echo\"")
        + &pipeline("copy", "", "component = \"fault-service\", grant = { clocks = true }")
        + "[pipelines.copy.limits]\ninstances = 2\nqueue = 4\ndeadline = \"500ms\"\n\n"
        + "[[routes]]\npipeline = \"main\"\nmirror = \"copy\"\n";
    let served = Served::start("", &mirrored);
    run(async {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut client = Client::connect(&served.gateway, protocol).await;
            for fault in ["hang", "trap", "error", "half-body", "stalled-body", "read-body", "drop-body"] {
                for round in 0..20_u8 {
                    let sent = vec![round; 20_000];
                    let body = crate::harness::body::whole(sent.clone());
                    let start = Instant::now();
                    let answer =
                        client.ask(request(Method::POST, "/", &[("x-fault", fault)], body)).await.ok();
                    assert_eq!(answer.header("x-probe-which"), Some("main"));
                    assert_eq!(answer.body, sent, "{fault}");
                    assert!(start.elapsed() < Duration::from_secs(5), "{fault} is waited for");
                }
            }
        }
        // It was asked, and did fail.
        let trapped = |line: &crate::harness::Line| {
            let died = line["message"].as_str().is_some_and(|text| text.starts_with("the instance died"));
            died && line["pipeline"] == "copy"
        };
        crate::harness::soon("the copy is served", || served.gateway.count(trapped) > 0).await;
    });
}
