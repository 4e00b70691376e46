//! `std:body-limit`: which bodies pass; in both of its builds, in every kind of chain.

use crate::chain_test;
use crate::harness::{Answer, Chain, Client, Gateway, PROTOCOLS, Protocol, SOON, Setup, body, request, run};
use http::Method;
use http_body::Frame;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

const BUILDS: [&str; 2] = ["", "-in-place"];
const MAX: usize = 64 * 1024;

fn setup(chain: Chain) -> Setup {
    let pipelines = BUILDS.into_iter().flat_map(|suffix| {
        [
            ("plain", "config = { max = \"64KiB\" }", "echo"),
            ("typed", "config = { max = \"64KiB\", types = [\"application/json\", \"text/*\"] }", "echo"),
            ("none", "config = { max = \"0B\" }", "echo"),
            // It reads all of a body before it answers.
            ("reader", "config = { max = \"64KiB\" }", "fault-service"),
        ]
        .map(|(name, config, service)| {
            let name = format!("{name}{suffix}");
            let pipeline = chain.named(&name, service).route(&format!("path = \"/{name}\""));
            pipeline.stage_with(&format!("body-limit{suffix}"), config)
        })
    });
    Setup::of(pipelines)
}

fn refused(answer: &Answer, status: u16, title: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.json()["title"].as_str().unwrap().contains(title), "{answer:?}");
}

/// A body of this length that does not announce it, in pieces.
fn unannounced(size: usize) -> body::TestBody {
    let (feeder, upload) = body::channel();
    tokio::task::spawn_local(async move {
        let mut left = size;
        while left > 0 {
            let piece = left.min(1000);
            left -= piece;
            // Whoever is refused reads no further.
            if feeder.send(Frame::data(vec![b'x'; piece].into())).await.is_err() {
                return;
            }
        }
    });
    upload
}

async fn check_lengths(gateway: &Gateway, protocol: Protocol, suffix: &str) {
    let plain = format!("/plain{suffix}");
    let mut client = Client::connect(gateway, protocol).await;
    for size in [0, 1, MAX] {
        for upload in [body::whole("x".repeat(size)), unannounced(size)] {
            let answer = client.ask(request(Method::POST, &plain, &[], upload)).await.ok();
            assert_eq!(answer.body.len(), size, "{protocol:?}");
        }
    }
    client.get(&plain, &[]).await.ok();
    client.get(&format!("/none{suffix}"), &[]).await.ok();
    for (path, size) in [(&plain, MAX + 1), (&format!("/none{suffix}"), 1)] {
        let mut client = Client::connect(gateway, protocol).await;
        let upload = body::whole("x".repeat(size));
        refused(&client.ask(request(Method::POST, path, &[], upload)).await, 413, "too large");
    }
    // A service that answers when it has read all of it has not begun.
    let reader = format!("/reader{suffix}");
    for (size, status) in [(MAX, 200), (MAX + 1, 413), (MAX * 10, 413)] {
        let mut client = Client::connect(gateway, protocol).await;
        let fields = [("x-fault", "read-body")];
        let answer = client.try_ask(request(Method::POST, &reader, &fields, unannounced(size))).await;
        match answer {
            Ok(answer) if status == 413 => refused(&answer, 413, "too large"),
            Ok(answer) => assert_eq!((answer.status.as_u16(), answer.text()), (200, &*MAX.to_string())),
            // The rest of a body may meet a connection that was closed after the answer.
            Err(error) => assert!(status == 413 && size > MAX + 1, "{protocol:?} {size}: {error}"),
        }
    }
    // The answer of one that sends it back has: it breaks off.
    let mut client = Client::connect(gateway, protocol).await;
    match client.try_ask(request(Method::POST, &plain, &[], unannounced(MAX * 4))).await {
        Ok(answer) if answer.status == 200 => {
            assert!(answer.cut.is_some() && answer.body.len() <= MAX, "{answer:?}")
        }
        Ok(answer) => refused(&answer, 413, "too large"),
        Err(_) => {}
    }
}

async fn check_types(client: &mut Client, suffix: &str) {
    let typed = format!("/typed{suffix}");
    for (types, allowed) in [
        (&["application/json"][..], true),
        (&["Application/JSON; charset=utf-8"], true),
        (&["text/csv"], true),
        (&["application/xml"], false),
        (&["application/json, application/xml"], false),
        (&["application/json", "application/json"], false),
        (&["text"], false),
        (&[""], false),
        (&[], false),
    ] {
        let fields: Vec<_> = types.iter().map(|value| ("content-type", *value)).collect();
        for upload in [body::whole("{}"), unannounced(2)] {
            let answer = client.ask(request(Method::POST, &typed, &fields, upload)).await;
            match allowed {
                true => assert_eq!(answer.ok().body.len(), 2, "{types:?}"),
                false => refused(&answer, 415, "type"),
            }
        }
        // Nothing has no type.
        client.get(&typed, &fields).await.ok();
    }
}

async fn check_trailers(client: &mut Client, suffix: &str) {
    let fields = [("te", "trailers"), ("trailer", "x-sum")];
    let upload = body::with_trailers("body", &[("x-sum", "4")]);
    let answer = client.ask(request(Method::POST, &format!("/plain{suffix}"), &fields, upload)).await.ok();
    assert_eq!(answer.text(), "body");
    // HTTP/1.1 passes on those alone that the response announces, which this service does not.
    if let Some(trailers) = answer.trailers {
        assert_eq!(trailers["x-sum"], "4");
    }
}

chain_test! {
    fn bodies_are_bounded(chain) {
        let gateway = Gateway::start(&setup(chain));
        run(async {
            for (protocol, suffix) in PROTOCOLS.into_iter().flat_map(|it| BUILDS.map(|suffix| (it, suffix))) {
                check_lengths(&gateway, protocol, suffix).await;
                let mut client = Client::connect(&gateway, protocol).await;
                check_types(&mut client, suffix).await;
                check_trailers(&mut client, suffix).await;
            }
        });
        gateway.stop();
    }
}

/// What a request says on the wire, and the status that it gets before any of its body is there.
#[test]
fn who_announces_too_much_is_refused_at_once() {
    let gateway = Gateway::start(&setup(Chain { link: "static", front: &[] }));
    for (fields, body, status) in [
        ("content-length: 65537", "", "413"),
        ("content-length: 65537\r\nexpect: 100-continue", "", "413"),
        ("content-length: 9223372036854775807", "", "413"),
        // What is no length, or two, is refused by the gateway.
        ("content-length: 18446744073709551616", "", "400"),
        ("content-length: -1", "", "400"),
        ("content-length: 1, 2", "", "400"),
        ("content-length: 1\r\ntransfer-encoding: chunked", "", "400"),
        // Chunks count by what is in them, not by what they say around it.
        ("transfer-encoding: chunked", "2;a=b\r\nok\r\n0\r\n\r\n", "200"),
        ("transfer-encoding: chunked", "10001\r\n", "200|413"),
        ("transfer-encoding: chunked", "fffffffffffffffff\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(gateway.plain).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut sent = format!("POST /plain HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n{body}");
        if status == "200|413" {
            // A chunk that is longer than the bound, as far as it is needed.
            sent += &"x".repeat(MAX + 1);
        }
        stream.write_all(sent.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        let head = std::str::from_utf8(&head).unwrap();
        assert!(status.split('|').any(|status| head == format!("HTTP/1.1 {status}")), "{fields}: {head}");
    }
    gateway.stop();
}
