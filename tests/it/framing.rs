//! Guests that change bodies, and guests whose framing is wrong: what a client gets is right, or seen to be wrong.

use crate::chain_test;
use crate::harness::{
    Answer, Chain, Client, Gateway, PROTOCOLS, Pipeline, Protocol, Setup, body, get, in_time, request, run,
};
use http::Method;

fn behind(chain: Chain, service: &str) -> Setup {
    let pipeline = chain.pipeline(service).stage("fault-middleware");
    Setup::of([pipeline.limit("body-idle-timeout = \"1s\"")])
}

chain_test! {
    /// A middleware that changes a body in front of a service which hands that body back.
    fn transformed_bodies(chain) {
        let gateway = Gateway::start(&behind(chain, "echo"));
        run(async {
            for protocol in PROTOCOLS {
                for fault in ["transform-request", "transform-response"] {
                    for size in [0_usize, 1, 100_000] {
                        let mut client = Client::connect(&gateway, protocol).await;
                        let fields = [("x-middleware-fault", fault)];
                        let body = body::whole("abc".repeat(size));
                        let answer = client.ask(request(Method::POST, "/", &fields, body)).await.ok();
                        assert_eq!(answer.text(), "ABC".repeat(size), "{protocol:?} {fault} {size}");
                        client.get("/", &[]).await.ok();
                    }
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Trailers come through a middleware that changes the body before them.
    fn trailers_of_transformed_bodies(chain) {
        let gateway = Gateway::start(&behind(chain, "echo"));
        run(async {
            for fault in ["transform-request", "transform-response"] {
                let mut client = Client::connect(&gateway, Protocol::Http2).await;
                let fields = [("x-middleware-fault", fault)];
                let body = body::with_trailers("abc", &[("x-checksum", "1")]);
                let answer = client.ask(request(Method::POST, "/", &fields, body)).await.ok();
                assert_eq!(answer.text(), "ABC", "{fault}");
                assert_eq!(answer.trailers.unwrap()["x-checksum"], "1", "{fault}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A `content-length` that a changed body does not have: the answer is never longer, and never looks complete.
    fn stale_lengths(chain) {
        let gateway = Gateway::start(&behind(chain, "fault-service"));
        run(async {
            for protocol in PROTOCOLS {
                for (field, fault, length) in [
                    // "okok" and "hello" are too long, "hello" is too short.
                    ("x-middleware-fault", "transform-stale", "2"),
                    ("x-fault", "stale-length", "3"),
                    ("x-fault", "stale-length", "100"),
                ] {
                    let mut client = Client::connect(&gateway, protocol).await;
                    let fields = [(field, fault), ("x-length", length)];
                    // A connection or stream that breaks before the head is out tells enough, too.
                    if let Ok(response) = in_time(client.send(get("/", &fields))).await {
                        let answer = Answer::read(response).await;
                        let announced = answer.header("content-length").map(|text| text.parse::<usize>().unwrap());
                        let right = announced.is_none_or(|announced| announced == answer.body.len());
                        assert!(answer.cut.is_some() || right, "{protocol:?} {fault} {length}: {answer:?}");
                        assert!(answer.cut.is_some() || length != "100", "too little looks complete: {answer:?}");
                    }
                    let mut client = Client::connect(&gateway, protocol).await;
                    client.get("/", &[]).await.ok();
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Heads that a guest makes: large ones arrive, impossible ones are an error.
    fn heads_of_guests(chain) {
        let gateway = Gateway::start(&behind(chain, "fault-service"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let answer = client.get("/", &[("x-fault", "big-headers"), ("x-size", "10000")]).await.ok();
                assert_eq!(answer.header("x-big").map(str::len), Some(10_000));
                let answer = client.get("/", &[("x-fault", "many-headers"), ("x-count", "50")]).await.ok();
                assert_eq!(answer.headers.keys().filter(|name| name.as_str().starts_with("x-")).count(), 50);
                client.get("/", &[("x-fault", "bad-status")]).await.problem(500, "guest-error");
                client.get("/", &[]).await.ok();
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A status that ends no exchange is no answer; one that has no body has none, whoever gives it (RFC 9110 §15).
    fn statuses_of_guests(chain) {
        let gateway = Gateway::start(&behind(chain, "fault-service"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for field in ["x-fault", "x-middleware-fault"] {
                    for fault in ["status", "status-with-body"] {
                        for status in ["100", "101", "103", "199"] {
                            let answer = client.get("/", &[(field, fault), ("x-status", status)]).await;
                            answer.problem(502, "bad-gateway");
                        }
                        for (status, length) in [("204", None), ("205", Some("0"))] {
                            for method in [Method::GET, Method::HEAD, Method::POST] {
                                let fields = [(field, fault), ("x-status", status)];
                                let answer = client.ask(request(method, "/", &fields, body::empty())).await;
                                assert_eq!(answer.status.as_str(), status, "{protocol:?}");
                                assert!(answer.body.is_empty() && answer.cut.is_none(), "{protocol:?} {answer:?}");
                                assert_eq!(answer.header("content-length"), length, "{protocol:?} {answer:?}");
                            }
                        }
                    }
                    // What a GET would have got may be told.
                    for (method, status) in [(Method::GET, "304"), (Method::HEAD, "200")] {
                        let fields = [(field, "status-with-body"), ("x-status", status)];
                        let answer = client.ask(request(method, "/", &fields, body::empty())).await;
                        let told = answer.header("content-length").is_none_or(|length| length == "2");
                        assert!(told && answer.body.is_empty() && answer.cut.is_none(), "{protocol:?} {answer:?}");
                    }
                }
                client.get("/", &[]).await.ok();
            }
        });
        gateway.stop();
    }
}

/// No authority with user info leaves the store of the stage that set it: neither to the next stage nor to an upstream.
#[test]
fn user_info_of_guests() {
    let main = Pipeline::new("main", "probe").link("dynamic").stage("fault-middleware");
    let gateway = Gateway::start(&Setup::of([main]));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            client.get("/", &[]).await.ok();
            client.get("/", &[("x-middleware-fault", "user-info")]).await.problem(500, "guest-error");
        }
    });
    gateway.stop();
}

/// The log says what was wrong with a length, and speaks of no limit.
#[test]
fn a_stale_length_is_told() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "fault-service")]));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        let fields = [("x-fault", "stale-length"), ("x-length", "100")];
        if let Ok(response) = in_time(client.send(get("/", &fields))).await {
            assert!(Answer::read(response).await.cut.is_some());
        }
    });
    let line = gateway.line(|line| line["message"] == "a response was cut short");
    assert_eq!(line["reason"], "the body has 5 bytes, and its `content-length` says another number");
    gateway.stop();
}
