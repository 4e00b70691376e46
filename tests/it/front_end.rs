//! The front end over real sockets: what is promised to well-behaved clients, and what silent, slow, greedy and
//! vanished ones get. Below it is a service of `support`, so that nothing here depends on WebAssembly.

mod listeners;
mod support;
mod takeover;

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use linkspan::config::keys::GatewayLimits;
use linkspan::net::{Cut, tls};

use support::{
    HOUR, MS, SOON, Server, certificate, client_config, connect_h2, connect_tls, directory, exchange, get,
    in_time, limits, read_all, read_response, run,
};

// ---- Answers ------------------------------------------------------------------------------------------------------------

#[test]
fn http1_keeps_alive_pipelines_and_closes_when_asked() {
    let server = Server::plain(&limits());
    let one = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let (text, result) = exchange(&server, &format!("{one}{one}{last}"));
    result.unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    assert_eq!(text.matches("x-protocol: h1").count(), 3, "{text}");
    server.eventually("the connection's slot is free", |server| server.capacity.open_connections() == 0);
}

#[test]
fn alpn_chooses_the_protocol_and_its_absence_is_http1() {
    let server = Server::tls(&limits());
    run(async {
        for (alpn, expected) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1"), (&[], "")] {
            let tls = connect_tls(&server, alpn).await.unwrap();
            assert_eq!(tls.get_ref().1.alpn_protocol().unwrap_or_default(), expected.as_bytes());
            if expected == "h2" {
                continue;
            }
            let (mut sender, conn) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
            tokio::task::spawn_local(conn);
            let response = in_time(sender.send_request(get("GET", "/"))).await.unwrap();
            assert_eq!(response.headers()["x-protocol"], "h1");
            assert_eq!(response.headers()["x-sni"], "localhost");
        }
        assert!(connect_tls(&server, &["spdy/3"]).await.is_err());
        let (mut sender, _conn) = connect_h2(&server).await;
        let response = in_time(sender.send_request(get("GET", "/trailers"))).await.unwrap();
        assert_eq!(response.headers()["x-protocol"], "h2");
        let body = in_time(response.into_body().collect()).await.unwrap();
        assert_eq!(body.trailers().unwrap()["etag"], "last");
        assert_eq!(body.to_bytes(), "hello");
    });
}

#[test]
fn tls_resumes_sessions_in_both_versions() {
    use rustls::HandshakeKind::{Full, Resumed};
    let server = Server::tls(&limits());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(client_config(&[], version));
        let kinds: Vec<_> = (0..2)
            .map(|_| {
                let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
                let mut session = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
                let mut tcp = server.connect();
                let mut tls = rustls::Stream::new(&mut session, &mut tcp);
                tls.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
                let (text, result) = read_all(&mut tls);
                result.expect("the server says close_notify");
                assert!(text.starts_with("HTTP/1.1 200"), "{text}");
                session.handshake_kind().unwrap()
            })
            .collect();
        assert_eq!(kinds, [Full, Resumed], "{:?}", version.version);
    }
}

