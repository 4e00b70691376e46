//! Middleware whose fields are edited by `wasi:http/types`, and the same built to edit them in place: the same answers.

use crate::chain_test;
use crate::harness::{
    Answer, Chain, Client, Gateway, PROTOCOLS, Pipeline, Protocol, Setup, binary, body, dist, request, run,
};
use http::Method;

/// The stages, with what they need, in both forms.
fn stages(suffix: &str) -> Vec<(String, &'static str)> {
    let stages = [
        ("security-headers", "config = { remove = [\"x-gone\"], permissions-policy = \"camera=()\" }"),
        ("request-id", "grant = { random = true }"),
        ("cors", "config = { origins = [\"https://a.example\"], expose = [\"x-request-id\"] }"),
        ("key-auth", "config = { keys = { alice = \"secret\" } }"),
        ("rate-limit", "config = { rate = \"1000000/d\", name = \"all\", key-header = \"x-random\" }"),
        ("mixed-async", ""),
        ("mixed-async", "lift = \"sync\""),
    ];
    stages.into_iter().map(|(name, keys)| (format!("{name}{suffix}"), keys)).collect()
}

fn both(chain: Chain) -> Setup {
    let pipeline = |name: &str, suffix: &str| {
        let pipeline = chain.named(name, "probe").route(&format!("path = \"/{name}\""));
        stages(suffix).iter().fold(pipeline, |pipeline, (stage, keys)| pipeline.stage_with(stage, keys))
    };
    Setup::of([pipeline("portable", ""), pipeline("in-place", "-in-place")])
}

/// All of an answer but what tells the time, the pipeline's name, or the request's.
fn visible(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let fields = answer.headers.iter().filter(|(name, _)| *name != "date");
    let fields =
        fields.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    let mut body = String::from_utf8(answer.body.to_vec()).unwrap().replace("/in-place", "/portable");
    if answer.header("content-type") == Some("application/problem+json") && answer.status == 500 {
        let mut problem = answer.json();
        problem["request-id"] = "".into();
        body = problem.to_string();
    }
    (answer.status.as_u16(), fields.filter(|(name, _)| name != "ratelimit").collect(), body)
}

const REQUEST: &str = "x-edit-request";
const RESPONSE: &str = "x-edit-response";

/// Edits, and the status of the answer.
const CASES: &[(&[(&str, &str)], u16)] = &[
    (&[], 200),
    (&[(REQUEST, "set x-a 1"), (REQUEST, "append x-a 2"), (REQUEST, "append accept text/html")], 200),
    (&[(REQUEST, "remove accept"), (REQUEST, "default accept a/b"), (REQUEST, "append accept c/d")], 200),
    (&[(REQUEST, "default x-two 5"), (REQUEST, "append x-two 6"), (REQUEST, "default x-new 7")], 200),
    (&[(REQUEST, "set x-two only"), (RESPONSE, "remove content-type"), (RESPONSE, "set vary nothing")], 200),
    (&[(RESPONSE, "append vary accept"), (RESPONSE, "append vary accept-language")], 200),
    (&[(RESPONSE, "set x-a"), (RESPONSE, "set x-b  two  spaces"), (RESPONSE, "remove X-Not-There")], 200),
    (&[(RESPONSE, "append set-cookie a=1"), (RESPONSE, "append set-cookie b=2")], 200),
    (
        &[
            (RESPONSE, "default content-type text/x"),
            (RESPONSE, "default x-d d"),
            (RESPONSE, "default x-d e"),
        ],
        200,
    ),
    // What a host does not let a stage set, or what is no field.
    (&[(REQUEST, "set connection close")], 500),
    (&[(REQUEST, "remove transfer-encoding")], 500),
    (&[(REQUEST, "default host elsewhere")], 500),
    (&[(RESPONSE, "append upgrade h2c")], 500),
    (&[(RESPONSE, "set x-good 1"), (RESPONSE, "set keep-alive 1")], 500),
    (&[(RESPONSE, "set bad(name 1")], 500),
    (&[(RESPONSE, "set x-a ü")], 200),
    (&[(REQUEST, "set content-length none")], 500),
    (&[(REQUEST, "append content-length 1"), (REQUEST, "append content-length 2")], 500),
];

