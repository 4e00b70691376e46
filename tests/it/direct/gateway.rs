//! The direct form in a gateway: what is said of it, and whom it blames.

use super::guests::with_handle;
use crate::harness::body::{empty, with_trailers};
use crate::harness::{Client, Folder, Protocol, binary, dist, request, run};
use crate::swap::support::{Served, head};
use http::Method;
use std::path::Path;

/// A pipeline of two segments, of which the second is a service.
fn configuration(keys: &str, stages: &str) -> String {
    format!(
        "[pipelines.main]\n{keys}\nstages = [{stages}]\nservice = {{ component = \"hello\", link = \"dynamic\" }}\n\n\
         [[routes]]\npipeline = \"main\"\n\n[components]\nhello.path = {:?}\npass-through-sync.path = {:?}\n\
         pass-through-async.path = {:?}\ntraps.path = \"traps.wasm\"\nwrong.path = \"wrong.wasm\"\nsays.path = \"says.wasm\"\n",
        dist("hello"),
        dist("pass-through-sync"),
        dist("pass-through-async"),
    )
}

/// A folder with a component that traps at once, and one that says something.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("traps.wasm", wat::parse_str(with_handle("unreachable")).unwrap());
    let wrong = "(drop (call $pass (local.get $q))) (i32.const 65504)";
    folder.write("wrong.wasm", wat::parse_str(with_handle(wrong)).unwrap());
    let says = "(call $log (i32.const 3) (i32.const 1024) (i32.const 8) (i32.const 1024) (i32.const 20))
        (call $pass (local.get $q))";
    folder.write("says.wasm", wat::parse_str(with_handle(says)).unwrap());
    folder
}

fn start(keys: &str, stages: &str) -> Served {
    let folder = folder();
    let identity = crate::harness::identity();
    folder.write("cert.pem", &identity.certificate);
    folder.write("key.pem", &identity.key);
    let file = folder.write("linkspan.toml", head("") + &configuration(keys, stages));
    Served::serve(folder, &file, &head(""))
}

const PASS: &str = "{ component = \"pass-through-sync\" }";
const WRONG: &str = "{ component = \"wrong\", grant = { clocks = true, random = true } }";
const TRAPS: &str = "{ component = \"traps\", grant = { clocks = true, random = true } }";

/// The line at the start and `check` say which form each segment has, and why it is not the direct one.
#[test]
fn the_form_is_said_and_can_be_turned_off() {
    for (keys, form) in [
        ("", "direct ⇒ direct ⇒ direct"),
        (
            "form = \"component\"",
            "component (`form = \"component\"`) ⇒ component (`form = \"component\"`) ⇒ component (`form = \"component\"`)",
        ),
    ] {
        let apart = "{ component = \"pass-through-async\", link = \"dynamic\" }";
        let served = start(keys, &format!("{PASS}, {apart}"));
        let line = served.gateway.line(|line| line["message"] == "ready");
        assert_eq!(line["form"], form);
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            for _ in 0..3 {
                assert_eq!(client.get("/", &[]).await.ok().text(), "Hello!\n");
            }
        });
        let file = served.file("linkspan.toml");
        let checked = binary(&["check", file.to_str().unwrap()]).output().unwrap();
        let checked = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.ends_with(&format!("\nmain: {form}\n")), "{checked}");
        served.gateway.stop();
    }
}

/// What a client sees of answers that stages make, and of those that they pass on: the fields but for the time, the body, and
/// how it is framed.
async fn answers(served: &Served, protocol: Protocol) -> Vec<String> {
    let mut client = Client::connect(&served.gateway, protocol).await;
    let key = ("x-api-key", "secret");
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    let body = || with_trailers("what a client sends", &[("x-trailer", "behind")]);
    let requests = [
        request(Method::GET, "/", &[], empty()),
        request(Method::GET, "/", &[key], empty()),
        request(Method::HEAD, "/", &[], empty()),
        request(Method::POST, "/", &[], body()),
        request(Method::POST, "/", &[key], body()),
        request(Method::OPTIONS, "/", &preflight, empty()),
        request(Method::GET, "/", &[("x-api-key", "wrong"), ("origin", "https://a.example")], empty()),
        request(Method::GET, "/", &[key, ("origin", "https://a.example")], empty()),
    ];
    let mut told = Vec::new();
    for request in requests {
        let answer = client.ask(request).await;
        let mut fields: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        fields.sort();
        told.push(format!("{} {fields:?} {:?} {:?}", answer.status, answer.body, answer.trailers));
    }
    told
}

