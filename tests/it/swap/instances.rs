//! The first instances of a new generation, which are there before its first request.

use super::support::{Served, pipeline, stamp};
use crate::harness::{Client, Protocol, run};

/// The instances that were made so far, of all pipelines.
async fn made(served: &Served) -> f64 {
    let mut client = Client::open(served.admin, Protocol::Http1).await;
    let metrics = client.get("/metrics", &[]).await.ok().text().to_owned();
    let lines = metrics.lines().filter(|line| line.starts_with("linkspan_instances_made_total"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// A pipeline whose stage says `number`, with further keys of the stage, and the route to it.
fn numbered(name: &str, number: u64, keys: &str) -> String {
    let stage = stamp("number", number).replacen('{', &format!("{{ {keys}"), 1);
    let route = format!("[[routes]]\npath = \"/{name}\"\npipeline = \"{name}\"\n\n");
    pipeline(name, &stage, "component = \"hello\"") + &route
}

/// Has `served` answer a request to pipeline `name`, whose stage then says `number`.
async fn ask(served: &Served, name: &str, number: u64) {
    let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
    let answer = client.get(&format!("/{name}"), &[]).await.ok();
    assert_eq!(answer.header("x-probe-number"), Some(&*number.to_string()));
}

/// In either link mode. What is taken over has its instances.
#[test]
fn what_is_in_use_is_there_before_the_first_request() {
    for (keys, segments) in [("", 1.0), ("link = \"dynamic\", ", 2.0)] {
        let served = Served::start("", &numbered("main", 1, keys));
        run(async {
            ask(&served, "main", 1).await;
            assert_eq!(made(&served).await, segments);
            for number in 2..5 {
                served.swap(&numbered("main", number, keys)).await;
                let expected = segments + (number - 1) as f64;
                assert_eq!(made(&served).await, expected, "{keys}");
                ask(&served, "main", number).await;
                assert_eq!(made(&served).await, expected, "{keys}");
            }
        });
        served.gateway.stop();
    }
}

#[test]
fn what_is_not_in_use_costs_no_memory() {
    let both = |number| numbered("main", number, "") + &numbered("other", number, "");
    let served = Served::start("", &both(1));
    run(async {
        served.swap(&both(2)).await;
        assert_eq!(made(&served).await, 0.0);
        ask(&served, "other", 2).await;
        // A stage more, and a pipeline more.
        let stages = format!("{}, {}", stamp("number", 3), stamp("more", 3));
        let more = numbered("main", 3, "") + &numbered("new", 3, "");
        let other = pipeline("other", &stages, "component = \"hello\"");
        served.swap(&format!("{more}{other}[[routes]]\npath = \"/other\"\npipeline = \"other\"\n")).await;
        assert_eq!(made(&served).await, 2.0);
        ask(&served, "other", 3).await;
        assert_eq!(made(&served).await, 2.0);
    });
    served.gateway.stop();
}

/// `gateway.warm-up`, and a quarter of `limits.instances`.
#[test]
fn first_instances_are_bounded() {
    let both = |number| {
        let pipelines = numbered("main", number, "") + &numbered("other", number, "");
        format!("{pipelines}[limits]\ninstances = 7\n")
    };
    for (keys, ahead) in [("", 1.0), ("warm-up = \"0s\"\n", 0.0)] {
        let served = Served::start(keys, &both(1));
        run(async {
            for name in ["main", "other"] {
                ask(&served, name, 1).await;
            }
            served.swap(&both(2)).await;
            assert_eq!(made(&served).await, 2.0 + ahead, "{keys}");
            for name in ["main", "other"] {
                ask(&served, name, 2).await;
            }
            assert_eq!(made(&served).await, 4.0, "{keys}");
        });
        served.gateway.stop();
    }
}