chain_test! {
    fn both_forms_answer_alike(chain) {
        let gateway = Gateway::start(&both(chain));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let common = [
                    ("x-mixed", "edits"),
                    ("x-api-key", "secret"),
                    ("origin", "https://a.example"),
                    ("x-request-id", "abc"),
                    ("x-two", "1"),
                    ("x-two", "2"),
                    ("accept", "*/*"),
                ];
                for (edits, status) in CASES {
                    let fields = [&common, *edits].concat();
                    let portable = client.get("/portable/x", &fields).await;
                    let in_place = client.get("/in-place/x", &fields).await;
                    assert_eq!(portable.status.as_u16(), *status, "{edits:?}: {portable:?}");
                    assert_eq!(visible(&portable), visible(&in_place), "{edits:?}");
                }
                // Without a key, and with a preflight: answers that stages make themselves.
                for fields in [&[][..], &[("x-api-key", "wrong")], &[("origin", "https://b.example")]] {
                    let fields = [fields, &[("x-request-id", "abc")]].concat();
                    let portable = client.get("/portable/x", &fields).await;
                    assert_eq!(portable.status, 401);
                    assert_eq!(visible(&portable), visible(&client.get("/in-place/x", &fields).await));
                }
                let preflight = [("origin", "https://a.example"), ("access-control-request-method", "PUT"), ("x-request-id", "abc")];
                let mut answers = Vec::new();
                for path in ["/portable", "/in-place"] {
                    answers.push(client.ask(request(Method::OPTIONS, path, &preflight, body::empty())).await);
                }
                assert_eq!(answers[0].status, 204);
                assert_eq!(visible(&answers[0]), visible(&answers[1]));
            }
        });
        for name in ["connection", "transfer-encoding", "host", "upgrade", "keep-alive"] {
            let text = format!("{name} is not for a stage to set");
            gateway.counts(2 * PROTOCOLS.len(), |line| {
                line["message"] == "the chain gave no response" && line.to_string().contains(&text)
            });
        }
        gateway.stop();
    }
}

/// A call takes a bounded number of edits, and a head a bounded size of fields: four times that of a request's.
#[test]
fn edits_have_bounds() {
    let pipeline = |name: &str| {
        let pipeline = Pipeline::new(name, "echo").route(&format!("path = \"/{name}\""));
        pipeline.stage(&format!("mixed-async{}", if name == "in-place" { "-in-place" } else { "" }))
    };
    let setup = Setup::of([pipeline("portable"), pipeline("in-place")]).limit("header-size = \"8KiB\"");
    let gateway = Gateway::start(&setup);
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        let edits = |edit: &'static str| [("x-mixed", "edits"), (RESPONSE, edit)];
        client.get("/in-place", &edits("many 1000")).await.ok();
        client.get("/in-place", &edits("many 1001")).await.problem(500, "guest-error");
        for path in ["/portable", "/in-place"] {
            let long = client.get(path, &edits("long 32000")).await.ok();
            assert_eq!(long.header("x-long").unwrap().len(), 32_000);
            client.get(path, &edits("long 33000")).await.problem(500, "guest-error");
        }
    });
    let refused = |line: &crate::harness::Line| line.to_string().contains("makes the head too large");
    gateway.counts(3, refused);
    gateway.stop();
}

/// What the forms cost is measured with any component: as it is, and rewritten where it can be.
#[test]
fn chains_of_given_middleware_are_measured() {
    let few = ["bench", "hops", "--depths", "2", "--rounds", "1", "--requests", "20", "--service"];
    let bench = |stages: &[&str], more: &[&str]| {
        let mut command = binary(&few);
        command.arg(dist("hello")).args(more);
        for stage in stages {
            command.arg("--stage").arg(dist("hello").with_file_name(stage));
        }
        command.output().unwrap()
    };
    let stages = ["rate-limit-in-place.wasm,rate=1000000/s,name=x", "plain-async.wasm"];
    let ran = bench(&stages, &["--header", "x-consumer: alice", "--json"]);
    assert!(ran.status.success(), "{ran:?}");
    let json: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let rows = json["rows"].as_array().unwrap().iter().map(|row| row["guests"].as_str().unwrap());
    let stages = ["rate-limit-in-place", "plain-async", "plain-async, rewritten"];
    assert_eq!(rows.collect::<Vec<_>>(), stages.map(|stage| [stage; 2]).concat());
    // It wants a `rate`.
    let ran = bench(&["rate-limit.wasm"], &[]);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("`rate` is missing"), "{ran:?}");
}
