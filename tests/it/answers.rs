//! What the gateway answers itself, row by row as docs/answers.md has it: the document, its header fields, the log, and
//! nothing of the inside.

use crate::harness::{
    Answer, Client, Gateway, Line, Load, MS, PROTOCOLS, Pipeline, Protocol, SOON, Setup, body, drive,
    eventually, get, in_time, request, run, soon,
};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body::Frame;
use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::rc::Rc;

/// What no answer may have in it: names and reasons of the inside.
const INTERNALS: [&str; 8] =
    ["zq", "fault-", "hello", ".wasm", "unreachable", "as asked", "instance", "limits."];

/// One pipeline for each kind of refusal, all with `zq` in their names.
fn setup() -> Setup {
    let at = |name: &str, service: &str| {
        let path = name.trim_start_matches("zq-");
        Pipeline::new(name, service).route(&format!("path = \"/{path}\""))
    };
    let get = Pipeline::new("zq-get", "hello").route("path = \"/get\"\nmethods = [\"GET\", \"HEAD\"]");
    let fault = at("zq-fault", "fault-service")
        .limit("deadline = \"2s\"")
        .limit("cpu = \"50ms\"")
        .limit("request-body = \"1KiB\"");
    let one = at("zq-one", "fault-service-sync").limit("instances = 1").limit("queue = 0");
    let far = at("zq-far", "fault-service-sync")
        .stage("pass-through-async")
        .service_with("link = \"dynamic\"")
        .limit("instances = 1")
        .limit("queue = 0");
    let breaker = at("zq-breaker", "fault-service")
        .service_with("link = \"dynamic\"\nbreaker = { failures = 1, open = \"1h\", then = \"close\" }");
    let skip =
        at("zq-skip", "hello").stage_with("fault-middleware", "link = \"dynamic\"\non-failure = \"bypass\"");
    Setup::of([get, fault, one, far, breaker, skip]).limit("uri-size = \"1KiB\"").limit("header-count = 20")
}

#[track_caller]
fn tells_nothing(answer: &Answer) {
    let text = format!("{:?} {}", answer.headers, answer.text());
    for word in INTERNALS {
        assert!(!text.contains(word), "`{word}` is nobody's business: {text}");
    }
}

/// Sends `text` over TCP as it is and reads what comes back until the connection ends.
fn raw(gateway: &Gateway, text: &str) -> Answer {
    let mut tcp = TcpStream::connect(gateway.plain).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    tcp.write_all(text.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // Where the gateway has not read all, the connection ends with a reset, after the answer.
    let _ = tcp.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let fields = lines.map(|line| line.split_once(": ").unwrap());
    let headers: HeaderMap = fields
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
        .collect();
    let body = Bytes::copy_from_slice(body.as_bytes());
    Answer { status: status.parse().unwrap(), headers, body, trailers: None, cut: None }
}

/// Heads without a normal form: 400, and `detail` says why. HTTP/1.1 can say more of them than clients let one.
#[test]
fn heads_without_a_normal_form() {
    let gateway = Gateway::start(&setup());
    let host = "host: localhost\r\n";
    let cases = [
        ("no host", "GET /get HTTP/1.1\r\n".to_owned()),
        ("two hosts", format!("GET /get HTTP/1.1\r\n{host}host: other\r\n")),
        ("another host than the target's", format!("GET http://other/get HTTP/1.1\r\n{host}")),
        ("user info", "GET http://me@localhost/get HTTP/1.1\r\nhost: me@localhost\r\n".to_owned()),
        ("a slash, encoded", format!("GET /get%2fx HTTP/1.1\r\n{host}")),
        ("NUL", format!("GET /get%00 HTTP/1.1\r\n{host}")),
        ("broken encoding", format!("GET /get%zz HTTP/1.1\r\n{host}")),
        ("a backslash", format!("GET /get\\x HTTP/1.1\r\n{host}")),
        ("above the root", format!("GET /../get HTTP/1.1\r\n{host}")),
        ("the server as such", format!("OPTIONS * HTTP/1.1\r\n{host}")),
    ];
    let mut details = Vec::new();
    for (what, head) in cases {
        let answer = raw(&gateway, &format!("{head}connection: close\r\n\r\n"));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}: {answer:?}");
        answer.problem(400, "bad-request");
        tells_nothing(&answer);
        details.push(answer.json()["detail"].as_str().unwrap().to_owned());
    }
    details.sort();
    details.dedup();
    assert!(details.len() >= 5, "`detail` tells reasons apart: {details:?}");
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            for path in ["/get%2Fx", "/a/../../get", "/%"] {
                client.get(path, &[]).await.problem(400, "bad-request");
            }
        }
    });
    silent(&gateway);
    gateway.stop();
}

