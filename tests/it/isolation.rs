//! Stages that share a store see their own world and no other's: configuration, environment, log, and what they may do.

use crate::chain_test;
use crate::harness::{
    Client, Gateway, Line, PROTOCOLS, Pipeline, Protocol, Setup, body, get, in_time, request, run,
};
use http::Method;

chain_test! {
    /// Two stages of the same component each see their own configuration and environment, and so does the service.
    fn equal_components(chain) {
        let stage = |name: &str, value: &str, env: &str| {
            format!("config = {{ name = \"{name}\", value = \"{value}\", env = true }}\ngrant = {{ env = {{ {env} }} }}")
        };
        let pipeline = chain
            .pipeline("probe")
            .stage_with("probe-middleware", &stage("one", "first", "A = \"1\", SHARED = \"of one\""))
            .stage_with("probe-middleware", &stage("two", "second", "SHARED = \"of two\", B = \"2\""))
            .stage_with("probe-middleware", &stage("three", "third", ""))
            .service_with("config = { own = { depth = 3 }, list = [true] }\ngrant = { env = { C = \"3\" } }");
        let gateway = Gateway::start(&Setup::of([pipeline]).env("GATEWAYS_OWN", "secret"));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for _ in 0..3 {
                    let answer = client.get("/", &[]).await.ok();
                    for (field, value) in [
                        ("x-probe-one", "first"),
                        ("x-probe-one-env", "A=1;SHARED=of one"),
                        ("x-probe-two", "second"),
                        ("x-probe-two-env", "SHARED=of two;B=2"),
                        ("x-probe-three", "third"),
                        ("x-probe-three-env", ""),
                    ] {
                        assert_eq!(answer.header(field), Some(value), "{field}");
                    }
                    let seen = answer.json();
                    assert_eq!(seen["config"], serde_json::json!([["own.depth", "3"], ["list.0", "true"]]), "{seen}");
                    assert_eq!(seen["environment"], serde_json::json!([["C", "3"]]));
                    assert_eq!(seen["arguments"], serde_json::json!(["probe"]));
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// The same component in two pipelines has two configurations as well.
    fn equal_components_of_two_pipelines(chain) {
        let pipeline = |name: &str| {
            let pipeline = Pipeline::new(name, "hello").link(chain.link).route(&format!("path = \"/{name}\""));
            pipeline.service_with(&format!("config = {{ greeting = \"I am {name}\" }}"))
        };
        let gateway = Gateway::start(&Setup::of([pipeline("a"), pipeline("b")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            for _ in 0..3 {
                for name in ["a", "b"] {
                    let answer = client.get(&format!("/{name}"), &[]).await.ok();
                    assert_eq!(answer.text(), format!("I am {name}\n"));
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// What a stage prints comes into the log, line by line, with its pipeline, stage and request.
    fn standard_streams(chain) {
        let pipeline = chain.pipeline("hello").stage("print").stage("print");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        let at = chain.front.len();
        run(async {
            for protocol in PROTOCOLS {
                let path = format!("/{protocol:?}");
                Client::connect(&gateway, protocol).await.get(&path, &[]).await.ok();
                for stage in [format!("main/{at}:print"), format!("main/{}:print", at + 1)] {
                    for stream in ["stdout", "stderr"] {
                        let line = gateway.line(|line| {
                            line["message"] == format!("{stream} {path}") && line["stage"] == stage.as_str()
                        });
                        assert_eq!(line["pipeline"], "main");
                        assert_eq!(line["context"], stream);
                        assert!(line["request_id"].is_string(), "{line}");
                        assert_eq!(line["level"], "INFO");
                        assert_eq!(line["target"], "linkspan::stage");
                    }
                }
            }
        });
        gateway.stop();
    }
}

/// A stage that floods the log is cut off, which is told; a neighbour's lines still come.
#[test]
fn a_flooded_log() {
    let pipelines = ["loud", "quiet"]
        .map(|name| Pipeline::new(name, "hello").stage("print").route(&format!("path = \"/{name}\"")));
    let gateway = Gateway::start(&Setup::of(pipelines));
    let requests = 3_000;
    let of = |pipeline: &'static str| {
        move |line: &Line| line["target"] == "linkspan::stage" && line["pipeline"] == pipeline
    };
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        let start = std::time::Instant::now();
        for _ in 0..requests {
            client.get("/loud", &[]).await.ok();
        }
        client.get("/quiet", &[]).await.ok();
        gateway.line(|line| of("quiet")(line) && line["message"] == "stdout /quiet");
        // 1,000 at once and 200 a second, beside the lines that tell what was dropped.
        let allowed = 1_000 + 200 * (start.elapsed().as_secs() as usize + 1);
        let lines = gateway.count(|line| of("loud")(line) && line["dropped"].is_null());
        assert!(lines <= allowed, "{lines} lines, {allowed} allowed");
        assert!(lines < 2 * requests, "more was printed than may be logged");
        loop {
            client.get("/loud", &[]).await.ok();
            let told = gateway
                .log()
                .iter()
                .filter(|line| of("loud")(line))
                .filter_map(|line| line["dropped"].as_u64())
                .sum::<u64>();
            if told > 0 {
                assert!(told <= 2 * requests as u64 + 1_000);
                break;
            }
        }
    });
    gateway.stop();
}

chain_test! {
    /// Without a grant for it, a stage reaches no other server: the guest is told, and the log.
    fn egress_is_denied(chain) {
        let pipeline = chain.pipeline("egress").service_with("grant = { egress = [\"https://api.example.com\"] }");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        let url = format!("http://{}/", gateway.plain);
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let answer = client.get("/", &[("x-url", &url)]).await.ok();
                assert!(answer.text().contains("HttpRequestDenied"), "{answer:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A stage sees a request in its normal form, without what belongs to the connection.
    fn requests_as_stages_see_them(chain) {
        let gateway = Gateway::start(&Setup::of([chain.pipeline("probe")]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let mut fields = vec![("host", "LocalHost:8080"), ("x-kept", "yes"), ("cookie", "a=1"), ("cookie", "b=2")];
                if protocol == Protocol::Http1 {
                    fields.extend([("connection", "x-hop"), ("x-hop", "secret"), ("keep-alive", "5"), ("te", "trailers")]);
                }
                let sent = request(Method::POST, "/a/./b/../c%7e?x=%41", &fields, body::whole("abc"));
                let seen = client.ask(sent).await.ok().json();
                assert_eq!(seen["path"], "/a/c~?x=%41");
                assert_eq!(seen["authority"], "localhost:8080");
                let mut headers: Vec<_> = seen["headers"].as_array().unwrap().iter().map(ToString::to_string).collect();
                headers.sort();
                let told = headers.extract_if(.., |field| field.starts_with("[\"x-forwarded-") || field.starts_with("[\"x-real-ip"));
                assert_eq!(told.count(), 5, "{protocol:?}");
                let expected = [r#"["content-length","3"]"#, r#"["cookie","a=1; b=2"]"#, r#"["x-kept","yes"]"#];
                assert_eq!(headers, expected, "{protocol:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// What a stage kept of one request is in its memory when the next one comes, unless each has a fresh instance.
    fn secrets_of_other_requests(chain) {
        let pipelines = [(false, "shared"), (true, "alone")].map(|(isolated, name)| {
            let pipeline = chain.named(name, "fault-service-sync").limit("instances = 4");
            let pipeline = pipeline.route(&format!("path = \"/{name}\""));
            if isolated { pipeline.isolated() } else { pipeline }
        });
        let gateway = Gateway::start(&Setup::of(pipelines));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (path, found) in [("/shared", true), ("/alone", false)] {
                    for round in 0..20 {
                        let secret = format!("the-secret-of-{protocol:?}-{round}-{}", path.len());
                        let reversed: String = secret.chars().rev().collect();
                        client.get(path, &[("x-fault", "remember"), ("x-secret", &secret)]).await.ok();
                        let answer = client.get(path, &[("x-fault", "recall"), ("x-reversed", &reversed)]).await.ok();
                        assert_eq!(answer.text() != "0", found, "{path}: {}", answer.text());
                    }
                }
            }
        });
        gateway.stop();
    }
}

/// `cpu` of a dynamic stage is its own: it ends what computes, and no other stage.
#[test]
fn cpu_of_a_stage() {
    let own = "link = \"dynamic\"\nlimits = { cpu = \"30ms\" }";
    let pipeline = Pipeline::new("main", "fault-service").stage_with("fault-middleware", own);
    let gateway = Gateway::start(&Setup::of([pipeline.limit("cpu = \"1s\"").limit("deadline = \"2m\"")]));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let id = client.get("/", &[("x-middleware-fault", "loop")]).await.problem(500, "guest-trap");
            let line = gateway.reason(&id);
            assert!(line["reason"].as_str().unwrap().contains("more than 30ms"), "{line}");
        }
        // The service's is the pipeline's.
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        let id = client.get("/", &[("x-fault", "loop")]).await.problem(500, "guest-trap");
        let line = gateway.reason(&id);
        assert!(line["reason"].as_str().unwrap().contains("more than 1s"), "{line}");
    });
    gateway.stop();
}

/// `concurrency` of a dynamic stage is its own: with 1, a trap fails the request that made it, and no other.
#[test]
fn concurrency_of_a_stage() {
    for (own, lost) in [("", 6), ("limits = { concurrency = 1 }", 0)] {
        let stage = format!("link = \"dynamic\"\n{own}");
        let pipeline = Pipeline::new("main", "fault-service").stage_with("fault-middleware", &stage);
        let gateway = Gateway::start(&Setup::of([pipeline.limit("concurrency = 8")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            // With an instance that is there.
            client.get("/", &[]).await.ok();
            let slow = || get("/", &[("x-middleware-fault", "slow"), ("x-delay-ms", "2000")]);
            let row: Vec<_> = (0..6).map(|_| client.start(slow())).collect();
            client.get("/", &[("x-middleware-fault", "trap")]).await.problem(500, "guest-trap");
            let mut failed = 0;
            for response in row {
                failed += u32::from(in_time(response).await.unwrap().status() != 200);
            }
            assert_eq!(failed, lost, "{own}");
        });
        gateway.stop();
    }
}
