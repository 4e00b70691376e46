//! Async lifts that are rewritten to sync ones: the same answers, fewer reasons to wait.

mod differences;
mod unasked;
mod values;

use crate::chain_test;
use crate::harness::{
    Chain, Client, Gateway, Line, PROTOCOLS, Pipeline, Protocol, Setup, binary, body, dist, eventually,
    repository, request, run,
};
use http::Method;
use http_body::Frame;

const SYNC: &str = "lift = \"sync\"";

/// Whether a line says that a rewritten form did not work; that there is one is said at the start.
fn gives_up(line: &Line) -> bool {
    line["message"] != "ready" && line.to_string().contains("rewritten")
}

fn setup(chain: Chain) -> Setup {
    Setup::of([chain.pipeline("echo").stage_with("mixed-async", SYNC)])
}

/// The value of `name` in what the stage does.
fn asking(what: &str) -> [(&str, &str); 2] {
    [("x-mixed", what), ("te", "trailers")]
}

chain_test! {
    /// What a rewritten stage can do, many times over in one instance: what it leaves behind is taken up again.
    fn rewritten_stages_work(chain) {
        let gateway = Gateway::start(&setup(chain));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for number in 0..30 {
                    let size = number * 700;
                    let send = |what: &'static str| request(Method::POST, "/", &asking(what), body::stream(size).1);
                    let plain = client.ask(send("")).await.ok();
                    assert_eq!(body::digest_of(&plain.body), body::digest(size));
                    let edited = client.ask(send("response")).await.ok();
                    assert_eq!(edited.header("x-mixed"), Some("response"));
                    assert_eq!(body::digest_of(&edited.body), body::digest(size));
                    let sent_on = client.ask(send("request")).await.ok();
                    assert_eq!(sent_on.header("content-type"), Some("text/x-mixed"));
                    assert_eq!(body::digest_of(&sent_on.body), body::digest(size));
                    // What the client sends meanwhile is not what this is about.
                    let refused = client.get("/", &asking("refuse")).await;
                    assert!(refused.status == 403 && refused.body.is_empty() && refused.cut.is_none(), "{refused:?}");
                    let failed = client.get("/", &asking("error")).await;
                    failed.problem(500, "guest-error");
                }
            }
        });
        assert_eq!(gateway.count(gives_up), 0, "{:#?}", gateway.log());
        gateway.stop();
    }
}

