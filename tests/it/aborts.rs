//! Clients that go away: what they held is free again, however far their request was.

use crate::chain_test;
use crate::harness::{
    Chain, Client, Gateway, MS, PROTOCOLS, Protocol, SOON, Setup, body, eventually, get, in_time, request,
    run, scaled,
};
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::rc::Rc;

/// Where in its request's life a client goes away.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Uploading,
    Waiting,
    Downloading,
}

const MOMENTS: [Moment; 3] = [Moment::Uploading, Moment::Waiting, Moment::Downloading];

/// How it does: the stream alone, which HTTP/2 can reset, or with its connection.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Stream,
    Connection,
}

/// One instance that serves one request at a time, and no queue: what is not given back is missed at once.
fn narrow(chain: Chain) -> Setup {
    let limits = "instances = 1\nconcurrency = 1\nqueue = 1\nlinger = \"50ms\"\nqueue-timeout = \"20s\"";
    Setup::of([chain.pipeline("fault-service").limit(limits)]).limit("half-close-timeout = \"50ms\"")
}

/// Begins a request, waits until it is at `moment`, and leaves.
async fn go_away(mut client: Client, moment: Moment, leave: Leave) -> Option<Client> {
    match moment {
        Moment::Uploading => {
            let (feeder, body) = body::channel();
            in_time(feeder.send(Frame::data("some bytes of it".into()))).await.unwrap();
            let sent = client.send(request(Method::POST, "/", &[("x-fault", "read-body")], body));
            assert!(tokio::time::timeout(20 * MS, sent).await.is_err(), "no answer before the body's end");
        }
        Moment::Waiting => {
            let sent = client.send(get("/", &[("x-fault", "hang")]));
            assert!(tokio::time::timeout(20 * MS, sent).await.is_err(), "no answer at all");
        }
        Moment::Downloading => {
            let fields = [("x-fault", "many-chunks"), ("x-count", "100000000")];
            let mut body = in_time(client.send(get("/", &fields))).await.unwrap().into_body();
            assert!(!in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap().is_empty());
        }
    }
    match leave {
        Leave::Stream => Some(client),
        Leave::Connection => None,
    }
}

