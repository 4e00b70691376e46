//! The PROXY protocol before a connection's first byte.

use super::support::{Raw, Strict, sees};
use crate::harness::{MS, Protocol};
use std::time::Instant;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn v2(command: u8, address: [u8; 4]) -> Vec<u8> {
    let rest = [&address[..], &[192, 0, 2, 9], &4711_u16.to_be_bytes(), &80_u16.to_be_bytes()].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, 0x11, 0, 12], &rest].concat()
}

fn started(version: &str, trusted: &str) -> Strict {
    let listener = format!("proxy-protocol = \"{version}\"\nproxy-timeout = \"300ms\"");
    Strict::with(&format!("trusted-proxies = [\"{trusted}\"]"), &listener, "")
}

/// What a client gets for `header` and a request.
fn asked(strict: &Strict, header: &[u8]) -> Vec<super::support::Response> {
    let mut client = Raw::connect(&strict.gateway, Protocol::Http1);
    client.send(&[header, REQUEST.as_bytes()].concat());
    client.answers()
}

#[test]
fn version_2_tells_the_client() {
    let strict = started("v2", "127.0.0.1");
    for (command, client) in [(0x21, "198.51.100.7"), (0x20, "127.0.0.1")] {
        let answers = asked(&strict, &v2(command, [198, 51, 100, 7]));
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        let wanted = [("x-forwarded-for", client), ("x-real-ip", client)];
        sees(&answer.json().unwrap(), &wanted, Protocol::Http1).unwrap();
    }
    let lines = strict.lines(2);
    assert_eq!(lines[0]["client"], "198.51.100.7");
    assert_eq!(lines[0]["peer"], "198.51.100.7:4711");
    for header in [&b""[..], b"PROXY TCP4 198.51.100.7 192.0.2.9 4711 80\r\n", &v2(0x22, [1; 4])] {
        let answers = asked(&strict, header);
        assert!(answers.is_empty(), "{header:?}: {answers:?}");
    }
    assert_eq!(strict.lines(2).len(), 2, "nobody else was heard");
    strict.gateway.stop();
}

#[test]
fn version_1_tells_the_client() {
    let strict = started("v1", "127.0.0.0/8");
    let answers = asked(&strict, b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n");
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    sees(&answer.json().unwrap(), &[("x-forwarded-for", "2001:db8::7")], Protocol::Http1).unwrap();
    for header in [&b""[..], &v2(0x21, [1; 4]), b"PROXY TCP4 x y 1 2\r\n"] {
        let answers = asked(&strict, header);
        assert!(answers.is_empty(), "{header:?}: {answers:?}");
    }
    strict.gateway.stop();
}

#[test]
fn it_is_taken_from_trusted_addresses_only_and_in_time() {
    let strict = started("v2", "10.0.0.0/8");
    let answers = asked(&strict, &v2(0x21, [198, 51, 100, 7]));
    assert!(answers.is_empty(), "{answers:?}");
    strict.gateway.stop();

    let strict = started("v2", "127.0.0.1");
    for header in [&b""[..], &v2(0x21, [1; 4])[..10]] {
        let mut client = Raw::connect(&strict.gateway, Protocol::Http1);
        client.send(header);
        let start = Instant::now();
        assert!(client.read_all().is_empty());
        assert!(start.elapsed() >= 250 * MS, "it had its time");
    }
    strict.gateway.stop();
}
