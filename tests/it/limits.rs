//! Every bound of the configuration, reached: what it bounds, and what happens at it. Bounds of connections are here
//! for their way from the file to the front end; what they do is told in `front_end`.

use crate::chain_test;
use crate::harness::{
    Client, Folder, Gateway, MS, PROTOCOLS, Pipeline, Protocol, SOON, Setup, binary, body, eventually, get,
    in_time, request, run, soon,
};
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.plain).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

// ---- Bodies -------------------------------------------------------------------------------------------------------------

chain_test! {
    /// `request-body`: 413 for a length that is announced, and for one that turns out.
    fn request_bodies(chain) {
        let pipeline = chain.pipeline("fault-service").limit("request-body = \"64KiB\"");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        let limit = 64 << 10;
        run(async {
            for protocol in PROTOCOLS {
                let post = |body| request(Method::POST, "/", &[("x-fault", "read-body")], body);
                let client = async || Client::connect(&gateway, protocol).await;
                let exact = client().await.ask(post(body::whole(vec![0; limit]))).await.ok();
                assert_eq!(exact.text(), limit.to_string());
                client().await.ask(post(body::whole(vec![0; limit + 1]))).await.problem(413, "payload-too-large");
                for parts in [limit / 1024, limit / 1024 + 1] {
                    let (feeder, body) = body::channel();
                    tokio::task::spawn_local(async move {
                        for _ in 0..parts {
                            if feeder.send(Frame::data(vec![0; 1024].into())).await.is_err() {
                                break;
                            }
                        }
                    });
                    let answer = client().await.ask(post(body)).await;
                    match parts * 1024 <= limit {
                        true => assert_eq!(answer.ok().text(), limit.to_string()),
                        false => drop(answer.problem(413, "payload-too-large")),
                    }
                }
            }
        });
        gateway.stop();
    }
}

/// A response that depends on a body that turns out too long is cut, and seen as cut.
#[test]
fn request_bodies_of_answers_under_way() {
    let gateway =
        Gateway::start(&Setup::of([Pipeline::new("main", "echo").limit("request-body = \"64KiB\"")]));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let (feeder, body) = body::channel();
            let response = in_time(client.send(request(Method::POST, "/", &[], body))).await.unwrap();
            tokio::task::spawn_local(async move {
                while feeder.send(Frame::data(vec![0; 16 << 10].into())).await.is_ok() {}
            });
            assert!(in_time(response.into_body().collect()).await.is_err(), "{protocol:?}");
        }
    });
    gateway.stop();
}

chain_test! {
    /// `body-idle-timeout`: a response whose guest stops sending is cut.
    fn guests_that_stop_sending(chain) {
        let pipeline = chain.pipeline("fault-service").limit("body-idle-timeout = \"200ms\"").limit("instances = 1");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let answer = client.get("/", &[("x-fault", "stalled-body")]).await;
                assert!(answer.status == 200 && answer.cut.is_some(), "{answer:?}");
                let mut client = Client::connect(&gateway, protocol).await;
                client.get("/", &[]).await.ok();
            }
        });
        gateway.line(|line| line["reason"].as_str().is_some_and(|it| it.contains("`limits.body-idle-timeout`")));
        gateway.stop();
    }
}

chain_test! {
    /// `body-idle-timeout`: a client that stops taking holds its instance for as long, and no part of its answer looks
    /// like the whole.
    fn clients_that_stop_taking(chain) {
        let limits = "body-idle-timeout = \"200ms\"\ninstances = 1\nconcurrency = 1\nqueue-timeout = \"20s\"";
        let gateway = Gateway::start(&Setup::of([chain.pipeline("echo").limit(limits)]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let (_, body) = body::stream(64 << 20);
                let unread = in_time(client.send(request(Method::POST, "/", &[], body))).await.unwrap();
                let mut next = Client::connect(&gateway, protocol).await;
                next.get("/", &[]).await.ok();
                assert!(in_time(unread.into_body().collect()).await.is_err(), "{protocol:?}");
            }
        });
        gateway.stop();
    }
}

// ---- Time and instances -------------------------------------------------------------------------------------------------