#[test]
fn head_has_the_length_and_no_body_over_both_protocols() {
    let (plain, tls) = (Server::plain(&limits()), Server::tls(&limits()));
    let (text, result) = exchange(&plain, "HEAD /length HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    result.unwrap();
    assert!(text.contains("content-length: 5\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    run(async {
        let (mut sender, _conn) = connect_h2(&tls).await;
        let response = in_time(sender.send_request(get("HEAD", "/length"))).await.unwrap();
        assert_eq!(response.headers()["content-length"], "5");
        assert!(in_time(response.into_body().collect()).await.unwrap().to_bytes().is_empty());
    });
}

#[test]
fn a_request_body_that_nobody_reads_does_not_hide_the_answer() {
    let server = Server::plain(&limits());
    let mut stream = server.connect();
    let size = 8 << 20;
    write!(stream, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n").unwrap();
    // A client that sends all before it reads. Without lingering, the kernel's reset would overtake the answer.
    stream.write_all(&vec![b'x'; size]).unwrap();
    let (text, result) = read_all(&mut stream);
    result.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}

#[test]
fn bodies_larger_than_every_buffer_go_in_over_h2() {
    let server = Server::tls(&limits());
    run(async {
        let (mut sender, _conn) = connect_h2(&server).await;
        let body = Full::new(Bytes::from(vec![b'x'; 1 << 20]));
        let request = Request::post("https://localhost/echo-size").body(body).unwrap();
        assert_eq!(in_time(sender.send_request(request)).await.unwrap().status(), 200);
    });
}

// ---- Answers cut short --------------------------------------------------------------------------------------------------

#[test]
fn a_broken_body_is_seen_as_broken_by_http1_clients() {
    let server = Server::plain(&limits());
    let (text, _) = exchange(&server, "GET /break HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    assert!(!text.ends_with("0\r\n\r\n"), "the last chunk must not be there: {text}");

    let (text, _) = exchange(&server, "GET /break-length HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(text.contains("content-length: 100") && text.ends_with("half"), "{text}");

    // To an HTTP/1.0 client the end of the connection is the end of the body, unless the connection breaks.
    let (text, result) = exchange(&server, "GET /break HTTP/1.0\r\nhost: a\r\n\r\n");
    assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset), "{text}");
}

#[test]
fn a_broken_body_resets_its_h2_stream_and_no_other() {
    let server = Server::tls(&limits());
    run(async {
        let (mut sender, _conn) = connect_h2(&server).await;
        let mut other = sender.clone();
        let slow = tokio::task::spawn_local(async move {
            let response = other.send_request(get("GET", "/slow")).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        });
        for path in ["/break", "/break-length"] {
            let response = in_time(sender.send_request(get("GET", path))).await.unwrap();
            assert_eq!(response.status(), 200);
            in_time(response.into_body().collect()).await.unwrap_err();
        }
        assert_eq!(in_time(slow).await.unwrap(), "slow done");
    });
}

#[test]
fn a_vanished_client_leaves_nothing_behind() {
    let plain = Server::plain(&GatewayLimits { half_close_timeout: 100 * MS, ..limits() });
    let tls = Server::tls(&limits());
    for path in ["/never", "/drip"] {
        let mut stream = plain.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        plain.eventually("the request arrives", |server| server.alive.load(SeqCst) == 1);
        drop(stream);
        plain.eventually("the request is dropped", |server| server.alive.load(SeqCst) == 0);
    }
    run(async {
        let (sender, _conn) = connect_h2(&tls).await;
        for path in ["/never", "/drip"] {
            let mut sender = sender.clone();
            let request = tokio::task::spawn_local(async move {
                let response = sender.send_request(get("GET", path)).await;
                response.map(|response| response.into_body().collect())?.await
            });
            while tls.alive.load(SeqCst) != 1 {
                tokio::time::sleep(5 * MS).await;
            }
            request.abort();
            let freed = async {
                while tls.alive.load(SeqCst) != 0 {
                    tokio::time::sleep(5 * MS).await;
                }
            };
            in_time(freed).await;
        }
    });
}

/// A client that ends its side behind a whole request waits for the answer, also one that takes its time.
#[test]
fn a_client_that_ends_its_side_is_answered() {
    let server = Server::plain(&limits());
    let slow = (0..100).map(|_| ("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n", 1, "done"));
    let bodies =
        (0..20).map(|_| ("POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc", 1, "done"));
    let pipelined = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let asked: Vec<_> = slow.chain(bodies).chain((0..20).map(|_| (pipelined, 2, "hello"))).collect();
    let streams: Vec<_> = asked
        .iter()
        .map(|(bytes, ..)| {
            let mut stream = server.connect();
            stream.write_all(bytes.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream
        })
        .collect();
    for (mut stream, (bytes, answers, end)) in streams.into_iter().zip(asked) {
        let (text, result) = read_all(&mut stream);
        result.unwrap_or_else(|error| panic!("{bytes:?}: {error}: {text}"));
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), answers, "{bytes:?}: {text}");
        assert!(text.contains(end) && text.ends_with("0\r\n\r\n"), "{bytes:?}: {text}");
    }
    server.eventually("all connections have ended", |server| server.capacity.open_connections() == 0);
}

/// So does one over TLS; and one that has not sent its request whole, or waits for too long, is taken for gone.
#[test]
fn a_client_that_ends_its_side_is_waited_for_so_long() {
    let server = Server::tls(&limits());
    run(async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut tls = connect_tls(&server, &["http/1.1"]).await.unwrap();
        tls.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        tls.shutdown().await.unwrap();
        let mut text = String::new();
        in_time(tls.read_to_string(&mut text)).await.unwrap();
        assert!(text.contains("done") && text.ends_with("0\r\n\r\n"), "{text}");
    });
    let short = GatewayLimits { half_close_timeout: 100 * MS, ..limits() };
    let long = GatewayLimits { half_close_timeout: HOUR, ..limits() };
    let part = "POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabc";
    for (limits, bytes) in [(&short, "GET /never HTTP/1.1\r\nhost: a\r\n\r\n"), (&long, part)] {
        let server = Server::plain(limits);
        let mut stream = server.connect();
        stream.write_all(bytes.as_bytes()).unwrap();
        server.eventually("the request arrives", |server| server.alive.load(SeqCst) == 1);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        server.eventually("the request is dropped", |server| server.alive.load(SeqCst) == 0);
    }
}

