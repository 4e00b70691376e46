//! Requests that a stage sends into the network: where they may go, and their bounds.

use crate::chain_test;
use crate::harness::{
    Answer, Client, Gateway, Line, PROTOCOLS, Pipeline, Protocol, Setup, in_time, run, soon,
};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// URLs with which a stage is made to reach inside, none of which a rule names.
const SSRF: &[&str] = &[
    "http://127.0.0.1",
    "http://127.0.0.1:22",
    "http://127.1",
    "http://127.0.1",
    "http://0",
    "http://0.0.0.0",
    "http://2130706433",
    "http://017700000001",
    "http://0177.0.0.1",
    "http://0x7f.0.0.1",
    "http://0x7f000001",
    "http://0X7F000001",
    "http://127.0.0.1.",
    "http://%31%32%37.0.0.1",
    "http://localhost",
    "http://LOCALHOST",
    "http://localhost.",
    "http://localhost:8080",
    "http://a.localhost",
    "http://ip6-localhost",
    "http://[::1]",
    "http://[::]",
    "http://[0:0:0:0:0:0:0:1]",
    "http://[::ffff:127.0.0.1]",
    "http://[::ffff:7f00:1]",
    "http://[::ffff:169.254.169.254]",
    "http://[::127.0.0.1]",
    "http://[64:ff9b::7f00:1]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:7f00:1::]",
    "http://[fe80::1%25eth0]",
    "http://[fd00:ec2::254]",
    "http://[fc00::1]",
    "http://[ff02::1]",
    "http://10.0.0.1",
    "http://172.16.0.1",
    "http://192.168.0.1",
    "http://100.64.0.1",
    "http://100.100.100.200",
    "http://169.254.169.254",
    "http://169.254.170.2",
    "http://2852039166",
    "http://0xa9fea9fe",
    "http://metadata.google.internal",
    "http://metadata",
    "http://224.0.0.1",
    "http://255.255.255.255",
    "http://1.1.1.1",
    "https://api.example.com:8443",
    "http://api.example.com:443",
    "https://example.com",
    "https://api.example.com.",
    "https://api.example.com.evil.test",
    "https://evil-example.com",
    "https://api.example.com@127.0.0.1",
    "https://127.0.0.1@api.example.com",
    "https://api.example.com:443@127.0.0.1",
    "https://127.0.0.1#@api.example.com",
    "https://127.0.0.1?@api.example.com",
    "https://127.0.0.1\\@api.example.com",
    "https://api.example.com%00.evil.test",
    "https://api.example.com%2eevil.test",
    "https://api..example.com",
    "https://.example.com",
    "https://api.example.com:",
    "https://api.example.com:0",
    "https://api.example.com:65536",
    "https://api.example.com:+443",
    "ftp://api.example.com",
    "file://api.example.com",
    "gopher://127.0.0.1:6379",
    "unix://api.example.com",
    // Full-width digits, a full stop of another script, a soft hyphen.
    "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "http://127\u{3002}0\u{3002}0\u{3002}1",
    "http://local\u{ad}host",
    "https://\u{430}pi.example.com",
];

chain_test! {
    /// All of them are refused, and none is looked up or connected to; each with what the guest can make of it.
    fn nothing_inside_is_reached(chain) {
        let grant = "grant = { egress = [\"https://api.example.com\", \"https://*.api.example.com\"] }";
        let gateway = Gateway::start(&Setup::of([chain.pipeline("caller").service_with(grant)]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for url in SSRF {
                let answer = client.get("/", &[("x-way", url)]).await;
                let refused = ["HttpRequestDenied", "HttpRequestUriInvalid", "HttpProtocolError", "set-authority"];
                assert_eq!(answer.status, 502, "{url}: {answer:?}");
                assert!(refused.iter().any(|code| answer.text().contains(code)), "{url}: {answer:?}");
            }
        });
        gateway.stop();
    }
}

/// A server that does with each connection what `serve` does, and where it is.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> (SocketAddr, Receiver<()>) {
    server_at(Ipv4Addr::LOCALHOST.into(), serve)
}

fn server_at(address: IpAddr, serve: impl Fn(TcpStream) + Send + 'static) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, connections) = sync_channel(1024);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            if accepted.send(()).is_err() {
                return;
            }
            serve(stream);
        }
    });
    (address, connections)
}

/// Reads a request's head, and answers it.
fn answer(mut stream: &TcpStream, head: &str) {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        read.push(byte[0]);
    }
    // A client that is gone has no use for it.
    let _ = stream.write_all(format!("{head}content-length: 0\r\n\r\n").as_bytes());
    // Not before it has all: what is unread would take the answer with it.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut read);
}

