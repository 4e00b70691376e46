//! Calls of a pipeline by its name, `http://<pipeline>.internal`.

use crate::chain_test;
use crate::harness::{
    Chain, Client, Folder, Gateway, Line, MS, PROTOCOLS, Pipeline, Protocol, Setup, binary, body, get,
    identity, in_time, repository, request, run, scaled,
};
use crate::nexts::greets;
use crate::swap::support::{Served, head, pipeline, stamp};
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::cell::Cell;
use std::rc::Rc;

/// The pipeline `main`, whose service calls what `calls` name.
fn caller(chain: Chain, calls: &str) -> Pipeline {
    chain.pipeline("caller").service_with(&format!("grant = {{ calls = [{calls}] }}"))
}

chain_test! {
    /// A granted pipeline answers, however its name is spelled; another one is denied, with one line that names both.
    fn granted_and_denied(chain) {
        let gateway = Gateway::start(&Setup::of([caller(chain, "\"side\""), greets("side"), greets("other")]));
        let denied = |line: &Line| line["message"] == "denied: other.internal is not among the stage's `calls`";
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for way in ["http://side.internal", "http://SIDE.Internal", "https://side.internal"] {
                    let answer = client.get("/", &[("x-way", way)]).await.ok();
                    assert_eq!(answer.text(), "side\n", "{way}");
                }
                for (way, code) in [
                    ("http://other.internal", "HttpRequestDenied"),
                    ("http://nobody.internal", "HttpRequestDenied"),
                    ("http://side.internal:80", "HttpRequestUriInvalid"),
                    ("http://me@side.internal", "HttpRequestUriInvalid"),
                    // These are no pipelines, and no rule leads there.
                    ("http://side.internal.", "HttpRequestDenied"),
                    ("http://a.side.internal", "HttpRequestDenied"),
                ] {
                    let answer = client.get("/", &[("x-way", way)]).await;
                    assert_eq!(answer.status, 502, "{way}");
                    assert!(answer.text().contains(code), "{way}: {answer:?}");
                }
            }
        });
        gateway.counts(2, denied);
        let line = gateway.line(denied);
        assert!(line["request_id"].is_string(), "{line}");
        assert_eq!(line["stage"], format!("main/{}:caller", chain.front.len()));
        gateway.stop();
    }
}

/// The way to the pipeline `side`.
const SIDE: (&str, &str) = ("x-way", "http://side.internal");

/// Asks for a fault of the service of `side`.
async fn ask(client: &mut Client, fields: &[(&str, &str)]) -> crate::harness::Answer {
    client.get("/", &[&[SIDE], fields].concat()).await
}

chain_test! {
    /// Bodies stream both ways while they are sent, and trailers after them.
    fn bodies_and_trailers(chain) {
        let side = Pipeline::new("side", "echo").stage("pass-through-async").route("path = \"/side\"");
        let gateway = Gateway::start(&Setup::of([caller(chain, "\"side\""), side]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let (_, body) = body::stream(3_000_000);
                let answer = client.ask(request(Method::POST, "/", &[SIDE], body)).await.ok();
                assert_eq!(body::digest_of(&answer.body), body::digest(3_000_000), "{protocol:?}");
                let (feeder, body) = body::channel();
                let response = in_time(client.send(request(Method::POST, "/", &[SIDE], body))).await.unwrap();
                let mut back = response.into_body();
                for part in ["one", "two"] {
                    in_time(feeder.send(Frame::data(part.into()))).await.unwrap();
                    let frame = in_time(back.frame()).await.unwrap().unwrap();
                    assert_eq!(frame.into_data().unwrap(), part);
                }
                drop(feeder);
                assert!(in_time(back.collect()).await.unwrap().to_bytes().is_empty());
            }
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            let body = body::with_trailers("hello", &[("x-checksum", "abc")]);
            let answer = client.ask(request(Method::POST, "/", &[SIDE, ("te", "trailers")], body)).await.ok();
            assert_eq!((answer.text(), answer.trailers.as_ref().unwrap()["x-checksum"].as_bytes()), ("hello", &b"abc"[..]));
        });
        gateway.stop();
    }
}

