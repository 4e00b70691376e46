//! One process after another on the same address: handed over, inherited, and the end that the first one comes to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use linkspan::net::handover::{Offer, offer, receive};
use linkspan::net::{Cut, Duplicate, Shared, Signals, Sources, activation, bind, shutdown};
use rustix::process::{Pid, Signal, kill_process};

use super::support::{Load, MS, SOON, Server, ask, connect_to, directory, limits, read_all, run};

// ---- Handed over --------------------------------------------------------------------------------------------------------

/// A path that fits into a Unix socket's address, wherever the build directory is.
fn path() -> PathBuf {
    let directory = directory("handover");
    let short = std::env::temp_dir().join(directory.file_name().unwrap());
    std::fs::create_dir_all(&short).unwrap();
    short.join("takeover.sock")
}

/// The server offers its sockets, and stops once they are taken.
fn offering(server: &Server, path: &Path) -> Offer {
    let trigger = server.trigger.clone();
    offer(path, server.sockets(), move || trigger.drain()).unwrap()
}

/// What a new process does, but in this one.
fn take_over(path: &Path, address: SocketAddr, workers: usize) -> Server {
    let received = receive(path).unwrap().expect("somebody offers");
    let mut sources = Sources { received: Some(received), ..Sources::default() };
    let listening = sources.listen(address, workers).unwrap();
    assert_eq!(listening.address, address);
    let server = Server::on(&limits(), listening.sockets, &listening.shared, None);
    let received = sources.received.take().unwrap();
    assert_eq!(received.left().count(), 0);
    assert!(listening.shared.get());
    received.serving().unwrap();
    assert!(!listening.shared.get());
    server
}

#[test]
fn takeovers_under_load_lose_no_request() {
    let rounds =
        if std::env::var_os("LINKSPAN_TEST_FULL").is_some_and(|value| value == "1") { 100 } else { 20 };
    let path = path();
    let mut server = Server::start(&limits(), None, 2);
    let address = server.address;
    let mut offered = offering(&server, &path);
    let load = Load::on(address, 4, 2);
    let mut old = Vec::new();
    for round in 0..rounds {
        std::thread::sleep(20 * MS);
        // Worker counts differ, so that sockets are shared by workers, and workers have several sockets.
        let new = take_over(&path, address, 1 + round % 3);
        drop(offered);
        offered = offering(&new, &path);
        old.push(std::mem::replace(&mut server, new));
    }
    let count = load.done();
    assert!(count > 10 * rounds, "{count} requests are no load");
    for server in old {
        assert_eq!(server.ended(), Cut::default());
    }
    drop(offered);
    assert_eq!(server.ended_by_drain(), Cut::default());
    assert!(connect_to(address).is_err(), "nobody holds the sockets any more");
}

#[test]
fn a_new_process_that_fails_leaves_the_old_one_serving() {
    let path = path();
    let server = Server::plain(&limits());
    let _offer = offering(&server, &path);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let received = receive(&path).unwrap().unwrap();
    assert!(server.shared.get());
    drop(received);
    server.eventually("its end is noticed", |server| !server.shared.get());
    // One that says what it should not, and one that says nothing.
    for said in [&b"?"[..], b""] {
        let mut stranger = UnixStream::connect(&path).unwrap();
        let mut header = [0; 11];
        stranger.read_exact(&mut header).unwrap();
        stranger.write_all(said).unwrap();
        drop(stranger);
        server.eventually("its end is noticed", |server| !server.shared.get());
    }
    assert!(!ask(&mut server.connect(), "/").unwrap().contains("connection: close"));
    let address = server.address;
    let new = take_over(&path, address, 1);
    assert_eq!(server.ended(), Cut::default());
    ask(&mut new.connect(), "/").unwrap();
    assert!(!path.exists(), "the name is free for the new process");
}

#[test]
fn an_offer_ends_when_it_is_dropped_and_replaces_what_is_left_of_another() {
    let path = path();
    assert!(receive(&path).unwrap().is_none());
    drop(UnixListener::bind(&path).unwrap());
    assert!(receive(&path).unwrap().is_none(), "a name that nobody listens on");
    let server = Server::plain(&limits());
    let first = offering(&server, &path);
    let second = offering(&server, &path);
    drop(first);
    assert!(path.exists(), "the second one's");
    // Withdrawn while a new process starts: that one goes on, and learns of it.
    let received = receive(&path).unwrap().unwrap();
    drop(second);
    assert!(!path.exists());
    received.serving().unwrap_err();
    assert!(receive(&path).unwrap().is_none());
}