/// Whoever asks cannot tell in which form a stage answers: by its own, or by one that it passes on.
#[test]
fn answers_are_framed_alike() {
    let stages = "{ component = \"security-headers\" }, \
        { component = \"cors\", config = { origins = [\"https://a.example\"] } }, \
        { component = \"key-auth\", config = { keys = { alice = \"secret\" } } }, \
        { component = \"request-id\", grant = { random = true } }";
    for service in ["hello", "empty"] {
        let start = |keys: &str| {
            let text = format!(
                "[pipelines.main]\n{keys}\nstages = [{stages}]\n\
                 service = {{ component = \"{service}\", link = \"dynamic\" }}\n\n[[routes]]\npipeline = \"main\"\n\n\
                 [components]\ncors.path = {:?}\nkey-auth.path = {:?}\nrequest-id.path = {:?}\nempty.path = {:?}\n",
                dist("cors"),
                dist("key-auth"),
                dist("request-id"),
                dist("empty"),
            );
            Served::start("", &text)
        };
        let (direct, component) = (start(""), start("form = \"component\""));
        let line = direct.gateway.line(|line| line["message"] == "ready");
        assert_eq!(line["form"], "direct ⇒ direct");
        run(async {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let (direct, component) =
                    (answers(&direct, protocol).await, answers(&component, protocol).await);
                assert_eq!(direct, component, "{service}, {protocol:?}");
                assert!(direct[0].starts_with("401") && direct[1].starts_with("200"), "{direct:#?}");
            }
        });
        direct.gateway.stop();
        component.gateway.stop();
    }
}

/// `inspect` says it of a component.
#[test]
fn inspect_tells_the_form() {
    let inspect = |path: &Path| {
        let output = binary(&["inspect", path.to_str().unwrap()]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let direct = "\nform       direct, where the other stages of its segment are\n";
    assert!(inspect(&dist("pass-through-sync")).contains(direct));
    assert!(inspect(&dist("pass-through-async")).contains(direct));
    let component = "\nform       component: `wasi:cli/stdout@0.3.0` is not on the list\n";
    assert!(inspect(&dist("print")).contains(component));
}

/// A trap ends its instance and names its stage, also where the component stands at another one as well; the next
/// request has a new instance.
#[test]
fn a_trap_names_its_stage() {
    for (keys, stage) in [("", "main/0:traps"), ("form = \"component\"", "main/0:traps or main/1:traps")] {
        let served = start(keys, &format!("{TRAPS}, {TRAPS}, {PASS}"));
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            for _ in 0..3 {
                client.get("/", &[]).await.problem(500, "guest-trap");
            }
        });
        served.gateway.counts(3, |line| {
            line["stage"] == stage && line["message"].as_str().is_some_and(|it| it.contains("unreachable"))
        });
        served.gateway.stop();
    }
}

/// A stage's result that is not as it must be is blamed on it in the direct form; in the component form on the two between
/// which it goes.
#[test]
fn a_wrong_result_names_its_stage() {
    for (keys, stage) in
        [("", "main/1:wrong"), ("form = \"component\"", "main/0:pass-through-sync or main/1:wrong")]
    {
        let served = start(keys, &format!("{PASS}, {WRONG}"));
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            client.get("/", &[]).await.problem(500, "guest-trap");
        });
        served.gateway.counts(2, |line| line["stage"] == stage);
        served.gateway.stop();
    }
}

/// A stage's lines are its own, and say for which request they are.
#[test]
fn lines_of_stages_are_their_own() {
    for keys in ["", "form = \"component\""] {
        let says = "{ component = \"says\", grant = { clocks = true, random = true } }";
        let served = start(keys, &format!("{says}, {PASS}, {says}"));
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            client.get("/", &[]).await.ok();
        });
        served.gateway.counts(2, |line| line["target"] == "linkspan::stage");
        let lines: Vec<_> =
            served.gateway.log().into_iter().filter(|line| line["target"] == "linkspan::stage").collect();
        let stages: Vec<_> = lines.iter().map(|line| line["stage"].as_str().unwrap()).collect();
        assert_eq!(stages, ["main/0:says", "main/2:says"]);
        for line in &lines {
            assert_eq!((&line["level"], &line["context"]), (&"WARN".into(), &"x-edited".into()));
            assert_eq!(line["message"], "x-edited and a value");
            assert_eq!(line["request_id"].as_str().map(str::len), Some(16), "{line:#?}");
        }
        served.gateway.stop();
    }
}
