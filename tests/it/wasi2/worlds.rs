//! What a component sees of the world through WASI 0.2: nothing that it is not granted, and each stage its own.

use crate::chain_test;
use crate::harness::{
    Answer, Chain, Client, Folder, Gateway, Pipeline, Protocol, Setup, get, in_time, run, there,
};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};

/// A stage of `probe-0-2` that looks at what `look` says and tells it under `name`.
fn probe(pipeline: Pipeline, name: &str, look: &[&str], grant: &str) -> Pipeline {
    let keys =
        format!("config = {{ name = \"{name}\", look = {look:?} }}\ngrant = {{ random = true, {grant} }}");
    pipeline.stage_with("probe-0-2", &keys)
}

/// What the stage called `name` told.
fn told(answer: &Answer, name: &str) -> Vec<String> {
    let told = (0..).map_while(|at| answer.header(&format!("x-{name}-{at}")));
    told.map(str::to_owned).collect()
}

/// Asks once, over HTTP/2.
async fn ask(gateway: &Gateway, fields: &[(&str, &str)]) -> Answer {
    Client::connect(gateway, Protocol::Http2).await.get("/", fields).await
}

/// A grant of the directory at `path`, seen as `/data`.
fn directory(path: &std::path::Path, write: bool) -> String {
    format!("filesystem = [{{ path = {path:?}, as = \"/data\", write = {write} }}]")
}

chain_test! {
    /// What a libc imports merely by existing is there without a grant, and has nothing to tell.
    fn nothing_without_grants(chain) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = format!("connect={}", listener.local_addr().unwrap().port());
        let look = [
            "env", "arguments", "directories", "stdin", "print=quiet", "terminal", "read=file", &connect,
            "datagram=9", "listen", "lookup", "random",
        ];
        let gateway = Gateway::start(&Setup::of([probe(chain.pipeline("hello"), "p", &look, "clocks = true")]));
        run(async {
            let answer = ask(&gateway, &[]).await.ok();
            assert_eq!(
                told(&answer, "p"),
                [
                    "", "probe-0-2", "", "closed", "printed", "false", "none", "access-denied",
                    "access-denied", "access-denied", "permanent-resolver-failure",
                    "true",
                ]
            );
        });
        assert_eq!(gateway.count(|line| line["message"].as_str().is_some_and(|m| m.contains("quiet"))), 0);
        gateway.stop();
    }
}

chain_test! {
    /// Stages of one component, in one store where they can be, each with an environment, directories and output of its
    /// own.
    fn each_stage_its_own(chain) {
        let folders = [Folder::new(), Folder::new(), Folder::new()];
        for (at, folder) in folders.iter().enumerate() {
            folder.write("file", format!("of {at}"));
            folder.write(&format!("only-{at}"), "there");
        }
        let look = ["env", "directories", "read=file", "read=only-0", "print=hello", "write=new"];
        let grant = |at: usize, write| {
            let directory = directory(folders[at].path(), write);
            format!("clocks = true, stdio = true, env = {{ WHO = \"{at}\" }}, {directory}")
        };
        let pipeline = probe(chain.pipeline("service-0-2"), "one", &look, &grant(0, true));
        let pipeline = probe(pipeline, "two", &look, &grant(1, false));
        let service = format!("grant = {{ random = true, {} }}", grant(2, true));
        let gateway = Gateway::start(&Setup::of([pipeline.service_with(&service)]));
        let first = chain.front.len();
        run(async {
            for _ in 0..2 {
                let answer = ask(&gateway, &[("x-do", "read=file")]).await.ok();
                assert_eq!(told(&answer, "one"), ["WHO=0", "/data", "of 0", "there", "printed", "7 bytes"]);
                let none = "no-entry";
                assert_eq!(
                    told(&answer, "two"),
                    ["WHO=1", "/data", "of 1", none, "printed", "not-permitted"]
                );
                assert_eq!(answer.text(), "of 2");
                assert_eq!(ask(&gateway, &[("x-do", "env")]).await.ok().text(), "WHO=2");
            }
            ask(&gateway, &[("x-do", "print=service")]).await.ok();
        });
        for (at, text) in [(first, "hello"), (first + 1, "hello"), (first + 2, "service")] {
            let name = if at == first + 2 { "service-0-2" } else { "probe-0-2" };
            for stream in ["stdout", "stderr"] {
                let line = gateway.line(|line| {
                    line["message"] == format!("{stream} {text}") && line["stage"] == format!("main/{at}:{name}")
                });
                assert_eq!(line["context"], stream);
            }
        }
        assert_eq!(std::fs::read_to_string(folders[0].path().join("new")).unwrap(), "written");
        assert!(!folders[1].path().join("new").exists());
        gateway.stop();
    }
}