chain_test! {
    /// `deadline`: 504, and the connection goes on.
    fn deadline(chain) {
        let gateway = Gateway::start(&Setup::of([chain.pipeline("fault-service").limit("deadline = \"500ms\"")]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for fault in ["hang", "slow"] {
                    client.get("/", &[("x-fault", fault)]).await.problem(504, "deadline");
                    client.get("/", &[]).await.ok();
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// `deadline` is also the bound of a request's body that stops coming while a guest reads it.
    fn uploads_that_stop(chain) {
        let limits = "deadline = \"1s\"\ninstances = 1\nconcurrency = 1\nqueue-timeout = \"20s\"";
        let gateway = Gateway::start(&Setup::of([chain.pipeline("fault-service").limit(limits)]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let (feeder, body) = body::channel();
                in_time(feeder.send(Frame::data("a part".into()))).await.unwrap();
                let stalled = request(Method::POST, "/", &[("x-fault", "read-body")], body);
                client.ask(stalled).await.problem(504, "deadline");
                let mut next = Client::connect(&gateway, protocol).await;
                next.get("/", &[]).await.ok();
                drop(feeder);
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// `instances`, `concurrency`, `queue`: what is more gets 503 at once, with `Retry-After`; what waits is served.
    fn queue(chain) {
        let limits = "instances = 2\nconcurrency = 1\nqueue = 3\nqueue-timeout = \"20s\"";
        let gateway = Gateway::start(&Setup::of([chain.pipeline("fault-service").limit(limits)]));
        run(async {
            for protocol in PROTOCOLS {
                let mut tasks = Vec::new();
                for _ in 0..10 {
                    let mut client = Client::connect(&gateway, protocol).await;
                    tasks.push(tokio::task::spawn_local(async move {
                        client.get("/", &[("x-fault", "slow"), ("x-delay-ms", "1000")]).await
                    }));
                }
                let (mut served, mut refused) = (0, 0);
                for task in tasks {
                    let answer = in_time(task).await.unwrap();
                    match answer.status.as_u16() {
                        200 => served += 1,
                        _ => {
                            answer.problem(503, "no-capacity");
                            assert_eq!(answer.header("retry-after"), Some("1"));
                            refused += 1;
                        }
                    }
                }
                assert_eq!((served, refused), (5, 5), "{protocol:?}: two at once, three wait");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// `queue-timeout`: who waits too long gets 503 while the instance is still busy.
    fn queue_timeout(chain) {
        let limits = "instances = 1\nconcurrency = 1\nqueue-timeout = \"100ms\"";
        let gateway = Gateway::start(&Setup::of([chain.pipeline("fault-service").limit(limits)]));
        run(async {
            for protocol in PROTOCOLS {
                let mut busy = Client::connect(&gateway, protocol).await;
                let busy = tokio::task::spawn_local(async move {
                    busy.get("/", &[("x-fault", "slow"), ("x-delay-ms", "2000")]).await.ok()
                });
                tokio::time::sleep(50 * MS).await;
                let mut client = Client::connect(&gateway, protocol).await;
                client.get("/", &[]).await.problem(503, "no-capacity");
                assert!(!busy.is_finished());
                in_time(busy).await.unwrap();
            }
        });
        gateway.stop();
    }
}

/// `concurrency`: an instance of async guests takes several requests at once, one with a sync guest in it only one.
#[test]
fn concurrency() {
    for (service, front, together) in [
        ("fault-service", None, true),
        ("fault-service", Some("pass-through-async"), true),
        ("fault-service", Some("pass-through-sync"), false),
        ("fault-service-sync", None, false),
    ] {
        let limits = "instances = 1\nconcurrency = 8\nqueue = 0";
        let pipeline = Pipeline::new("main", service).limit(limits);
        let pipeline = front.into_iter().fold(pipeline, Pipeline::stage);
        let gateway = Gateway::start(&Setup::of([pipeline]));
        run(async {
            let mut clients = Vec::new();
            for _ in 0..8 {
                clients.push(Client::connect(&gateway, Protocol::Http2).await);
            }
            let ask = |mut client: Client| async move {
                client.get("/", &[("x-fault", "slow"), ("x-delay-ms", "2000")]).await.status.as_u16()
            };
            let tasks: Vec<_> = clients.into_iter().map(ask).map(tokio::task::spawn_local).collect();
            let mut statuses = Vec::new();
            for task in tasks {
                statuses.push(in_time(task).await.unwrap());
            }
            let served = statuses.iter().filter(|status| **status == 200).count();
            assert_eq!(
                served,
                if together { 8 } else { 1 },
                "{front:?} → {service}: {statuses:?} {:#?}",
                gateway.log()
            );
        });
        gateway.stop();
    }
}

/// A guest that computes holds its instance for now: who has a place in it waits, also where nobody may queue.
#[test]
fn a_place_that_is_held() {
    for (front, link) in
        [None, Some("pass-through-async")].into_iter().flat_map(|it| [(it, "static"), (it, "dynamic")])
    {
        let limits = "instances = 1\nconcurrency = 2\nqueue = 0\nqueue-timeout = \"1m\"\ncpu = \"500ms\"";
        let pipeline = Pipeline::new("main", "fault-service").link(link).limit(limits);
        let gateway = Gateway::start(&Setup::of([front.into_iter().fold(pipeline, Pipeline::stage)]));
        run(async {
            let mut busy = Client::connect(&gateway, Protocol::Http1).await;
            let busy = tokio::task::spawn_local(async move { busy.get("/", &[("x-fault", "loop")]).await });
            tokio::time::sleep(100 * MS).await;
            Client::connect(&gateway, Protocol::Http2).await.get("/", &[]).await.ok();
            in_time(busy).await.unwrap().problem(500, "guest-trap");
        });
        gateway.stop();
    }
}

/// How many instances have ended, as the debug log tells.
fn ended(gateway: &Gateway, reason: &str) -> usize {
    gateway.count(|line| {
        let told = line["reason"].as_str().is_some_and(|text| text.contains(reason));
        line["message"] == "instance ended" && line["pipeline"] == "main" && told
    })
}

/// `linger`: work left behind ends, and who waits for a place need not wait for it.
#[test]
fn linger() {
    let limits = "linger = \"100ms\"\ninstances = 1";
    let gateway =
        Gateway::start(&Setup::of([Pipeline::new("main", "fault-service").limit(limits)]).log("debug"));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for rounds in 1..=3 {
            client.get("/", &[("x-fault", "leftover")]).await.ok();
            soon("the work has ended", || ended(&gateway, "`limits.linger`") == rounds).await;
        }
        client.get("/", &[]).await.ok();
    });
    gateway.stop();
}

/// `reuse`: an instance is replaced after so many requests, and work that it leaves behind holds no place.
#[test]
fn reuse() {
    let limits = "reuse = 1\ninstances = 2\nlinger = \"1h\"";
    let gateway =
        Gateway::start(&Setup::of([Pipeline::new("main", "fault-service").limit(limits)]).log("debug"));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for _ in 0..20 {
            client.get("/", &[("x-fault", "leftover")]).await.ok();
        }
        // Two may linger still.
        soon("their places were needed", || ended(&gateway, "its place was needed") >= 18).await;
    });
    gateway.stop();
}

/// `instance-idle-timeout`: an instance without requests goes, and gives its memory back.
#[test]
fn instance_idle_timeout() {
    let limits = "instance-idle-timeout = \"100ms\"\ninstances = 20\nconcurrency = 1";
    let gateway =
        Gateway::start(&Setup::of([Pipeline::new("main", "fault-service").limit(limits)]).log("debug"));
    run(async {
        for rounds in 1..=2 {
            let mut tasks = Vec::new();
            for _ in 0..20 {
                let mut client = Client::connect(&gateway, Protocol::Http1).await;
                tasks.push(tokio::task::spawn_local(async move {
                    client.get("/", &[("x-fault", "slow"), ("x-delay-ms", "200")]).await.ok()
                }));
            }
            for task in tasks {
                in_time(task).await.unwrap();
            }
            soon("all instances are gone", || {
                ended(&gateway, "`limits.instance-idle-timeout`") == 20 * rounds
            })
            .await;
        }
    });
    gateway.stop();
}

/// `cpu`: its smallest value still lets a request through, and ends one that computes.
#[test]
fn cpu() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "fault-service").limit("cpu = \"1ms\"")]));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            for _ in 0..20 {
                client.get("/", &[]).await.ok();
                // The next one meets an instance that has been idle for some ticks of the clock.
                tokio::time::sleep(25 * MS).await;
            }
            client.get("/", &[("x-fault", "loop")]).await.problem(500, "guest-trap");
            client.get("/", &[]).await.ok();
        }
    });
    gateway.stop();
}

