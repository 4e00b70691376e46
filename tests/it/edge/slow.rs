//! Clients that hold on to what they have: each kind is cut at its bound, while others are served all the time.

use super::support::{DATA, END_HEADERS, END_STREAM, HEADERS, Tls, WINDOW_UPDATE, fields, frame, try_h2};
use crate::harness::{
    Client, Gateway, MS, PROTOCOLS, Pipeline, Protocol, SOON, Setup, body, in_time, request, run,
};
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Goes on with what it does until the server or the test ends it. What it holds is dropped afterwards.
type Attack = fn(SocketAddr, SocketAddr, &AtomicBool);

fn tcp(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    tcp.set_write_timeout(Some(100 * MS)).unwrap();
    tcp
}

/// Sends a piece now and then.
fn dribble(stream: &mut impl std::io::Write, piece: &[u8], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) && stream.write_all(piece).and_then(|()| stream.flush()).is_ok() {
        std::thread::sleep(20 * MS);
    }
}

/// Holds what it has until the end.
fn hold<T>(held: T, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(10 * MS);
    }
    drop(held);
}

/// Sends a long upload whose answer, the same, it reads in pieces of this size.
fn slow_reader(plain: SocketAddr, piece: usize, stop: &AtomicBool) {
    let mut stream = tcp(plain);
    socket2::SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
    write!(stream, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n").unwrap();
    let block = [b'x'; 16 * 1024];
    while !stop.load(Ordering::Relaxed) {
        // It waits for a reader soon.
        if let Err(error) = stream.write(&block)
            && !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        {
            break;
        }
        if piece > 0 && stream.read(&mut vec![0; piece]).unwrap_or(0) == 0 {
            break;
        }
    }
    hold(stream, stop);
}

const ATTACKS: [(&str, Attack); 9] = [
    ("slow headers", |plain, _, stop| {
        let mut stream = tcp(plain);
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").unwrap();
        dribble(&mut stream, b"x-a: b\r\n", stop);
        hold(stream, stop);
    }),
    ("slow body", |plain, _, stop| {
        let mut stream = tcp(plain);
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").unwrap();
        dribble(&mut stream, b"x", stop);
        hold(stream, stop);
    }),
    ("slow chunks", |plain, _, stop| {
        let mut stream = tcp(plain);
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        dribble(&mut stream, b"1\r\nx\r\n", stop);
        hold(stream, stop);
    }),
    ("slow reader", |plain, _, stop| slow_reader(plain, 1, stop)),
    ("no reader", |plain, _, stop| slow_reader(plain, 0, stop)),
    ("silence", |plain, _, stop| hold(tcp(plain), stop)),
    ("silence before TLS", |_, tls, stop| hold(tcp(tls), stop)),
    ("silence in TLS", |_, tls, stop| {
        let mut stream = tcp(tls);
        // The beginning of a ClientHello.
        stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).unwrap();
        hold(stream, stop);
    }),
    ("slow window", |_, tls, stop| {
        let Ok(mut stream) = try_h2(tls, 0) else { return };
        stream.sock.set_write_timeout(Some(100 * MS)).unwrap();
        let begin = |stream: &mut Tls| {
            stream.write_all(&frame(HEADERS, END_HEADERS, 1, &fields(true)))?;
            for _ in 0..8 {
                stream.write_all(&frame(DATA, 0, 1, &[b'x'; 16 * 1024]))?;
            }
            stream.write_all(&frame(DATA, END_STREAM, 1, b"x"))
        };
        // On a machine that is slower still, it is cut before it has begun.
        if begin(&mut stream).is_err() {
            return;
        }
        dribble(&mut stream, &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), stop);
        hold(stream, stop);
    }),
];

#[test]
fn attackers_are_cut_and_others_are_served() {
    let pipeline =
        Pipeline::new("main", "echo").limit("upload-rate = \"1KiB\"").limit("upload-grace = \"400ms\"");
    let setup = Setup::of([pipeline])
        .limit("header-read-timeout = \"400ms\"")
        .limit("handshake-timeout = \"400ms\"")
        .limit("download-rate = \"16KiB\"")
        .limit("download-grace = \"400ms\"");
    let gateway = Gateway::start(&setup);
    let stop = Arc::new(AtomicBool::new(false));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        client.get("/", &[]).await.ok();
        let (files, memory) = (gateway.files_at_rest(), gateway.resident());
        let (plain, tls) = (gateway.plain, gateway.tls);
        let mut attackers = Vec::new();
        for (name, attack) in ATTACKS {
            for _ in 0..5 {
                let stop = Arc::clone(&stop);
                attackers.push((name, std::thread::spawn(move || attack(plain, tls, &stop))));
            }
        }
        // They have come, they are cut while they hold on, and every client beside them is served.
        let (mut come, mut served) = (false, 0);
        let start = std::time::Instant::now();
        while !come || served < 50 || gateway.open_files() > files {
            come |= gateway.open_files() > files + 5;
            for protocol in PROTOCOLS {
                let mut new = Client::connect(&gateway, protocol).await;
                let post = request(Method::POST, "/", &[], body::whole(vec![7; 10_000]));
                assert_eq!(new.ask(post).await.ok().body.len(), 10_000);
            }
            client.get("/", &[]).await.ok();
            served += 1;
            assert!(start.elapsed() < SOON, "{} files are open, {files} were", gateway.open_files());
        }
        let grown = gateway.resident().saturating_sub(memory);
        assert!(grown < 128 << 20, "{grown} bytes more are resident");
        stop.store(true, Ordering::Relaxed);
        for (name, attacker) in attackers {
            assert!(attacker.join().is_ok(), "{name}");
        }
    });
    gateway.stop();
}