// ---- Bounds -------------------------------------------------------------------------------------------------------------

#[test]
fn heads_beyond_the_bounds_are_431() {
    let server = Server::plain(&GatewayLimits { header_size: 16 * 1024, header_count: 20, ..limits() });
    let field = |count: usize| "x-field: value\r\n".repeat(count);
    let cases = [
        ("as many as allowed", field(18), 200),
        ("one too many", field(20), 431),
        ("one large field", format!("x-large: {}\r\n", "v".repeat(17 * 1024)), 431),
        ("no end in sight", format!("x-large: {}", "v".repeat(100 * 1024)), 431),
    ];
    for (what, fields, status) in cases {
        let (text, _) =
            exchange(&server, &format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n"));
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {text}");
    }
}

#[test]
fn a_head_beyond_the_bound_is_431_over_h2() {
    let server = Server::tls(&GatewayLimits { header_size: 8 * 1024, ..limits() });
    run(async {
        let (mut sender, _conn) = connect_h2(&server).await;
        // The client's first request waits for the server's settings; after it the client knows the bound.
        in_time(sender.send_request(get("GET", "/"))).await.unwrap();
        let mut request = get("GET", "/");
        request.headers_mut().insert("x-large", HeaderValue::from_str(&"v".repeat(9 * 1024)).unwrap());
        match in_time(sender.send_request(request)).await {
            Ok(response) => assert_eq!(response.status(), 431),
            Err(error) => assert!(!error.is_closed(), "{error}"),
        }
        assert_eq!(in_time(sender.send_request(get("GET", "/"))).await.unwrap().status(), 200);
    });
}

/// Connects, does `first`, and says when the server closes.
fn closed_after(server: &Server, first: impl FnOnce(&mut TcpStream)) -> Duration {
    let mut stream = server.connect();
    first(&mut stream);
    let start = Instant::now();
    let (text, _) = read_all(&mut stream);
    assert_eq!(text, "");
    start.elapsed()
}

fn assert_about(elapsed: Duration, wanted: Duration) {
    assert!(elapsed + 20 * MS >= wanted && elapsed < wanted + SOON / 4, "{elapsed:?} instead of {wanted:?}");
}

#[test]
fn silence_before_tls_ends_at_the_handshake_timeout() {
    let server = Server::tls(&GatewayLimits { handshake_timeout: 600 * MS, ..limits() });
    assert_about(closed_after(&server, |_| {}), 600 * MS);
    assert_about(closed_after(&server, |stream| stream.write_all(&[22, 3, 1]).unwrap()), 600 * MS);
    server.eventually("all slots are free", |server| server.capacity.open_connections() == 0);
}

#[test]
fn silence_before_tls_holds_no_handshake_slot() {
    let server = Server::tls(&GatewayLimits { handshakes: 1, handshake_timeout: SOON, ..limits() });
    let _silent: Vec<_> = (0..4).map(|_| server.connect()).collect();
    server.eventually("they are in", |server| server.capacity.open_connections() == 4);
    let start = Instant::now();
    run(async { in_time(connect_tls(&server, &["h2"])).await.unwrap() });
    assert!(start.elapsed() < SOON / 2);
}

#[test]
fn silence_and_slow_heads_end_at_the_header_read_timeout() {
    let limits = GatewayLimits { header_read_timeout: 400 * MS, idle_timeout: 60 * 1000 * MS, ..limits() };
    let server = Server::plain(&limits);
    assert_about(closed_after(&server, |_| {}), 400 * MS);
    assert_about(closed_after(&server, |stream| stream.write_all(b"GET / HT").unwrap()), 400 * MS);

    // A byte now and then does not help; neither does a good request before.
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    read_response(&mut stream);
    std::thread::sleep(700 * MS);
    let start = Instant::now();
    let mut dribble = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        while dribble.write_all(b"G").is_ok() && start.elapsed() < SOON {
            std::thread::sleep(50 * MS);
        }
    });
    let _ = read_all(&mut stream);
    assert_about(start.elapsed(), 400 * MS);
}