#[test]
fn another_version_and_other_descriptors_are_errors() {
    for header in [
        &b"linkspan\x02\0\x01"[..],
        b"linkspam\x01\0\x01",
        b"linkspan\x01\xff\xff",
        b"linkspan\x01\0\x01\x01",
        b"l",
    ] {
        let path = path();
        let old = UnixListener::bind(&path).unwrap();
        let answer = std::thread::spawn(move || old.accept().unwrap().0.write_all(header));
        receive(&path).unwrap_err();
        answer.join().unwrap().unwrap();
    }
    // A socket that does not listen.
    let path = path();
    let not_listening = || {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0")?;
        let socket = TcpListener::from(OwnedFd::from(udp));
        Ok(vec![Duplicate { socket, shared: Shared::default() }])
    };
    let _offer = offer(&path, not_listening, || panic!("not taken")).unwrap();
    assert_eq!(receive(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

// ---- Inherited ----------------------------------------------------------------------------------------------------------

const DELAY: &str = "LINKSPAN_TEST_DRAIN_DELAY_MS";

/// This test binary again, with `socket` as systemd would pass it.
fn activated(socket: &TcpListener, drain_delay: Duration) -> Child {
    let name = format!("{}::serves_what_it_inherits", module_path!().split_once("::").unwrap().1);
    Command::new("/bin/sh")
        .args(["-c", r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "web")
        .env(DELAY, drain_delay.as_millis().to_string())
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does nothing by itself: it is what [`activated`] starts.
#[test]
fn serves_what_it_inherits() {
    let Ok(delay) = std::env::var(DELAY) else { return };
    let mut inherited = activation::inherited().unwrap();
    assert!(activation::inherited().unwrap().left().next().is_none(), "taken once");
    let (name, address) = inherited.left().next().unwrap();
    assert_eq!(name, "web");
    let mut sources = Sources { received: None, inherited: std::mem::take(&mut inherited) };
    let listening = sources.listen(address, 2).unwrap();
    assert!(listening.shared.get());
    let (installed, wait) = sync_channel(1);
    let (give_trigger, take_trigger) = sync_channel(1);
    std::thread::spawn(move || {
        run(async {
            let signals = Signals::install().unwrap();
            installed.send(()).unwrap();
            let delay = Duration::from_millis(delay.parse().unwrap());
            shutdown::signals(signals, take_trigger.recv().unwrap(), delay).await;
        });
    });
    // Whoever gets an answer may send a signal.
    wait.recv().unwrap();
    let server = Server::on(&limits(), listening.sockets, &listening.shared, None);
    give_trigger.send(server.trigger.clone()).unwrap();
    assert_eq!(server.ended(), Cut::default());
}

fn signal(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
}

fn exit(mut child: Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > SOON {
            child.kill().unwrap();
            panic!("not in time");
        }
        std::thread::sleep(5 * MS);
    }
}

#[test]
fn an_inherited_socket_outlives_the_process_and_nothing_is_lost_between_two() {
    let socket = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let load = Load::on(socket.local_addr().unwrap(), 2, 1);
    for _ in 0..3 {
        let child = activated(&socket, Duration::ZERO);
        let mut stream = connect_to(socket.local_addr().unwrap()).unwrap();
        ask(&mut stream, "/").unwrap();
        std::thread::sleep(50 * MS);
        signal(&child);
        assert!(exit(child).success());
    }
    // The clients that wait now are answered by one more.
    let last = activated(&socket, Duration::ZERO);
    let count = load.done();
    signal(&last);
    assert!(exit(last).success());
    assert!(count > 20, "{count} requests are no load");
}

#[test]
fn before_the_drain_comes_a_delay_in_which_nothing_changes() {
    let socket = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = socket.local_addr().unwrap();
    let child = activated(&socket, Duration::from_secs(3));
    let mut kept = connect_to(address).unwrap();
    ask(&mut kept, "/").unwrap();
    let start = Instant::now();
    signal(&child);
    while start.elapsed() < 500 * MS {
        assert!(!ask(&mut kept, "/").unwrap().contains("connection: close"));
        assert!(!ask(&mut connect_to(address).unwrap(), "/").unwrap().contains("connection: close"));
        std::thread::sleep(20 * MS);
    }
    std::thread::sleep(Duration::from_millis(3_500).saturating_sub(start.elapsed()));
    assert!(ask(&mut kept, "/").unwrap().contains("connection: close"));
    assert_eq!(read_all(&mut kept).0, "");
    assert!(exit(child).success());
}

#[test]
fn a_second_signal_skips_the_delay() {
    let socket = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let child = activated(&socket, Duration::from_hours(1));
    ask(&mut connect_to(socket.local_addr().unwrap()).unwrap(), "/").unwrap();
    signal(&child);
    // Two that come at once are one.
    std::thread::sleep(100 * MS);
    signal(&child);
    assert!(exit(child).success());
}
