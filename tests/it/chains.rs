//! Requests through chains of every length and form: what goes in comes out, whatever HTTP lets a message look like.

use crate::chain_test;
use crate::harness::{
    Answer, Client, ENCRYPTED, Gateway, Load, PROTOCOLS, Pipeline, Protocol, Setup, body, drive, get,
    in_time, request, run,
};
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;

/// A pipeline for each depth and form of guest, each at a path of its own.
#[test]
fn depths() {
    let forms: [(&str, &[&str]); 3] = [
        ("sync", &["pass-through-sync"]),
        ("async", &["pass-through-async"]),
        ("mixed", &["pass-through-sync", "pass-through-async"]),
    ];
    let mut names = Vec::new();
    let mut pipelines = Vec::new();
    for (form, guests) in forms {
        for depth in [0, 1, 5, 16] {
            let name = format!("{form}-{depth}");
            let guests = guests.iter().cycle().take(depth);
            let pipeline = Pipeline::new(&name, "echo").route(&format!("path = \"/{name}\""));
            pipelines.push(guests.fold(pipeline, |pipeline, guest| pipeline.stage(guest)));
            names.push(name);
        }
    }
    let gateway = Gateway::start(&Setup::of(pipelines));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            for name in &names {
                for size in [0, 1, 100_000] {
                    let (_, body) = body::stream(size);
                    let answer =
                        client.ask(request(Method::POST, &format!("/{name}/x?y"), &[], body)).await.ok();
                    assert_eq!(
                        body::digest_of(&answer.body),
                        body::digest(size),
                        "{protocol:?} {name}, {size} bytes"
                    );
                }
            }
        }
    });
    gateway.stop();
}

