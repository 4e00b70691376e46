//! `linkspan compose`.

use super::{Ran, hexadecimal, linkspan, text};
use crate::harness::{Client, Folder, Gateway, Pipeline, Protocol, Setup, body, dist, run};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Composes the pipeline `main` of `setup` in `folder`.
fn compose(folder: &Folder, setup: &Setup, options: &[&str]) -> (Ran, PathBuf) {
    let file = setup.write(folder);
    let output = folder.path().join("out.wasm");
    let arguments = ["compose", text(&file), "--pipeline", "main", "-o", text(&output)];
    (linkspan(&[&arguments, options].concat()), output)
}

fn import_names(component: &Path) -> Vec<String> {
    let json = linkspan(&["inspect", "--json", text(component)]).code(0).json();
    assert_eq!(json["role"], "service");
    json["imports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|import| import["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Five middleware without configuration, and a service.
fn portable_setup() -> Setup {
    let stages =
        ["request-id", "security-headers", "pass-through-async", "pass-through-sync", "security-headers"];
    Setup::of([stages.iter().fold(Pipeline::new("main", "hello"), |pipeline, stage| pipeline.stage(stage))])
}

#[test]
fn compose_keeps_each_stages_imports_apart() {
    let folder = Folder::new();
    let (ran, output) = compose(&folder, &portable_setup(), &[]);
    let ran = ran.code(0);
    let digest = hexadecimal(&body::digest_of(&std::fs::read(&output).unwrap()));
    assert!(ran.stdout.contains("6 stages") && ran.stdout.contains(&digest), "{ran:#?}");
    let imports = import_names(&output);
    for stage in [0, 1, 4, 5] {
        let name = format!("stage{stage}-wasi-config-store");
        assert!(imports.contains(&name), "no {name} in {imports:?}");
    }
    assert!(!imports.iter().any(|name| name.contains("config/store@")), "{imports:?}");
}

#[test]
fn a_portable_composition_is_a_service_anywhere() {
    let folder = Folder::new();
    let stages = ["request-id", "security-headers", "pass-through-async", "pass-through-sync"];
    let pipeline =
        stages.iter().fold(Pipeline::new("main", "hello"), |pipeline, stage| pipeline.stage(stage));
    let (ran, output) = compose(&folder, &Setup::of([pipeline]), &["--portable"]);
    ran.code(0);
    let mut imports = import_names(&output);
    imports.sort();
    assert_eq!(
        imports,
        ["wasi:config/store@0.2.0-rc.1", "wasi:http/types@0.3.0", "wasi:random/random@0.3.0"]
    );
    // linkspan is one of the hosts.
    let toml = "listeners = [{ address = \"127.0.0.1:0\" }]\nroutes = [{ pipeline = \"main\" }]\n\
        components.whole.path = \"out.wasm\"\n[pipelines.main]\n\
        service = { component = \"whole\", grant = { random = true } }\n";
    let file = folder.write("whole.toml", toml);
    linkspan(&["check", text(&file)]).code(0);
}

#[test]
fn compose_portable_refuses_what_is_a_stages_own() {
    let main = || Pipeline::new("main", "hello");
    let cases = [
        (
            main().stage_with("security-headers", "config = { frame-options = \"DENY\" }"),
            "main/0:security-headers",
        ),
        (main().stage("rate-limit"), "linkspan:gateway/rate-limiter"),
        (main().stage("pass-through-sync").service_with("config = { greeting = \"Hi\" }"), "main/1:hello"),
        (
            main().stage_with("probe-middleware", "grant = { env = { REGION = \"eu\" } }"),
            "an environment of its own",
        ),
    ];
    for (pipeline, expected) in cases {
        let folder = Folder::new();
        let (ran, output) = compose(&folder, &Setup::of([pipeline]), &["--portable"]);
        let ran = ran.code(1);
        assert!(ran.stderr.contains("can't be composed for other hosts"), "{ran:#?}");
        assert!(ran.stderr.contains(expected), "no `{expected}` in {}", ran.stderr);
        assert!(!output.exists(), "nothing is written for a refusal");
    }
}

/// What only linkspan does is not left out unasked.
#[test]
fn compose_portable_says_what_is_lost() {
    let main = || Pipeline::new("main", "hello");
    let cases = [
        (
            main().limit("deadline = \"2s\"\nqueue = 5"),
            "pipeline `main` loses",
            "`limits.deadline`, `limits.queue`",
        ),
        (
            main().stage_with("pass-through-sync", "limits = { memory = \"8MiB\" }"),
            "main/0:pass-through-sync",
            "`limits.memory`",
        ),
        (
            main().stage_with("pass-through-sync", "link = \"dynamic\"\nlimits = { deadline = \"1s\" }"),
            "main/0:pass-through-sync",
            "`limits.deadline`, a store of its own (`link`)",
        ),
        (
            main().stage_with("pass-through-sync", "link = \"dynamic\"\non-failure = \"bypass\""),
            "main/0:pass-through-sync",
            "`on-failure`, a store of its own (`link`)",
        ),
    ];
    for (pipeline, place, lost) in cases {
        let (folder, setup) = (Folder::new(), Setup::of([pipeline]));
        let (ran, output) = compose(&folder, &setup, &["--portable"]);
        let ran = ran.code(1);
        for expected in [place, lost, "error:", "--lossy"] {
            assert!(ran.stderr.contains(expected), "no `{expected}` in {}", ran.stderr);
        }
        assert!(!output.exists(), "nothing is written for a refusal");
        let (ran, output) = compose(&folder, &setup, &["--portable", "--lossy"]);
        let ran = ran.code(0);
        for expected in [place, lost, "warning:"] {
            assert!(ran.stderr.contains(expected), "no `{expected}` in {}", ran.stderr);
        }
        assert!(output.exists());
        std::fs::remove_file(output).unwrap();
        // linkspan itself does all of it.
        compose(&folder, &setup, &[]).0.code(0);
    }
    // Nothing makes another host know it.
    let folder = Folder::new();
    let pipeline = main().stage("security-headers-in-place");
    let (ran, _) = compose(&folder, &Setup::of([pipeline]), &["--portable", "--lossy"]);
    assert!(
        ran.code(1).stderr.contains("it imports `linkspan:gateway/headers@0.1.0`, which only linkspan has")
    );
}

#[test]
fn compose_portable_without_its_upstream_is_a_middleware() {
    let folder = Folder::new();
    let file = folder.write(
        "linkspan.toml",
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[components.sync]\npath = {:?}\n[upstreams.there]\nservers = \
             [\"http://127.0.0.1:9\"]\n[pipelines.main]\nstages = [{{ component = \"sync\" }}]\nupstream = \"there\"\n\
             [[routes]]\npipeline = \"main\"\n",
            dist("pass-through-sync")
        ),
    );
    let output = folder.path().join("out.wasm");
    let arguments = ["compose", text(&file), "--pipeline", "main", "-o", text(&output), "--portable"];
    let ran = linkspan(&arguments).code(1);
    assert!(ran.stderr.contains("not in the composition: `upstream = \"there\"`"), "{ran:#?}");
    linkspan(&[&arguments[..], &["--lossy"]].concat()).code(0);
    let json = linkspan(&["inspect", "--json", text(&output)]).code(0).json();
    assert_eq!(json["role"], "middleware");
}

#[test]
fn compose_says_which_pipelines_there_are_and_what_it_cannot_write() {
    let folder = Folder::new();
    let file = Setup::of([Pipeline::new("main", "empty")]).write(&folder);
    let output = folder.path().join("out.wasm");
    let ran = linkspan(&["compose", text(&file), "--pipeline", "mian", "-o", text(&output)]).code(1);
    assert!(ran.stderr.contains("`mian`") && ran.stderr.contains("`main`"), "{ran:#?}");
    assert!(!output.exists());
    let nowhere = folder.path().join("nowhere/out.wasm");
    let ran = linkspan(&["compose", text(&file), "--pipeline", "main", "-o", text(&nowhere)]).code(3);
    assert!(ran.stderr.contains(text(&nowhere)), "{ran:#?}");
}

/// The `wasmtime` to test with, if there is one.
fn wasmtime() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("LINKSPAN_TEST_WASMTIME") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("wasmtime")).find(|file| file.is_file())
}

