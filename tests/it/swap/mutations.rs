//! Configurations with mistakes, thrown at a gateway that serves.

use super::number;
use super::stamped;
use super::support::{Served, whole};
use crate::harness::{Client, MS, PROTOCOLS, Seeded, run};
use http::Method;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// A change of `text`, which is ASCII: of bytes, of lines, or its end missing.
fn mutate(text: &str, seeded: &mut Seeded) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    let at = seeded.below(lines.len());
    match seeded.below(6) {
        0 => text[..seeded.below(text.len())].to_owned(),
        1 => {
            lines.remove(at);
            lines.join("\n")
        }
        2 => {
            lines.insert(at, lines[seeded.below(lines.len())]);
            lines.join("\n")
        }
        3 => {
            let other = seeded.below(lines.len());
            lines.swap(at, other);
            lines.join("\n")
        }
        kind => {
            let mut bytes = text.as_bytes().to_owned();
            for _ in 0..=seeded.below(3) {
                let at = seeded.below(bytes.len());
                let byte = b"\"[]{}=,.#\n\\ 09azAZ-_\x00\x7f\xff"[seeded.below(23)];
                if kind == 4 { bytes[at] = byte } else { bytes.insert(at, byte) }
            }
            // A file that is no UTF-8 is a mistake too; here it is one in a string.
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}

/// When something began and ended.
type Span = (Instant, Instant);

fn overlap(one: Span, other: Span) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

#[test]
fn a_wrong_configuration_touches_no_request() {
    let seed = std::env::var("LINKSPAN_TEST_SEED").map_or(1, |text| text.parse().unwrap());
    let served = Served::start("", &stamped(1));
    run(async {
        let done = Rc::new(Cell::new(false));
        let odd = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&served.gateway, protocol).await;
            let (done, odd) = (Rc::clone(&done), Rc::clone(&odd));
            tasks.spawn_local(async move {
                while !done.get() {
                    let start = Instant::now();
                    let answer = client.get("/", &[]).await;
                    if answer.status != 200 || answer.text() != "1\n" {
                        odd.borrow_mut().push(((start, Instant::now()), format!("{answer:?}")));
                    }
                    tokio::time::sleep(MS).await;
                }
            });
        }
        let mut accepted: Vec<Span> = Vec::new();
        let mut refused = 0;
        for round in 0..1000 {
            let mut seeded = Seeded(seed * 1_000_003 + round);
            // The listeners stay, so that there is somebody to ask.
            let rest = whole("", &stamped(1));
            let text = served.head().to_owned() + &mutate(&rest, &mut seeded);
            let start = Instant::now();
            served.write_whole(&text);
            let (status, answer) = served.reload().await;
            match status {
                200 if answer["unchanged"] == true => {}
                200 => {
                    served.swap(&stamped(1)).await;
                    accepted.push((start, Instant::now()));
                }
                422 => {
                    refused += 1;
                    has_place(&answer["report"]["details"], &text);
                    let (_, state) = served.ask(Method::GET, "/generations").await;
                    let last = state["reloads"].as_array().unwrap().last().unwrap();
                    assert_eq!(last["result"], "refused", "seed {seed}, round {round}");
                    has_place(&last["details"], &text);
                }
                _ => panic!("seed {seed}, round {round}: {status} {answer}"),
            }
        }
        done.set(true);
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        for (when, what) in odd.borrow().iter() {
            assert!(accepted.iter().any(|span| overlap(*when, *span)), "seed {seed}: {what}");
        }
        assert!(refused > 50, "{refused}");
        served.write(&stamped(1));
        served.reload().await;
        let mut client = Client::connect(&served.gateway, PROTOCOLS[1]).await;
        assert_eq!(number(&client.get("/", &[]).await), 1);
    });
    served.gateway.stop();
}

/// Some finding is an error, and each has a place in the text, unless it is that something is not there at all.
#[track_caller]
fn has_place(details: &Value, text: &str) {
    let errors: Vec<_> =
        details.as_array().unwrap().iter().filter(|item| item["severity"] == "error").collect();
    assert!(!errors.is_empty(), "{details:#}\n{text}");
    // One more: the end of the text is a place, too.
    let lines = text.lines().count() as u64 + 1;
    let absent = ["there is no listener", "there is no pipeline", "there is no route"];
    let placed = |error: &&Value| match error["line"].as_u64() {
        Some(line) => (1..=lines).contains(&line),
        None => absent.contains(&error["message"].as_str().unwrap()),
    };
    assert!(errors.iter().all(placed), "{details:#}\n{text}");
}
