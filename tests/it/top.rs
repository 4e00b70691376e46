//! `linkspan top`: what it prints of a running gateway, and what it does to a terminal.

use crate::harness::{
    Client, Folder, Gateway, MS, Pipeline, Protocol, SOON, Setup, binary, eventually, free, repository, run,
};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a command left behind: its exit code, and what it printed.
fn top(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = binary(&["top"]);
    let output = command.args(arguments).env_remove("LINKSPAN_ADMIN_TOKEN").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn admin(gateway: &Gateway) -> String {
    gateway.line(|line| line["message"] == "admin listening")["address"].as_str().unwrap().to_owned()
}

/// Sends so many requests.
fn ask(gateway: &Gateway, requests: usize) {
    run(async {
        let mut client = Client::open(gateway.plain, Protocol::Http1).await;
        for _ in 0..requests {
            client.get("/", &[]).await.ok();
        }
    });
}

/// The cells of a row of the table.
fn row<'t>(table: &'t str, name: &str) -> Vec<&'t str> {
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    row.unwrap_or_else(|| panic!("no {name} in\n{table}")).split_whitespace().collect()
}

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

crate::chain_test! {
    /// One table, and all that the gateway says of the chain.
    fn a_table_of_the_running_gateway(chain) {
        let sampled = "[telemetry]\nsample = 1\nstages = true\n";
        let gateway = Gateway::start(&chain.setup("hello").more(ADMIN).more(sampled));
        ask(&gateway, 20);
        let admin = admin(&gateway);
        // A request counts when its answer is over for the gateway, too.
        let mut table = String::new();
        eventually("all requests are counted", || {
            let (code, out, err) = top(&[&admin, "--once"]);
            assert_eq!((code, err.as_str()), (Some(0), ""));
            table = out;
            row(&table, "main")[1] == "20"
        });
        let title = table.lines().next().unwrap();
        assert_eq!(title.split_whitespace().take(4).collect::<Vec<_>>(), ["pipeline", "requests", "req/s", "5xx"]);
        let cells = row(&table, "main");
        assert_eq!((cells[3], cells[4], cells[8]), ("0%", "0%", "0"), "{table}");

        // The form in which stages are observed may still be compiled when the first request comes.
        eventually("each stage is observed", || {
            ask(&gateway, 1);
            let (code, out, err) = top(&[&format!("http://{admin}/"), "--json"]);
            assert_eq!((code, err.as_str()), (Some(0), ""));
            let overview: Value = serde_json::from_str(&out).unwrap();
            let pipeline = &overview["pipelines"][0];
            assert_eq!((&pipeline["name"], pipeline["requests"].as_u64() >= Some(20)), (&"main".into(), true));
            let stages = pipeline["stages"].as_array().unwrap();
            assert_eq!(stages.len(), chain.front.len() + 1);
            // What the chain's view needs of each stage.
            stages.iter().all(|stage| stage["observed"]["own"].is_array() && stage["lift"].is_string())
        });
        gateway.stop();
    }
}

#[test]
fn rates_are_of_the_interval() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "hello")]).more(ADMIN));
    ask(&gateway, 20);
    let (code, table, _) = top(&[&admin(&gateway), "--once", "--interval", "100ms"]);
    assert_eq!(code, Some(0));
    // Twenty since the start, and none in the interval.
    assert_eq!(row(&table, "main")[1..3], ["20", "0"], "{table}");
}

