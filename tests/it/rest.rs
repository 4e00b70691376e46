//! A gateway with nothing to do rests, and misses nothing that it then has to do.

use crate::harness::{Client, Gateway, MS, Pipeline, Protocol, Setup, eventually, run};

/// Wake-ups in half a second of a thread that rests, at most: a worker's clock ticks every half a second then, else
/// every 20 ms; that of the epoch every half a second, else every 2 ms.
const FEW: u64 = 8;

/// Waits until the clocks of a gateway with one worker rest.
fn rests(gateway: &Gateway) {
    eventually("the clocks rest", || {
        let woken = || ["linkspan-0", "linkspan-epoch"].map(|thread| gateway.woken(thread));
        let before = woken();
        std::thread::sleep(500 * MS);
        woken().into_iter().zip(before).all(|(after, before)| after - before <= FEW)
    });
}

#[test]
fn clocks_that_rest_wake_up_for_deadlines_and_for_guests_that_compute() {
    for link in ["static", "dynamic"] {
        let pipeline = |name: &str| Pipeline::new(name, "fault-service").link(link).stage("fault-middleware");
        let hasty = pipeline("hasty").limit("deadline = \"400ms\"").route("path = \"/hasty\"");
        let gateway = Gateway::start(&Setup::of([pipeline("main").limit("cpu = \"50ms\""), hasty]));
        let ask = |path, field, fault, status, kind| {
            rests(&gateway);
            run(async {
                let mut client = Client::connect(&gateway, Protocol::Http1).await;
                client.get(path, &[(field, fault)]).await.problem(status, kind);
            });
        };
        // With instances that are there, and without.
        run(async { Client::connect(&gateway, Protocol::Http1).await.get("/hasty", &[]).await.ok() });
        for _ in 0..2 {
            ask("/hasty", "x-fault", "hang", 504, "deadline");
            ask("/", "x-middleware-fault", "loop", 500, "guest-trap");
            ask("/", "x-fault", "loop", 500, "guest-trap");
        }
        gateway.stop();
    }
}