/// Reads a request whose body comes in chunks until the last one, then says whether it was one of `expected`.
fn answer_at_the_end(mut stream: &TcpStream, expected: &[String]) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n0\r\n\r\n") {
        // Who does not get the end hangs up, as a server does that waited long enough.
        let Ok(1) = stream.read(&mut byte) else { return };
        read.push(byte[0]);
    }
    let read = String::from_utf8(read).unwrap();
    let (head, body) = read.split_once("\r\n\r\n").unwrap();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let mut lines = body.split("\r\n");
    let mut whole = String::new();
    while let (Some(size), Some(chunk)) = (lines.next(), lines.next()) {
        assert_eq!(usize::from_str_radix(size, 16).unwrap(), chunk.len());
        whole.push_str(chunk);
    }
    let status = if head.starts_with("POST ") && chunked && expected.contains(&whole) { 201 } else { 400 };
    let head = format!("HTTP/1.1 {status} Read\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
}

chain_test! {
    /// A body of a stage's own ends when it was read, also for a server that answers no sooner.
    fn bodies_end_before_the_answer(chain) {
        // The second one is more than a sync stage could give.
        let bodies = ["short".to_owned(), "0123456789".repeat(2000)];
        let expected = bodies.clone();
        let (address, _reached) = server(move |stream| answer_at_the_end(&stream, &expected));
        let url = format!("http://{address}/orders");
        let either = sender(chain.pipeline("egress"), "http", address, "");
        let component = sender(chain.named("component", "egress").form("component"), "http", address, "");
        let gateway = Gateway::start(&Setup::of([either, component.route("path = \"/component\"")]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (path, body) in [("/", 0), ("/", 1), ("/component", 0), ("/component", 1)] {
                    let body = &bodies[body];
                    let answer = client.get(path, &[("x-url", &url), ("x-body", body)]).await;
                    let said = (answer.status.as_u16(), answer.text());
                    assert_eq!(said, (200, "201"), "{protocol:?} {path}, {} bytes", body.len());
                }
            }
        });
        gateway.stop();
    }
}

/// A pipeline whose service may send requests to `address` by `scheme`, with further keys of its limits.
fn sender(pipeline: Pipeline, scheme: &str, address: SocketAddr, limits: &str) -> Pipeline {
    pipeline
        .service_with(&format!("grant = {{ egress = [\"{scheme}://{address}\"] }}\nlimits = {{ {limits} }}"))
}

async fn send(gateway: &Gateway, scheme: &str, address: SocketAddr) -> Answer {
    let mut client = Client::connect(gateway, Protocol::Http1).await;
    client.get("/", &[("x-way", &format!("{scheme}://{address}"))]).await
}

