//! What goes wrong between the gateway and a server, and what the client and the next request get.

use super::support::{Origin, Raw, STAGES, Speaks, configuration, gateway, nowhere, read_head, reset, tls};
use crate::harness::{Client, MS, PROTOCOLS, Protocol, body, eventually, get, in_time, request, run, soon};
use crate::swap::support::Served;
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;

/// Without retries, so that a failure is seen.
const ONCE: &str = "retry = { attempts = 0 }";

/// Each failure before a response's head has its own answer, and its reason in the log.
#[test]
fn no_response_has_a_reason() {
    let refused = format!("http://{}", nowhere());
    let silent = Raw::start(|mut stream, _| drop(stream.read_to_end(&mut Vec::new())));
    let closing = Raw::saying("");
    let resetting = Raw::start(|mut stream, _| {
        read_head(&mut stream);
        reset(stream);
    });
    let garbage = Raw::saying("hello\r\n\r\n");
    let half = Raw::saying("HTTP/1.1 200 OK\r\nx-a: ");
    let upgrading =
        Raw::saying("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
    let cases = [
        (refused.clone(), "", 502, "upstream-unreachable", "cannot connect"),
        ("http://no-such-name.invalid".to_owned(), "", 502, "upstream-unreachable", "can't be looked up"),
        (
            silent.url(),
            "limits = { response-timeout = \"300ms\" }",
            504,
            "upstream-timeout",
            "response-timeout",
        ),
        (silent.url(), "limits = { total-timeout = \"300ms\" }", 504, "upstream-timeout", "total-timeout"),
        (
            silent.url().replace("http:", "https:"),
            "limits = { connect-timeout = \"300ms\" }",
            504,
            "upstream-timeout",
            "connect-timeout",
        ),
        (closing.url(), "", 502, "upstream-broken", "no response"),
        (resetting.url(), "", 502, "upstream-broken", "no response"),
        (garbage.url(), "", 502, "upstream-broken", "no response"),
        (half.url(), "", 502, "upstream-broken", "no response"),
        (upgrading.url(), "", 502, "upstream-broken", "101"),
        (closing.url(), "protocol = \"h2\"", 502, "upstream-broken", "no response"),
    ];
    for (server, keys, status, kind, reason) in cases {
        for stages in STAGES {
            let keys = format!("{ONCE}\n{keys}");
            let served = Served::start("", &configuration(std::slice::from_ref(&server), &keys, stages));
            run(async {
                let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
                for method in [Method::GET, Method::POST] {
                    let upload = if method == Method::GET { body::empty() } else { body::whole("x") };
                    let answer = client.ask(request(method, "/", &[], upload)).await;
                    let id = answer.problem(status, kind);
                    let line = served.gateway.reason(&id);
                    let told = line["reason"].as_str().unwrap();
                    assert!(told.contains(reason) && told.contains("upstream `backend`"), "{told}");
                }
            });
        }
    }
}

/// The pipeline's own deadline holds for an upstream, too.
#[test]
fn the_deadline_holds() {
    let origin = Origin::start();
    for stages in STAGES {
        let text =
            configuration(&[origin.url()], "", stages) + "[pipelines.main.limits]\ndeadline = \"300ms\"\n";
        let served = Served::start("", &text);
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            client.get("/never", &[]).await.problem(504, "deadline");
        });
        eventually("the upstream's connection ends", || origin.open() == 0);
    }
}

/// A response that breaks off is never complete for the client, and its connection is not used again.
#[test]
fn a_cut_response_is_no_whole() {
    let cut = Raw::saying("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    let unfinished = Raw::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    let bad_chunk = Raw::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n");
    let resetting = Raw::start(|mut stream, _| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
        // What came before a reset may be lost, so it waits until that was read.
        std::thread::sleep(100 * MS);
        reset(stream);
    });
    let pausing = Raw::start(|mut stream, _| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    });
    for server in [&cut, &unfinished, &bad_chunk, &resetting, &pausing] {
        for stages in STAGES {
            let keys = format!("{ONCE}\nlimits = {{ idle-timeout = \"300ms\" }}");
            let served = Served::start("", &configuration(&[server.url()], &keys, stages));
            run(async {
                for protocol in PROTOCOLS {
                    let mut client = Client::connect(&served.gateway, protocol).await;
                    let answer = client.get("/", &[]).await;
                    assert_eq!(answer.status, 200);
                    assert!(answer.cut.is_some(), "{answer:?}");
                }
            });
            served.gateway.counts(2, |line| line["message"] == "a response was cut short");
        }
    }
}