chain_test! {
    /// What is wrong with the callee is its own: the caller learns an error code, answers it, and lives on.
    fn faults_of_the_callee(chain) {
        let main = caller(chain, "\"side\", \"full\"").limit("deadline = \"20s\"");
        let side = Pipeline::new("side", "fault-service").route("path = \"/side\"");
        let side = side.limit("cpu = \"50ms\"").limit("request-body = \"1KiB\"").limit("deadline = \"2s\"");
        let full = Pipeline::new("full", "fault-service").route("path = \"/full\"");
        let full = full.limit("instances = 1\nconcurrency = 1\nqueue = 0\ndeadline = \"20s\"");
        let gateway = Gateway::start(&Setup::of([main, side, full]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for (fault, code) in [
                ("trap", "InternalError(Some(\"the called pipeline failed\"))"),
                ("loop", "InternalError(Some(\"the called pipeline failed\"))"),
                ("error", "InternalError(Some(\"as asked\"))"),
                ("deny", "HttpRequestDenied"),
                ("hang", "HttpResponseTimeout"),
            ] {
                let answer = ask(&mut client, &[("x-fault", fault)]).await;
                assert_eq!(answer.status, 502, "{fault}: {answer:?}");
                assert!(answer.text().contains(code), "{fault}: {answer:?}");
            }
            let large = body::whole(vec![b'x'; 5000]);
            let answer = client.ask(request(Method::POST, "/", &[SIDE, ("x-fault", "read-body")], large)).await;
            assert!(answer.status == 502 && answer.text().contains("HttpRequestBodySize"), "{answer:?}");
            // A body that breaks off does not look complete.
            for fault in ["half-body-chunked", "body-error"] {
                assert!(ask(&mut client, &[("x-fault", fault)]).await.cut.is_some(), "{fault}");
                client = Client::connect(&gateway, Protocol::Http1).await;
            }
            ask(&mut client, &[]).await.ok();
            let mut slow = Client::connect(&gateway, Protocol::Http1).await;
            let fields = [("x-way", "http://full.internal"), ("x-fault", "slow"), ("x-delay-ms", "3000")];
            let slow = tokio::task::spawn_local(async move {
                loop {
                    // Until it is the one that has the instance.
                    let answer = slow.get("/", &fields).await;
                    if answer.status != 502 {
                        break answer;
                    }
                }
            });
            let refused = async {
                loop {
                    let answer = client.get("/", &[("x-way", "http://full.internal")]).await;
                    if answer.status == 502 {
                        break answer;
                    }
                }
            };
            let answer = in_time(refused).await;
            assert!(answer.text().contains("ConnectionLimitReached"), "{answer:?}");
            in_time(slow).await.unwrap().ok();
        });
        let traps = |line: &Line| line["message"] == "a called pipeline gave no response" && line["pipeline"] == "side";
        gateway.counts(6, traps);
        assert!(gateway.log().iter().filter(|line| traps(line)).all(|line| line["caller"] == "main"));
        let of_main = |line: &Line| line["pipeline"] == "main" && line["message"] == "the instance died";
        assert_eq!(gateway.count(of_main), 0);
        gateway.stop();
    }
}