chain_test! {
    /// The next request gets the only instance.
    fn instances_are_free_again(chain) {
        let gateway = Gateway::start(&narrow(chain));
        run(async {
            let cases = PROTOCOLS.map(|protocol| (protocol, Leave::Connection));
            for (protocol, leave) in cases.into_iter().chain([(Protocol::Http2, Leave::Stream)]) {
                for moment in MOMENTS {
                    let client = Client::connect(&gateway, protocol).await;
                    let left = go_away(client, moment, leave).await;
                    let mut next = match left {
                        Some(client) => client,
                        None => Client::connect(&gateway, protocol).await,
                    };
                    let answer = next.get("/", &[]).await;
                    assert_eq!(answer.status, 200, "{protocol:?} {leave:?} {moment:?}: {answer:?}");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A request whose body breaks off ends soon, also where a stage waits for more of it for ever: before the response, and in
    /// the midst of it.
    fn uploads_that_a_stage_keeps_open(chain) {
        let limits = "instances = 1\nconcurrency = 1\nqueue = 1\nlinger = \"50ms\"\nqueue-timeout = \"20s\"\n\
                      deadline = \"10m\"\nbody-idle-timeout = \"10m\"";
        for (service, fault) in [("fault-service", "read-body"), ("echo", "none")] {
            let gateway = Gateway::start(&Setup::of([chain.pipeline(service).stage("fault-middleware").limit(limits)]));
            let fields = [("x-middleware-fault", "hold-request"), ("x-fault", fault)];
            run(async {
                for protocol in PROTOCOLS {
                    let mut client = Client::connect(&gateway, protocol).await;
                    let (feeder, body) = body::channel();
                    in_time(feeder.send(Frame::data("some bytes of it".into()))).await.unwrap();
                    let sent = client.send(request(Method::POST, "/", &fields, body));
                    let sent = match service {
                        "echo" => Some(in_time(sent).await.unwrap()),
                        _ => tokio::time::timeout(50 * MS, sent).await.ok().map(Result::unwrap),
                    };
                    drop((feeder, sent, client));
                    let mut next = Client::connect(&gateway, protocol).await;
                    assert_eq!(next.get("/", &[]).await.status, 200, "{service} {protocol:?}");
                }
            });
            let head = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n";
            let mut tcp = std::net::TcpStream::connect(gateway.plain).unwrap();
            tcp.set_read_timeout(Some(SOON)).unwrap();
            let fields = format!("x-middleware-fault: hold-request\r\nx-fault: {fault}\r\n");
            tcp.write_all(format!("{head}{fields}\r\n5\r\nhello\r\nzz\r\n").as_bytes()).unwrap();
            let mut answer = Vec::new();
            // A reset, where the gateway has not read all.
            let _ = tcp.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer);
            match service {
                "echo" => assert!(!answer.ends_with("0\r\n\r\n"), "looks complete: {answer}"),
                _ => assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}"),
            }
            gateway.stop();
        }
    }
}

/// A place in the queue is free again, too.
#[test]
fn the_queue_is_free_again() {
    let chain = Chain { link: "static", front: &[] };
    let gateway = Gateway::start(&narrow(chain));
    run(async {
        for protocol in PROTOCOLS {
            let mut slow = Client::connect(&gateway, protocol).await;
            let slow = tokio::task::spawn_local(async move {
                slow.get("/", &[("x-fault", "slow"), ("x-delay-ms", "3000")]).await.ok()
            });
            tokio::time::sleep(50 * MS).await;
            // The one that waits takes the queue's only place, and leaves it.
            let mut waiting = Client::connect(&gateway, protocol).await;
            let waiting = tokio::task::spawn_local(async move { waiting.get("/", &[]).await });
            tokio::time::sleep(50 * MS).await;
            let mut refused = Client::connect(&gateway, protocol).await;
            refused.get("/", &[]).await.problem(503, "no-capacity");
            waiting.abort();
            // Once the gateway has seen that, another one may wait, and is answered in the end.
            loop {
                let answer = refused.get("/", &[]).await;
                if answer.status == 200 {
                    break;
                }
                assert!(!slow.is_finished(), "{protocol:?}: the one who left kept its place");
                tokio::time::sleep(20 * MS).await;
            }
            in_time(slow).await.unwrap();
        }
    });
    gateway.stop();
}

/// Nothing of many such clients stays: no memory, no file, no instance.
#[test]
fn nothing_piles_up() {
    let chain = Chain { link: "static", front: &[("pass-through-async", "static")] };
    let setup = Setup::of([chain.pipeline("fault-service").limit("linger = \"50ms\"")])
        .limit("half-close-timeout = \"50ms\"")
        .workers(2)
        .log("error");
    let gateway = Gateway::start(&setup);
    let files = gateway.files_at_rest();
    let (few, many) = (scaled(200, 2_000), scaled(1_000, 20_000));
    abort_many(&gateway, few);
    gateway.closes_down_to(files);
    let before = gateway.resident();
    abort_many(&gateway, many);
    gateway.closes_down_to(files);
    let slack = 16 << 20;
    eventually("memory is back", || gateway.resident() < before + slack);
    println!("{many} aborts: resident {} → {} KiB", before >> 10, gateway.resident() >> 10);
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        client.get("/", &[]).await.ok();
    });
    gateway.stop();
}

fn abort_many(gateway: &Gateway, count: usize) {
    run(async {
        let left = Rc::new(Cell::new(count));
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..16 {
            let protocol = PROTOCOLS[lane % 2];
            let address = protocol.address(gateway);
            let left = Rc::clone(&left);
            tasks.spawn_local(async move {
                let mut number = lane;
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    number += 1;
                    let client = Client::open(address, protocol).await;
                    go_away(client, MOMENTS[number % 3], Leave::Connection).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    });
}
