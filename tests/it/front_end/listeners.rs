//! What changes while it is used: certificates, and the listeners themselves.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use linkspan::config::keys::GatewayLimits;
use linkspan::net::{ChangeError, Cut, EndpointChange, Shared, TlsSource, bind, conn, tls};

use super::support::{
    Load, MS, SOON, Server, ask, certificate, connect_h2, connect_tls, connect_tls_to, connect_to, endpoint,
    get, in_time, limits, read_all, run,
};

#[test]
fn certificates_change_for_new_connections_and_old_ones_go_on() {
    let load = |files: super::support::Files| tls::load(&files.certificate, &files.key).unwrap();
    let live = Arc::new(Mutex::new(load(certificate())));
    let source = {
        let live = Arc::clone(&live);
        TlsSource::new(move || Arc::clone(&live.lock().unwrap()))
    };
    let sockets = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let server = Server::on(&limits(), vec![sockets], &Shared::default(), Some(&source));
    let address = server.address;
    let seen = move || {
        run(async {
            let tls = in_time(connect_tls_to(address, &["h2"])).await.expect("no handshake fails");
            tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
        })
    };
    let first = seen();
    let clients: Vec<_> =
        (0..2).map(|_| std::thread::spawn(move || (0..40).map(|_| seen()).collect::<Vec<_>>())).collect();
    run(async {
        let (mut sender, _conn) = connect_h2(&server).await;
        assert_eq!(in_time(sender.send_request(get("GET", "/"))).await.unwrap().status(), 200);
        tokio::time::sleep(30 * MS).await;
        *live.lock().unwrap() = load(certificate());
        let second =
            connect_tls(&server, &["h2"]).await.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone();
        assert_ne!(second, first);
        assert_eq!(in_time(sender.send_request(get("GET", "/"))).await.unwrap().status(), 200);
        for client in clients {
            let seen = client.join().unwrap();
            let changed = seen.iter().position(|one| *one == second).unwrap_or(seen.len());
            assert!(seen[..changed].iter().all(|one| *one == first));
            assert!(seen[changed..].iter().all(|one| *one == second), "no way back");
        }
    });
}

/// Another listener of the server, on its own port.
fn add(server: &Server, name: &str) -> SocketAddr {
    let socket = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = socket.local_addr().unwrap();
    server
        .change(|done| EndpointChange::Add(endpoint(name, socket, None, &Shared::default()), done))
        .unwrap();
    address
}

#[test]
fn a_listener_that_is_removed_lets_requests_finish_and_touches_no_other() {
    let server = Server::plain(&limits());
    let address = add(&server, "second");
    let mut untouched = server.connect();
    ask(&mut untouched, "/").unwrap();
    let (mut idle, mut busy) = (connect_to(address).unwrap(), connect_to(address).unwrap());
    ask(&mut idle, "/").unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    server.eventually("the request arrives", |server| server.alive.load(SeqCst) == 1);

    server.change(|done| EndpointChange::Remove("second".into(), done)).unwrap();
    assert!(TcpStream::connect(address).is_err(), "the listening socket is closed");
    let (text, result) = read_all(&mut busy);
    result.unwrap();
    assert!(text.contains("connection: close") && text.ends_with("0\r\n\r\n"), "{text}");
    assert_eq!(read_all(&mut idle).0, "");
    assert!(!ask(&mut untouched, "/").unwrap().contains("connection: close"));
    assert!(!ask(&mut server.connect(), "/").unwrap().contains("connection: close"));
    assert_eq!(server.ended_by_drain(), Cut::default());
}

