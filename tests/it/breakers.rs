//! What a stage's breaker learns: all that the stage does wrong, and nothing that others do.

use crate::chain_test;
use crate::harness::{
    Chain, Client, Gateway, Line, MS, Pipeline, Protocol, SOON, Setup, eventually, get, run, soon,
};
use std::time::Instant;

/// A middleware with a breaker, in a store of its own, and a service.
fn guarded(chain: Chain, breaker: &str) -> Pipeline {
    let keys = format!("link = \"dynamic\"\nbreaker = {{ {breaker} }}\n");
    chain.pipeline("fault-service").stage_with("fault-middleware", &keys).limit("deadline = \"1s\"")
}

fn opened(line: &Line) -> bool {
    line["message"] == "breaker opened"
}

fn closed(line: &Line) -> bool {
    line["message"] == "breaker closed: the stage works again"
}

/// Asks until the stage is tried again, which then answers 500.
async fn probe(client: &mut Client, fields: &[(&str, &str)]) {
    let start = Instant::now();
    while client.get("/", fields).await.status != 500 {
        assert!(start.elapsed() < SOON, "the stage is not tried again");
    }
}

/// What makes the middleware fail when the next stage has answered.
const AFTER: [(&str, &str); 1] = [("x-middleware-fault", "trap-after")];

chain_test! {
    /// A stage that fails once the next one has answered is taken out of the way, as one that fails before.
    fn failures_after_the_next_stage_answered(chain) {
        let gateway = Gateway::start(&Setup::of([guarded(chain, "failures = 3, open = \"1h\", then = \"close\"")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for _ in 0..3 {
                client.get("/", &AFTER).await.problem(500, "guest-trap");
            }
            assert_eq!(client.get("/", &[]).await.status, 503, "the breaker is open");
        });
        gateway.counts(1, opened);
        gateway.stop();
    }
}

chain_test! {
    /// A probe that fails after the next stage answered keeps the breaker open; one that hands on the next one's error closes
    /// it, for the stage did what it should.
    fn each_probe_decides(chain) {
        let gateway = Gateway::start(&Setup::of([guarded(chain, "failures = 1, open = \"50ms\", then = \"close\"")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            client.get("/", &AFTER).await.problem(500, "guest-trap");
            for _ in 0..3 {
                probe(&mut client, &AFTER).await;
                assert_eq!(gateway.count(closed), 0);
            }
            probe(&mut client, &[("x-fault", "error")]).await;
            soon("the breaker closes", || gateway.count(closed) == 1).await;
            client.get("/", &[]).await.ok();
        });
        gateway.stop();
    }
}

chain_test! {
    /// What a later stage does is not this one's failure: its errors, its traps, its silence.
    fn errors_that_are_handed_on(chain) {
        let gateway = Gateway::start(&Setup::of([guarded(chain, "failures = 1, open = \"1h\"")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for fault in ["error", "trap", "hang"] {
                let answer = client.get("/", &[("x-fault", fault)]).await;
                assert!(answer.status.is_server_error(), "{fault}: {answer:?}");
                client.get("/", &[]).await.ok();
            }
            assert_eq!(gateway.count(opened), 0);
            // Its own silence is.
            client.get("/", &[("x-middleware-fault", "hang")]).await.problem(504, "deadline");
        });
        gateway.counts(1, opened);
        gateway.stop();
    }
}

/// A trap in the midst of the response's body counts as well, also of a probe, which its head had made a success.
#[test]
fn bodies_that_break_off() {
    let keys = "link = \"dynamic\"\nbreaker = { failures = 2, open = \"200ms\", then = \"close\" }";
    let pipeline = Pipeline::new("main", "fault-service").service_with(keys);
    let gateway = Gateway::start(&Setup::of([pipeline]));
    run(async {
        let half = || get("/", &[("x-fault", "half-body-chunked")]);
        for _ in 0..2 {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            // The head may not be out before the body breaks.
            drop(client.try_ask(half()).await);
        }
        soon("the breaker opens", || gateway.count(opened) == 1).await;
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        client.get("/", &[]).await.problem(503, "no-capacity");
        tokio::time::sleep(250 * MS).await;
        drop(client.try_ask(half()).await);
    });
    let again = |line: &Line| line["message"] == "breaker opened again: the probe's body broke off";
    eventually("the probe opens it again", || gateway.count(again) == 1);
    gateway.stop();
}