/// `instances` of the process: pipelines share them. Who finds none waits, takes an idle one's place, or gets 503;
/// never 500.
#[test]
fn instances_of_the_process() {
    let pipeline = |name: &str| {
        let pipeline = Pipeline::new(name, "fault-service").route(&format!("path = \"/{name}\""));
        pipeline.limit("concurrency = 1").limit("queue-timeout = \"1500ms\"")
    };
    let gateway = Gateway::start(&Setup::of([pipeline("a"), pipeline("b")]).limit("instances = 1"));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for _ in 0..3 {
            // An instance that is idle in one pipeline does not starve the other.
            client.get("/a", &[]).await.ok();
            client.get("/b", &[]).await.ok();
        }
        for (busy, other) in [("/a", "/b"), ("/b", "/a")] {
            let mut slow = Client::connect(&gateway, Protocol::Http1).await;
            let slow = tokio::task::spawn_local(async move {
                slow.get(busy, &[("x-fault", "slow"), ("x-delay-ms", "6000")]).await.ok()
            });
            tokio::time::sleep(500 * MS).await;
            client.get(other, &[]).await.problem(503, "no-capacity");
            assert!(!slow.is_finished(), "the wait is bounded by `queue-timeout`");
            in_time(slow).await.unwrap();
            client.get(other, &[]).await.ok();
        }
    });
    assert_eq!(gateway.count(|line| line["status"] == 500), 0);
    gateway.stop();
}

