//! Bodies larger than any buffer, and clients slower than any guest: the bytes are right, and memory does not grow with
//! them.

use crate::harness::{
    Client, ENCRYPTED, Gateway, MS, PROTOCOLS, Pipeline, Protocol, Setup, body, get, in_time, request, run,
    scaled,
};
use http::Method;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const MIB: u64 = 1 << 20;

/// How much the gateway may grow, whatever goes through it.
const GROWTH: u64 = 64 * MIB;

fn setup() -> Setup {
    let pipeline = Pipeline::new("main", "echo").stage("pass-through-sync").stage("pass-through-async");
    Setup::of([pipeline.limit("request-body = \"2GiB\"")])
}

/// 64 MiB, or 1 GiB: the same bytes come back.
#[test]
fn large_bodies_stream() {
    let size = scaled(64, 1024) * MIB;
    let expected = body::digest(size);
    let gateway = Gateway::start(&setup());
    run(async {
        for protocol in [Protocol::Http1, Protocol::Http1Tls, Protocol::Http2] {
            let mut client = Client::connect(&gateway, protocol).await;
            let (_, small) = body::stream(MIB);
            client.ask(request(Method::POST, "/", &[], small)).await.ok();
            let (before, start) = (gateway.resident(), Instant::now());
            let (_, body) = body::stream(size);
            let response = in_time(client.send(request(Method::POST, "/", &[], body))).await.unwrap();
            let mut body = response.into_body();
            let (mut hash, mut received, mut peak) = (Sha256::new(), 0, before);
            while let Some(frame) = in_time(body.frame()).await {
                let data = frame.unwrap().into_data().unwrap();
                received += data.len() as u64;
                hash.update(&data);
                if received % (16 * MIB) < data.len() as u64 {
                    peak = peak.max(gateway.resident());
                }
            }
            assert_eq!(received, size);
            assert_eq!(hash.finalize().as_slice(), expected, "{protocol:?}");
            assert!(peak < before + GROWTH, "{protocol:?}: {before} → {peak}");
            let seconds = start.elapsed().as_secs_f64();
            let (before, peak) = (before >> 10, peak >> 10);
            println!("{protocol:?}: {} MiB in {seconds:.1} s, resident {before} → {peak} KiB", size / MIB);
        }
    });
    gateway.stop();
}

/// Waits until no more is taken, and says how much was.
async fn stalled(taken: &AtomicU64) -> u64 {
    in_time(async {
        loop {
            let before = taken.load(Ordering::Relaxed);
            tokio::time::sleep(500 * MS).await;
            if before > 0 && taken.load(Ordering::Relaxed) == before {
                return before;
            }
        }
    })
    .await
}

/// A client that does not read its answer can't go on sending, and gets all of it when it reads on.
#[test]
fn a_stalled_reader_stalls_the_sender() {
    let size = 64 * MIB;
    let gateway = Gateway::start(&setup());
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let before = gateway.resident();
            let (taken, body) = body::stream(size);
            let response = in_time(client.send(request(Method::POST, "/", &[], body))).await.unwrap();
            let sent = stalled(&taken).await;
            // Sockets, windows and pipes on both sides hold some.
            assert!(sent < 32 * MIB, "{protocol:?}: {sent} bytes were accepted");
            let grown = gateway.resident().saturating_sub(before);
            assert!(grown < 32 * MIB, "{protocol:?}: {grown} bytes more are resident");
            println!("{protocol:?}: {} KiB accepted, {} KiB more resident", sent >> 10, grown >> 10);
            let bytes = in_time(response.into_body().collect()).await.unwrap().to_bytes();
            assert_eq!(body::digest_of(&bytes), body::digest(size), "{protocol:?}");
        }
    });
    gateway.stop();
}

/// A stalled HTTP/2 stream does not stall its neighbours on the connection.
#[test]
fn a_stalled_stream_stalls_no_other() {
    let gateway = Gateway::start(&setup());
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        let (taken, body) = body::stream(64 * MIB);
        let response = in_time(client.send(request(Method::POST, "/", &[], body))).await.unwrap();
        stalled(&taken).await;
        for _ in 0..10 {
            let answer = client.ask(request(Method::POST, "/", &[], body::whole("go on"))).await.ok();
            assert_eq!(answer.text(), "go on");
        }
        drop(response);
    });
    gateway.stop();
}

/// A guest that does not read stalls the sender as well.
#[test]
fn an_unread_upload_is_not_buffered() {
    let gateway =
        Gateway::start(&Setup::of([Pipeline::new("main", "fault-service").limit("request-body = \"2GiB\"")]));
    run(async {
        for protocol in PROTOCOLS {
            let mut client = Client::connect(&gateway, protocol).await;
            let before = gateway.resident();
            let (taken, body) = body::stream(1024 * MIB);
            let taken: Arc<AtomicU64> = taken;
            let sent = tokio::task::spawn_local(async move {
                let hang = request(Method::POST, "/", &[("x-fault", "hang")], body);
                drop(client.send(hang).await);
            });
            let accepted = stalled(&taken).await;
            assert!(accepted < 32 * MIB, "{protocol:?}: {accepted} bytes were accepted");
            let grown = gateway.resident().saturating_sub(before);
            assert!(grown < 32 * MIB, "{protocol:?}: {grown} bytes more are resident");
            sent.abort();
        }
    });
    gateway.stop();
}

/// A body in very many very small pieces comes in fewer, is as long as it should be, and does not make the gateway
/// grow.
#[test]
fn small_pieces_and_empty_ones() {
    for form in ["auto", "component"] {
        small_pieces(form);
    }
}

fn small_pieces(form: &'static str) {
    let pipeline = Pipeline::new("main", "fault-service").form(form).stage("pass-through-async");
    let gateway = Gateway::start(&Setup::of([pipeline]));
    let pieces = scaled(200_000, 1_000_000_usize);
    run(async {
        for protocol in ENCRYPTED {
            let mut client = Client::connect(&gateway, protocol).await;
            client.get("/", &[]).await.ok();
            let before = gateway.resident();
            let fields = [("x-fault", "many-chunks"), ("x-count", &pieces.to_string())];
            let mut body = in_time(client.send(get("/", &fields))).await.unwrap().into_body();
            let (mut received, mut frames) = (0, 0);
            while let Some(frame) = in_time(body.frame()).await {
                received += frame.unwrap().into_data().unwrap().len();
                frames += 1;
            }
            assert_eq!(received, pieces);
            assert!(
                frames <= pieces / 2,
                "{protocol:?}: {pieces} pieces of one byte came in {frames} frames"
            );
            let fields = [("x-fault", "zero-writes"), ("x-count", "100000")];
            assert_eq!(client.get("/", &fields).await.ok().text(), "hello");
            assert!(gateway.resident() < before + GROWTH);
        }
    });
    gateway.stop();
}