/// A process that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_portable_composition_runs_under_wasmtime_serve() {
    let Some(wasmtime) = wasmtime() else {
        eprintln!("skipped: no wasmtime in PATH, nor in LINKSPAN_TEST_WASMTIME");
        return;
    };
    let folder = Folder::new();
    let setup = portable_setup();
    let (ran, output) = compose(&folder, &setup, &["--portable"]);
    ran.code(0);
    let mut child = Command::new(wasmtime)
        .args(["serve", "-Sp3,cli,config", "-Wcomponent-model-async", "--addr", "127.0.0.1:0", text(&output)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let _child = Killed(child);
    let serving =
        |line: String| line.strip_prefix("Serving HTTP on http://")?.trim_end_matches('/').parse().ok();
    let address: SocketAddr =
        stderr.lines().map_while(Result::ok).find_map(serving).expect("wasmtime serves");
    let gateway = Gateway::start(&setup);
    let fields = [("x-request-id", "the-same-for-both")];
    run(async {
        let theirs = Client::open(address, Protocol::Http1).await.get("/a?b", &fields).await.ok();
        let ours = Client::connect(&gateway, Protocol::Http1).await.get("/a?b", &fields).await.ok();
        assert_eq!(theirs.text(), ours.text());
        for (name, value) in &ours.headers {
            // What the two hosts add themselves may differ.
            if name != "date" && name != "content-length" {
                assert_eq!(theirs.headers.get(name), Some(value), "{name}");
            }
        }
        assert_eq!(ours.header("x-request-id"), Some("the-same-for-both"));
    });
    gateway.stop();
}