/// `upload-rate`: 408 as long as nothing is answered; then the response is cut. `"0B"` is no bound.
#[test]
fn uploads() {
    for (rate, cut) in [("1KiB", true), ("0B", false)] {
        let limits = format!("upload-rate = \"{rate}\"\nupload-grace = \"200ms\"");
        let reads = Pipeline::new("main", "fault-service").limit(&limits).limit("deadline = \"2s\"");
        let echoes = Pipeline::new("other", "echo").limit(&limits).route("path = \"/echo\"");
        let gateway = Gateway::start(&Setup::of([reads, echoes]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let (feeder, body) = body::channel();
                in_time(feeder.send(Frame::data("a part".into()))).await.unwrap();
                let answer = client.ask(request(Method::POST, "/", &[("x-fault", "read-body")], body)).await;
                match cut {
                    true => answer.problem(408, "request-timeout"),
                    false => answer.problem(504, "deadline"),
                };
                drop(feeder);
                let mut client = Client::connect(&gateway, protocol).await;
                let (feeder, body) = body::channel();
                in_time(feeder.send(Frame::data("a part".into()))).await.unwrap();
                let echo = in_time(client.send(request(Method::POST, "/echo", &[], body))).await.unwrap();
                assert_eq!(echo.status(), 200);
                let rest = echo.into_body().collect();
                if cut {
                    assert!(in_time(rest).await.is_err(), "{protocol:?}");
                } else {
                    assert!(tokio::time::timeout(600 * MS, rest).await.is_err(), "it goes on: {protocol:?}");
                }
                drop(feeder);
            }
        });
        gateway.stop();
    }
}

/// An upload that keeps its pace takes as long as it needs.
#[test]
fn steady_uploads() {
    let limits = "upload-rate = \"1KiB\"\nupload-grace = \"500ms\"";
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "echo").limit(limits)]));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let (feeder, body) = body::channel();
            let feeding = tokio::task::spawn_local(async move {
                for _ in 0..20 {
                    feeder.send(Frame::data(vec![0; 4096].into())).await.unwrap();
                    tokio::time::sleep(50 * MS).await;
                }
            });
            let answer = client.ask(request(Method::POST, "/", &[], body)).await.ok();
            assert_eq!(answer.body.len(), 20 * 4096);
            in_time(feeding).await.unwrap();
        }
    });
    gateway.stop();
}

/// `total`: a response that goes on for longer is cut, whatever moves.
#[test]
fn total() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "echo").limit("total = \"300ms\"")]));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let (feeder, body) = body::channel();
            tokio::task::spawn_local(async move {
                while feeder.send(Frame::data(vec![0; 4096].into())).await.is_ok() {
                    tokio::time::sleep(10 * MS).await;
                }
            });
            let answer = client.ask(request(Method::POST, "/", &[], body)).await;
            assert!(answer.status == 200 && answer.cut.is_some(), "{protocol:?}");
        }
    });
    gateway.line(|line| line["reason"].as_str().is_some_and(|it| it.contains("`limits.total`")));
    gateway.stop();
}

/// `connections-per-address`: one more is closed, and all others of the process are served.
#[test]
fn connections_per_address() {
    let setup = Setup::of([Pipeline::new("main", "hello")]).limit("connections-per-address = 3");
    let gateway = Gateway::start(&setup);
    let ask = |from: [u8; 4]| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&gateway.plain.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut answer = [0; 12];
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let answered = asked.is_ok() && stream.read_exact(&mut answer).is_ok();
        (stream, answered && answer.starts_with(b"HTTP/1.1 200"))
    };
    let mut held: Vec<_> = (0..3).map(|_| ask([127, 0, 0, 1])).collect();
    assert!(held.iter().all(|(_, served)| *served));
    for _ in 0..3 {
        assert!(!ask([127, 0, 0, 1]).1, "one more of the same");
    }
    assert!(ask([127, 0, 0, 2]).1, "another one");
    gateway
        .line(|line| line["message"].as_str().is_some_and(|text| text.starts_with("an address has reached")));
    drop(held.pop());
    crate::harness::eventually("there is room again", || ask([127, 0, 0, 1]).1);
    gateway.stop();
}

/// `requests-per-connection`: the last answer of HTTP/1.1 says so; HTTP/2's client opens another connection.
#[test]
fn requests_per_connection() {
    let setup = Setup::of([Pipeline::new("main", "hello")]).limit("requests-per-connection = 3");
    let gateway = Gateway::start(&setup);
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for number in 1..=3 {
            let answer = client.get("/", &[]).await.ok();
            assert_eq!(answer.header("connection"), (number == 3).then_some("close"));
        }
        assert!(!client.is_open().await);
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        for _ in 1..=3 {
            client.get("/", &[]).await.ok();
        }
        let told = async {
            while client.is_open().await {
                tokio::time::sleep(5 * MS).await;
            }
        };
        in_time(told).await;
    });
    gateway.stop();
}