/// Nothing of the client's own doing is worth a line.
fn silent(gateway: &Gateway) {
    let loud = |line: &Line| line["level"] == "WARN" || line["level"] == "ERROR";
    assert_eq!(gateway.count(loud), 0, "{:#?}", gateway.log());
}

/// The other rows of requests that reach no chain, over both protocols.
#[test]
fn before_the_chain() {
    let gateway = Gateway::start(&setup());
    run(async {
        for protocol in PROTOCOLS {
            let connect = || Client::connect(&gateway, protocol);
            let mut client = connect().await;
            let answer = client.get("/nowhere", &[]).await;
            answer.problem(404, "no-route");
            tells_nothing(&answer);

            let answer = client.ask(request(Method::DELETE, "/get", &[], body::empty())).await;
            answer.problem(405, "method-not-allowed");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
            tells_nothing(&answer);

            let large = request(Method::POST, "/fault", &[], body::whole(vec![b'x'; 1025]));
            let answer = connect().await.ask(large).await;
            answer.problem(413, "payload-too-large");
            tells_nothing(&answer);

            let answer = client.get(&format!("/get?{}", "x".repeat(1024)), &[]).await;
            answer.problem(414, "uri-too-long");
            tells_nothing(&answer);
        }
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        let fields: Vec<_> = (0..30).map(|number| format!("x-{number}")).collect();
        let fields: Vec<_> = fields.iter().map(|name| (name.as_str(), "many")).collect();
        client.get("/get", &fields).await.problem(431, "headers-too-large");
        client.get("/get", &[]).await.ok();
    });
    silent(&gateway);
    gateway.stop();
}

/// The scheme is the listener's, and a gateway is no tunnel.
#[test]
fn other_schemes_and_connect() {
    let gateway = Gateway::start(&setup());
    run(async {
        for (protocol, other) in [(Protocol::Http1, "https"), (Protocol::Http1Tls, "http")] {
            let mut client = Client::connect(&gateway, protocol).await;
            let answer = client.get(&format!("{other}://localhost/get"), &[]).await;
            answer.problem(421, "misdirected");
            tells_nothing(&answer);
        }
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        let answer = client.ask(request(Method::CONNECT, "/get", &[], body::empty())).await;
        answer.problem(501, "not-implemented");
    });
    let connect = "CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\nconnection: close\r\n\r\n";
    raw(&gateway, connect).problem(501, "not-implemented");
    silent(&gateway);
    gateway.stop();
}

/// What answers a head that nobody could read is short: no document, no name for the request, and the connection ends.
#[test]
fn without_a_document() {
    let gateway = Gateway::start(&setup());
    let many = "x-field: value\r\n".repeat(30);
    let cases = [
        ("malformed", "GET /get HTTP/1.1\r\nno field\r\n\r\n".to_owned(), 400),
        ("too many fields", format!("GET /get HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), 431),
    ];
    for (what, head, status) in cases {
        let answer = raw(&gateway, &head);
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{what}: {answer:?}");
        assert_eq!(answer.text(), "", "{what}");
    }
    silent(&gateway);
    gateway.stop();
}

/// The line that the log has about the request `id`: one, and no other.
fn told(gateway: &Gateway, id: &str) -> Line {
    let line = gateway.reason(id);
    let lines = |line: &Line| line["request_id"] == id && line["message"] == "the chain gave no response";
    assert_eq!(gateway.count(lines), 1);
    assert_eq!(line["level"], "WARN");
    line
}

/// The rows of requests that reached a chain.
#[test]
fn after_the_chain_was_called() {
    let cases = [
        ("trap", 500, "guest-trap", "the instance died"),
        ("error", 500, "guest-error", "the handler answered"),
        ("hang", 504, "deadline", "`limits.deadline`"),
    ];
    let gateway = Gateway::start(&setup());
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            for (fault, status, kind, reason) in cases {
                let answer = client.get("/fault/x?secret", &[("x-fault", fault)]).await;
                let id = answer.problem(status, kind);
                tells_nothing(&answer);
                let line = told(&gateway, &id);
                assert_eq!((&line["pipeline"], &line["path"]), (&"zq-fault".into(), &"/fault/x".into()));
                assert_eq!(line["status"], status);
                assert!(line["reason"].as_str().unwrap().contains(reason), "{line}");
            }
        }
    });
    gateway.stop();
}