/// A client that leaves, before the response or in the middle of it, ends the request at the server, and its
/// connection.
#[test]
fn a_client_that_leaves_ends_the_request() {
    for (speaks, keys) in [(Speaks::Http1, ""), (Speaks::Http2, "protocol = \"h2\"")] {
        let origin = Origin::speaking(speaks);
        for stages in STAGES {
            let served = Served::start("", &configuration(&[origin.url()], keys, stages));
            run(async {
                for path in ["/never", "/first-and-never"] {
                    let before = (origin.seen.broken.load(SeqCst), origin.requests());
                    let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
                    let response = client.start(get(path, &[]));
                    if path == "/never" {
                        tokio::select! {
                            _ = response => panic!("no answer was meant to come"),
                            () = soon("the request arrives", || origin.requests() > before.1) => {}
                        }
                    } else {
                        let mut response = in_time(response).await.unwrap().into_body();
                        in_time(response.frame()).await.unwrap().unwrap();
                        drop((client, response));
                        soon("the response is given up", || origin.seen.broken.load(SeqCst) > before.0).await;
                    }
                    let left = usize::from(!keys.is_empty());
                    soon("its connection is gone", || origin.open() <= left).await;
                }
            });
        }
    }
}

/// A request whose body is bad ends at the server without its end, and its connection is not used again.
#[test]
fn a_bad_body_ends_the_request() {
    for (speaks, keys) in [(Speaks::Http1, ""), (Speaks::Http2, "protocol = \"h2\"")] {
        let origin = Origin::speaking(speaks);
        for stages in STAGES {
            let served = Served::start("", &configuration(&[origin.url()], keys, stages));
            let head = "POST /digest HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwiki\r\n";
            for rest in ["zz\r\n", "5\r\nhal", "-1\r\n"] {
                let before = origin.seen.broken.load(SeqCst);
                let mut stream = TcpStream::connect(served.gateway.plain).unwrap();
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(rest.as_bytes()).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                eventually("the server sees a broken body", || origin.seen.broken.load(SeqCst) > before);
                if keys.is_empty() {
                    eventually("the connection is gone", || origin.open() == 0);
                }
                let mut answer = String::new();
                drop(stream.read_to_string(&mut answer));
                assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
            }
            run(async {
                let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
                let answer =
                    client.ask(request(Method::POST, "/digest", &[], body::whole("good"))).await.ok();
                assert!(answer.text().starts_with("4 "), "{}", answer.text());
            });
        }
    }
}

/// A body beyond the pipeline's bound is 413 and nothing whole for the server.
#[test]
fn a_body_beyond_the_bound_is_413() {
    let origin = Origin::start();
    for stages in STAGES {
        let text = configuration(&[origin.url()], "", stages)
            + "[pipelines.main.limits]\nrequest-body = \"64KiB\"\n";
        let served = Served::start("", &text);
        run(async {
            for protocol in PROTOCOLS {
                let before = origin.seen.broken.load(SeqCst);
                let mut client = Client::connect(&served.gateway, protocol).await;
                let requests = origin.requests();
                let (feeder, upload) = body::channel();
                feeder.send(Frame::data("begin".into())).await.unwrap();
                let seen = std::sync::Arc::clone(&origin.seen);
                tokio::task::spawn_local(async move {
                    soon("the request arrives", || seen.heads.lock().unwrap().len() > requests).await;
                    let piece = || Frame::data(bytes::Bytes::from(vec![b'x'; 16 << 10]));
                    while feeder.send(piece()).await.is_ok() {}
                });
                // HTTP/1.1 may have its connection closed under its upload.
                if let Ok(answer) = client.try_ask(request(Method::POST, "/digest", &[], upload)).await {
                    answer.problem(413, "payload-too-large");
                }
                soon("the server sees a broken body", || origin.seen.broken.load(SeqCst) > before).await;
            }
        });
    }
}

