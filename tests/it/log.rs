//! The log, when nobody reads it, when there is too much of it, and when somebody wants to write into it.

use crate::harness::{
    Client, Folder, Gateway, Protocol, SOON, binary, dist, eventually, free, identity, run,
};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{PipeReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Instant;

/// A gateway with the addresses `plain` and `admin`, of a service that fails if it is asked to, and one that doesn't.
fn configuration(folder: &Folder, plain: SocketAddr, admin: SocketAddr, log: &str) -> std::path::PathBuf {
    let identity = identity();
    folder.write("cert.pem", &identity.certificate);
    folder.write("key.pem", &identity.key);
    let text = format!(
        "gateway.workers = 1\n[log]\n{log}\n[admin]\naddress = \"{admin}\"\n[[listeners]]\naddress = \"{plain}\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n\
         [components]\nfault-service.path = {:?}\nhello.path = {:?}\n\
         [pipelines.faulty.service]\ncomponent = \"fault-service\"\ngrant = {{ clocks = true }}\n\
         [pipelines.sound.service]\ncomponent = \"hello\"\n\
         [[routes]]\npipeline = \"faulty\"\npath = \"/faulty\"\n[[routes]]\npipeline = \"sound\"\n",
        dist("fault-service"),
        dist("hello"),
    );
    folder.write("linkspan.toml", text)
}

/// Serves with a standard error that nobody reads.
fn unread(file: &std::path::Path, plain: SocketAddr, admin: SocketAddr) -> (Child, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut serve = binary(&["serve", file.to_str().unwrap()]);
    let child = serve.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    for address in [plain, admin] {
        eventually("it listens", || std::net::TcpStream::connect(address).is_ok());
    }
    (child, reader)
}

/// Has the service fail `times`.
async fn fail(address: SocketAddr, fault: &str, times: usize) {
    let mut client = Client::open(address, Protocol::Http1).await;
    for _ in 0..times {
        assert_eq!(client.get("/faulty", &[("x-fault", fault)]).await.status, 500);
    }
}

async fn metric(admin: SocketAddr, result: &str) -> u64 {
    let answer = Client::open(admin, Protocol::Http1).await.get("/metrics", &[]).await.ok();
    let name = format!("linkspan_log_lines_total{{result=\"{result}\"}} ");
    answer.text().lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

fn end(mut child: Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let mut status = None;
    eventually("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
}

#[test]
fn a_stalled_reader_of_standard_error_stalls_nobody() {
    let (folder, plain, admin) = (Folder::new(), free(), free());
    let file = configuration(&folder, plain, admin, "rate = 1000000\nqueue = \"256KiB\"");
    let (child, mut reader) = unread(&file, plain, admin);
    run(async {
        // More than the pipe, the writer and the queue take.
        let start = Instant::now();
        while metric(admin, "dropped").await == 0 {
            fail(plain, "error", 300).await;
            assert!(start.elapsed() < SOON, "nothing is dropped");
        }
        Client::open(plain, Protocol::Http1).await.get("/", &[]).await.ok();
        for path in ["/healthz", "/readyz"] {
            Client::open(admin, Protocol::Http1).await.get(path, &[]).await.ok();
        }
        // Somebody reads again.
        let text = std::thread::spawn(move || {
            let (mut text, mut some) = (Vec::new(), [0; 65_536]);
            let said = |text: &[u8]| String::from_utf8_lossy(text).contains("log lines were dropped");
            while !said(&text) {
                let read = reader.read(&mut some).unwrap();
                assert!(read > 0, "it ended without saying it");
                text.extend_from_slice(&some[..read]);
            }
            (String::from_utf8(text).unwrap(), reader)
        });
        let (text, _reader) = text.join().unwrap();
        let line = text.lines().find(|line| line.contains("log lines were dropped")).unwrap();
        assert!(line.contains(" WARN linkspan::telemetry::log: ") && line.contains(" dropped="), "{line}");
    });
    end(child);
}

#[test]
fn a_stalled_reader_of_standard_error_does_not_hold_up_the_end() {
    let (folder, plain, admin) = (Folder::new(), free(), free());
    let file = configuration(&folder, plain, admin, "");
    let (child, _reader) = unread(&file, plain, admin);
    run(async { fail(plain, "error", 600).await });
    end(child);
}

/// The fault `error` has its guest say what the request's field says.
#[test]
fn a_failing_stage_has_a_rate_and_its_line_a_length() {
    const REQUESTS: usize = 400;
    let (folder, plain, admin) = (Folder::new(), free(), free());
    let file = configuration(&folder, plain, admin, "rate = 5\nvalue-size = \"256B\"");
    let mut gateway = Gateway::serve(folder, &file, []);
    run(async {
        let start = Instant::now();
        fail(plain, "error", REQUESTS).await;
        let lines = gateway.count(|line| line["message"] == "the chain gave no response");
        let most = 50 + 5 * (start.elapsed().as_secs() as usize + 1);
        assert!(lines <= most && lines < REQUESTS, "{lines} of {most}");
        assert!(metric(admin, "suppressed").await >= (REQUESTS - most) as u64);
    });
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
    let left_out = gateway.line(|line| line["like"] == "the chain gave no response, pipeline faulty");
    assert!(left_out["suppressed"].as_u64().unwrap() > 0, "{left_out}");
}

#[test]
fn a_wrong_filter_is_an_error() {
    let (folder, plain, admin) = (Folder::new(), free(), free());
    let file = configuration(&folder, plain, admin, "");
    for wrong in ["verbose", "info,linkspan=loud"] {
        let output = binary(&["serve", file.to_str().unwrap()]).env("LINKSPAN_LOG", wrong).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("LINKSPAN_LOG"), "{text}");
    }
}