/// A page of an answer has a bound, and a table has all pipelines.
#[test]
fn a_table_has_all_pages() {
    let pipelines = (0..600)
        .map(|number| Pipeline::new(&format!("p{number}"), "hello").route(&format!("path = \"/{number}\"")));
    let gateway = Gateway::start(&Setup::of(pipelines).more(ADMIN));
    let admin = admin(&gateway);
    let (code, table, err) = top(&[&admin, "--once"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(table.lines().count(), 601);
    for number in [0, 249, 250, 599] {
        row(&table, &format!("p{number}"));
    }
    let overview: Value = serde_json::from_str(&top(&[&admin, "--json"]).1).unwrap();
    assert_eq!(overview["pipelines"].as_array().unwrap().len(), 600);
}

#[test]
fn the_token_comes_from_a_variable_or_a_file() {
    const TOKEN: &str = "0123456789abcdef-token";
    let keys = format!("{ADMIN}token = {{ env = \"THE_TOKEN\" }}\n");
    let gateway =
        Gateway::start(&Setup::of([Pipeline::new("main", "hello")]).more(&keys).env("THE_TOKEN", TOKEN));
    let admin = admin(&gateway);
    let (code, out, err) = top(&[&admin, "--once"]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(
        err.contains(&format!("cannot ask `http://{admin}`: it answered 401: "))
            && err.contains("--token-file"),
        "{err}"
    );
    let folder = Folder::new();
    let file = folder.write("token", format!("{TOKEN}\n"));
    assert_eq!(top(&[&admin, "--once", "--token-file", file.to_str().unwrap()]).0, Some(0));
    let with = |name: &str, arguments: &[&str]| {
        let mut command = binary(&["top", &admin, "--once"]);
        command
            .args(arguments)
            .env_remove("LINKSPAN_ADMIN_TOKEN")
            .env(name, TOKEN)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(with("LINKSPAN_ADMIN_TOKEN", &[]), Some(0));
    assert_eq!(with("MINE", &["--token-env", "MINE"]), Some(0));
    assert_eq!(with("OTHER", &["--token-env", "MINE"]), Some(2));
}

#[test]
fn what_cannot_be_asked_is_said() {
    let (code, out, err) = top(&["127.0.0.1:1"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("no terminal") && err.contains("`--once`"), "{err}");
    for (arguments, expected) in [
        (&["127.0.0.1:1", "--once"][..], 3),
        (&["https://127.0.0.1:1", "--once"], 2),
        (&["--once", "--json"], 2),
        (&["--once", "--interval", "1"], 2),
        (&["--once", "--interval", "99ms"], 2),
        (&["--once", "--interval", "2h"], 2),
    ] {
        let (code, out, err) = top(arguments);
        assert_eq!((code, out.as_str()), (Some(expected), ""), "{arguments:?}: {err}");
        assert!(!err.is_empty());
    }
    // A server that is no gateway.
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "hello")]));
    let (code, _, err) = top(&[&gateway.plain.to_string(), "--once"]);
    assert!(code == Some(3) && err.contains("linkspan gateway"), "{err}");
}

/// Whether a terminal can be made; says so, if not.
fn terminals() -> bool {
    let there =
        Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_ok_and(|it| it.success());
    if !there {
        eprintln!("SKIPPED: there is no python3, which makes the terminal");
    }
    there
}

/// What the script is told by a byte that no key sends.
const LARGER: u8 = 0xfc;
const TERMINATE: u8 = 0xfd;
const INTERRUPT: u8 = 0xfe;

/// A terminal of 80 columns and 24 lines, and the command in it, by `top/terminal.py`.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(admin: &str) -> Self {
        let mut script = Command::new("python3")
            .arg(repository().join("tests/it/top/terminal.py"))
            .args([env!("CARGO_BIN_EXE_linkspan"), "top", admin, "--interval", "100ms"])
            .env_remove("LINKSPAN_ADMIN_TOKEN")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut reader, seen) = (script.stdout.take().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut some) {
                sink.lock().unwrap().extend_from_slice(&some[..count]);
            }
        });
        let keys = script.stdin.take().unwrap();
        Self { script, keys, seen }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Waits until `text` is written, and forgets what came up to then.
    #[track_caller]
    fn shows(&self, text: &str) {
        let start = Instant::now();
        loop {
            let mut seen = self.seen.lock().unwrap();
            if let Some(at) = seen.windows(text.len()).position(|part| part == text.as_bytes()) {
                seen.drain(..at + text.len());
                return;
            }
            drop(seen);
            assert!(start.elapsed() < SOON, "no {text:?} in {:?}", self.seen());
            std::thread::sleep(10 * MS);
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
        self.keys.flush().unwrap();
    }

    /// Checks that it ended well, and left the terminal as it was: its modes, the first screen, and the cursor.
    #[track_caller]
    fn ended(mut self) {
        let mut told = String::new();
        self.script.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(told.trim(), "ended 0 restored", "{:?}", self.seen());
        for sequence in ["\u{1b}[?1049l", "\u{1b}[?25h"] {
            eventually("the terminal is given back", || self.seen().contains(sequence));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn live_in_a_terminal() {
    if !terminals() {
        return;
    }
    let pipeline = Pipeline::new("main", "hello").stage("pass-through-sync");
    let gateway = Gateway::start(&Setup::of([pipeline]).more(ADMIN));
    let mut terminal = Terminal::start(&admin(&gateway));
    terminal.shows("[1 pipelines]");
    terminal.shows("main");
    terminal.press(b"\r");
    terminal.shows("0:pass-through-sync");
    // Another size is looked up, and drawn at once.
    terminal.press(&[LARGER]);
    terminal.shows("\u{1b}[30;1H");
    for (key, shown) in
        [(b"3", "is live"), (b"4", "no request was sampled"), (b"2", "no pipeline ends"), (b"?", "this help")]
    {
        terminal.press(key);
        terminal.shows(shown);
    }
    terminal.press(b"\x1b");
    terminal.shows("no pipeline ends");
    terminal.press(b"q");
    terminal.ended();
}

#[test]
fn a_signal_or_control_c_gives_the_terminal_back() {
    if !terminals() {
        return;
    }
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "hello")]).more(ADMIN));
    for byte in [TERMINATE, INTERRUPT, 0x03] {
        let mut terminal = Terminal::start(&admin(&gateway));
        terminal.shows("main");
        terminal.press(&[byte]);
        terminal.ended();
    }
}

#[test]
fn a_gateway_that_goes_away_is_taken_up_again() {
    if !terminals() {
        return;
    }
    let address = free();
    let setup = Setup::of([Pipeline::new("main", "hello")]);
    let setup = setup.more(&format!("[admin]\naddress = \"{address}\"\n"));
    let gateway = Gateway::start(&setup);
    let mut terminal = Terminal::start(&address.to_string());
    terminal.shows("main");
    gateway.stop();
    terminal.shows("no answer since");
    let gateway = Gateway::start(&setup);
    terminal.shows("q quit");
    terminal.press(b"q");
    terminal.ended();
    gateway.stop();
}