chain_test! {
    /// Bodies of edited responses stream while further requests come in.
    fn edited_responses_stream(chain) {
        let gateway = Gateway::start(&setup(chain));
        run(async {
            let mut streams = Vec::new();
            for number in 0..20 {
                let mut client = Client::connect(&gateway, PROTOCOLS[number % 2]).await;
                let (feeder, body) = body::channel();
                let response = client.send(request(Method::POST, "/", &asking("response"), body)).await.unwrap();
                assert_eq!(response.headers()["x-mixed"], "response");
                streams.push((client, feeder, response));
            }
            for (_client, feeder, response) in streams {
                feeder.send(Frame::data("late".into())).await.unwrap();
                drop(feeder);
                assert_eq!(crate::harness::Answer::read(response).await.ok().text(), "late");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// What a rewritten stage can't do ends one request, if something was done for it, and from then on the stage is as
    /// its author made it.
    fn trials_end(chain) {
        for (what, service, expected) in [
            ("body", "echo", "HELLO"),
            ("echo-body", "echo", "HELLO"),
            ("trailers", "fault-service", "hello"),
            ("task", "echo", "hello"),
        ] {
            let gateway = Gateway::start(&Setup::of([chain.pipeline(service).stage_with("mixed-async", SYNC)]));
            run(async {
                let mut client = Client::connect(&gateway, Protocol::Http2).await;
                let ask = |what| {
                    let fields = [("x-mixed", what), ("x-fault", "trailers")];
                    request(Method::POST, "/", &fields, body::whole("hello"))
                };
                client.ask(ask("response")).await.ok();
                let first = client.ask(ask(what)).await;
                // In one store, nothing was done but to read the request's body, which only the first two do.
                match (chain.link, what) {
                    ("static", "trailers" | "task") => assert_eq!(first.ok().text(), expected, "{what}"),
                    _ => drop(first.problem(500, "guest-trap")),
                }
                for _ in 0..10 {
                    let answer = client.ask(ask(what)).await.ok();
                    assert_eq!(answer.text(), expected, "{what}");
                    if what == "trailers" {
                        assert_eq!(answer.trailers.as_ref().unwrap()["x-trailer"], "yes");
                    }
                    client.ask(ask("response")).await.ok();
                }
            });
            gateway.counts(1, |line| {
                line["message"] == "the original form takes over from a rewritten one"
                    && line["reason"] == "the guest has a stream or future to write after its answer"
            });
            gateway.stop();
        }
    }
}

chain_test! {
    /// A stage that fails its trial costs one request, however many are under way at once.
    fn a_trial_costs_one_request(chain) {
        let pipeline = chain.pipeline("fault-service").stage_with("mixed-async", SYNC);
        let gateway = Gateway::start(&Setup::of([pipeline]));
        let answers = run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            // All of them wait in the service before the first one can fail.
            let fields = [("x-mixed", "body"), ("x-fault", "read-body")];
            let (feeders, started): (Vec<_>, Vec<_>) = (0..14)
                .map(|_| {
                    let (feeder, body) = body::channel();
                    (feeder, client.start(request(Method::POST, "/", &fields, body)))
                })
                .unzip();
            let feeding = async {
                for feeder in feeders {
                    feeder.send(Frame::data("hello".into())).await.unwrap();
                }
            };
            let answering = futures::future::join_all(started.into_iter().map(|started| async {
                crate::harness::Answer::read(started.await.unwrap()).await
            }));
            crate::harness::in_time(futures::future::join(feeding, answering)).await.1
        });
        let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!((good.len(), bad.len()), (13, 1), "{bad:?}");
        assert!(good.iter().all(|answer| answer.text() == "5" && answer.cut.is_none()), "{good:?}");
        bad[0].problem(500, "guest-trap");
        gateway.counts(1, |line| line["message"] == "the original form takes over from a rewritten one");
        gateway.stop();
    }
}

/// Requests at once, of which a stage can do none with its lift rewritten; how many were sent again.
fn all_are_answered(chain: Chain, what: &str, expected: &str, keys: &str) -> usize {
    let pipeline = chain.pipeline("fault-service").stage_with("mixed-async", SYNC).limit(keys);
    let gateway = Gateway::start(&Setup::of([pipeline]));
    run(async {
        for protocol in PROTOCOLS {
            let get = || async {
                let mut client = Client::connect(&gateway, protocol).await;
                client.get("/", &[("x-mixed", what)]).await
            };
            for answer in futures::future::join_all((0..12).map(|_| get())).await {
                assert_eq!(answer.ok().text(), expected, "{protocol:?} {what}");
            }
        }
    });
    let again = |line: &Line| line["message"] == "a request goes through the original form after all";
    gateway.counts(1, |line| line["message"] == "the original form takes over from a rewritten one");
    eventually("a request is sent again", || gateway.count(again) > 0);
    let count = gateway.count(again);
    gateway.stop();
    count
}

chain_test! {
    /// A request for which nothing was done yet is sent again on the original form: the client sees no failure.
    fn what_did_nothing_is_sent_again(chain) {
        assert_eq!(all_are_answered(chain, "own", "own", ""), 1);
        // In one store with the service, calling it is nothing that others could see.
        if chain.link == "static" {
            assert_eq!(all_are_answered(chain, "body", "OK", ""), 1);
        }
        // Without a trial, several may be in it.
        let again = all_are_answered(chain, "own", "own", "lift-trial = 0");
        assert!((1..=12).contains(&again), "{again}");
    }
}

chain_test! {
    /// A line of the log can't be taken back, and is not written twice.
    fn what_was_done_is_not_done_again(chain) {
        let pipeline = chain.pipeline("echo").stage_with("mixed-async", SYNC).stage("fault-middleware");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let fields = [("x-mixed", "body"), ("x-middleware-fault", "log")];
            client.get("/", &fields).await.problem(500, "guest-trap");
            client.get("/", &fields).await.ok();
        });
        gateway.counts(2, |line| line["message"] == "as asked");
        gateway.stop();
    }
}

chain_test! {
    /// Heads that are edited with wit-bindgen alone, by a guest with tasks that go on after its answer and a stream
    /// with which it wakes them.
    fn head_editors_pass(chain) {
        let gateway = Gateway::start(&Setup::of([chain.pipeline("echo").stage_with("edit-p3", SYNC)]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for size in [0, 5, 300_000, 0, 700, 100_000] {
                    let answer = client.ask(request(Method::POST, "/", &[], body::stream(size).1)).await.ok();
                    assert_eq!(answer.header("x-edited"), Some("response"));
                    assert_eq!(body::digest_of(&answer.body), body::digest(size), "{protocol:?}");
                }
            }
        });
        assert_eq!(gateway.count(gives_up), 0, "{:#?}", gateway.log());
        gateway.stop();
    }
}