chain_test! {
    /// A server that goes away without an answer is one error, however it does.
    fn servers_that_leave(chain) {
        let (address, _reached) = server(drop);
        let gateway = Gateway::start(&Setup::of([sender(chain.pipeline("caller"), "http", address, "")]));
        run(async {
            for _ in 0..3 {
                let answer = send(&gateway, "http", address).await;
                assert!(answer.status == 502 && answer.text().contains("ConnectionTerminated"), "{answer:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A redirect is the guest's to follow, by another request that needs a rule of its own.
    fn redirects_are_not_followed(chain) {
        let (inside, reached) = server(drop);
        let (address, _asked) = server(move |stream| {
            answer(&stream, &format!("HTTP/1.1 302 Found\r\nlocation: http://{inside}/\r\nconnection: close\r\n"));
        });
        let pipeline = sender(chain.pipeline("caller"), "http", address, "");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let answer = client.get("/", &[("x-way", &format!("http://{address}"))]).await;
                assert_eq!(answer.status, 302, "{answer:?}");
            }
            assert!(send(&gateway, "http", inside).await.text().contains("HttpRequestDenied"));
        });
        assert!(reached.try_recv().is_err());
        gateway.stop();
    }
}

chain_test! {
    /// One request more than there may be is refused at once; when there is room again, it is sent.
    fn requests_at_once(chain) {
        let (go, gone) = sync_channel(16);
        let gone = std::sync::Mutex::new(gone);
        let (address, reached) = server(move |stream| {
            let _ = gone.lock().unwrap().recv();
            answer(&stream, "HTTP/1.1 204 No Content\r\nconnection: close\r\n");
        });
        let pipeline = sender(chain.pipeline("caller"), "http", address, "egress-requests = 1");
        let gateway = Gateway::start(&Setup::of([pipeline]));
        run(async {
            let first = send(&gateway, "http", address);
            let second = async {
                // Sent while the first one is at the server.
                soon("the server is reached", || reached.try_recv().is_ok()).await;
                let refused = send(&gateway, "http", address).await;
                assert!(refused.text().contains("ConnectionLimitReached"), "{refused:?}");
                go.send(()).unwrap();
            };
            let (first, ()) = in_time(async { tokio::join!(first, second) }).await;
            assert_eq!(first.status, 204);
            go.send(()).unwrap();
            assert_eq!(send(&gateway, "http", address).await.status, 204);
        });
        gateway.stop();
    }
}

chain_test! {
    /// A request that finds no connection free waits for one, and not beyond its time.
    fn connections_at_once(chain) {
        let (go, gone) = sync_channel(16);
        let gone = std::sync::Mutex::new(gone);
        let (address, reached) = server(move |stream| {
            let _ = gone.lock().unwrap().recv();
            answer(&stream, "HTTP/1.1 204 No Content\r\nconnection: close\r\n");
        });
        let limits = "egress-connections = 1, egress-timeout = \"1s\"";
        let patient = sender(chain.pipeline("caller"), "http", address, "egress-connections = 1");
        let hasty = sender(Pipeline::new("hasty", "caller"), "http", address, limits).route("path = \"/hasty\"");
        let gateway = Gateway::start(&Setup::of([patient, hasty]));
        let way = format!("http://{address}");
        let ask = async |path: &str| {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            client.get(path, &[("x-way", &way)]).await
        };
        run(async {
            // Neither of the two is answered before both were asked, and the second one waits.
            let both = async { tokio::join!(ask("/"), ask("/")) };
            let release = async {
                soon("the server is reached", || reached.try_recv().is_ok()).await;
                go.send(()).unwrap();
                soon("the other one as well", || reached.try_recv().is_ok()).await;
                go.send(()).unwrap();
            };
            let ((one, other), ()) = in_time(async { tokio::join!(both, release) }).await;
            assert_eq!((one.status.as_u16(), other.status.as_u16()), (204, 204));
            // Nothing is ever answered here: the one that has the connection, and the one that waits, are both late.
            let (one, other) = in_time(async { tokio::join!(ask("/hasty"), ask("/hasty")) }).await;
            for late in [one, other] {
                assert!(late.text().contains("HttpResponseTimeout"), "{late:?}");
            }
            soon("the one that had it", || reached.try_recv().is_ok()).await;
            drop(go);
        });
        gateway.stop();
    }
}

chain_test! {
    /// A server that says nothing is waited for no longer than the stage's limits allow, TLS or not.
    fn silent_servers(chain) {
        let (address, _reached) = server(std::mem::forget);
        let limits = "egress-connect-timeout = \"100ms\", egress-timeout = \"1h\"";
        let encrypted = sender(chain.pipeline("caller"), "https", address, limits);
        let plain = sender(Pipeline::new("plain", "caller"), "http", address, "egress-timeout = \"100ms\"");
        let patient = sender(Pipeline::new("patient", "caller"), "http", address, "egress-timeout = \"1h\"");
        let gateway = Gateway::start(&Setup::of([
            encrypted,
            plain.route("path = \"/plain\""),
            patient.route("path = \"/patient\""),
        ]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (path, scheme, code) in
                    [("/", "https", "ConnectionTimeout"), ("/plain", "http", "HttpResponseTimeout")]
                {
                    let answer = client.get(path, &[("x-way", &format!("{scheme}://{address}"))]).await;
                    assert!(answer.status == 502 && answer.text().contains(code), "{answer:?}");
                }
                // The guest's own patience may be less.
                let fields = [("x-way", format!("http://{address}")), ("x-patience-ms", "100".to_owned())];
                let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answer = client.get("/patient", &fields).await;
                assert!(answer.status == 502 && answer.text().contains("HttpResponseTimeout"), "{answer:?}");
            }
        });
        gateway.stop();
    }
}

chain_test! {
    /// A name that a rule allows leads inside only where its networks do, and the log says why not.
    fn names_that_lead_inside(chain) {
        let Some((name, address)) = own_name() else { return };
        let serve = |stream: TcpStream| answer(&stream, "HTTP/1.1 204 No Content\r\nconnection: close\r\n");
        let (listening, _reached) = server_at(address, serve);
        let origin = format!("http://{name}:{}", listening.port());
        let with = |networks: &str| format!("grant = {{ egress = [\"{origin}\"], egress-networks = [{networks}] }}");
        let denied = chain.pipeline("caller").service_with(&with(""));
        let granted = Pipeline::new("granted", "caller").service_with(&with("\"127.0.0.0/8\", \"::1\""));
        let gateway = Gateway::start(&Setup::of([denied, granted.route("path = \"/granted\"")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let answer = client.get("/", &[("x-way", &origin)]).await;
            assert!(answer.text().contains("DestinationIpProhibited"), "{answer:?}");
            assert_eq!(client.get("/granted", &[("x-way", &origin)]).await.status, 204);
        });
        let said = |line: &Line| line["message"].as_str().is_some_and(|it| it.contains("leads inside"));
        gateway.counts(1, said);
        assert!(gateway.line(said)["request_id"].is_string());
        gateway.stop();
    }
}

/// A name other than `localhost` that this machine's hosts file has for a loopback address, if there is one.
fn own_name() -> Option<(String, IpAddr)> {
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_loopback)?;
        let name = words.find(|name| *name != "localhost")?;
        Some((name.to_owned(), address.into()))
    })
}
