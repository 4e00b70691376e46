//! Frames of HTTP/2 that cost the server more than the client.

use super::support::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, Tls,
    WINDOW_UPDATE, fields, frame, h2, next_frame,
};
use crate::harness::{Client, Gateway, Pipeline, Protocol, Setup, body, request, run, soon};
use http::Method;
use std::io::{self, Write as _};

/// A kind of flood: the frame that it sends for each number.
type Flood = fn(u32) -> Vec<u8>;

const WINDOW: u32 = 65_535;

/// A stream's number, which is odd.
fn odd(number: u32) -> u32 {
    2 * number + 1
}

const FLOODS: [(&str, Flood); 10] = [
    ("PING", |_| frame(PING, 0, 0, b"flooding")),
    ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[])),
    ("SETTINGS that change something", |number| {
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, u8::try_from(number % 256).unwrap()])
    }),
    ("WINDOW_UPDATE", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
    ("PRIORITY", |number| frame(PRIORITY, 0, odd(number), &[0, 0, 0, 0, 16])),
    ("an unknown type", |_| frame(0xfa, 0, 0, b"?")),
    ("empty DATA", |number| match number {
        0 => frame(HEADERS, END_HEADERS, 1, &fields(true)),
        _ => frame(DATA, 0, 1, &[]),
    }),
    ("CONTINUATION", |number| match number {
        0 => frame(HEADERS, 0, 1, &fields(false)),
        _ => frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y']),
    }),
    ("empty CONTINUATION", |number| match number {
        0 => frame(HEADERS, 0, 1, &fields(false)),
        _ => frame(CONTINUATION, 0, 1, &[]),
    }),
    ("streams that are reset at once", |number| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, odd(number), &fields(false));
        [head, frame(RST_STREAM, 0, odd(number), &[0, 0, 0, 8])].concat()
    }),
];

/// Sends until the server ends the connection; how many frames it took.
fn flood(tls: &mut Tls, frame: Flood, most: u32) -> u32 {
    for number in 0..most {
        // What the server says is looked at, so that it is never the reader who holds it up.
        let looked = tls.sock.set_nonblocking(true).and_then(|()| {
            let read = tls.conn.read_tls(&mut tls.sock);
            tls.sock.set_nonblocking(false).map(|()| read)
        });
        match looked.unwrap() {
            Ok(0) => return number,
            Ok(_) => {
                if tls.conn.process_new_packets().is_err() {
                    return number;
                }
                let mut sink = Vec::new();
                let _ = io::Read::read_to_end(&mut tls.conn.reader(), &mut sink);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return number,
        }
        if tls.write_all(&frame(number)).and_then(|()| tls.flush()).is_err() {
            return number;
        }
    }
    panic!("{most} frames were taken");
}

/// Each kind is cut at its bound, with the defaults, and who is beside them does not notice.
#[test]
fn floods_end_and_others_are_served() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "echo")]));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        client.get("/", &[]).await.ok();
        let (files, memory) = (gateway.files_at_rest(), gateway.resident());
        let address = gateway.tls;
        let attackers: Vec<_> = FLOODS
            .into_iter()
            .map(|(name, frame)| {
                std::thread::spawn(move || (name, flood(&mut h2(address, WINDOW), frame, 200_000)))
            })
            .collect();
        let mut served = 0;
        while served < 50 || !attackers.iter().all(std::thread::JoinHandle::is_finished) {
            let mut new = Client::connect(&gateway, Protocol::Http1).await;
            new.get("/", &[]).await.ok();
            client.get("/", &[]).await.ok();
            served += 1;
        }
        for attacker in attackers {
            let (name, frames) = attacker.join().unwrap();
            assert!(frames > 0, "{name}");
        }
        soon("all connections are closed", || gateway.open_files() <= files).await;
        let grown = gateway.resident().saturating_sub(memory);
        assert!(grown < 64 << 20, "{grown} bytes more are resident");
    });
    gateway.line(|line| line["message"] == "an HTTP/2 connection was cut");
    gateway.stop();
}

/// The client is told ENHANCE_YOUR_CALM.
#[test]
fn a_flood_is_told_why_it_ends() {
    let setup = Setup::of([Pipeline::new("main", "echo")]);
    let gateway = Gateway::start(&setup.limit("control-frames = 16").limit("stream-resets = 5"));
    let ping: Flood = |_| frame(PING, 0, 0, b"flooding");
    let (_, reset) = FLOODS[9];
    for (flood, frames, expected) in
        [(ping, 10, None), (ping, 60, Some(0xb)), (reset, 3, None), (reset, 12, Some(0xb))]
    {
        let mut tls = h2(gateway.tls, WINDOW);
        let bytes: Vec<u8> = (0..frames).flat_map(flood).collect();
        tls.write_all(&bytes).unwrap();
        tls.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, odd(frames), &fields(false))).unwrap();
        let mut told = None;
        // An answer, or the end.
        while let Ok((kind, payload)) = next_frame(&mut tls) {
            match kind {
                GOAWAY => told = Some(payload[7]),
                HEADERS => break,
                _ => {}
            }
        }
        assert_eq!(told, expected, "{frames} frames");
    }
    gateway.stop();
}

/// What well-behaved clients send beside their requests is within the smallest bounds: windows of long downloads are
/// opened, and requests that were answered may be many.
#[test]
fn busy_connections_are_no_floods() {
    let setup = Setup::of([Pipeline::new("main", "echo")]);
    let gateway = Gateway::start(&setup.limit("control-frames = 16").limit("stream-resets = 1"));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        for _ in 0..100 {
            client.get("/", &[]).await.ok();
        }
        let (_, body) = body::stream(32 << 20);
        assert_eq!(client.ask(request(Method::POST, "/", &[], body)).await.ok().body.len(), 32 << 20);
    });
    gateway.stop();
}