#[test]
fn what_a_removed_listener_does_not_finish_in_time_is_cut_and_counted() {
    let limits = GatewayLimits { shutdown_timeout: 500 * MS, ..limits() };
    let server = Server::plain(&limits);
    let address = add(&server, "second");
    let mut untouched = server.connect();
    write!(untouched, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut stuck = connect_to(address).unwrap();
    write!(stuck, "GET /drip HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    server.eventually("the requests arrive", |server| server.alive.load(SeqCst) == 2);
    let start = Instant::now();
    server.change(|done| EndpointChange::Remove("second".into(), done)).unwrap();
    assert!(!read_all(&mut stuck).0.ends_with("0\r\n\r\n"));
    assert!(start.elapsed() > 450 * MS && start.elapsed() < SOON / 2, "{:?}", start.elapsed());
    server.eventually("the other request ends", |server| server.alive.load(SeqCst) == 0);
    ask(&mut server.connect(), "/").unwrap();
    assert_eq!(server.ended_by_drain(), Cut { connections: 1, requests: 1 });
}

#[test]
fn a_change_that_cannot_be_made_is_answered_and_changes_nothing() {
    let server = Server::plain(&limits());
    let error = server.change(|done| EndpointChange::Remove("other".into(), done)).unwrap_err();
    assert!(matches!(&error, ChangeError::Unknown(name) if &**name == "other"), "{error}");

    // Nothing that the runtime can watch.
    let no_socket = || TcpListener::from(OwnedFd::from(File::open("/dev/null").unwrap()));
    let bad = endpoint("bad", no_socket(), None, &Shared::default());
    let error = server.change(|done| EndpointChange::Add(bad, done)).unwrap_err();
    assert!(error.to_string().starts_with("cannot serve listener bad: "), "{error}");
    let good = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let unused = good.local_addr().unwrap();
    let mixed = [good, no_socket()].map(|socket| endpoint("test", socket, None, &Shared::default())).into();
    server.change(|done| EndpointChange::Replace(mixed, done)).unwrap_err();
    assert!(TcpStream::connect(unused).is_err(), "all or nothing");
    let mut stream = server.connect();
    ask(&mut stream, "/").unwrap();

    write!(stream, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    server.eventually("the request arrives", |server| server.alive.load(SeqCst) == 1);
    server.trigger.drain();
    let late = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let late = endpoint("late", late, None, &Shared::default());
    let error = server.change(|done| EndpointChange::Add(late, done)).unwrap_err();
    assert!(matches!(error, ChangeError::Stopping), "{error}");
    assert_eq!(server.ended(), Cut::default());
}

#[test]
fn replacing_a_listener_loses_no_request() {
    let server = Server::plain(&limits());
    let load = Load::on(server.address, 3, 2);
    for _ in 0..2 {
        std::thread::sleep(50 * MS);
        let socket = bind(server.address, 1).unwrap().remove(0);
        let new = vec![endpoint("test", socket, None, &Shared::default())];
        server.change(|done| EndpointChange::Replace(new, done)).unwrap();
        // Longer than the old socket's last call, and than the second after which clients come back.
        std::thread::sleep(Duration::from_millis(1500));
    }
    assert!(load.done() > 100);
    assert_eq!(server.ended_by_drain(), Cut::default());
}

// ---- Requests on their way ----------------------------------------------------------------------------------------------

#[test]
fn a_stop_answers_requests_that_were_on_their_way() {
    let server = Server::plain(&limits());
    let (mut idle, mut fresh, mut silent) = (server.connect(), server.connect(), server.connect());
    ask(&mut idle, "/").unwrap();
    server.eventually("all are in", |server| server.capacity.open_connections() == 3);
    server.trigger.drain();
    let start = Instant::now();
    std::thread::sleep(100 * MS);
    for stream in [&mut idle, &mut fresh] {
        let text = ask(stream, "/").unwrap();
        assert_eq!(text.matches("connection: close").count(), 1, "{text}");
        assert_eq!(read_all(stream).0, "");
    }
    assert_eq!(read_all(&mut silent).0, "");
    assert!(start.elapsed() < conn::LAST_REQUEST + SOON / 4);
    assert_eq!(server.ended(), Cut::default());
}

#[test]
fn a_stop_lets_a_handshake_end_and_answers_what_follows() {
    let server = Server::tls(&limits());
    run(async {
        let tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
        while server.capacity.open_connections() == 0 {
            tokio::time::sleep(5 * MS).await;
        }
        server.trigger.drain();
        tokio::time::sleep(100 * MS).await;
        let config = Arc::new(super::support::client_config(&["http/1.1"], &rustls::version::TLS13));
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let tls = in_time(tokio_rustls::TlsConnector::from(config).connect(name, tcp)).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(tls);
        let (mut sender, conn) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::task::spawn_local(conn);
        let response = in_time(sender.send_request(get("GET", "/"))).await.unwrap();
        assert_eq!(response.headers()["connection"], "close");
    });
    assert_eq!(server.ended(), Cut::default());
}
