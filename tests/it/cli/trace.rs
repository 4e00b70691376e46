//! `linkspan trace`, and what the admin listener tells of a running gateway.

use super::{Ran, linkspan};
use crate::harness::{Client, Folder, Line, MS, Protocol, SOON, binary, body, dist, request, run};
use crate::swap::support::{Served, head};
use http::Method;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Instant;

/// A gateway with four stages in front of a service, and an admin listener with two tokens.
fn served(link: &str) -> Served {
    const TOKENS: &str = "token = \"0123456789abcdef\"\nread-token = \"fedcba9876543210\"\n";
    let head = head("").replace("[admin]\n", &format!("[admin]\n{TOKENS}")) + "[telemetry]\nsample = 0\n\n";
    let mut rest = String::new();
    for name in ["request-id", "key-auth", "fault-middleware"] {
        let _ = write!(rest, "[components.{name}]\npath = {:?}\n\n", dist(name));
    }
    let _ = write!(
        rest,
        "[pipelines.main]\nlink = \"{link}\"\nservice = {{ component = \"hello\" }}\nstages = [\n\
         {{ component = \"request-id\", grant = {{ random = true }} }},\n\
         {{ component = \"key-auth\", config = {{ keys = {{ alice = \"the-key\" }} }} }},\n\
         {{ component = \"fault-middleware\", grant = {{ clocks = true }} }},\n\
         {{ component = \"security-headers\" }}]\n\n\
         [[routes]]\npipeline = \"main\"\n"
    );
    Served::start_in(Folder::new(), &head, &rest)
}

/// Runs `linkspan trace` with the admin token.
fn trace(served: &Served, arguments: &[&str]) -> Ran {
    let (admin, token) = (served.admin.to_string(), served.file("token"));
    std::fs::write(&token, "0123456789abcdef").unwrap();
    let all = ["trace", "--admin", &admin, "--token-file", super::text(&token)];
    linkspan(&[&all[..], arguments].concat())
}

#[test]
fn a_request_is_sent_and_each_stage_tells_what_it_did() {
    for link in ["static", "dynamic"] {
        let served = served(link);
        let url = format!("http://{}/hello?secret=1", served.gateway.plain);
        let sent = ["-H", "x-api-key: the-key", "-H", "x-middleware-fault: log"];
        let shown = trace(&served, &[&[url.as_str()][..], &sent].concat()).code(0);
        let text = &shown.stdout;
        assert!(text.starts_with("GET /hello?secret=… → 200 through `main`, "), "{text}");
        for line in [
            "0:request-id ",
            "1:key-auth ",
            "2:fault-middleware ",
            "3:security-headers ",
            "4:hello ",
            "request  - x-api-key: <7 bytes>",
            "request  + x-consumer: alice",
            "log      WARN as asked",
            "response + x-content-type-options: nosniff",
            "passed on",
            "answered",
            "answers  content-type: text/plain",
        ] {
            assert!(text.contains(line), "{link}: {line} is not in\n{text}");
        }
        assert!(!text.contains("the-key"), "{text}");
        // What the sample does not have, an operator has.
        let json =
            trace(&served, &[&[url.as_str(), "--json", "--reveal"][..], &sent].concat()).code(0).json();
        assert_eq!((&json["status"], &json["forced"]), (&200.into(), &true.into()), "{json:#}");
        assert!(json["spans"][0]["heads"]["request"].to_string().contains("the-key"), "{json:#}");

        let refused = trace(&served, &[&url]).code(0).stdout;
        assert!(
            refused.starts_with("GET /hello?secret=… → 401 ")
                && refused.contains("answers  www-authenticate: "),
            "{refused}"
        );
        assert!(!refused.contains("2:fault-middleware"), "{refused}");
        let trapped = [&url, "-H", "x-api-key: the-key", "-H", "x-middleware-fault: trap"];
        let trapped = trace(&served, &trapped).code(0).stdout;
        assert!(trapped.contains("error    ") && trapped.contains("unreachable"), "{trapped}");
        served.gateway.stop();
    }
}

#[test]
fn the_next_request_that_matches_is_waited_for() {
    let served = served("static");
    let admin = served.admin.to_string();
    let mut command =
        binary(&["trace", "--admin", &admin, "--path", "/this", "-X", "GET", "--timeout", "60"]);
    command.env("LINKSPAN_ADMIN_TOKEN", "0123456789abcdef").stdout(Stdio::piped());
    let waiting = command.spawn().unwrap();
    served.gateway.line(|line: &Line| line["message"] == "audit" && line["change"] == "trace");
    run(async {
        let start = Instant::now();
        let mut client = Client::open(served.gateway.plain, Protocol::Http1).await;
        let mut waiting = waiting;
        while waiting.try_wait().unwrap().is_none() {
            for path in ["/other", "/this/one"] {
                let fields = [("x-api-key", "the-key")];
                client.ask(request(Method::GET, path, &fields, body::empty())).await.ok();
            }
            assert!(start.elapsed() < SOON, "it waits for ever");
            tokio::time::sleep(20 * MS).await;
        }
        let output = waiting.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("GET /this/one → 200 ") && text.contains("3:security-headers"), "{text}");
    });
    served.gateway.stop();
}