chain_test! {
    /// A body that the next stage wants whole before it answers, transformed by a rewritten stage: the next stage is
    /// called asynchronously then.
    fn bodies_move_while_the_next_stage_works(chain) {
        let gateway = Gateway::start(&Setup::of([chain.pipeline("fault-service").stage_with("mixed-async", SYNC)]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for size in [1, 100, 300_000] {
                    let fields = [("x-mixed", "echo-body"), ("x-fault", "read-body")];
                    let answer = client.ask(request(Method::POST, "/", &fields, body::stream(size).1)).await.ok();
                    assert_eq!(answer.text(), size.to_string(), "{protocol:?}");
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A guest with a standard library, made for wasm32-wasip2, answers alike in every form, and its panics are its
    /// own.
    fn a_standard_library_is_no_obstacle(chain) {
        if !repository().join("components/dist/async-0-3.wasm").is_file() {
            eprintln!("SKIPPED: there was no compiler for wasm32-wasip2 when the guests were built");
            return;
        }
        let pipelines = ["as-is", "auto", "sync"].map(|lift| {
            let keys = |who: &str| {
                format!("lift = \"{lift}\"\ngrant = {{ stdio = true, random = true, env = {{ WHO = \"{who}\" }} }}")
            };
            let pipeline = chain.named(lift, "probe").route(&format!("path = \"/{lift}\""));
            pipeline.stage_with("async-0-3", &keys("me")).stage_with("async-0-3", &keys("you"))
        });
        let gateway = Gateway::start(&Setup::of(pipelines));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for lift in ["as-is", "auto", "sync"] {
                    for number in 0..20 {
                        let answer = client.get(&format!("/{lift}/{number}"), &[]).await;
                        assert_eq!(answer.status, 203, "{answer:?}");
                        assert_eq!(answer.json()["path"], format!("/{lift}/{number}/me/you"));
                        let panics = ["panic", "panic-after"][number % 2];
                        client.get(&format!("/{lift}/{panics}"), &[]).await.problem(500, "guest-trap");
                    }
                }
            }
        });
        gateway.line(|line| line["message"] == "std: /sync/7/me");
        assert_eq!(gateway.count(gives_up), 0, "{:#?}", gateway.log());
        gateway.stop();
    }
}

/// What `linkspan inspect` says would become of a component, which is what `lift` does.
#[test]
fn what_is_rewritten_and_what_is_not() {
    for (component, expected) in [
        ("plain-async", "can be rewritten to sync; `lift = \"auto\"` does where its segment loses nothing"),
        (
            "pass-through-async",
            "can be rewritten to sync; `lift = \"auto\"` does where its segment loses nothing",
        ),
        ("mixed-async", "can be rewritten to sync, with `lift = \"sync\"` on trial"),
        ("pass-through-sync", "stays as it is: it is lifted synchronously already"),
        ("fault-middleware", "stays as it is: it may wait for `wasi:clocks/monotonic-clock@0.3.0#wait-for`"),
        ("egress", "stays as it is: it may wait for `wasi:http/client@0.3.0#send`"),
        ("print", "stays as it is: `wasi:cli/stdout@0.3.0#write-via-stream` has a stream or future"),
        ("probe", "stays as it is: it calls no next stage"),
        ("async-0-3", "can be rewritten to sync; `lift = \"auto\"` does where its segment loses nothing"),
        ("libc-0-3", "stays as it is: it is lifted synchronously already"),
    ] {
        if component.ends_with("0-3")
            && !repository().join(format!("components/dist/{component}.wasm")).is_file()
        {
            eprintln!("SKIPPED: there was no compiler for wasm32-wasip2 when the guests were built");
            continue;
        }
        let output = binary(&["inspect", dist(component).to_str().unwrap()]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix("relift")).unwrap().trim();
        assert!(found.starts_with(expected), "{component}: {found}");
    }
}

/// A rewritten composition is a component like others, and its stages are not rewritten twice.
#[test]
fn compositions_can_be_rewritten() {
    let folder = crate::harness::Folder::new();
    let pipeline = Pipeline::new("main", "echo")
        .stage_with("plain-async", "lift = \"auto\"")
        .stage_with("mixed-async", "lift = \"sync\"")
        .stage_with("plain-async", "lift = \"as-is\"");
    let file = Setup::of([pipeline]).write(&folder);
    let output = folder.path().join("composed.wasm");
    let (file, output) = (file.to_str().unwrap(), output.to_str().unwrap());
    let arguments = ["compose", file, "--pipeline", "main", "-o", output, "--portable", "--relift"];
    let said = binary(&arguments).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8(said.stdout).unwrap();
    let lifted = |place: &str, how: &str| {
        let line = format!("stage `main/{place}`: lifted synchronously{how}");
        assert!(said.lines().any(|told| told.starts_with(&line)), "no `{line}` in {said}");
    };
    lifted("0:plain-async", "");
    lifted("1:mixed-async", ", on trial: a request in which it writes a stream or future");
    assert_eq!(
        said.matches("lifted synchronously").count(),
        2,
        "the file does not ask for the third: {said}"
    );
    let again = binary(&["inspect", output]).output().unwrap();
    let again = String::from_utf8(again.stdout).unwrap();
    assert!(again.contains("lift       sync and async"), "{again}");
    assert!(again.contains("relift     stays as it is: it is composed of several components"), "{again}");
}
