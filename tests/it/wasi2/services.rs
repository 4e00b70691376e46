//! Services of WASI 0.2 at the end of a pipeline of 0.3: what goes in comes out, and what goes wrong is told.

use super::worlds::answer_once;
use crate::chain_test;
use crate::harness::{
    Client, Folder, Gateway, MS, PROTOCOLS, Pipeline, Protocol, Setup, binary, body, get, in_time, request,
    run,
};
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::net::TcpListener;

const ECHO: (&str, &str) = ("x-do", "echo");

chain_test! {
    /// Bodies of every size come back as they were sent, with their length where they have one, and their trailers.
    fn bodies(chain) {
        let gateway = Gateway::start(&chain.setup("service-0-2"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for size in [0, 1, 65_536, 5 << 20] {
                    let (_, body) = body::stream(size);
                    let answer = client.ask(request(Method::POST, "/", &[ECHO], body)).await.ok();
                    if size > 0 {
                        assert_eq!(answer.header("content-length"), Some(size.to_string().as_str()));
                    }
                    assert_eq!(body::digest_of(&answer.body), body::digest(size), "{protocol:?}, {size} bytes");
                }
                let body = body::with_trailers("hello", &[("x-checksum", "abc")]);
                let fields = [ECHO, ("trailer", "x-checksum"), ("te", "trailers")];
                let answer = client.ask(request(Method::POST, "/", &fields, body)).await.ok();
                assert_eq!(answer.text(), "hello");
                // Nothing announces them, which HTTP/1.1 needs.
                let expected = (protocol == Protocol::Http2).then_some("abc");
                let trailer = answer.trailers.as_ref().map(|trailers| trailers["x-checksum"].to_str().unwrap());
                assert_eq!(trailer, expected, "{protocol:?}");
                let answer = client.get("/", &[("x-do", "trailers"), ("te", "trailers")]).await.ok();
                assert_eq!(answer.text(), "hello");
                assert_eq!(answer.trailers.unwrap()["x-trailer"], "yes", "{protocol:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Each part of a body comes back as soon as it was sent.
    fn streams(chain) {
        let gateway = Gateway::start(&chain.setup("service-0-2"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let (feeder, body) = body::channel();
                let response = in_time(client.send(request(Method::POST, "/", &[ECHO], body))).await.unwrap();
                let mut body = response.into_body();
                for number in 0..20 {
                    let part = format!("part {number};").repeat(1 + number * 40);
                    in_time(feeder.send(Frame::data(part.clone().into()))).await.unwrap();
                    let mut back = Vec::new();
                    while back.len() < part.len() {
                        let frame = in_time(body.frame()).await.unwrap().unwrap();
                        back.extend_from_slice(&frame.into_data().unwrap());
                    }
                    assert_eq!(back, part.as_bytes(), "{protocol:?}");
                }
                drop(feeder);
                let rest = in_time(body.collect()).await.unwrap();
                assert!(rest.to_bytes().is_empty(), "{protocol:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A head as the service sees it, and answers without a body.
    fn heads(chain) {
        let gateway = Gateway::start(&chain.setup("service-0-2"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let fields = [("x-do", "request"), ("host", "Localhost:80"), ("x-own", "value")];
                let text = client.get("/a/../b?c=d", &fields).await.ok().text().to_owned();
                let mut lines = text.lines();
                let scheme = if protocol == Protocol::Http1 { "http" } else { "https" };
                assert!(lines.next().unwrap().starts_with(&format!("GET {scheme} ")), "{text}");
                assert!(text.contains(" /b?c=d\n") && text.contains("\nx-own: value"), "{text}");
                assert!(!text.contains("\nhost: "), "{text}");
                for status in ["204", "304", "404"] {
                    let answer = client.get("/", &[("x-do", "status"), ("x-status", status)]).await;
                    assert_eq!((answer.status.as_str(), answer.text()), (status, ""));
                }
                let answer = client.ask(request(Method::HEAD, "/", &[], body::empty())).await;
                assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, Some("2")));
                client.get("/", &[]).await.ok();
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Every way to give no answer has one, with its reason in the log, and the next request is served.
    fn faults(chain) {
        let limits = "deadline = \"2s\"\ncpu = \"50ms\"\nlinger = \"100ms\"";
        let pipeline = chain.pipeline("service-0-2").limit(limits);
        let keys = "grant = { clocks = true, random = true }\nlimits = { memory = \"16MiB\" }";
        let gateway = Gateway::start(&Setup::of([pipeline.service_with(keys)]));
        let unset = "without setting its `response-outparam`";
        run(async {
            for protocol in PROTOCOLS {
                for (what, status, kind, reason) in [
                    ("trap", 500, "guest-trap", "`unreachable`"),
                    ("exit", 500, "guest-trap", "`wasi:cli/exit`"),
                    ("loop", 500, "guest-trap", "`limits.cpu`"),
                    ("allocate", 500, "guest-trap", ""),
                    ("sleep=600000", 504, "deadline", "`limits.deadline`"),
                    ("error", 500, "guest-error", "as asked"),
                    ("unset", 502, "bad-gateway", unset),
                    ("refuse", 502, "bad-gateway", unset),
                ] {
                    let mut client = Client::connect(&gateway, protocol).await;
                    let id = client.get("/", &[("x-do", what)]).await.problem(status, kind);
                    let line = gateway.reason(&id);
                    assert!(line["reason"].as_str().unwrap().contains(reason), "{what}: {line}");
                    client.get("/", &[]).await.ok();
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A body that the service did not end is seen as cut, and so is one that is not what its length says.
    fn cut_bodies(chain) {
        let gateway = Gateway::start(&chain.setup("service-0-2"));
        run(async {
            for protocol in PROTOCOLS {
                for fields in [
                    &[("x-do", "cut")][..],
                    &[("x-do", "trap-late")],
                    &[("x-do", "length"), ("x-length", "100")],
                ] {
                    let mut client = Client::connect(&gateway, protocol).await;
                    let response = in_time(client.send(get("/", fields))).await.unwrap();
                    assert_eq!(response.status(), 200);
                    assert!(in_time(response.into_body().collect()).await.is_err(), "{protocol:?} {fields:?}");
                    Client::connect(&gateway, protocol).await.get("/", &[]).await.ok();
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A request's body that is too long, or that its client leaves, ends with an error for the service.
    fn broken_uploads(chain) {
        let limits = "request-body = \"64KiB\"\ninstances = 1\nqueue-timeout = \"20s\"\nlinger = \"50ms\"";
        let gateway = Gateway::start(&Setup::of([chain.pipeline("service-0-2").limit(limits)]));
        run(async {
            for protocol in PROTOCOLS {
                let post = |body| request(Method::POST, "/", &[("x-do", "read-body")], body);
                let exact = Client::connect(&gateway, protocol).await.ask(post(body::whole(vec![0; 64 << 10]))).await;
                assert_eq!(exact.ok().text(), (64 << 10).to_string());
                let (feeder, body) = body::channel();
                tokio::task::spawn_local(async move {
                    while feeder.send(Frame::data(vec![0; 1024].into())).await.is_ok() {}
                });
                let answer = Client::connect(&gateway, protocol).await.ask(post(body)).await;
                assert!(answer.status == 413 || answer.text() == "failed", "{answer:?}");
                let mut leaves = Client::connect(&gateway, protocol).await;
                let (feeder, body) = body::channel();
                in_time(feeder.send(Frame::data("some bytes of it".into()))).await.unwrap();
                assert!(tokio::time::timeout(20 * MS, leaves.send(post(body))).await.is_err());
                drop((feeder, leaves));
                // The only instance is free again.
                Client::connect(&gateway, protocol).await.get("/", &[]).await.ok();
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A client that leaves in the middle of a body, or after it, gives its instance back.
    fn left_downloads(chain) {
        let limits = "instances = 1\nqueue-timeout = \"20s\"\nlinger = \"50ms\"";
        let gateway = Gateway::start(&Setup::of([chain.pipeline("service-0-2").limit(limits)]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let endless = [("x-do", "chunks"), ("x-count", "100000000")];
                let mut body = in_time(client.send(get("/", &endless))).await.unwrap().into_body();
                assert!(!in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap().is_empty());
                drop((body, client));
                let mut client = Client::connect(&gateway, protocol).await;
                client.get("/", &[]).await.ok();
                // It has its answer; what goes on after it is bounded.
                client.get("/", &[("x-do", "linger"), ("x-delay-ms", "600000")]).await.ok();
                client.get("/", &[]).await.ok();
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// One call at a time in an instance: requests that come while one waits go to others.
    fn held_instances(chain) {
        let limits = "instances = 4\nqueue = 0";
        let gateway = Gateway::start(&Setup::of([chain.pipeline("service-0-2").limit(limits)]));
        run(async {
            let mut slow = Client::connect(&gateway, Protocol::Http2).await;
            let held = tokio::task::spawn_local(slow.start(get("/", &[("x-do", "sleep=600000")])));
            for protocol in PROTOCOLS {
                for _ in 0..10 {
                    Client::connect(&gateway, protocol).await.get("/", &[]).await.ok();
                }
            }
            assert!(!held.is_finished());
            held.abort();
        });
        gateway.stop();
    }
}

chain_test! {
    /// `wasi:http/outgoing-handler` goes where a rule allows, and nowhere else.
    fn egress(chain) {
        let origin = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = origin.local_addr().unwrap().to_string();
        let grant = format!("grant = {{ clocks = true, random = true, egress = [\"http://{authority}\"] }}");
        let gateway = Gateway::start(&Setup::of([chain.pipeline("service-0-2").service_with(&grant)]));
        let served = std::thread::spawn(move || answer_once(&origin));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            let fetch = async |client: &mut Client, authority: &str| {
                client.get("/", &[("x-do", "fetch"), ("x-authority", authority)]).await.ok().text().to_owned()
            };
            assert_eq!(fetch(&mut client, &authority).await, "204");
            let other = gateway.plain.to_string();
            assert!(fetch(&mut client, &other).await.contains("HttpRequestDenied"));
            gateway.line(|line| line["message"] == format!("denied: http://{other}"));
        });
        let head = served.join().unwrap();
        assert!(head.starts_with("GET / HTTP/1.1\r\n") && head.contains(&format!("host: {authority}\r\n")), "{head}");
        gateway.stop();
    }
}

/// `compose` makes one component of a pipeline, which can't have such a service in it.
#[test]
fn compose_says_that_it_cannot() {
    let folder = Folder::new();
    let file = Setup::of([Pipeline::new("main", "service-0-2").stage("pass-through-sync")]).write(&folder);
    let output = folder.path().join("out.wasm");
    let arguments = ["compose", file.to_str().unwrap(), "--pipeline", "main", "-o", output.to_str().unwrap()];
    let ran = binary(&arguments).output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let told = String::from_utf8(ran.stderr).unwrap();
    assert!(told.contains("a service of WASI 0.2 can't be joined to another stage"), "{told}");
}

/// The example, behind what `pipelines/wasi-0-2.toml` puts before it.
#[test]
fn the_example() {
    let pipeline = Pipeline::new("main", "greeter-0-2").stage("request-id").stage("security-headers");
    let grant = "grant = { clocks = true, env = { GREETING = \"Good day\" } }";
    let gateway = Gateway::start(&Setup::of([pipeline.service_with(grant)]));
    run(async {
        for protocol in PROTOCOLS {
            let answer = Client::connect(&gateway, protocol).await.get("/you?x", &[]).await.ok();
            assert!(answer.text().starts_with("Good day, you! It is "), "{answer:?}");
            assert!(
                answer.header("x-request-id").is_some() && answer.header("x-content-type-options").is_some()
            );
        }
    });
    gateway.stop();
}