/// A body whose length nobody announced is found too large on the way: the answer is the same.
#[test]
fn a_body_that_turns_out_too_large() {
    let gateway = Gateway::start(&setup());
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let (feeder, body) = body::channel();
            feeder.try_send(Frame::data(vec![b'x'; 4096].into())).unwrap();
            drop(feeder);
            let answer = client.ask(request(Method::POST, "/fault", &[("x-fault", "read-body")], body)).await;
            let id = answer.problem(413, "payload-too-large");
            tells_nothing(&answer);
            assert_eq!(told(&gateway, &id)["status"], 413);
        }
    });
    gateway.stop();
}

/// Where all instances are busy and nobody may wait, in the first store and in a later one.
#[test]
fn no_capacity() {
    let gateway = Gateway::start(&setup());
    run(async {
        for protocol in PROTOCOLS {
            for path in ["/one", "/far"] {
                let mut busy = Client::connect(&gateway, protocol).await;
                let slow = [("x-fault", "slow"), ("x-delay-ms", "1000")];
                let slow = request(Method::GET, path, &slow, body::empty());
                let slow = tokio::task::spawn_local(async move { busy.ask(slow).await });
                let mut client = Client::connect(&gateway, protocol).await;
                // The first one needs a moment to get there; until then, it is this one that is served.
                tokio::time::sleep(300 * MS).await;
                let answer = loop {
                    let answer = client.get(path, &[]).await;
                    if answer.status != StatusCode::OK {
                        break answer;
                    }
                    assert!(!slow.is_finished(), "the other one is not held up");
                };
                let id = answer.problem(503, "no-capacity");
                assert_eq!(answer.header("retry-after"), Some("1"));
                tells_nothing(&answer);
                told(&gateway, &id);
                assert_eq!(in_time(slow).await.unwrap().ok().text(), "ok");
            }
        }
    });
    gateway.stop();
}

/// What a later store does reaches the stage before it as an error code, and the client and the log as what it was.
#[test]
fn a_trap_in_a_later_store() {
    let gateway = Gateway::start(&setup());
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let answer = client.get("/far", &[("x-fault", "trap")]).await;
            let id = answer.problem(500, "guest-trap");
            tells_nothing(&answer);
            told(&gateway, &id);
            soon("the stage is named", || {
                gateway.count(|line| line["message"] == "a stage gave no response") > 0
            })
            .await;
            client.get("/far", &[]).await.ok();
        }
    });
    gateway.stop();
}

/// A breaker that closes the pipeline, and a stage that is bypassed.
#[test]
fn breakers_and_bypassed_stages() {
    let gateway = Gateway::start(&setup());
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        client.get("/breaker", &[]).await.ok();
        client.get("/breaker", &[("x-fault", "trap")]).await.problem(500, "guest-trap");
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let answer = client.get("/breaker", &[]).await;
            let id = answer.problem(503, "breaker-open");
            assert_eq!(answer.header("retry-after"), Some("1"));
            tells_nothing(&answer);
            let line = told(&gateway, &id);
            assert!(line["reason"].as_str().unwrap().contains("breaker is open"), "{line}");

            let answer = client.get("/skip", &[("x-middleware-fault", "trap")]).await.ok();
            assert_eq!(answer.header("linkspan-bypassed"), Some("zq-skip/0:fault-middleware"));
            assert_eq!(answer.text(), "Hello!\n");
            let answer = client.get("/skip", &[]).await.ok();
            assert_eq!(answer.header("linkspan-bypassed"), None);
        }
    });
    eventually("the breaker's line is there", || {
        gateway.count(|line| line["message"] == "breaker opened") == 1
    });
    eventually("the bypassed stage's lines are there", || {
        gateway.count(|line| line["message"] == "a stage failed and was bypassed") == 2
    });
    gateway.stop();
}

