//! The rate limiter's counts are the process's: right across workers and instances.

use crate::harness::{Client, Gateway, PROTOCOLS, Pipeline, Protocol, Setup, get, in_time, run};

fn setup(config: &str) -> Setup {
    let pipeline =
        Pipeline::new("main", "hello").stage_with("rate-limit", &format!("config = {{ {config} }}"));
    // One request at a time in an instance, so that many instances count.
    Setup::of([pipeline.limit("concurrency = 1").limit("instances = 200")]).workers(2)
}

/// Of 200 requests at once, over connections of both workers, exactly the burst is let through.
#[test]
fn a_burst_is_exact() {
    let gateway = Gateway::start(&setup("rate = \"1/h\", burst = 70, key-header = \"x-key\""));
    run(async {
        for key in ["one", "two"] {
            let mut tasks = Vec::new();
            for number in 0..200 {
                let mut client = Client::connect(&gateway, PROTOCOLS[number % 2]).await;
                tasks.push(tokio::task::spawn_local(async move { client.get("/", &[("x-key", key)]).await }));
            }
            let (mut allowed, mut refused) = (0, 0);
            for task in tasks {
                let answer = in_time(task).await.unwrap();
                match answer.status.as_u16() {
                    200 => {
                        assert_eq!(answer.text(), "Hello!\n");
                        allowed += 1;
                    }
                    429 => {
                        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
                        assert!(answer.json()["status"] == 429);
                        refused += 1;
                    }
                    other => panic!("{other}: {answer:?}"),
                }
            }
            assert_eq!((allowed, refused), (70, 130), "of `{key}`");
        }
    });
    gateway.stop();
}

/// What is left is told truly, one after the other.
#[test]
fn what_is_left_is_told() {
    let gateway = Gateway::start(&setup("rate = \"1/h\", burst = 5"));
    run(async {
        // Connections are spread over the workers by the kernel; the count is one.
        for left in (0..5).rev() {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let answer = client.get("/", &[]).await.ok();
            assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=5;w=18000"));
            assert!(
                answer.header("ratelimit").unwrap().starts_with(&format!("\"default\";r={left};t=")),
                "{answer:?}"
            );
        }
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        assert_eq!(client.get("/", &[]).await.status, 429);
    });
    gateway.stop();
}

/// A refusal is an answer like others: the connection goes on, and HEAD has no body.
#[test]
fn refusals_over_both_protocols() {
    let gateway = Gateway::start(&setup("rate = \"1/h\", burst = 1"));
    run(async {
        Client::connect(&gateway, Protocol::Http1).await.get("/", &[]).await.ok();
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            for _ in 0..20 {
                let answer = client.ask(get("/", &[])).await;
                assert!(answer.status == 429 && answer.cut.is_none(), "{answer:?}");
                assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
                let head =
                    crate::harness::request(http::Method::HEAD, "/", &[], crate::harness::body::empty());
                let answer = client.ask(head).await;
                assert!(answer.status == 429 && answer.body.is_empty(), "{answer:?}");
            }
        }
    });
    gateway.stop();
}