#[test]
fn what_can_not_be_traced_is_told_plainly() {
    let served = served("static");
    let admin = served.admin.to_string();
    let url = format!("http://{}/", served.gateway.plain);
    let missing = linkspan(&["trace", &url, "--admin", &admin]).code(3);
    assert!(missing.stderr.contains("it needs its token"), "{missing:?}");
    let token = served.file("read");
    std::fs::write(&token, "fedcba9876543210").unwrap();
    let reader = linkspan(&["trace", &url, "--admin", &admin, "--token-file", super::text(&token)]).code(3);
    assert!(reader.stderr.contains("403"), "{reader:?}");
    trace(&served, &["ftp://a/"]).code(2);
    trace(&served, &[&url, "-H", "no field"]).code(2);
    trace(&served, &[&url, "--timeout", "0"]).code(2);
    trace(&served, &[&url, "--path", "/"]).code(2);
    let late = trace(&served, &["--path", "/never", "--timeout", "1"]).code(3);
    assert!(late.stderr.contains("no request came in time"), "{late:?}");
    // The address of something else.
    let elsewhere = trace(&served, &[&format!("http://{admin}/healthz"), "--timeout", "60"]).code(3);
    assert!(elsewhere.stderr.contains("is the URL a listener of the gateway"), "{elsewhere:?}");
    served.gateway.stop();
}

#[test]
fn bodies_are_shown_where_they_are_asked_for() {
    let rest = format!(
        "[components.fault-middleware]\npath = {:?}\n\n[pipelines.main]\nservice = {{ component = \"echo\" }}\n\
         stages = [{{ component = \"pass-through-sync\" }}, {{ component = \"fault-middleware\", grant = {{ clocks = true }} }}]\n\n\
         [[routes]]\npipeline = \"main\"\n",
        dist("fault-middleware")
    );
    let head = head("").replace("[admin]\n", "[admin]\ntoken = \"0123456789abcdef\"\n");
    let served = Served::start_in(Folder::new(), &(head + "[telemetry]\nbody-size = \"20B\"\n\n"), &rest);
    let url = format!("http://{}/", served.gateway.plain);
    let sent = [
        url.as_str(),
        "-d",
        "one line\nand \u{1b}[2J more of it",
        "-H",
        "x-middleware-fault: transform-request",
    ];
    let without = trace(&served, &sent).code(0).stdout;
    assert!(!without.contains("body,"), "{without}");
    let text = trace(&served, &[&sent[..], &["--body"]].concat()).code(0).stdout;
    for line in [
        "request  body, 28 bytes, of which the first 20 are:",
        "         | one line",
        "         | and \\u{1b}[2J mo",
        "request  body, 28 bytes, unchanged",
        "         | ONE LINE",
        "response body, 28 bytes, of which the first 20 are:",
        "response body, 28 bytes, unchanged",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    served.gateway.stop();
}

/// A service that calls a pipeline by its name, which calls another one: all of them are in the first trace.
#[test]
fn the_first_trace_has_the_stages_of_pipelines_that_are_called() {
    let rest = "[pipelines.main]\nstages = [{ component = \"security-headers\" }]\n\
                service = { component = \"caller\", grant = { calls = [\"middle\"] } }\n\n\
                [pipelines.middle]\nstages = [{ component = \"pass-through-sync\" }, { component = \"pass-through-async\" }]\n\
                service = { component = \"caller\", grant = { calls = [\"last\"] } }\n\n\
                [pipelines.last]\nstages = [{ component = \"pass-through-async\" }]\nservice = { component = \"hello\" }\n\n\
                [[routes]]\npipeline = \"main\"\n";
    let head = head("").replace("[admin]\n", "[admin]\ntoken = \"0123456789abcdef\"\n");
    let served = Served::start_in(Folder::new(), &(head + "[telemetry]\nsample = 0\n\n"), rest);
    let url = format!("http://{}/", served.gateway.plain);
    let way = "x-way: http://middle.internal,http://last.internal";
    let json = trace(&served, &[&url, "--json", "-H", way]).code(0).json();
    let names: Vec<_> = json["spans"].as_array().unwrap().iter().map(|span| span["name"].clone()).collect();
    assert_eq!(
        names,
        [
            "GET /",
            "0:security-headers",
            "1:caller",
            "call middle",
            "0:pass-through-sync",
            "1:pass-through-async",
            "2:caller",
            "call last",
            "0:pass-through-async",
            "1:hello",
        ],
        "{json:#}"
    );
    served.gateway.stop();
}

#[test]
fn what_an_overview_leaves_out_is_said() {
    let (mut routes, mut upstreams) = (String::new(), String::new());
    for at in 0..502 {
        let _ = write!(routes, "[[routes]]\npath = \"/{at}\"\npipeline = \"u-{at}\"\n\n");
        let _ = write!(
            upstreams,
            "[upstreams.u-{at}]\nservers = [\"http://127.0.0.1:1\"]\n\n[pipelines.u-{at}]\nupstream = \"u-{at}\"\n\n"
        );
    }
    let served = Served::start_in(Folder::new(), &head(""), &(upstreams + &routes));
    run(async {
        let (status, overview) = served.ask(Method::GET, "/overview").await;
        assert_eq!(status, 200);
        let shown = ["routes", "upstreams"].map(|what| overview[what].as_array().unwrap().len());
        assert_eq!(shown, [500, 500]);
        assert_eq!(overview["left-out"], serde_json::json!({ "routes": 2, "upstreams": 2 }));
    });
    served.gateway.stop();
}