/// Of 10,000 requests, every third meets a stage that fails, and no client sees it: it is bypassed, and after enough
/// failures nobody tries it for a while.
#[test]
fn a_stage_that_fails_now_and_then_is_nobodys_loss() {
    let policy = "link = \"dynamic\"\non-failure = \"bypass\"\n\
                  breaker = { failures = 20, window = \"10s\", open = \"100ms\" }";
    let pipeline =
        Pipeline::new("main", "echo").stage_with("fault-middleware-sync", policy).stage("security-headers");
    let gateway = Gateway::start(&Setup::of([pipeline]).workers(2));
    let bypassed = Rc::new(Cell::new(0));
    let count = Rc::clone(&bypassed);
    let make = |number: u64| {
        let fault = if number % 10 < 3 { "trap" } else { "none" };
        let fields = [("x-middleware-fault", fault)];
        // What names no fault is passed on.
        let fields = if fault == "none" { &[][..] } else { &fields[..] };
        request(Method::POST, "/", fields, body::whole(number.to_string().into_bytes()))
    };
    let check = move |number: u64, answer: hyper::Result<Answer>| {
        let answer = answer.unwrap().ok();
        assert_eq!(answer.text(), number.to_string());
        match answer.header("linkspan-bypassed") {
            Some(stage) => {
                assert_eq!(stage, "main/0:fault-middleware-sync");
                count.set(count.get() + 1);
            }
            None => assert!(number % 10 >= 3, "it traps"),
        }
    };
    for (protocol, requests) in [(Protocol::Http1, 5_000), (Protocol::Http2, 5_000)] {
        run(drive(&gateway, protocol, Load::requests(16, requests), make, check.clone()));
    }
    // More than those that met the fault: while the breaker is open, nobody gets to the stage.
    assert!(bypassed.get() > 3_000, "{}", bypassed.get());
    eventually("the breaker opens", || gateway.count(|line| line["message"] == "breaker opened") > 0);
    // Which requests try the stage is up to time; one that finds it sound closes the breaker.
    let closed = |line: &Line| line["message"] == "breaker closed: the stage works again";
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        let start = std::time::Instant::now();
        while gateway.count(closed) == 0 {
            assert!(start.elapsed() < SOON, "the breaker does not close");
            client.get("/", &[]).await.ok();
        }
    });
    gateway.stop();
}

/// The answer to HEAD has the same fields, the length of what GET would get among them, and no body.
#[test]
fn head_has_no_body() {
    let gateway = Gateway::start(&setup());
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            for (path, fault) in
                [("/nowhere", "none"), ("/fault", "trap"), ("/fault", "hang"), ("/get%2f", "none")]
            {
                let fields = [("x-fault", fault)];
                let whole = client.ask(get(path, &fields)).await;
                let head = client.ask(request(Method::HEAD, path, &fields, body::empty())).await;
                assert_eq!(head.status, whole.status);
                assert_eq!(head.text(), "");
                for name in ["content-type", "cache-control", "content-length"] {
                    assert!(head.header(name).is_some(), "{protocol:?} {path}: no {name} in {head:?}");
                    assert_eq!(head.header(name), whole.header(name), "{protocol:?} {path}");
                }
                // The connection is still in step.
                client.get("/get", &[]).await.ok();
            }
        }
    });
    gateway.stop();
}

/// Each request has a name of its own, which is the gateway's.
#[test]
fn request_ids_are_the_gateways_own() {
    let gateway = Gateway::start(&setup());
    run(async {
        let mut ids = Vec::new();
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            for _ in 0..50 {
                let id = client.get("/nowhere", &[("x-request-id", "mine")]).await.problem(404, "no-route");
                assert_eq!(id.len(), 16, "{id}");
                assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
                ids.push(id);
            }
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 100);
    });
    gateway.stop();
}