/// A kept connection that the server closed without a word costs a request nothing, if it may be sent twice.
#[test]
fn a_connection_that_ended_is_replaced() {
    // One request a connection, whatever is said of it; the second is met by a close.
    let origin = Raw::start(|mut stream, _| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        read_head(&mut stream);
    });
    let served = gateway(&[origin.url()], "");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        for number in 1..5 {
            client.get("/", &[]).await.ok();
            assert_eq!(origin.accepted(), number);
        }
        let answer = client.ask(request(Method::POST, "/", &[], body::whole("once"))).await;
        answer.problem(502, "upstream-broken");
    });
}

/// What may be sent again, and what not: a method that can do something twice, and a body of which a part is gone.
#[test]
fn only_what_is_safe_is_sent_again() {
    let good = Origin::start();
    let closing = Raw::start(|mut stream, _| drop(read_head(&mut stream)));
    let refused = format!("http://{}", nowhere());
    let keys = "ejection = { failures = 0 }";
    run(async {
        // Nothing of it went out: every method, with its body.
        let served = gateway(&[refused, good.url()], keys);
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        for _ in 0..4 {
            let answer = client.ask(request(Method::POST, "/digest", &[], body::whole("body"))).await.ok();
            assert!(answer.text().starts_with("4 "));
        }
        // It may have arrived.
        let served = gateway(&[closing.url(), good.url()], keys);
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        for _ in 0..4 {
            client.get("/", &[]).await.ok();
            client.ask(request(Method::DELETE, "/", &[], body::empty())).await.ok();
        }
        let mut statuses = Vec::new();
        for _ in 0..2 {
            statuses.push(client.ask(request(Method::POST, "/", &[], body::empty())).await.status.as_u16());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 502]);
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let answer = client.ask(request(Method::PUT, "/digest", &[], body::whole("some"))).await;
            statuses.push(answer.status.as_u16());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 502], "a part of the body went out");
    });
}

/// Retries have a budget, so that a fault of all servers does not double their load.
#[test]
fn retries_have_a_budget() {
    let servers = [nowhere(), nowhere()].map(|address| format!("http://{address}"));
    let keys = "ejection = { failures = 0 }\nretry = { attempts = 1, budget = 10 }";
    let served = gateway(&servers, keys);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        for _ in 0..100 {
            client.get("/", &[]).await.problem(502, "upstream-unreachable");
        }
        let mut retries = 0.0;
        for server in &servers {
            let labels = format!("linkspan_upstream=\"backend\",server=\"{server}\"");
            retries += served.of_upstream("retries_total", &labels).await;
        }
        // Ten that there are at the start, and ten of a hundred.
        assert!((15.0..=20.0).contains(&retries), "{retries}");
    });
}

/// Connections and those who wait for one are bounded.
#[test]
fn connections_are_bounded() {
    let origin = Origin::start();
    let limits = "limits = { connections = 2, pending = 1, pending-timeout = \"300ms\" }";
    let served = gateway(&[origin.url()], limits);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(in_time(client.start(get("/first-and-never", &[]))).await.unwrap());
        }
        let waiting = client.start(get("/", &[]));
        let labels = format!("linkspan_upstream=\"backend\",server=\"{}\"", origin.url());
        assert_eq!(served.of_upstream("requests_active", &labels).await, 2.0);
        // Of two, one waits in vain, and one finds the queue full; which is which, nobody knows.
        let (one, other) = in_time(futures::future::join(waiting, client.start(get("/", &[])))).await;
        for response in [one, other] {
            let answer = crate::harness::Answer::read(response.unwrap()).await;
            answer.problem(503, "upstream-busy");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        assert_eq!(origin.connections(), 2);
        let waiting = client.start(get("/", &[]));
        drop(held.pop());
        let answer = crate::harness::Answer::read(in_time(waiting).await.unwrap()).await;
        assert!(answer.status == 200 || answer.status == 503, "{answer:?}");
        soon("there is room again", || origin.open() < 3).await;
        client.get("/", &[]).await.ok();
    });
}

