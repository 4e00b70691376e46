use super::*;
use crate::plan::{self, EgressRule, Network, StageLimits};
use std::cell::Cell;

/// Addresses that are not of the public internet, however they are written.
const INSIDE: &[&str] = &[
    // Loopback, this host.
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::1",
    // Private, shared (CGNAT), link-local with the metadata services, unique-local.
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "192.0.0.192",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fec0::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    // Multicast, broadcast, reserved.
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "ff02::1",
    "ff0e::1",
    // Protocols, benchmarks, documentation.
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "2001:db8::1",
    "2001::1",
    "2001:10::1",
    "3fff::1",
    "100::1",
    "5f00::1",
    // IPv4 in IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo.
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:101::1",
    "2001:0:7f00:1::",
];

const OUTSIDE: &[&str] = &[
    "1.1.1.1",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
];

fn target(uri: &str) -> Target {
    Target::of(&uri.parse().expect(uri)).expect(uri)
}

/// What a stage has that may send requests by `rules`, and inside to `networks`.
fn egress(rules: &[&str], networks: &[&str]) -> Egress {
    let granted = plan::Egress {
        rules: Some(rules.iter().map(|rule| EgressRule::parse(rule).expect("a rule")).collect()),
        networks: networks.iter().map(|it| Network::parse(it).expect("a network")).collect(),
        calls: Vec::new(),
    };
    Egress::new(&granted, &StageLimits::default())
}

/// Lets a test wait for one connection.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

#[test]
fn inside_addresses_are_not_public() {
    for address in INSIDE {
        assert!(!is_public(address.parse().expect(address)), "{address}");
    }
    for address in OUTSIDE {
        assert!(is_public(address.parse().expect(address)), "{address}");
    }
}

/// A name that a rule allows leads to no inside address, and nothing is connected to.
#[test]
fn no_name_leads_inside() {
    let egress = egress(&["http://api.example.com", "http://*.example.com"], &[]);
    block_on(async {
        for address in INSIDE {
            for uri in ["http://api.example.com/", "http://x.example.com/"] {
                let address: IpAddr = address.parse().expect(address);
                let lookup = |_, port| async move { Ok(vec![SocketAddr::new(address, port)]) };
                let error = connect(&egress, &target(uri), lookup).await.expect_err("inside");
                assert!(matches!(error, ErrorCode::DestinationIpProhibited), "{address}: {error:?}");
            }
        }
    });
}

/// The address that was checked is the one that is connected to: a resolver is asked once, and what it would say next
/// does not matter.
#[test]
fn a_name_is_looked_up_once() {
    let listen = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let (first, second) = (listen(), listen());
    let (granted, other) = (first.local_addr().expect("bound"), second.local_addr().expect("bound"));
    let egress = egress(&["http://api.example.com"], &["127.0.0.0/8"]);
    let asked = Cell::new(0);
    let lookup = |_, _| {
        asked.set(asked.get() + 1);
        let answer = if asked.get() == 1 { granted } else { other };
        async move { Ok(vec![answer]) }
    };
    let stream = block_on(connect(&egress, &target("http://api.example.com/"), lookup)).expect("granted");
    assert_eq!((stream.peer_addr().expect("connected"), asked.get()), (granted, 1));
}

/// Of several addresses, those that lead inside are passed over, wherever they stand.
#[test]
fn an_inside_address_among_others_is_passed_over() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let egress = egress(&["http://api.example.com"], &["127.0.0.0/8"]);
    let lookup = |_, _| async move {
        let inside = |text: &str| SocketAddr::new(text.parse().expect(text), address.port());
        Ok(vec![inside("10.0.0.1"), inside("::ffff:169.254.169.254"), address, inside("::1")])
    };
    let stream =
        block_on(connect(&egress, &target("http://api.example.com/"), lookup)).expect("one is granted");
    assert_eq!(stream.peer_addr().expect("connected"), address);
}

/// `localhost` means this host, whatever a resolver says; an address means itself.
#[test]
fn named_addresses() {
    let egress = egress(&["http://localhost", "http://10.0.0.1", "http://name.example"], &["fd00::/8"]);
    for (uri, address, expected) in [
        ("http://localhost/", "127.0.0.1", true),
        ("http://localhost/", "::1", true),
        ("http://localhost/", "10.0.0.1", false),
        ("http://10.0.0.1/", "10.0.0.1", true),
        ("http://10.0.0.1/", "10.0.0.2", false),
        ("http://name.example/", "fd00:1::1", true),
        ("http://name.example/", "fc00::1", false),
        ("http://name.example/", "1.1.1.1", true),
    ] {
        let address: IpAddr = address.parse().expect(address);
        assert_eq!(egress.may_reach(&target(uri), address), expected, "{uri} {address}");
    }
}

#[test]
fn targets_are_read_from_uris() {
    let expected = Target { tls: true, host: "api.example.com".into(), port: 443 };
    assert_eq!(target("https://API.example.com/x"), expected);
    assert_eq!(target("http://[::1]:81/").literal(), "::1".parse().ok());
    for uri in [
        "http://user@host/",
        "http://@host/",
        "ftp://host/",
        "/",
        "http://host:/",
        "http://host:+80/",
        "http://host:65536/",
    ] {
        // What is no URI at all is none of a request.
        assert!(!uri.parse().is_ok_and(|uri| Target::of(&uri).is_ok()), "{uri}");
    }
}