/// The same with many clients at once: every answer is 200 or 503.
#[test]
fn instances_of_the_process_under_pressure() {
    let pipeline = |name: &str| {
        let pipeline = Pipeline::new(name, "fault-service").stage("pass-through-sync");
        pipeline.route(&format!("path = \"/{name}\"")).limit("queue-timeout = \"200ms\"")
    };
    let gateway =
        Gateway::start(&Setup::of([pipeline("a"), pipeline("b")]).limit("instances = 3").workers(2));
    run(async {
        let mut tasks = Vec::new();
        for number in 0..40 {
            let mut client = Client::connect(&gateway, PROTOCOLS[number % 2]).await;
            let path = ["/a", "/b"][number / 2 % 2];
            tasks.push(tokio::task::spawn_local(async move {
                let mut served = 0;
                for _ in 0..10 {
                    let answer = client.get(path, &[("x-fault", "slow"), ("x-delay-ms", "20")]).await;
                    match answer.status.as_u16() {
                        200 => served += 1,
                        _ => drop(answer.problem(503, "no-capacity")),
                    }
                }
                served
            }));
        }
        let mut served = 0;
        for task in tasks {
            served += in_time(task).await.unwrap();
        }
        assert!(served > 20, "{served} of 400 were served");
    });
    gateway.stop();
}

// ---- Stages -------------------------------------------------------------------------------------------------------------

/// `memory` and `table-elements` of a stage: a component that needs more from the start is refused, one that grows
/// beyond is ended.
#[test]
fn memory_and_tables() {
    let setup = |limits: &str| {
        let pipeline =
            Pipeline::new("main", "fault-service").service_with(&format!("limits = {{ {limits} }}"));
        Setup::of([pipeline])
    };
    for (limits, at, told) in [
        ("memory = \"64KiB\"", "pipeline `main` can't be compiled", "memory"),
        ("table-elements = 1", "stage `main/0:fault-service` does not start", "table"),
    ] {
        let folder = Folder::new();
        let file = setup(limits).write(&folder);
        let output = binary(&["check", file.to_str().unwrap()]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(at) && text.contains(told), "{text}");
    }
    let gateway = Gateway::start(&setup("memory = \"8MiB\""));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            client.get("/", &[]).await.ok();
            client.get("/", &[("x-fault", "allocate")]).await.problem(500, "guest-trap");
            client.get("/", &[]).await.ok();
        }
    });
    gateway.stop();
}

/// `rate-limit-keys`: a stage's limiter that is full refuses new keys and keeps its promises to the old ones.
#[test]
fn rate_limit_keys() {
    let config = "config = { rate = \"1000/h\", key-header = \"x-key\" }";
    let setup = Setup::of([Pipeline::new("main", "hello").stage_with("rate-limit", config)]);
    let gateway = Gateway::start(&setup.limit("rate-limit-keys = 16"));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        client.get("/", &[("x-key", "first")]).await.ok();
        let mut refused = 0;
        for number in 0..200 {
            let answer = client.get("/", &[("x-key", &number.to_string())]).await;
            refused += u32::from(answer.status == 429);
            assert!(answer.status == 200 || answer.header("retry-after").is_some(), "{answer:?}");
        }
        assert!((200 - 16..200).contains(&refused), "{refused}");
        client.get("/", &[("x-key", "first")]).await.ok();
    });
    gateway.line(|line| {
        line["message"].as_str().is_some_and(|text| text.contains("all of the rate limiter's keys"))
    });
    gateway.stop();
}

