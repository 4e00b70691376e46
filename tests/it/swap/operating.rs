//! The compile cache, settings that need a restart, and a restart itself.

use super::number;
use super::stamped;
use super::support::{Served, head, whole};
use crate::harness::body::empty;
use crate::harness::{Client, Folder, Line, MS, Protocol, SOON, free, request, run};
use http::Method;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Files of a folder, and which file of the file system each is.
fn entries(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.path(), entry.metadata().unwrap().ino())).collect()
}

fn start(cache: &Path) -> Served {
    Served::start(&format!("compile-cache = {:?}\n", cache.join("code")), &stamped(1))
}

fn serves(served: Served) {
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http2).await;
        assert_eq!(number(&client.get("/", &[]).await), 1);
    });
    served.gateway.stop();
}

#[test]
fn compiled_code_is_kept_and_what_was_changed_is_compiled_again() {
    let cache = Folder::new();
    let folder = cache.path().join("code");
    let changed =
        |line: &Line| line["message"].as_str().is_some_and(|text| text.contains("compile cache was changed"));
    serves(start(cache.path()));
    let first = entries(&folder);
    assert!(!first.is_empty());
    // Each is written under another name first, so that a second write is another file.
    serves(start(cache.path()));
    assert_eq!(entries(&folder), first, "nothing is compiled again");
    for path in first.keys() {
        let mut code = std::fs::read(path).unwrap();
        let middle = code.len() / 2;
        code[middle] ^= 1;
        std::fs::write(path, code).unwrap();
    }
    let served = start(cache.path());
    assert_eq!(served.gateway.count(changed), first.len());
    serves(served);
    let served = start(cache.path());
    assert_eq!(served.gateway.count(changed), 0, "it was repaired");
    serves(served);
}

#[test]
fn a_cache_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let cache = Folder::new();
    let folder = cache.path().join("code");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let text = whole(&head(&format!("compile-cache = {folder:?}\n")), &stamped(1));
    let identity = crate::harness::identity();
    cache.write("cert.pem", &identity.certificate);
    cache.write("key.pem", &identity.key);
    let file = cache.write("linkspan.toml", text);
    let output = crate::harness::binary(&["serve", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("can be written by others"), "{output:?}");
}

#[test]
fn what_needs_a_restart_is_named() {
    let served = Served::start("", &stamped(1));
    let named =
        |line: &Line| line["message"] == "these changes need a restart; the old values stay in effect";
    run(async {
        served.swap(&stamped(2)).await;
        assert_eq!(served.gateway.count(named), 0);
        served.write_whole(&whole(&head("drain-delay = \"1s\"\n"), &stamped(3)));
        assert_eq!(served.reload().await.0, 200);
        assert_eq!(served.gateway.line(named)["changed"], "[\"gateway.drain-delay\"]");
    });
    served.gateway.stop();
}

/// The admin listener's address is the new process's from the moment on that it serves, however long the old one
/// drains, and no probe is told that the gateway is not ready.
#[test]
fn a_takeover_takes_the_admin_listener() {
    let (plain, tls, admin) = (free(), free(), free());
    let head = format!(
        "[gateway]\nworkers = 1\nwatch = \"0s\"\nhandover = \"takeover.sock\"\n[admin]\naddress = \"{admin}\"\n\n\
         [[listeners]]\naddress = \"{plain}\"\n\n[[listeners]]\naddress = \"{tls}\"\n\
         tls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n\n"
    );
    let with_echo = |number| {
        stamped(number)
            + "[pipelines.slow.service]\ncomponent = \"echo\"\n[[routes]]\npipeline = \"slow\"\npath = \"/slow\"\n"
    };
    let mut first = Served::start_in(Folder::new(), &head, &with_echo(1));
    // The first process has something to drain.
    let mut slow = TcpStream::connect(plain).unwrap();
    slow.set_read_timeout(Some(SOON)).unwrap();
    slow.write_all(b"POST /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nab")
        .unwrap();
    let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
    let probe = std::thread::spawn(move || {
        let mut answers = Vec::new();
        while is_done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let mut text = String::new();
            if let Ok(mut stream) = TcpStream::connect(admin)
                && stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").is_ok()
                && stream.read_to_string(&mut text).is_ok()
            {
                answers.extend(text.split(' ').nth(1).map(str::to_owned));
            }
            std::thread::sleep(5 * MS);
        }
        answers
    });
    let second = Served::serve(Folder::new(), &first.file("linkspan.toml"), &head);
    run(async {
        assert_eq!(second.ask(Method::GET, "/readyz").await.0, 200);
        first.write(&with_echo(2));
        assert_eq!(second.reload().await.0, 200);
        let mut client = Client::connect(&second.gateway, Protocol::Http2).await;
        assert_eq!(number(&client.get("/", &[]).await), 2);
    });
    drop(done);
    let answers = probe.join().unwrap();
    assert!(!answers.is_empty() && answers.iter().all(|status| status == "200"), "{answers:?}");
    slow.write_all(b"cde").unwrap();
    let mut text = String::new();
    slow.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "the first process served until now: {text}");
    assert_eq!(first.gateway.ended().code(), Some(0));
    second.gateway.stop();
}