chain_test! {
    /// A callee has no more time than its caller, and its lines name the same request.
    fn the_deadline_travels_along(chain) {
        let main = caller(chain, "\"side\"").limit("deadline = \"200ms\"");
        let side = Pipeline::new("side", "fault-service").route("path = \"/side\"").limit("deadline = \"1h\"");
        let side = side.limit("instances = 1\nconcurrency = 1\nqueue = 0");
        let gateway = Gateway::start(&Setup::of([main, side]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let answer = ask(&mut client, &[("x-fault", "hang")]).await;
                // The caller may or may not come to answer that in time itself.
                assert!(answer.status == 504 || answer.text().contains("HttpResponseTimeout"), "{answer:?}");
                // The callee's only instance is free again.
                let free = async { while ask(&mut client, &[]).await.status != 200 {} };
                in_time(free).await;
                let answer = ask(&mut client, &[("x-fault", "trap")]).await;
                assert_eq!(answer.status, 502, "{answer:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A caller that hands on an error code gives the client what the gateway says for it, and the lines of both
    /// pipelines name the same request.
    fn errors_that_are_handed_on(chain) {
        let side = Pipeline::new("side", "fault-service").route("path = \"/side\"");
        let side = side.limit("deadline = \"100ms\"").limit("request-body = \"1KiB\"");
        let gateway = Gateway::start(&Setup::of([caller(chain, "\"side\""), side]));
        let called = |line: &Line| line["message"] == "a called pipeline gave no response" && line["caller"] == "main";
        let faults = [("trap", 500, "guest-error"), ("error", 500, "guest-error"), ("hang", 504, "deadline")];
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (fault, status, kind) in faults {
                    let answer = ask(&mut client, &[("x-pass-error", "1"), ("x-fault", fault)]).await;
                    let id = answer.problem(status, kind);
                    gateway.line(|line| called(line) && line["request_id"] == id.as_str());
                }
                let large = body::whole(vec![b'x'; 5000]);
                let fields = [SIDE, ("x-pass-error", "1"), ("x-fault", "read-body")];
                client.ask(request(Method::POST, "/", &fields, large)).await.problem(413, "payload-too-large");
                ask(&mut client, &[]).await.ok();
            }
        });
        gateway.counts(8, called);
        gateway.stop();
    }
}

chain_test! {
    /// A caller may have less patience than there is time, and lives on with what it then knows.
    fn patience_of_the_caller(chain) {
        let main = caller(chain, "\"side\"").limit("deadline = \"1h\"");
        let side = Pipeline::new("side", "fault-service").route("path = \"/side\"").limit("deadline = \"1h\"");
        let gateway = Gateway::start(&Setup::of([main, side]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let answer = ask(&mut client, &[("x-patience-ms", "100"), ("x-fault", "hang")]).await;
                assert!(answer.status == 502 && answer.text().contains("HttpResponseTimeout"), "{answer:?}");
                ask(&mut client, &[("x-patience-ms", "20000")]).await.ok();
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A row of calls ends at its bound, wherever it leads.
    fn depth(chain) {
        let one = |name: &str, calls: &str| {
            let pipeline = Pipeline::new(name, "caller").route(&format!("path = \"/{name}\""));
            pipeline.service_with(&format!("grant = {{ calls = [{calls}] }}"))
        };
        let pipelines = [caller(chain, "\"one\""), one("one", "\"two\""), one("two", "\"three\""), greets("three")];
        let gateway = Gateway::start(&Setup::of(pipelines).limit("call-depth = 2"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let way = "http://one.internal,http://two.internal";
                assert_eq!(client.get("/", &[("x-way", way)]).await.status, 204);
                let way = format!("{way},http://three.internal");
                let answer = client.get("/", &[("x-way", &way)]).await;
                assert!(answer.status == 502 && answer.text().contains("LoopDetected"), "{answer:?}");
                // The bound is the request's, not the pipeline's.
                let answer = client.get("/one", &[("x-way", "http://two.internal,http://three.internal")]).await.ok();
                assert_eq!(answer.text(), "three\n");
            }
        });
        let line = gateway.line(|line| line["message"] == "a call was refused: `limits.call-depth` is reached");
        assert_eq!((&line["caller"], &line["pipeline"]), (&"two".into(), &"three".into()));
        gateway.stop();
    }
}

chain_test! {
    /// A client that goes away ends what its request called: the next one gets the callee's only instance.
    fn clients_that_leave(chain) {
        let narrow = "instances = 1\nconcurrency = 1\nqueue = 1\nlinger = \"50ms\"\nqueue-timeout = \"20s\"";
        let side = Pipeline::new("side", "fault-service").limit(narrow).route("path = \"/side\"");
        let gateway = Gateway::start(&Setup::of([caller(chain, "\"side\"").limit("linger = \"50ms\""), side]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let sent = client.send(get("/", &[SIDE, ("x-fault", "hang")]));
                assert!(tokio::time::timeout(20 * MS, sent).await.is_err(), "no answer at all");
                drop(client);
                let mut client = Client::connect(&gateway, protocol).await;
                let fields = [SIDE, ("x-fault", "many-chunks"), ("x-count", "100000000")];
                let mut body = in_time(client.send(get("/", &fields))).await.unwrap().into_body();
                assert!(!in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap().is_empty());
                drop((client, body));
                let mut client = Client::connect(&gateway, protocol).await;
                let answer = ask(&mut client, &[]).await;
                assert_eq!(answer.status, 200, "{protocol:?}: {answer:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A thousand calls need no socket: the gateway can open none.
    fn nothing_touches_the_network(chain) {
        let side = Pipeline::new("side", "hello").stage("pass-through-async").route("path = \"/side\"");
        let gateway = Gateway::start(&Setup::of([caller(chain, "\"side\""), side]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            client.get("/", &[]).await;
            gateway.opens_nothing_more();
            let answer = ask(&mut client, &[("x-times", "1000")]).await.ok();
            assert_eq!(answer.text(), "1000");
            // It is so: who connects now is not served.
            let mut late = std::net::TcpStream::connect(gateway.plain).unwrap();
            let mut byte = [0];
            late.set_read_timeout(Some(50 * MS)).unwrap();
            std::io::Write::write_all(&mut late, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            assert!(!matches!(std::io::Read::read(&mut late, &mut byte), Ok(1)));
        });
        gateway.stop();
    }
}

chain_test! {
    /// Components of WASI 0.2 call pipelines as well, under the same grant and with the same time.
    fn services_of_0_2(chain) {
        let grant = "grant = { clocks = true, random = true, calls = [\"side\"] }";
        let main = chain.pipeline("service-0-2").service_with(grant);
        let gateway = Gateway::start(&Setup::of([main, greets("side"), greets("other")]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (authority, expected) in [
                    ("side.internal", "200"),
                    ("SIDE.internal", "200"),
                    ("other.internal", "HttpRequestDenied"),
                    ("nobody.internal", "HttpRequestDenied"),
                    ("side.internal:8080", "HttpRequestUriInvalid"),
                    ("side.internal", "200"),
                ] {
                    let answer = client.get("/", &[("x-do", "fetch"), ("x-authority", authority)]).await.ok();
                    assert!(answer.text().contains(expected), "{authority}: {answer:?}");
                }
            }
        });
        gateway.counts(2, |line| line["message"] == "denied: other.internal is not among the stage's `calls`");
        gateway.stop();
    }
}

/// `main`, whose service calls `side`, and what both say of the configuration that they are from.
fn stamped(number: u64) -> String {
    let caller = "component = \"caller\", grant = { calls = [\"side\"] }";
    let hello = format!("component = \"hello\", config = {{ greeting = \"{number}\" }}");
    pipeline("main", &stamp("outer", number), caller)
        + &pipeline("side", "", &hello)
        + "[[routes]]\npipeline = \"main\"\n[[routes]]\npath = \"/side\"\npipeline = \"side\"\n"
}

/// A request stays in its generation, wherever it calls, and none is lost while those change.
#[test]
fn swaps_under_load() {
    let served = Served::start("", &stamped(0));
    run(async {
        let done = Rc::new(Cell::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        for at in 0..4 {
            let mut client = Client::connect(&served.gateway, PROTOCOLS[at % 2]).await;
            let done = Rc::clone(&done);
            tasks.spawn_local(async move {
                let mut count = 0_u32;
                while !done.get() {
                    let answer = ask(&mut client, &[]).await.ok();
                    assert_eq!(answer.header("x-probe-outer"), Some(answer.text().trim()), "{answer:?}");
                    count += 1;
                }
                count
            });
        }
        for number in 1..=scaled(50, 1000) {
            served.swap(&stamped(number)).await;
        }
        done.set(true);
        while let Some(count) = tasks.join_next().await {
            assert!(count.unwrap() > 0);
        }
        served.nothing_retires().await;
        let labels = "{linkspan_caller=\"main\",linkspan_pipeline=\"side\"}";
        assert!(served.metric(&format!("linkspan_call_duration_seconds_count{labels}")).await > 0.0);
        assert_eq!(served.metric(&format!("linkspan_calls_failed_total{labels}")).await, 0.0);
    });
    served.gateway.stop();
}

/// Who calls is made anew with what it calls, and what has nothing to do with it is taken over.
#[test]
fn callers_are_made_anew_with_what_they_call() {
    let text = |greeting: u32| {
        let hello = format!("component = \"hello\", config = {{ greeting = \"{greeting}\" }}");
        let caller = |callee: &str| format!("component = \"caller\", grant = {{ calls = [\"{callee}\"] }}");
        pipeline("main", "", &caller("side"))
            + &pipeline("side", "", &hello)
            + &pipeline("other", "", "component = \"echo\"")
            + "[[routes]]\npipeline = \"main\"\n[[routes]]\npath = \"/other\"\npipeline = \"other\"\n"
    };
    let served = Served::start("", &text(1));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        for greeting in [1, 2] {
            if greeting > 1 {
                served.write(&text(greeting));
                let (status, answer) = served.reload().await;
                let details = &answer["report"]["details"];
                let expected = (200, &2.into(), &1.into());
                assert_eq!((status, &details["compiled"], &details["reused"]), expected, "{answer}");
            }
            assert_eq!(ask(&mut client, &[]).await.ok().text(), format!("{greeting}\n"));
        }
        served.nothing_retires().await;
    });
    served.gateway.stop();
}

/// The example, as it is served: four services, of which one answers clients.
#[test]
fn the_shop() {
    let text = std::fs::read_to_string(repository().join("pipelines/shop.toml")).unwrap();
    let components = format!("{}/components", repository().display());
    let text = text.replace("../components", &components);
    let (_, rest) = text.split_once("address = \"127.0.0.1:8080\"\n").unwrap();
    let folder = Folder::new();
    let identity = identity();
    folder.write("cert.pem", &identity.certificate);
    folder.write("key.pem", &identity.key);
    let file = folder.write("linkspan.toml", head("") + rest);
    let served = Served::serve(folder, &file, "");
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&served.gateway, protocol).await;
            for (path, page) in [
                ("/teapot", r#"{"name":"A teapot","stock":12,"cents":1800}"#),
                ("/kettle", r#"{"name":"A kettle","stock":2,"cents":3000}"#),
            ] {
                let answer = client.get(path, &[]).await.ok();
                assert_eq!(answer.text(), page);
                assert!(answer.header("x-request-id").is_some());
            }
            assert_eq!(client.get("/anvil", &[]).await.status, 404);
        }
        for (caller, callee, calls) in [
            ("storefront", "catalogue", 6),
            ("storefront", "inventory", 6),
            ("storefront", "pricing", 6),
            ("pricing", "inventory", 4),
        ] {
            let labels = format!("{{linkspan_caller=\"{caller}\",linkspan_pipeline=\"{callee}\"}}");
            let count = served.metric(&format!("linkspan_call_duration_seconds_count{labels}")).await;
            assert_eq!(count, f64::from(calls), "{labels}");
        }
    });
    served.gateway.stop();
}

/// `linkspan bench calls` shows what a call costs each way.
#[test]
fn bench_calls_prints_a_table_and_json() {
    let dist = repository().join("components/dist");
    let few = ["bench", "calls", "--rounds", "1", "--calls", "20", "--components", dist.to_str().unwrap()];
    let output = binary(&[&few[..], &["--json"]].concat()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(
        rows.iter().map(|row| row["calls"].as_u64().unwrap()).collect::<Vec<_>>(),
        [20, 20, 20, 20, 20, 20, 20, 2]
    );
    for figure in ["ns_per_call", "median_ns_per_call"] {
        assert!(rows.iter().all(|row| row[figure].as_f64().unwrap() > 0.0), "{json}");
    }
    let output = binary(&few).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("by name") && table.contains("loopback, HTTP/2"), "{table}");
    let output = binary(&["bench", "calls", "--components", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot use `/nowhere`"));
}