chain_test! {
    /// Nothing outside of a directory, by whatever path.
    fn directories_have_an_outside(chain) {
        let outside = Folder::new();
        let secret = outside.write("secret", "secret");
        let inside = Folder::new();
        inside.write("file", "file");
        std::os::unix::fs::symlink(&secret, inside.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("folder")).unwrap();
        let up = format!("read=../{}/secret", outside.path().file_name().unwrap().to_str().unwrap());
        let absolute = format!("read={}", secret.display());
        let look = ["read=file", &up, &absolute, "read=link", "read=folder/secret", "write=link"];
        let grant = format!("clocks = true, {}", directory(inside.path(), true));
        let gateway = Gateway::start(&Setup::of([probe(chain.pipeline("hello"), "p", &look, &grant)]));
        run(async {
            let told = told(&ask(&gateway, &[]).await.ok(), "p");
            assert_eq!(told[0], "file");
            for outside in &told[1..] {
                assert_eq!(outside, "not-permitted", "{told:?}");
            }
        });
        assert_eq!(std::fs::read_to_string(secret).unwrap(), "secret");
        gateway.stop();
    }
}

chain_test! {
    /// Sockets reach the addresses and ports that are granted, of the one stage that they are granted to.
    fn sockets(chain) {
        let (open, closed) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        datagrams.set_read_timeout(Some(crate::harness::SOON)).unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (open, closed, udp) = (port(&open), port(&closed), datagrams.local_addr().unwrap().port());
        let look = [
            format!("connect={open}"), format!("connect={closed}"), format!("datagram={udp}"),
            format!("datagram={open}"), "listen".to_owned(), "lookup".to_owned(),
        ];
        let look: Vec<_> = look.iter().map(String::as_str).collect();
        let grant = format!("clocks = true, sockets = [\"tcp://127.0.0.0/8:{open}\", \"udp://127.0.0.1:{udp}\"]");
        let pipeline = probe(chain.pipeline("hello"), "may", &look, &grant);
        let pipeline = probe(pipeline, "may-not", &look, "clocks = true");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        let denied = "access-denied";
        run(async {
            let answer = ask(&gateway, &[]).await.ok();
            let unresolved = "permanent-resolver-failure";
            assert_eq!(told(&answer, "may"), ["ok", denied, "ok", denied, denied, unresolved]);
            assert_eq!(told(&answer, "may-not"), [denied, denied, denied, denied, denied, unresolved]);
        });
        let mut bytes = [0; 16];
        let (count, _) = datagrams.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"datagram");
        gateway.stop();
    }
}

chain_test! {
    /// The same through WASI 0.3: directories, sockets and look-ups, each stage its own, whatever they are linked like.
    fn outside_of_0_3(chain) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let folders = [Folder::new(), Folder::new()];
        folders[0].write("file", "of 0");
        folders[1].write("file", "of 1");
        let stage = |pipeline: Pipeline, name: &str, grant: String| {
            let config = format!("config = {{ name = \"{name}\", port = {port}, host = \"localhost\" }}");
            pipeline.stage_with("probe-outside", &format!("{config}\ngrant = {{ {grant} }}"))
        };
        let grant = |at: usize, write, address: &str| {
            let lookup = ["localhost", "*.example.com"][at];
            format!("sockets = [\"{address}\"], lookup = [\"{lookup}\"], {}", directory(folders[at].path(), write))
        };
        let pipeline = stage(chain.pipeline("hello"), "one", grant(0, true, &format!("tcp://127.0.0.1:{port}")));
        let pipeline = stage(pipeline, "two", grant(1, false, "tcp://10.0.0.0/8:1-65535"));
        let gateway = Gateway::start(&Setup::of([pipeline]));
        run(async {
            for _ in 0..2 {
                let answer = ask(&gateway, &[]).await.ok();
                for (field, value) in [
                    ("x-one-file", "of 0"),
                    ("x-one-write", "ok"),
                    ("x-one-connect", "ok"),
                    ("x-one-lookup", "ok"),
                    ("x-two-file", "of 1"),
                    ("x-two-write", "ErrorCode::NotPermitted"),
                    ("x-two-connect", "ErrorCode::AccessDenied"),
                    ("x-two-lookup", "ErrorCode::AccessDenied"),
                ] {
                    assert_eq!(answer.header(field), Some(value), "{field}");
                }
            }
        });
        assert!(folders[0].path().join("new").is_file() && !folders[1].path().join("new").exists());
        gateway.stop();
    }
}