#[test]
fn a_changed_admin_token_is_named_and_a_taken_admin_address_too() {
    let folder = Folder::new();
    folder.write("token", "0123456789abcdef");
    let head = head("").replace("[admin]\n", "[admin]\ntoken = { file = \"token\" }\n");
    let served = Served::start_in(folder, &head, &stamped(1));
    let address = served.admin;
    let named =
        |line: &Line| line["message"] == "these changes need a restart; the old values stay in effect";
    std::fs::write(served.file("token"), "fedcba9876543210").unwrap();
    served.gateway.signal(rustix::process::Signal::HUP);
    assert_eq!(served.gateway.line(named)["changed"], "[\"admin.token\"]");

    let text = whole(&head.replacen("127.0.0.1:0", &address.to_string(), 1), &stamped(1));
    let file = served.file("other.toml");
    std::fs::write(&file, text).unwrap();
    let output = crate::harness::binary(&["serve", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&format!("cannot start the admin listener on {address}")), "{text}");
    served.gateway.stop();
}

/// Who may look, and who may change; and what is told of either.
#[test]
fn the_read_token_changes_nothing_and_each_change_is_in_the_log() {
    const TOKENS: &str = "token = \"0123456789abcdef\"\nread-token = \"fedcba9876543210\"\n";
    let head = head("").replace("[admin]\n", &format!("[admin]\n{TOKENS}"));
    let served = Served::start_in(Folder::new(), &head, &stamped(1));
    let ask = async |method: Method, path: &str, token: &str| {
        let token = format!("Bearer {token}");
        let fields = [("authorization", token.as_str()), ("accept", "application/openmetrics-text")];
        let mut client = Client::open(served.admin, Protocol::Http1).await;
        client.ask(request(method, path, &fields, empty())).await
    };
    run(async {
        let answer = ask(Method::GET, "/metrics", "fedcba9876543210").await.ok();
        assert!(answer.text().ends_with("# EOF\n"), "{answer:?}");
        let (method, path) = (Method::POST, "/-/reload");
        assert_eq!(ask(method.clone(), path, "fedcba9876543210").await.status, 403);
        assert_eq!(ask(method.clone(), path, "0123456789abcdee").await.status, 401);
        ask(method, path, "0123456789abcdef").await.ok();
    });
    let refused = |reason: &'static str| {
        move |line: &Line| line["message"] == "audit: a change was refused" && line["reason"] == reason
    };
    let line = served.gateway.line(refused("ReadOnly"));
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:") && line["path"] == "/-/reload");
    served.gateway.line(refused("Unauthorized"));
    let done = served.gateway.line(|line: &Line| line["message"] == "audit");
    assert_eq!((&done["by"], &done["change"]), (&"token".into(), &"reload".into()));
    assert_eq!((&done["result"], &done["generation"]), (&"unchanged".into(), &1.into()));
    served.gateway.stop();
}

#[test]
fn handshakes_that_come_to_nothing_are_counted() {
    let served = Served::start("", &stamped(1));
    drop(TcpStream::connect(served.gateway.tls).unwrap());
    let mut plain = TcpStream::connect(served.gateway.tls).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    run(async {
        let start = Instant::now();
        for reason in ["gone", "refused"] {
            let name = format!("linkspan_tls_handshakes_lost_total{{reason=\"{reason}\"}}");
            while served.metric(&name).await < 1.0 {
                assert!(start.elapsed() < SOON, "{name}");
                tokio::time::sleep(10 * MS).await;
            }
        }
    });
    served.gateway.stop();
}
