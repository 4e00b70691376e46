//! Pipelines that stages reach by names of their own.

use crate::chain_test;
use crate::harness::{
    Client, Gateway, Line, PROTOCOLS, Pipeline, Protocol, Setup, body, in_time, request, run,
};
use crate::swap::support::{Served, pipeline};
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;

/// A pipeline that greets with its own name, at no route that is asked.
pub fn greets(name: &str) -> Pipeline {
    Pipeline::new(name, "hello")
        .service_with(&format!("config = {{ greeting = \"{name}\" }}"))
        .route(&format!("path = \"/{name}\""))
}

chain_test! {
    /// A router is an ordinary service with two pipelines behind it.
    fn two_variants(chain) {
        let router = chain.pipeline("ab-router").service_with("next = { a = \"stable\", b = \"beta\" }");
        let gateway = Gateway::start(&Setup::of([router, greets("stable"), greets("beta")]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (variant, pipeline) in [("a", "stable"), ("b", "beta")] {
                    for (name, value) in [("x-variant", variant.to_owned()), ("cookie", format!("variant={variant}"))] {
                        let answer = client.get("/", &[(name, &value)]).await.ok();
                        assert_eq!(answer.text(), format!("{pipeline}\n"));
                        assert_eq!((answer.header("x-variant"), answer.header("set-cookie")), (Some(variant), None));
                    }
                }
                let answer = client.get("/", &[]).await.ok();
                let variant = answer.header("x-variant").unwrap();
                let expected = format!("variant={variant}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
                assert_eq!(answer.header("set-cookie"), Some(expected.as_str()));
                assert_eq!(answer.text(), if variant == "a" { "stable\n" } else { "beta\n" });
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A middleware with names has its next stage, too, wherever it stands; bodies and trailers stream all ways.
    fn a_middleware_with_a_side(chain) {
        let main = chain
            .pipeline("echo")
            .stage_with("fork", "next = { side = \"side\" }")
            .stage("pass-through-sync");
        let side = Pipeline::new("side", "echo").stage("pass-through-async").route("path = \"/side\"");
        let gateway = Gateway::start(&Setup::of([main, side]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for way in ["next", "side", "both"] {
                    let (_, body) = body::stream(300_000);
                    let answer = client.ask(request(Method::POST, "/", &[("x-fork", way)], body)).await.ok();
                    assert_eq!(body::digest_of(&answer.body), body::digest(300_000), "{protocol:?} {way}");
                    assert_eq!(answer.header("x-side"), (way == "both").then_some("200"));
                }
                let (feeder, body) = body::channel();
                let fields = [("x-fork", "side")];
                let response = in_time(client.send(request(Method::POST, "/", &fields, body))).await.unwrap();
                let mut back = response.into_body();
                for part in ["one", "two"] {
                    in_time(feeder.send(Frame::data(part.into()))).await.unwrap();
                    let frame = in_time(back.frame()).await.unwrap().unwrap();
                    assert_eq!(frame.into_data().unwrap(), part);
                }
                drop(feeder);
                assert!(in_time(back.collect()).await.unwrap().to_bytes().is_empty());
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// What is called keeps its own limits, and has no more time than the caller; its faults are its own.
    fn limits_of_both(chain) {
        let next = "next = { side = \"side\" }";
        let main = chain.pipeline("hello").stage_with("fork", next).limit("deadline = \"20s\"");
        let hasty = Pipeline::new("hasty", "hello").link(chain.link).stage_with("fork", next);
        let hasty = hasty.limit("deadline = \"200ms\"").route("path = \"/hasty\"");
        let side = Pipeline::new("side", "fault-service").route("path = \"/side\"");
        let side = side.limit("deadline = \"5s\"").limit("request-body = \"1KiB\"").limit("cpu = \"50ms\"");
        let gateway = Gateway::start(&Setup::of([main, hasty, side]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for (path, fault, status) in [
                ("/", "hang", 504),
                ("/hasty", "hang", 504),
                ("/", "trap", 500),
                ("/", "loop", 500),
                ("/", "error", 500),
            ] {
                let fields = [("x-fork", "side"), ("x-fault", fault)];
                let answer = client.get(path, &fields).await;
                assert_eq!(answer.status, status, "{path} {fault}: {answer:?}");
            }
            // The called pipeline's own deadline comes first, and its line names the same request.
            let caller = |line: &Line| line["message"] == "the chain gave no response" && line["path"] == "/";
            gateway.counts(4, caller);
            let log = gateway.log();
            for id in log.iter().filter(|line| caller(line)).map(|line| &line["request_id"]) {
                let called = |line: &Line| line["message"] == "a stage gave no response" && line["request_id"] == *id;
                assert!(log.iter().any(called), "{id}: {log:#?}");
            }
            let large = request(Method::POST, "/", &[("x-fork", "side"), ("x-fault", "read-body")], body::whole(vec![b'x'; 5000]));
            let answer = client.ask(large).await;
            assert_eq!(answer.status, 413, "{answer:?}");
            client.get("/", &[]).await.ok();
            client.get("/", &[("x-fork", "side")]).await.ok();
        });
        gateway.stop();
    }
}

#[test]
fn who_calls_is_made_anew_with_what_it_calls() {
    let text = |stable: u32, beta: u32| {
        let one = |name: &str, number: u32| {
            pipeline(
                name,
                "",
                &format!("component = \"hello\", config = {{ greeting = \"{name} {number}\" }}"),
            )
        };
        let router =
            "component = \"ab-router\", grant = { random = true }, next = { a = \"stable\", b = \"beta\" }";
        pipeline("main", "", router)
            + &pipeline("other", "", "component = \"echo\"")
            + &one("stable", stable)
            + &one("beta", beta)
            + "[[routes]]\npipeline = \"main\"\n[[routes]]\npath = \"/other\"\npipeline = \"other\"\n"
    };
    let served = Served::start("", &text(1, 1));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        for (number, (stable, beta)) in [(1, 1), (1, 2), (2, 2)].into_iter().enumerate() {
            if number > 0 {
                served.write(&text(stable, beta));
                let (status, answer) = served.reload().await;
                let details = &answer["report"]["details"];
                // The router and the one that changed; the other two are taken over.
                let expected = (200, &2.into(), &2.into());
                assert_eq!((status, &details["compiled"], &details["reused"]), expected, "{answer}");
            }
            for (variant, expected) in [("a", format!("stable {stable}\n")), ("b", format!("beta {beta}\n"))]
            {
                let answer = client.get("/", &[("x-variant", variant)]).await.ok();
                assert_eq!(answer.text(), expected);
            }
        }
        served.nothing_retires().await;
    });
    served.gateway.stop();
}