chain_test! {
    /// Bodies of every size come back as they were sent, with the fields that describe them.
    fn bodies(chain) {
        let gateway = Gateway::start(&chain.setup("echo"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for size in [0, 1, 5, 65_536, 1 << 20] {
                    let (_, body) = body::stream(size);
                    let fields = [("content-type", "text/x-test")];
                    let answer = client.ask(request(Method::POST, "/", &fields, body)).await.ok();
                    assert_eq!(answer.header("content-type"), Some("text/x-test"));
                    assert_eq!(answer.header("content-length"), Some(size.to_string().as_str()));
                    assert_eq!(body::digest_of(&answer.body), body::digest(size), "{protocol:?}, {size} bytes");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Bodies without a length, in many frames, come back as they were sent, and each part as soon as it is sent.
    fn streams(chain) {
        let gateway = Gateway::start(&chain.setup("echo"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let (feeder, body) = body::channel();
                let response = in_time(client.send(request(Method::POST, "/", &[], body))).await.unwrap();
                assert_eq!(response.headers().get("content-length"), None);
                let mut body = response.into_body();
                for number in 0..50 {
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
                assert!(rest.trailers().is_none() && rest.to_bytes().is_empty(), "{protocol:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Trailers go both ways, with a body before them and without.
    fn trailers_of_requests(chain) {
        let gateway = Gateway::start(&chain.setup("echo"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for content in ["", "hello"] {
                    let body = body::with_trailers(content, &[("x-checksum", "abc")]);
                    // HTTP/1.1 needs to be told that there will be trailers, and that the client takes some.
                    let fields = [("trailer", "x-checksum"), ("te", "trailers")];
                    let answer = client.ask(request(Method::POST, "/", &fields, body)).await.ok();
                    assert_eq!(answer.text(), content);
                    // A service that announces nothing has its trailers dropped by HTTP/1.1 (RFC 9110 §6.6.2).
                    let expected = (protocol == Protocol::Http2).then_some("abc");
                    let trailer = answer.trailers.as_ref().map(|trailers| trailers["x-checksum"].to_str().unwrap());
                    assert_eq!(trailer, expected, "{protocol:?} {content:?}");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A service's own trailers arrive, where they were announced and the client takes them.
    fn trailers_of_responses(chain) {
        let gateway = Gateway::start(&chain.setup("fault-service"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let answer = client.get("/", &[("x-fault", "trailers"), ("te", "trailers")]).await.ok();
                assert_eq!(answer.text(), "hello");
                assert_eq!(answer.trailers.unwrap()["x-trailer"], "yes", "{protocol:?}");
            }
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let answer = client.get("/", &[("x-fault", "trailers")]).await.ok();
            assert_eq!((answer.text(), answer.trailers.as_ref()), ("hello", None));
        });
        gateway.stop();
    }
}

chain_test! {
    /// HEAD is told what GET would be, without the body; the connection stays usable.
    fn head(chain) {
        let gateway = Gateway::start(&chain.setup("echo"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for _ in 0..3 {
                    let answer = client.ask(request(Method::HEAD, "/", &[], body::empty())).await.ok();
                    assert!(answer.body.is_empty());
                    let answer = client.ask(request(Method::POST, "/", &[], body::whole("after"))).await.ok();
                    assert_eq!(answer.text(), "after");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A body that a service gives to HEAD is not sent.
    fn head_with_a_body(chain) {
        let gateway = Gateway::start(&chain.setup("hello"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for _ in 0..3 {
                    let answer = client.ask(request(Method::HEAD, "/", &[], body::empty())).await.ok();
                    assert!(answer.body.is_empty());
                    assert_eq!(client.get("/", &[]).await.ok().text(), "Hello!\n");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// 204 and 304 have no body, whatever their guest gives them; the connection stays usable.
    fn statuses_without_a_body(chain) {
        let gateway = Gateway::start(&chain.setup("fault-service"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for status in ["204", "304"] {
                    for fault in ["status", "status-with-body"] {
                        for method in [Method::GET, Method::HEAD, Method::PUT] {
                            let fields = [("x-fault", fault), ("x-status", status)];
                            let answer = client.ask(request(method, "/", &fields, body::empty())).await;
                            assert_eq!(answer.status.as_str(), status);
                            assert!(answer.body.is_empty() && answer.cut.is_none(), "{protocol:?} {answer:?}");
                            client.get("/", &[]).await.ok();
                        }
                    }
                }
            }
        });
        gateway.stop();
    }
}

/// A preflight is answered by the middleware, without a body; no later stage sees it.
#[test]
fn preflights() {
    let config = "config = { origins = [\"https://app.example.com\"], methods = [\"PUT\"] }";
    let pipeline = Pipeline::new("main", "fault-service").stage_with("cors", config);
    let gateway = Gateway::start(&Setup::of([pipeline]));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            for _ in 0..3 {
                let fields = [
                    ("origin", "https://app.example.com"),
                    ("access-control-request-method", "PUT"),
                    ("x-fault", "trap"),
                ];
                let answer = client.ask(request(Method::OPTIONS, "/", &fields, body::empty())).await;
                assert!(answer.status == 204 && answer.body.is_empty(), "{answer:?}");
                assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
                client.get("/", &[]).await.ok();
            }
        }
    });
    gateway.stop();
}

chain_test! {
    /// OPTIONS is a method like others.
    fn options(chain) {
        let gateway = Gateway::start(&chain.setup("probe"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for method in ["OPTIONS", "PATCH", "DELETE", "PURGE"] {
                    let method: Method = method.parse().unwrap();
                    let answer = client.ask(request(method.clone(), "/some/path?q=1", &[], body::empty())).await.ok();
                    let seen = answer.json();
                    assert_eq!(seen["method"], method.as_str());
                    assert_eq!(seen["path"], "/some/path?q=1");
                    assert_eq!(seen["authority"], "localhost");
                    assert_eq!(seen["scheme"], if protocol == Protocol::Http1 { "http" } else { "https" });
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// An answer that comes before the request's body has ended is seen at once, and whole.
    fn early_answers(chain) {
        let gateway = Gateway::start(&chain.setup("fault-service"));
        run(async {
            for protocol in PROTOCOLS {
                for _ in 0..3 {
                    let mut client = Client::connect(&gateway, protocol).await;
                    let (feeder, body) = body::channel();
                    in_time(feeder.send(Frame::data("a part of it".into()))).await.unwrap();
                    let fields = [("x-fault", "drop-body")];
                    let answer = client.ask(request(Method::POST, "/", &fields, body)).await.ok();
                    assert_eq!(answer.text(), "ok", "{protocol:?}");
                    drop(feeder);
                }
                let mut client = Client::connect(&gateway, protocol).await;
                assert_eq!(client.get("/", &[]).await.ok().text(), "ok");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A response whose body is there at once, and ends, has its length in its head, and no chunks.
    fn lengths_of_short_answers(chain) {
        let empty = chain.named("empty", "empty").route("path = \"/empty\"");
        let short = chain.named("short", "fault-service").route("path = \"/short\"");
        let gateway = Gateway::start(&Setup::of([empty, short]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            // Between two stores, a body is on its way when the head is.
            let one_store = chain.front.iter().all(|(_, link)| link.starts_with("static"));
            for (path, length) in [("/empty", "0"), ("/short", "1")].into_iter().take(1 + usize::from(one_store)) {
                // The first one waits for its instances, and a guest may have to wait for the processor.
                let mut tries = 0..20;
                loop {
                    assert!(tries.next().is_some(), "{path} is sent in chunks");
                    let fields = [("x-fault", "many-chunks"), ("x-count", "1")];
                    let answer = client.get(path, &fields).await.ok();
                    assert_eq!(answer.body.len().to_string(), length);
                    if answer.header("content-length") == Some(length) {
                        assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
                        break;
                    }
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Kept connections whose requests come at once meet few instances: one has room again as soon as it has answered.
    fn instances_of_kept_connections(chain) {
        const CONNECTIONS: usize = 32;
        if chain.front.len() > 1 {
            // The body of an async stage in another store ends later than its head comes.
            return;
        }
        let made = || {
            let setup = chain.setup("empty").limit("[admin]\naddress = \"127.0.0.1:0\"");
            let gateway = Gateway::start(&setup);
            let admin = gateway.line(|line| line["message"] == "admin listening");
            let admin = admin["address"].as_str().unwrap().parse().unwrap();
            let made = run(async {
                Client::connect(&gateway, Protocol::Http1).await.get("/", &[]).await.ok();
                let check = |_, answer: hyper::Result<Answer>| drop(answer.unwrap().ok());
                let load = Load::requests(CONNECTIONS, 320);
                drive(&gateway, Protocol::Http1, load, |_| get("/", &[]), check).await;
                let answer = Client::open(admin, Protocol::Http1).await.get("/metrics", &[]).await.ok();
                let made = answer.text().lines().find_map(|line| {
                    line.strip_prefix("linkspan_instances_made_total{linkspan_pipeline=\"main\"} ")
                });
                made.unwrap().parse::<usize>().unwrap()
            });
            gateway.stop();
            made
        };
        // A guest that the system keeps from the processor for some milliseconds gives way to others, which go elsewhere.
        let few = (0..20).any(|_| made() < CONNECTIONS);
        assert!(few, "as many instances as connections, or more");
    }
}

chain_test! {
    /// A body that no stage reads does not hide the answer, nor harm the next request.
    fn unread_bodies(chain) {
        let gateway = Gateway::start(&chain.setup("fault-service"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for size in [1, 100_000, 8 << 20] {
                    if !client.is_open().await {
                        client = Client::connect(&gateway, protocol).await;
                    }
                    let (_, body) = body::stream(size);
                    let fields = [("x-fault", "drop-body")];
                    let answer = client.ask(request(Method::POST, "/", &fields, body)).await.ok();
                    assert_eq!(answer.text(), "ok", "{protocol:?}, {size} bytes");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Over HTTP/1.1, the answer to a request whose body nobody reads says whether the connection goes on, whoever gives it.
    fn answers_to_unread_bodies(chain) {
        let main = chain.pipeline("fault-service").limit("request-body = \"1MiB\"");
        let full = chain.named("full", "fault-service").route("path = \"/full\"");
        let full = full.limit("instances = 1\nconcurrency = 1\nqueue = 0");
        let gateway = Gateway::start(&Setup::of([main, full]));
        run(async {
            let (mut hanging, mut hung) = (Client::connect(&gateway, Protocol::Http2).await, Vec::new());
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            // The first ones may be refused, as long as others are served.
            let mut refused = 0;
            while refused < 10 {
                hung.push(hanging.start(get("/full", &[("x-fault", "hang")])));
                refused = if client.get("/full", &[]).await.status == 503 { refused + 1 } else { 0 };
            }
            for (path, size, status) in
                [("/", 1, 200), ("/", 100_000, 200), ("/", 8 << 20, 413), ("/full", 100_000, 503)].repeat(5)
            {
                let (_, body) = body::stream(size);
                let fields = [("x-fault", "drop-body")];
                let answer = client.ask(request(Method::POST, path, &fields, body)).await;
                assert_eq!(answer.status, status, "{size} bytes");
                if answer.header("connection") == Some("close") {
                    client = Client::connect(&gateway, Protocol::Http1).await;
                }
                client.get("/", &[]).await.ok();
            }
        });
        drop(gateway);
    }
}

chain_test! {
    /// Many streams of one connection are in the chain at once.
    fn streams_of_one_connection(chain) {
        let gateway = Gateway::start(&chain.setup("echo"));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            let mut open = Vec::new();
            for _ in 0..20 {
                let (feeder, body) = body::channel();
                let response = in_time(client.send(request(Method::POST, "/", &[], body))).await.unwrap();
                open.push((feeder, response.into_body()));
            }
            for (number, (feeder, _)) in open.iter().enumerate().rev() {
                feeder.send(Frame::data(number.to_string().into())).await.unwrap();
            }
            for (number, (feeder, body)) in open.into_iter().enumerate() {
                drop(feeder);
                let back = in_time(body.collect()).await.unwrap().to_bytes();
                assert_eq!(back, number.to_string());
            }
        });
        gateway.stop();
    }
}

/// Over TLS, HTTP/1.1 is the same as without.
#[test]
fn tls_changes_nothing() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "echo")]));
    run(async {
        for protocol in ENCRYPTED {
            let mut client = Client::connect(&gateway, protocol).await;
            let (_, body) = body::stream(1 << 20);
            let answer = client.ask(request(Method::POST, "/", &[], body)).await.ok();
            assert_eq!(body::digest_of(&answer.body), body::digest(1 << 20));
        }
    });
    gateway.stop();
}

chain_test! {
    /// A component of a release candidate stands beside those of the release.
    fn release_candidates(chain) {
        let gateway = Gateway::start(&chain.setup("hello-rc"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for path in ["/one", "/two"] {
                    let answer = client.get(path, &[]).await.ok();
                    assert_eq!(answer.text(), format!("Hello from a release candidate, {path}!\n"));
                }
            }
        });
        gateway.stop();
    }
}
