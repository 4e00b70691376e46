//! Stages that do not apply to every request.

use crate::chain_test;
use crate::harness::{
    Answer, Client, Folder, Gateway, PROTOCOLS, Pipeline, Protocol, Setup, body, eventually, in_time,
    request, run,
};
use crate::swap::support::{Served, pipeline, stamp};
use http::Method;
use http_body::Frame;
use serde_json::Value;

/// A middleware that says that it was there, under a condition.
fn there(pipeline: Pipeline, name: &str, condition: &str) -> Pipeline {
    let keys = format!("config = {{ name = \"{name}\", value = \"there\" }}\n{condition}");
    pipeline.stage_with("probe-middleware", &keys)
}

/// The names of those that were.
fn met(answer: &Answer) -> Vec<&str> {
    let mut met: Vec<_> =
        answer.headers.keys().filter_map(|name| name.as_str().strip_prefix("x-probe-")).collect();
    met.sort_unstable();
    met
}

chain_test! {
    /// Each stage by its own condition, in every combination, with what is around them, over both protocols.
    fn each_by_its_condition(chain) {
        let pipeline = there(chain.pipeline("echo"), "a", "when = { methods = [\"POST\"] }");
        let pipeline = there(pipeline, "b", "when = { path = \"/b\" }");
        let pipeline = there(pipeline, "c", "when = { header = { name = \"x-c\", value = \"yes\" } }");
        let gateway = Gateway::start(&Setup::of([there(pipeline, "z", "")]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for number in 0..16 {
                    let has = |bit: u32| number & 1 << bit != 0;
                    let method = if has(0) { Method::POST } else { Method::PUT };
                    // A path that begins alike is not below it, and one with dots may be.
                    let path = match (has(1), has(3)) {
                        (true, true) => "/x/../b/c?d",
                        (true, false) => "/b",
                        (false, true) => "/bb",
                        (false, false) => "/x/b",
                    };
                    let fields: &[_] = match (has(2), has(3)) {
                        (true, true) => &[("x-c", "no"), ("x-c", "yes")],
                        (true, false) => &[("x-c", "yes")],
                        (false, true) => &[("x-c", "yes, yes")],
                        (false, false) => &[],
                    };
                    let (_, content) = body::stream(70_000);
                    let answer = client.ask(request(method, path, fields, content)).await.ok();
                    let expected: Vec<_> = [(has(0), "a"), (has(1), "b"), (has(2), "c"), (true, "z")]
                        .iter()
                        .filter_map(|(met, name)| met.then_some(*name))
                        .collect();
                    assert_eq!(met(&answer), expected, "{protocol:?} {number:04b}");
                    assert_eq!(body::digest_of(&answer.body), body::digest(70_000), "{protocol:?} {number:04b}");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A stage that does not apply can do nothing to a request, whatever it is: it refuses, traps, or has no key.
    fn what_does_not_apply_does_nothing(chain) {
        let only = "when = { path = \"/only\" }";
        let pipeline = chain
            .pipeline("echo")
            .stage_with("key-auth", &format!("config = {{ keys = {{ a = \"secret-secret-secret\" }} }}\n{only}"))
            .stage_with("fault-middleware-sync", only)
            .stage_with("fault-middleware", only);
        let gateway = Gateway::start(&Setup::of([pipeline]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let trap = [("x-middleware-fault", "trap")];
                assert_eq!(client.get("/only", &trap).await.status, 401);
                assert_eq!(client.get("/", &trap).await.ok().text(), "");
                let key = [("x-middleware-fault", "trap"), ("x-api-key", "secret-secret-secret")];
                assert_eq!(client.get("/only/x", &key).await.status, 500);
                assert_eq!(client.get("/", &key).await.ok().text(), "");
                // What streams, streams past it.
                let (feeder, content) = body::channel();
                let response = in_time(client.send(request(Method::POST, "/", &[], content))).await.unwrap();
                let mut back = response.into_body();
                in_time(feeder.send(Frame::data("now".into()))).await.unwrap();
                let frame = in_time(http_body_util::BodyExt::frame(&mut back)).await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), "now");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// Shares are as large as they say; drawn by a value, they stay with it; and all stages draw the same.
    fn shares(chain) {
        let pipeline = there(chain.pipeline("hello"), "a", "when = { percent = 30 }");
        let pipeline = there(pipeline, "b", "when = { percent = 30 }");
        let pipeline = there(pipeline, "c", "when = { percent = 60 }");
        let pinned = Pipeline::new("pinned", "hello").link(chain.link).route("path = \"/pinned\"");
        let pinned = there(pinned, "d", "when = { percent = 30, pin = { header = \"x-user\" } }");
        let pinned = there(pinned, "e", "when = { percent = 0 }");
        let pinned = there(pinned, "f", "when = { percent = 100 }");
        let gateway = Gateway::start(&Setup::of([pipeline, pinned]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let (mut some, mut more, mut held) = (0, 0, 0);
            for number in 0..400 {
                let answer = client.get("/", &[]).await.ok();
                match met(&answer).as_slice() {
                    [] => {}
                    ["c"] => more += 1,
                    ["a", "b", "c"] => some += 1,
                    other => panic!("{other:?}"),
                }
                let user = format!("user-{}", number / 2);
                let answer = client.get("/pinned", &[("x-user", &user)]).await.ok();
                let met = met(&answer);
                assert!(met == ["d", "f"] || met == ["f"], "{met:?}");
                let holds = met.len() == 2;
                // Each user comes twice.
                assert!(number % 2 == 0 || holds == (held % 2 == 1), "{user}");
                held = if number % 2 == 0 { held / 2 * 2 + usize::from(holds) } else { held / 2 * 2 + 2 * usize::from(holds) };
            }
            for count in [some, more, held / 2 * 2] {
                assert!((70..170).contains(&count), "{some} {more} {held}");
            }
        });
        gateway.stop();
    }
}

/// A pipeline that is called by name looks at what its caller sends, and not at what the first one decided.
#[test]
fn a_called_pipeline_has_its_own() {
    for link in ["static", "dynamic"] {
        let router = there(Pipeline::new("main", "ab-router").link(link), "a", "when = { path = \"/a\" }")
            .service_with("next = { a = \"stable\", b = \"beta\" }");
        let next = |name| {
            let pipeline = Pipeline::new(name, "hello").link(link).route(&format!("path = \"/{name}\""));
            let pipeline = there(pipeline, "b", "when = { path = \"/a/b\" }");
            there(pipeline, "c", "when = { header = { name = \"x-variant\", value = \"b\" } }")
        };
        let gateway = Gateway::start(&Setup::of([router, next("stable"), next("beta")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            for (path, variant, expected) in [
                ("/", "a", &[][..]),
                ("/a", "a", &["a"]),
                ("/a/b", "a", &["a", "b"]),
                ("/a/b", "b", &["a", "b", "c"]),
                ("/", "b", &["c"]),
            ] {
                let answer = client.get(path, &[("x-variant", variant)]).await.ok();
                assert_eq!(met(&answer), expected, "{link} {path} {variant}");
            }
        });
        gateway.stop();
    }
}

fn stamped(name: &str, value: &str, rest: &str) -> String {
    let stage = stamp(name, value);
    format!("{}, {rest} }}", stage.strip_suffix('}').unwrap())
}

/// Compiled and taken over, of a reload to `text`.
async fn reload(served: &Served, text: &str) -> (u64, u64) {
    served.write(text);
    let (status, answer) = served.reload().await;
    let details = &answer["report"]["details"];
    assert_eq!(status, 200, "{answer:#}");
    (details["compiled"].as_u64().unwrap(), details["reused"].as_u64().unwrap())
}

/// A reload makes those combinations anew in which a changed stage is, and none for another condition.
#[test]
fn combinations_outlive_a_reload() {
    let text = |a: &str, path: &str, link: &str| {
        let one = stamped("a", a, &format!("when = {{ path = \"{path}\" }}"));
        let two =
            stamped("b", "1", &format!("when = {{ header = {{ name = \"x-b\" }} }}, link = \"{link}\""));
        pipeline("main", &format!("{one}, {two}"), "component = \"hello\"")
            + "[[routes]]\npipeline = \"main\"\n"
    };
    let served = Served::start("", &text("1", "/a", "static"));
    let ready = served.gateway.line(|line| line["message"] == "ready");
    assert_eq!(ready["stages"], "probe-middleware? → probe-middleware? → hello");
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        let both = [("x-b", "")];
        assert_eq!(met(&client.get("/a", &both).await.ok()), ["a", "b"]);
        // Both, one, the other, neither: half of them have the stage.
        assert_eq!(reload(&served, &text("2", "/a", "static")).await, (2, 2));
        assert_eq!(client.get("/a", &both).await.ok().header("x-probe-a"), Some("2"));
        assert_eq!(reload(&served, &text("2", "/z", "static")).await, (0, 4));
        assert_eq!(met(&client.get("/a", &both).await.ok()), ["b"]);
        assert_eq!(met(&client.get("/z", &both).await.ok()), ["a", "b"]);
        // The stage alone, and the one before it; without either, the service ran alone already.
        assert_eq!(reload(&served, &text("2", "/z", "dynamic")).await, (2, 1));
        assert_eq!(met(&client.get("/z", &both).await.ok()), ["a", "b"]);
        assert_eq!(met(&client.get("/z", &[]).await.ok()), ["a"]);
        assert_eq!(reload(&served, &text("3", "/z", "dynamic")).await, (1, 2));
        assert_eq!(reload(&served, &text("3", "/y", "dynamic")).await, (0, 3));
        assert_eq!(met(&client.get("/z", &both).await.ok()), ["b"]);
        assert!(met(&client.get("/z", &[]).await.ok()).is_empty());
    });
    served.gateway.stop();
}

/// The access log has what did not apply, and the metrics have how often.
#[test]
fn what_did_not_apply_is_told() {
    let folder = Folder::new();
    let log = folder.path().join("access.log");
    let one = stamped("a", "1", "when = { path = \"/a\" }");
    let two = stamped("b", "1", "when = { path = \"/a/b\" }");
    let text = pipeline("main", &format!("{one}, {two}"), "component = \"hello\"")
        + "[[routes]]\npipeline = \"main\"\n"
        + &format!("[access-log]\npath = {log:?}\n");
    let served = Served::start("", &text);
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        for path in ["/", "/a", "/a/b"] {
            client.get(path, &[]).await.ok();
        }
        for (stage, skips) in [(0, 1.0), (1, 2.0)] {
            let labels =
                format!("{{linkspan_pipeline=\"main\",linkspan_stage=\"{stage}:probe-middleware\"}}");
            assert_eq!(served.metric(&format!("linkspan_stage_not_applied_total{labels}")).await, skips);
        }
    });
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("three lines", || lines().lines().count() == 3);
    let not_applied: Vec<Value> = lines()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["not-applied"].clone())
        .collect();
    let both = Value::from("0:probe-middleware 1:probe-middleware");
    assert_eq!(not_applied, [both, Value::from("1:probe-middleware"), Value::Null]);
    served.gateway.stop();
}