chain_test! {
    /// A coarse clock shows whole milliseconds to the stage that has one, and to no other.
    fn coarse_clocks(chain) {
        let look = ["wall", "monotonic", "monotonic-0-3"];
        let pipeline = probe(chain.pipeline("hello"), "coarse", &look, "clocks = \"coarse\"");
        let gateway = Gateway::start(&Setup::of([probe(pipeline, "real", &look, "clocks = true")]));
        run(async {
            let mut real = [false; 3];
            // A real clock shows a whole millisecond once in a million times.
            while real != [true; 3] {
                let answer = ask(&gateway, &[]).await.ok();
                assert_eq!(told(&answer, "coarse"), ["0", "0", "0"]);
                for (seen, told) in real.iter_mut().zip(told(&answer, "real")) {
                    *seen |= told != "0";
                }
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// `wasi:cli/exit` ends the instance, with a line that says whose it was, and nothing else.
    fn exit(chain) {
        let gateway = Gateway::start(&Setup::of([probe(chain.pipeline("hello"), "p", &[], "clocks = true")]));
        run(async {
            for _ in 0..3 {
                let id = ask(&gateway, &[("x-look", "exit")]).await.problem(500, "guest-trap");
                let line = gateway.reason(&id);
                assert!(line["reason"].as_str().unwrap().contains("called `wasi:cli/exit` with failure"), "{line}");
                ask(&gateway, &[]).await.ok();
            }
        });
        let at = chain.front.len();
        gateway.line(|line| {
            line["stage"] == format!("main/{at}:probe-0-2")
                && line["message"].as_str().is_some_and(|message| message.contains("wasi:cli/exit"))
        });
        gateway.stop();
    }
}

chain_test! {
    /// A guest that waits in `wasi:io` holds its instance: other requests go to other instances.
    fn a_held_instance(chain) {
        let pipeline = probe(chain.pipeline("hello"), "p", &[], "clocks = true");
        let gateway = Gateway::start(&Setup::of([pipeline.limit("instances = 4\nqueue = 0")]));
        run(async {
            let mut slow = Client::connect(&gateway, Protocol::Http2).await;
            let held = tokio::task::spawn_local(slow.start(get("/", &[("x-look", "sleep=600000")])));
            for _ in 0..20 {
                in_time(ask(&gateway, &[])).await.ok();
            }
            assert!(!held.is_finished());
            held.abort();
        });
        gateway.stop();
    }
}

chain_test! {
    /// Requests that arrive together with one whose guest will wait in `wasi:io` do not wait with it.
    fn beside_one_that_will_hold(chain) {
        let pipeline = probe(chain.pipeline("hello"), "p", &[], "clocks = true");
        let gateway = Gateway::start(&Setup::of([pipeline.limit("instances = 12\nqueue = 12")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            let held = tokio::task::spawn_local(client.start(get("/", &[("x-look", "sleep=600000")])));
            let others: Vec<_> =
                (0..8).map(|_| tokio::task::spawn_local(client.start(get("/", &[])))).collect();
            for other in others {
                assert_eq!(in_time(other).await.unwrap().unwrap().status(), 200);
            }
            assert!(!held.is_finished());
            held.abort();
        });
        gateway.stop();
    }
}

chain_test! {
    /// A standard library for wasm32-wasip2, which speaks 0.2, in components of 0.3: each stage's files, variables and
    /// output.
    fn a_standard_library(chain) {
        if !there("libc-0-3") {
            return;
        }
        let folder = Folder::new();
        folder.write("file", "content");
        let granted = format!("stdio = true, env = {{ WHO = \"me\" }}, {}", directory(folder.path(), false));
        let stage = |pipeline: Pipeline, more: &str| {
            pipeline.stage_with("libc-0-3", &format!("grant = {{ clocks = true, random = true, {more} }}"))
        };
        // The fields of the outer one are what the client gets.
        let inner = stage(stage(Pipeline::new("inner", "hello").link(chain.link), ""), &granted);
        let outer = stage(stage(Pipeline::new("outer", "hello").link(chain.link), &granted), "");
        let pipelines = [inner.route("path = \"/inner\""), outer.route("path = \"/outer\"")];
        let gateway = Gateway::start(&Setup::of(pipelines));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            for (path, who, file) in
                [("/inner", "nobody", "entity not found"), ("/outer", "me", "content")]
            {
                let answer = client.get(path, &[]).await.ok();
                assert_eq!(answer.header("x-std-who"), Some(who), "{path}");
                assert_eq!(answer.header("x-std-file"), Some(file), "{path}");
                assert_eq!(answer.header("x-std-connect"), Some("permission denied"), "{path}");
            }
            client.get("/outer", &[("x-panic", "1")]).await.problem(500, "guest-trap");
        });
        gateway.line(|line| line["message"] == "std: /outer" && line["stage"] == "outer/0:libc-0-3");
        gateway.line(|line| line["message"].as_str().is_some_and(|message| message.contains("as asked")));
        let silent = |line: &crate::harness::Line| {
            line["context"] == "stdout" && line["stage"] == "outer/1:libc-0-3"
        };
        assert_eq!(gateway.count(silent), 0);
        gateway.stop();
    }
}

/// What a client that left was waiting for ends after `limits.linger`, although nobody can look into the store.
#[test]
fn a_held_instance_ends() {
    let chain = Chain { link: "static", front: &[] };
    let pipeline = probe(chain.pipeline("hello"), "p", &[], "clocks = true");
    let limits = "instances = 1\nqueue = 1\nqueue-timeout = \"20s\"\nlinger = \"50ms\"";
    let gateway = Gateway::start(&Setup::of([pipeline.limit(limits)]));
    run(async {
        for _ in 0..3 {
            let mut slow = Client::connect(&gateway, Protocol::Http1).await;
            let sent = slow.send(get("/", &[("x-look", "sleep=600000")]));
            assert!(tokio::time::timeout(50 * crate::harness::MS, sent).await.is_err());
            drop(slow);
            in_time(ask(&gateway, &[])).await.ok();
        }
    });
    gateway.stop();
}

/// Reads one request head and answers 204.
pub fn answer_once(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    String::from_utf8(head).unwrap()
}
