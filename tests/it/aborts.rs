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
    /// A request whose body breaks off ends soon, also where a stage waits for more of it for ever: before the
    /// response, and in the midst of it.
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
            break_an_upload(&gateway, service, fields);
            gateway.stop();
        }
    }
}

/// Sends `service` an upload whose second chunk is malformed. An echo is cut; any other service has not answered yet,
/// and the client gets 400.
fn break_an_upload(gateway: &Gateway, service: &str, fields: [(&str, &str); 2]) {
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n";
    let fields = fields.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let mut tcp = std::net::TcpStream::connect(gateway.plain).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    tcp.write_all(format!("{head}{fields}\r\n5\r\nhello\r\nzz\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset, where the gateway has not read all.
    let _ = tcp.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    match service {
        "echo" => assert!(!answer.ends_with("0\r\n\r\n"), "looks complete: {answer}"),
        _ => assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}"),
    }
}

/// A pipeline whose stage does something with bodies, eight requests at most, and the admin listener's address.
fn transforming(chain: Chain, service: &str) -> (Gateway, std::net::SocketAddr) {
    let limits = "instances = 2\nconcurrency = 4\nlinger = \"50ms\"\nqueue-timeout = \"20s\"\ndeadline = \"10m\"\n\
                  body-idle-timeout = \"10m\"";
    let pipeline = chain.pipeline(service).stage("fault-middleware").limit(limits);
    // A table of its own, behind the limits.
    let gateway = Gateway::start(&Setup::of([pipeline]).limit("[admin]\naddress = \"127.0.0.1:0\""));
    let line = gateway.line(|line| line["message"] == "admin listening");
    let admin = line["address"].as_str().unwrap().parse().unwrap();
    (gateway, admin)
}

/// Waits until so many clients are known to have left.
async fn left(admin: std::net::SocketAddr, count: u64) {
    let wanted = format!("linkspan_requests_abandoned_total{{linkspan_pipeline=\"main\"}} {count}");
    let start = std::time::Instant::now();
    loop {
        let mut client = Client::open(admin, Protocol::Http1).await;
        let answer = client.get("/metrics", &[]).await.ok();
        if answer.text().lines().any(|line| line == wanted) {
            return;
        }
        let told = answer
            .text()
            .lines()
            .find(|line| line.starts_with("linkspan_requests_abandoned"))
            .map(str::to_owned);
        assert!(start.elapsed() < SOON, "not {count}: {told:?}");
        tokio::time::sleep(20 * MS).await;
    }
}

chain_test! {
    /// Clients that leave in the midst of a body that a stage transforms hold nothing, and are counted: as many as fit,
    /// and nobody is turned away after them.
    fn bodies_that_a_stage_transforms(chain) {
        let (gateway, admin) = transforming(chain, "echo");
        run(async {
            let mut count = 0;
            for fault in ["transform-request", "swallow-request", "transform-response"] {
                for protocol in PROTOCOLS {
                    let mut clients = Vec::new();
                    for _ in 0..8 {
                        let mut client = Client::connect(&gateway, protocol).await;
                        let (feeder, body) = body::channel();
                        in_time(feeder.send(Frame::data("some bytes of it".into()))).await.unwrap();
                        let fields = [("x-middleware-fault", fault)];
                        let answer = in_time(client.send(request(Method::POST, "/", &fields, body))).await.unwrap();
                        clients.push((client, answer, feeder));
                    }
                    drop(clients);
                    let mut next = Client::connect(&gateway, protocol).await;
                    assert_eq!(next.get("/", &[]).await.status, 200, "{fault} {protocol:?}");
                    count += 8;
                    left(admin, count).await;
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A stage that takes a broken upload for a whole one has no answer to it that looks whole.
    fn uploads_that_a_stage_takes_for_whole(chain) {
        for (service, fault) in [("fault-service", "read-body"), ("echo", "none")] {
            let (gateway, admin) = transforming(chain, service);
            let fields = [("x-middleware-fault", "swallow-request"), ("x-fault", fault)];
            break_an_upload(&gateway, service, fields);
            run(async {
                // The stream is reset: it can have no answer, and is no answered request.
                let mut client = Client::connect(&gateway, Protocol::Http2).await;
                let (feeder, body) = body::fallible();
                in_time(feeder.send(Ok(Frame::data("some bytes of it".into())))).await.unwrap();
                let sent = client.start(request(Method::POST, "/", &fields, body));
                in_time(feeder.send(Err(std::io::Error::other("taken back")))).await.unwrap();
                if let Ok(response) = in_time(sent).await {
                    assert!(in_time(response.into_body().collect()).await.is_err());
                }
                left(admin, 1).await;
                client.get("/", &[]).await.ok();
            });
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
