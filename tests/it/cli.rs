//! The command line: what each command prints, and how it exits.

mod compose;
mod trace;

use crate::harness::{
    Client, Folder, Gateway, Line, MS, Pipeline, Protocol, Setup, binary, body, dist, get, identity, in_time,
    repository, request, run, there,
};
use http::Method;
use rustix::process::Signal;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn linkspan(arguments: &[&str]) -> Ran {
    let output = binary(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ran {
    /// Checks that it ended with `code`.
    #[track_caller]
    fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

// ---- The command line itself --------------------------------------------------------------------------------------------

#[test]
fn a_bad_command_line_is_2() {
    let file = repository().join("pipelines/edge.toml");
    let bad: [&[&str]; 8] = [
        &[],
        &["server"],
        &["check"],
        &["check", text(&file), "--format", "yaml"],
        &["serve", text(&file), "extra"],
        &["compose", text(&file), "--pipeline", "edge"],
        &["bench", "hops", "--depths", "17"],
        &["bench", "hops", "--rounds", "0"],
    ];
    for arguments in bad {
        let ran = linkspan(arguments).code(2);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_tells_the_exit_codes_and_the_version() {
    let help = linkspan(&["--help"]).code(0).stdout;
    for word in ["Exit codes", "serve", "check", "compose", "inspect", "bench", "schema", "top"] {
        assert!(help.contains(word), "no `{word}` in {help}");
    }
    let version = linkspan(&["--version"]).code(0).stdout;
    assert_eq!(version, format!("linkspan {}\n", env!("CARGO_PKG_VERSION")));
}

// ---- check and schema ---------------------------------------------------------------------------------------------------

#[test]
fn check_accepts_and_counts() {
    let folder = Folder::new();
    let file = Setup::of([Pipeline::new("main", "hello")]).write(&folder);
    let ran = linkspan(&["check", text(&file)]).code(0);
    let form = "main: direct\n";
    let counted = format!("{}: 1 pipeline, 1 route, 2 listeners\n{form}", file.display());
    assert!(ran.stdout.starts_with(&counted), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    let ran = linkspan(&["check", text(&file), "--format", "json"]).code(0);
    assert_eq!(ran.json(), Value::Array(Vec::new()));
}

#[test]
fn check_prints_json_for_programs() {
    let file = repository().join("tests/ui/everything-at-once.toml");
    let ran = linkspan(&["check", text(&file), "--format", "json"]).code(1);
    let found = ran.json();
    let found = found.as_array().unwrap();
    let errors = found.iter().filter(|item| item["severity"] == "error").count();
    assert!(errors > 5 && found.iter().any(|item| item["severity"] == "warning"), "{found:#?}");
    for item in found {
        assert_eq!(item["file"], text(&file));
        assert!(item["line"].as_u64().unwrap() >= 1 && item["column"].as_u64().unwrap() >= 1, "{item}");
        for key in ["message", "label", "help"] {
            assert!(item[key].as_str().is_some_and(|text| !text.is_empty()), "no {key} in {item}");
        }
    }
    assert!(ran.stderr.ends_with(&format!(": {errors} errors\n")), "{}", ran.stderr);
}

/// A configuration that is not there is a wrong one, for each command that reads one.
#[test]
fn a_missing_configuration_is_1() {
    let folder = Folder::new();
    let file = folder.path().join("nowhere.toml");
    let output = folder.path().join("out.wasm");
    let compose = ["compose", text(&file), "--pipeline", "main", "-o", text(&output)];
    for arguments in [&["check", text(&file)][..], &["serve", text(&file)], &compose] {
        let ran = linkspan(arguments).code(1);
        assert!(ran.stderr.contains("nowhere.toml"), "{ran:#?}");
    }
}

/// Every file of `pipelines/` is right as it is, beside the certificate that the demo makes.
#[test]
fn the_pipelines_can_be_served() {
    let folder = Folder::new();
    let identity = identity();
    std::fs::create_dir_all(folder.path().join("pipelines/dev")).unwrap();
    for name in ["components", "examples"] {
        std::os::unix::fs::symlink(repository().join(name), folder.path().join(name)).unwrap();
    }
    folder.write("pipelines/dev/cert.pem", &identity.certificate);
    folder.write("pipelines/dev/key.pem", &identity.key);
    let files = std::fs::read_dir(repository().join("pipelines")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|file| file.extension().is_some_and(|it| it == "toml")).collect();
    assert!(files.len() > 1, "{files:?}");
    for file in files {
        if file.ends_with("polyglot.toml") && !(there("locale-python") && there("notices")) {
            continue;
        }
        let name = Path::new("pipelines").join(file.file_name().unwrap());
        let copy = folder.write(text(&name), std::fs::read(&file).unwrap());
        let mut check = binary(&["check", text(&copy)]);
        check.env("LINKSPAN_DEMO_KEY", "demo-key").env("LINKSPAN_JWT_SECRET", "x".repeat(32));
        let ran = check.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }
}

/// Every key of the example stands in the schema, and everything that the schema requires stands in the example.
#[test]
fn the_schema_knows_the_keys_of_the_example() {
    let schema = linkspan(&["schema"]).code(0).json();
    let file = repository().join("pipelines/edge.toml");
    let example: toml::Value = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let example = serde_json::to_value(example).unwrap();
    let mut wrong = Vec::new();
    compare(&example, &schema, &schema, "", &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut other = example;
    other["pipelines"]["edge"]["limits"]["timeout"] = "10s".into();
    compare(&other, &schema, &schema, "", &mut wrong);
    assert_eq!(wrong, ["/pipelines/edge/limits/timeout is unknown"], "the comparison finds what differs");
}

/// Walks `value` and its schema side by side, and collects keys that are unknown or missing.
fn compare(value: &Value, schema: &Value, root: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return compare(value, root.pointer(&reference[1..]).unwrap(), root, at, wrong);
    }
    if let Value::Array(items) = value {
        for (number, item) in items.iter().enumerate() {
            compare(item, &schema["items"], root, &format!("{at}/{number}"), wrong);
        }
    }
    let Value::Object(object) = value else { return };
    if schema["anyOf"].is_array() {
        // A value of a stage's own: whatever it likes.
        return;
    }
    for (key, value) in object {
        let at = format!("{at}/{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(known), _) | (None, known @ Value::Object(_)) => compare(value, known, root, &at, wrong),
            _ => wrong.push(format!("{at} is unknown")),
        }
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(key.as_str().unwrap()) {
            wrong.push(format!("{at}/{key} is missing"));
        }
    }
}

// ---- inspect ------------------------------------------------------------------------------------------------------------

#[test]
fn inspect_tells_roles_lifts_and_grants() {
    let cases = [
        ("pass-through-sync", "middleware", "sync", None),
        ("pass-through-async", "middleware", "async", None),
        ("request-id", "middleware", "sync", Some("random = true")),
        ("fault-service", "service", "async", Some("clocks = true")),
        ("empty", "service", "sync", None),
    ];
    for (name, role, lift, grant) in cases {
        let file = dist(name);
        let json = linkspan(&["inspect", text(&file), "--json"]).code(0).json();
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(json["role"], role, "{name}");
        assert_eq!(json["lift"], lift, "{name}");
        assert_eq!(json["size"], bytes.len(), "{name}");
        assert_eq!(json["sha256"], hexadecimal(&body::digest_of(&bytes)), "{name}");
        assert!(json["exports"].to_string().ends_with("\"wasi:http/handler@0.3.0\"]"), "{name}");
        assert_eq!(json["grants"], serde_json::json!(grant.into_iter().collect::<Vec<_>>()), "{name}");
        let imports = json["imports"].as_array().unwrap();
        let next = imports.iter().filter(|import| import["status"] == "the next stage").count();
        assert_eq!(next, usize::from(role == "middleware"), "{name}");

        let text = linkspan(&["inspect", text(&file)]).code(0).stdout;
        for word in [role, lift, json["sha256"].as_str().unwrap(), "world", "wasi:http/handler@0.3.0"] {
            assert!(text.contains(word), "no `{word}` in {text}");
        }
        assert_eq!(text.contains("the stage's grants"), grant.is_some(), "{text}");
    }
}

/// Of a component of WASI 0.2: what it needs, what it can do without, and what is only types.
#[test]
fn inspect_tells_what_is_inert() {
    let file = dist("service-0-2");
    let json = linkspan(&["inspect", text(&file), "--json"]).code(0).json();
    assert_eq!((&json["role"], &json["own_store"]), (&"service".into(), &true.into()));
    assert_eq!(json["grants"], serde_json::json!(["clocks = true", "random = true"]));
    let optional: Vec<_> =
        json["optional_grants"].as_array().unwrap().iter().map(|grant| grant.as_str().unwrap()).collect();
    let keys: Vec<_> = optional.iter().map(|grant| grant.split(' ').next().unwrap()).collect();
    assert_eq!(keys, ["egress", "env", "filesystem", "sockets", "stdio"]);
    let status = |name: &str| {
        let imports = json["imports"].as_array().unwrap();
        let import = imports.iter().find(|import| import["name"].as_str().unwrap().starts_with(name));
        import.unwrap()["status"].as_str().unwrap()
    };
    assert_eq!(status("wasi:cli/environment@"), "the stage's own; empty unless `env` is granted");
    assert_eq!(status("wasi:io/poll@"), "shared");
    assert!(status("wasi:clocks/wall-clock@").contains("; needs `grant = { clocks = true }`"));
    let text = linkspan(&["inspect", text(&file)]).code(0).stdout;
    assert!(text.contains("\nworks without "), "{text}");
    assert_eq!(linkspan(&["inspect", dist("probe").to_str().unwrap(), "--json"]).json()["own_store"], false);
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn inspect_tells_the_names_of_further_handlers() {
    for (name, role, next) in [("ab-router", "service", &["a", "b"][..]), ("fork", "middleware", &["side"])] {
        let json = linkspan(&["inspect", text(&dist(name)), "--json"]).code(0).json();
        assert_eq!((json["role"].as_str().unwrap(), &json["next"]), (role, &serde_json::json!(next)));
        let told = linkspan(&["inspect", text(&dist(name))]).code(0).stdout;
        let next: Vec<_> = next.iter().map(|name| format!("{name} = \"…\"")).collect();
        assert!(told.contains(&format!("next = {{ {} }}", next.join(", "))), "{told}");
    }
}

#[test]
fn inspect_says_what_is_no_component() {
    let files = repository().join("tests/ui/files");
    let cases = [
        ("garbage.wasm", "it is not WebAssembly"),
        (
            "core-module.wasm",
            "it is a core WebAssembly module\nhelp: make it a component, with `wasm-tools component new`",
        ),
        ("text.wasm", "it is WebAssembly text"),
        ("nowhere.wasm", "cannot read"),
    ];
    for (name, expected) in cases {
        for form in [&[][..], &["--json"]] {
            let file = files.join(name);
            let ran = linkspan(&[&["inspect", text(&file)], form].concat()).code(1);
            assert!(ran.stderr.contains(expected), "{ran:#?}");
            assert_eq!(ran.stdout, "");
        }
    }
}

// ---- bench --------------------------------------------------------------------------------------------------------------

#[test]
fn bench_hops_prints_a_table_and_json() {
    let folder = repository().join("components/dist");
    let few = [
        "bench",
        "hops",
        "--depths",
        "2",
        "--rounds",
        "1",
        "--requests",
        "20",
        "--components",
        text(&folder),
    ];
    for link in ["static", "dynamic"] {
        let few = [&few[..], &["--link", link]].concat();
        let json = linkspan(&[&few[..], &["--json"]].concat()).code(0).json();
        assert_eq!((&json["rounds"], &json["requests"]), (&1.into(), &20.into()));
        let rows = json["rows"].as_array().unwrap();
        // Depth 0 is always there, to compare with.
        let guests = ["sync", "async", "rewritten"];
        let expected = guests.into_iter().flat_map(|guests| [(guests, 0), (guests, 2)]);
        let expected: Vec<_> = expected.collect();
        assert_eq!(rows.len(), expected.len());
        for (row, (guests, depth)) in rows.iter().zip(expected) {
            assert_eq!((&row["guests"], &row["middleware"]), (&guests.into(), &depth.into()), "{row}");
            assert_eq!(row["link"], link);
            assert!(row["ns_per_request"].as_f64().unwrap() > 0.0, "{row}");
            assert_eq!(row["ns_per_hop"].is_number(), depth > 0, "{row}");
        }
        let table = linkspan(&few).code(0).stdout;
        assert_eq!(table.lines().filter(|line| line.contains("sync")).count(), 4, "{table}");
        assert!(table.contains(&format!("{link} links")), "{table}");
    }
    let ran = linkspan(&["bench", "hops", "--components", "/nowhere"]).code(1);
    assert!(ran.stderr.contains("cannot use `/nowhere`"), "{ran:#?}");
}

// ---- serve --------------------------------------------------------------------------------------------------------------

#[test]
fn serve_names_an_address_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let file = Setup::of([Pipeline::new("main", "empty")]).write(&folder);
    let toml = std::fs::read_to_string(&file).unwrap().replacen("127.0.0.1:0", &address, 1);
    let file = folder.write("taken.toml", toml);
    let ran = linkspan(&["serve", text(&file)]).code(3);
    let last = ran.stderr.lines().last().unwrap();
    assert!(last.contains(&address), "{ran:#?}");
}

/// `serve` refuses what `check` refuses, in the same words.
#[test]
fn serve_refuses_what_check_refuses() {
    let file = repository().join("tests/ui/everything-at-once.toml");
    let (check, serve) =
        (linkspan(&["check", text(&file)]).code(1), linkspan(&["serve", text(&file)]).code(1));
    assert!(serve.stderr.contains("the listener's certificate and key can't be used"), "{serve:#?}");
    let first = |ran: &Ran| ran.stderr.lines().take(20).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(first(&serve), first(&check));
}

fn slow_setup(shutdown: &str) -> Setup {
    Setup::of([Pipeline::new("main", "fault-service")]).limit(&format!("shutdown-timeout = \"{shutdown}\""))
}

fn said(gateway: &Gateway, word: &str) -> Line {
    gateway.line(|line| line["message"].as_str().or(line.as_str()).is_some_and(|text| text.contains(word)))
}

/// Long enough for a request that was sent to be in the chain.
const ON_ITS_WAY: Duration = MS.saturating_mul(300);

#[test]
fn the_first_signal_lets_requests_finish() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let mut gateway = Gateway::start(&slow_setup("30s"));
        run(async {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                Client::connect(&gateway, protocol).await.get("/", &[]).await.ok();
            }
            let slow = |mut client: Client| {
                let request = get("/", &[("x-fault", "slow"), ("x-delay-ms", "1000")]);
                tokio::task::spawn_local(async move { client.ask(request).await })
            };
            let first = slow(Client::connect(&gateway, Protocol::Http1).await);
            let second = slow(Client::connect(&gateway, Protocol::Http2).await);
            tokio::time::sleep(ON_ITS_WAY).await;
            gateway.signal(signal);
            let line = said(&gateway, "requests may finish");
            assert_eq!(line["signal"], name);
            for request in [first, second] {
                assert_eq!(in_time(request).await.unwrap().ok().text(), "ok");
            }
        });
        assert_eq!(gateway.ended().code(), Some(0), "{:#?}", gateway.log());
        assert_eq!(TcpListener::bind(gateway.plain).map(drop).ok(), Some(()), "its address is free");
    }
}

/// A request that never ends, under way while `stop` is called; says whether it got a complete answer.
fn hang_while(gateway: &Gateway, protocol: Protocol, stop: impl FnOnce()) -> bool {
    run(async {
        let mut client = Client::connect(gateway, protocol).await;
        let hanging = tokio::task::spawn_local(async move {
            let (feeder, body) = body::channel();
            let request = request(Method::POST, "/", &[("x-fault", "hang")], body);
            let answered = client.send(request).await.is_ok();
            drop(feeder);
            answered
        });
        tokio::time::sleep(ON_ITS_WAY).await;
        stop();
        in_time(hanging).await.unwrap()
    })
}

#[test]
fn the_shutdown_timeout_cuts_what_is_left() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut gateway = Gateway::start(&slow_setup("200ms"));
        let answered = hang_while(&gateway, protocol, || gateway.signal(Signal::TERM));
        assert!(!answered, "the client sees that its request was cut off");
        assert_eq!(gateway.ended().code(), Some(4), "{:#?}", gateway.log());
        said(&gateway, "did not finish in time");
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut gateway = Gateway::start(&slow_setup("1h"));
    let start = Instant::now();
    let answered = hang_while(&gateway, Protocol::Http1, || {
        gateway.signal(Signal::TERM);
        // Two at once would be one to the process.
        said(&gateway, "requests may finish");
        gateway.signal(Signal::INT);
    });
    assert!(!answered);
    assert_eq!(gateway.ended().code(), Some(4), "{:#?}", gateway.log());
    assert!(start.elapsed() < Duration::from_secs(20), "an hour was allowed");
    said(&gateway, "stopping at once");
}