// ---- Heads --------------------------------------------------------------------------------------------------------------

/// `uri-size`: 414.
#[test]
fn uri_size() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "hello")]).limit("uri-size = \"1KiB\""));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            // HTTP/2's target has the authority in it, as an absolute URI has.
            client.get(&format!("/{}", "a".repeat(1000)), &[]).await.ok();
            client.get(&format!("/{}", "a".repeat(1024)), &[]).await.problem(414, "uri-too-long");
            client.get("/", &[]).await.ok();
        }
    });
    gateway.stop();
}

/// `header-size` and `header-count`: 431.
#[test]
fn heads() {
    let setup = Setup::of([Pipeline::new("main", "hello")]);
    let gateway = Gateway::start(&setup.limit("header-size = \"16KiB\"").limit("header-count = 20"));
    let names: Vec<_> = (0..30).map(|number| format!("x-{number}")).collect();
    run(async {
        for protocol in PROTOCOLS {
            let few: Vec<_> = names[..15].iter().map(|name| (name.as_str(), "1")).collect();
            let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
            let large = "b".repeat(20 << 10);
            let mut client = Client::connect(&gateway, protocol).await;
            client.get("/", &few).await.ok();
            let answer = client.get("/", &many).await;
            assert_eq!(answer.status, 431, "{protocol:?}");
            if protocol == Protocol::Http2 {
                answer.problem(431, "headers-too-large");
            }
            let mut client = Client::connect(&gateway, protocol).await;
            let result = in_time(client.send(get("/", &[("x-large", &large)]))).await;
            // HTTP/2 may also reset the stream of a head that it does not want to keep.
            match result {
                Ok(response) => assert_eq!(response.status(), 431, "{protocol:?}"),
                Err(error) => assert_eq!(protocol, Protocol::Http2, "{error}"),
            }
        }
    });
    gateway.stop();
}

// ---- Connections --------------------------------------------------------------------------------------------------------

/// `header-read-timeout`, `idle-timeout` and `handshake-timeout`: silent connections are closed.
#[test]
fn silent_connections() {
    let setup = Setup::of([Pipeline::new("main", "hello")]);
    let setup = setup.limit("header-read-timeout = \"200ms\"").limit("handshake-timeout = \"200ms\"");
    let gateway = Gateway::start(&setup.limit("idle-timeout = \"200ms\""));
    let mut half = connect(&gateway);
    half.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").unwrap();
    assert!(!read_all(&mut half).contains("200 OK"));
    let mut kept = connect(&gateway);
    kept.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let text = read_all(&mut kept);
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("Hello!"), "{text}");
    let mut silent = TcpStream::connect(gateway.tls).unwrap();
    silent.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(read_all(&mut silent), "");
    gateway.stop();
}

/// `connections`: one more than there may be waits until one ends, and is then served.
#[test]
fn connections() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "hello")]).limit("connections = 1"));
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let first = connect(&gateway);
    eventually("the first is accepted", || gateway.open_files() > 0);
    let mut second = connect(&gateway);
    second.write_all(ask).unwrap();
    second.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "it waits");
    drop(first);
    second.set_read_timeout(Some(SOON)).unwrap();
    assert!(read_all(&mut second).starts_with("HTTP/1.1 200 OK"));
    gateway.stop();
}

/// `streams`: no more at once on one HTTP/2 connection; further ones wait for their turn at the client.
#[test]
fn streams() {
    let setup = Setup::of([Pipeline::new("main", "fault-service").limit("queue = 0")]).limit("streams = 2");
    let gateway = Gateway::start(&setup.each("instances = 1").each("concurrency = 2"));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        // The client learns of the bound with its first answer.
        client.get("/", &[]).await.ok();
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(client.start(get("/", &[("x-fault", "slow"), ("x-delay-ms", "100")])));
        }
        for answer in answers {
            assert_eq!(in_time(answer).await.unwrap().status(), 200, "a third one would have got 503");
        }
    });
    gateway.stop();
}