#[test]
fn a_kept_alive_connection_ends_at_the_idle_timeout_not_before() {
    let limits = GatewayLimits { header_read_timeout: 200 * MS, idle_timeout: 2_000 * MS, ..limits() };
    let server = Server::plain(&limits);
    let mut stream = server.connect();
    let mut start = Instant::now();
    for _ in 0..2 {
        // The server is not idle before this.
        start = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        read_response(&mut stream);
        std::thread::sleep(450 * MS);
    }
    let (text, result) = read_all(&mut stream);
    result.unwrap();
    assert!(text.is_empty(), "{text:?}");
    assert_about(start.elapsed(), 2_000 * MS);
}

#[test]
fn a_request_in_progress_is_not_idle() {
    let limits = GatewayLimits { header_read_timeout: 100 * MS, idle_timeout: 100 * MS, ..limits() };
    let (plain, tls) = (Server::plain(&limits), Server::tls(&limits));
    let (text, result) = exchange(&plain, "GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    result.unwrap();
    assert!(text.ends_with("0\r\n\r\n"), "{text}");
    run(async {
        let (mut sender, conn) = connect_h2(&tls).await;
        let start = Instant::now();
        let response = in_time(sender.send_request(get("GET", "/slow"))).await.unwrap();
        assert_eq!(in_time(response.into_body().collect()).await.unwrap().to_bytes(), "slow done");
        in_time(conn).await.unwrap().expect("an idle h2 connection ends with GOAWAY");
        assert_about(start.elapsed(), 100 * MS);
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let server = Server::plain(&GatewayLimits { idle_timeout: 500 * MS, ..limits() });
    let mut stream = server.connect();
    stream.write_all(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    server.eventually("the request arrives", |server| server.alive.load(SeqCst) == 1);
    server.eventually("the request is dropped", |server| server.alive.load(SeqCst) == 0);
    server.eventually("its slot is free", |server| server.capacity.open_connections() == 0);
}

#[test]
fn at_the_connection_limit_new_ones_wait_on_every_worker() {
    let server = Server::start(&GatewayLimits { connections: 2, ..limits() }, None, 2);
    let mut first: Vec<_> = (0..2).map(|_| server.connect()).collect();
    server.eventually("both are in", |server| server.capacity.open_connections() == 2);
    for stream in &mut first {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        read_response(stream);
    }
    let mut waiting: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for stream in &mut waiting {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(50 * MS)).unwrap();
        let (text, result) = read_all(stream);
        assert!(text.is_empty() && result.is_err(), "{text}");
    }
    drop(first);
    for mut stream in waiting {
        stream.set_read_timeout(Some(SOON)).unwrap();
        let (text, result) = read_all(&mut stream);
        result.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    }
    server.eventually("all slots are free", |server| server.capacity.open_connections() == 0);
}

// ---- The end ------------------------------------------------------------------------------------------------------------

#[test]
fn a_stop_lets_requests_finish_and_closes_idle_connections() {
    let (plain, tls) = (Server::plain(&limits()), Server::tls(&limits()));
    let mut idle = plain.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    read_response(&mut idle);
    let mut busy = plain.connect();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    plain.eventually("the request arrives", |server| server.alive.load(SeqCst) == 1);
    plain.trigger.drain();
    assert_eq!(read_all(&mut idle).0, "");
    let (text, result) = read_all(&mut busy);
    result.unwrap();
    assert!(text.contains("connection: close") && text.ends_with("0\r\n\r\n"), "{text}");
    let address = plain.address;
    assert_eq!(plain.ended(), Cut::default());
    assert!(TcpStream::connect(address).is_err(), "the listening socket is closed");

    run(async {
        let (mut sender, conn) = connect_h2(&tls).await;
        let response = tokio::task::spawn_local(sender.send_request(get("GET", "/slow")));
        while tls.alive.load(SeqCst) == 0 {
            tokio::time::sleep(5 * MS).await;
        }
        tls.trigger.drain();
        let response = in_time(response).await.unwrap().unwrap();
        assert_eq!(in_time(response.into_body().collect()).await.unwrap().to_bytes(), "slow done");
        in_time(conn).await.unwrap().expect("GOAWAY, then a close");
    });
    assert_eq!(tls.ended(), Cut::default());
}

#[test]
fn a_stop_cuts_what_does_not_end_in_time_and_counts_it() {
    let limits = GatewayLimits { shutdown_timeout: 400 * MS, ..limits() };
    let (plain, tls) = (Server::plain(&limits), Server::tls(&limits));
    let mut streams: Vec<_> = (0..3).map(|_| plain.connect()).collect();
    for (stream, path) in streams.iter_mut().zip(["/never", "/drip", "/drip"]) {
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    }
    plain.eventually("the requests arrive", |server| server.alive.load(SeqCst) == 3);
    let start = Instant::now();
    plain.trigger.drain();
    for stream in &mut streams {
        let (text, _) = read_all(stream);
        assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    }
    let alive = Arc::clone(&plain.alive);
    assert_eq!(plain.ended(), Cut { connections: 3, requests: 3 });
    assert_about(start.elapsed(), 400 * MS);
    assert_eq!(alive.load(SeqCst), 0);

    run(async {
        let (sender, conn) = connect_h2(&tls).await;
        for path in ["/never", "/drip"] {
            let mut sender = sender.clone();
            tokio::task::spawn_local(async move {
                let response = sender.send_request(get("GET", path)).await?;
                response.into_body().collect().await
            });
        }
        while tls.alive.load(SeqCst) < 2 {
            tokio::time::sleep(5 * MS).await;
        }
        tls.trigger.drain();
        let _ = in_time(conn).await.unwrap();
    });
    assert_eq!(tls.ended(), Cut { connections: 1, requests: 2 });
}

#[test]
fn a_second_signal_does_not_wait() {
    let server = Server::plain(&GatewayLimits { shutdown_timeout: SOON, ..limits() });
    let mut stream = server.connect();
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    server.eventually("the request arrives", |server| server.alive.load(SeqCst) == 1);
    let start = Instant::now();
    server.trigger.drain();
    server.trigger.cut();
    assert_eq!(server.ended(), Cut { connections: 1, requests: 1 });
    assert!(start.elapsed() < SOON / 2);
}

// ---- Certificates -------------------------------------------------------------------------------------------------------

#[test]
fn what_is_wrong_with_a_certificate_or_key_is_said_with_its_file() {
    let (good, other) = (certificate(), certificate());
    let directory = directory("bad");
    let write = |name: &str, text: &str| {
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let empty = write("empty.pem", "nothing here\n");
    let encrypted = write(
        "encrypted.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let broken = write("broken.pem", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n");
    let garbage = write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let bad_key = write("bad-key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let large = write("large.pem", &"x".repeat(1024 * 1024 + 1));
    let missing = directory.join("missing.pem");
    let cases = [
        (&missing, &good.key, &missing, "cannot read "),
        (&good.certificate, &missing, &missing, "cannot read "),
        (&directory, &good.key, &directory, "cannot read "),
        (&large, &good.key, &large, "is larger than 1 MiB"),
        (&empty, &good.key, &empty, "has no certificate"),
        (&good.key, &good.key, &good.key, "has no certificate"),
        (&broken, &good.key, &broken, "is not valid PEM"),
        (&garbage, &good.key, &garbage, "has a certificate that cannot be read"),
        (&good.certificate, &empty, &empty, "has no private key"),
        (&good.certificate, &good.certificate, &good.certificate, "has no private key"),
        (&good.certificate, &encrypted, &encrypted, "has an encrypted private key"),
        (&good.certificate, &bad_key, &bad_key, "has a private key that cannot be used"),
        (&good.certificate, &other.key, &other.key, "does not belong to the first certificate"),
    ];
    for (certificate, key, file, expected) in cases {
        let error = tls::load(certificate, key).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains(&file.display().to_string()), "{expected}: {text}");
        assert_eq!(error.file(), Some(file.as_path()), "{text}");
    }
}