/// What a server shows must be what is asked for.
#[test]
fn a_wrong_certificate_is_502() {
    let origin = Origin::speaking(tls(&["h2", "http/1.1"], false));
    let asking = Origin::speaking(tls(&["http/1.1"], true));
    let port = origin.address.port();
    let by_name = format!("https://localhost:{port}");
    for (server, keys) in [
        (by_name.clone(), ""),
        (by_name.clone(), "tls = { roots = \"cert.pem\", name = \"other.example\" }"),
        (format!("https://127.0.0.1:{port}"), "tls = { roots = \"cert.pem\" }"),
        (format!("https://localhost:{}", asking.address.port()), "tls = { roots = \"cert.pem\" }"),
    ] {
        let served = gateway(&[server], &format!("{ONCE}\n{keys}"));
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            let answer = client.get("/", &[]).await;
            assert_eq!(answer.status, 502, "{answer:?}");
        });
    }
    assert_eq!(origin.requests() + asking.requests(), 0);
    let served = gateway(
        &[format!("https://127.0.0.1:{port}")],
        "tls = { roots = \"cert.pem\", name = \"localhost\" }",
    );
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        client.get("/", &[("host", "localhost")]).await.ok();
    });
}

/// A response that could be read in two ways is none.
#[test]
fn an_ambiguous_response_is_502() {
    for head in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity",
        "content-length: 3\r\ncontent-length: 5",
        "content-length: 3, 5",
        "content-length: -1",
        "content-length: 0x5",
        "x a: 1\r\ncontent-length: 5",
        "x-a : 1\r\ncontent-length: 5",
        "x-a: 1\r\n x-folded: 2\r\ncontent-length: 5",
        "x-a: 1\r\ncontent-length: 5\0",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let origin = Raw::saying(Box::leak(text.into_boxed_str()));
        let served = gateway(&[origin.url()], ONCE);
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&served.gateway, protocol).await;
                let answer = client.get("/", &[]).await;
                assert_eq!(answer.status, 502, "{head:?}: {answer:?}");
                answer.problem(502, "upstream-broken");
            }
        });
    }
}

/// What a server says beyond its response is not the answer to the next request.
#[test]
fn a_second_response_is_nobodys() {
    let origin = Raw::start(|mut stream, _| {
        let answer = |text: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        if read_head(&mut stream).is_some() {
            drop(stream.write_all((answer("right") + &answer("wrong")).as_bytes()));
            drop(stream.read_to_end(&mut Vec::new()));
        }
    });
    let served = gateway(&[origin.url()], "");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        for number in 1..20 {
            let answer = client.get("/", &[]).await.ok();
            assert_eq!((answer.text(), origin.accepted()), ("right", number));
        }
    });
}

/// A client that does not go on with its request is no fault of the server.
#[test]
fn a_slow_client_is_no_fault_of_the_server() {
    let origin = Origin::start();
    let keys =
        "ejection = { failures = 1, time = \"1h\", share = 100 }\nlimits = { response-timeout = \"2s\" }";
    let text = configuration(&[origin.url()], keys, "") + "[pipelines.main.limits]\ndeadline = \"5s\"\n";
    let served = Served::start("", &text);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let (feeder, upload) = body::channel();
        feeder.send(Frame::data("begin".into())).await.unwrap();
        client.ask(request(Method::POST, "/digest", &[], upload)).await.problem(504, "deadline");
        client.get("/", &[]).await.ok();
        client.get("/never", &[]).await.problem(504, "upstream-timeout");
        client.get("/", &[]).await.problem(503, "upstream-down");
    });
}
