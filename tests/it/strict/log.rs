//! What is refused has its line in the access log, and is counted: whoever refused it, and wherever it came in.

use super::h2::{A, Connection, M, P, S};
use super::support::{Raw, Strict};
use crate::harness::{Client, Protocol, run};
use serde_json::Value;

/// What of a line is looked at; what is `null` is not there.
fn told(line: &Value) -> Vec<Value> {
    ["method", "scheme", "host", "path", "protocol", "status", "reason", "detail"]
        .map(|key| line[key].clone())
        .to_vec()
}

/// Bytes, and what the log has of them: method, host, path, status, reason, detail.
type Case = (&'static str, [Option<&'static str>; 3], u16, &'static str, Option<&'static str>);

const LARGE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("GET /a?b HTTP/1.1\r\nConnection: close\r\n\r\n", [Some("GET"), None, Some("/a")], 400, "bad-request", Some("Host is missing.")),
    ("GET /a HTTP/1.1\r\nHost: me:secret@localhost\r\nConnection: close\r\n\r\n", [Some("GET"), Some("localhost"), Some("/a")], 400, "bad-request", Some("User info before the host is not allowed.")),
    ("GET /a%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", [Some("GET"), Some("localhost"), Some("/a%00")], 400, "bad-request", Some("The path has an encoded backslash or control character.")),
    ("CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n", [Some("CONNECT"), Some("localhost:1"), Some("")], 501, "not-implemented", None),
    ("GET / HTTP/1.1\nHost: localhost\n\n", [None, None, None], 400, "bad-request", Some("a line does not end with CRLF")),
    ("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", [None, None, None], 400, "bad-request", Some("a field's name is not a token followed by a colon")),
    ("GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", [None, None, None], 400, "bad-request", Some("the version is neither HTTP/1.1 nor HTTP/1.0")),
    ("GET file:///x HTTP/1.1\r\nHost: localhost\r\n\r\n", [None, None, None], 400, "bad-request", Some("the head is malformed")),
    (LARGE, [None, None, None], 431, "headers-too-large", Some("the head has too many fields, or too large ones")),
];

fn served() -> Strict {
    Strict::with(
        "",
        "",
        "\n[limits]\nheader-size = \"8KiB\"\nuri-size = \"1KiB\"\n\n[admin]\naddress = \"127.0.0.1:0\"\n",
    )
}

/// The number of requests that reached no pipeline, by method and status.
fn counted(strict: &Strict, method: &str, status: u16) -> u64 {
    let line = strict.gateway.line(|line| line["message"] == "admin listening");
    let admin = line["address"].as_str().unwrap().parse().unwrap();
    let text = run(async {
        let mut client = Client::open(admin, Protocol::Http1).await;
        client.get("/metrics", &[]).await.ok().text().to_owned()
    });
    let labels = format!(
        "{{http_request_method=\"{method}\",http_response_status_code=\"{status}\",linkspan_pipeline=\"_none\"}} "
    );
    let name = format!("http_server_request_duration_seconds_count{labels}");
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn refusals_over_http_1() {
    let strict = served();
    let mut expected = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http1Tls] {
        for (bytes, [method, host, path], status, reason, detail) in CASES {
            let mut client = Raw::connect(&strict.gateway, protocol);
            let long = if *bytes == LARGE { "x".repeat(20_000) } else { String::new() };
            client.send(format!("{bytes}{long}").as_bytes());
            assert_eq!(client.answers().first().map(|answer| answer.status), Some(*status), "{bytes:?}");
            let scheme = if protocol == Protocol::Http1 { "http" } else { "https" };
            let of = |text: Option<&str>| text.map_or(Value::Null, Value::from);
            expected.push(vec![
                of(*method),
                scheme.into(),
                of(*host),
                of(*path),
                "HTTP/1.1".into(),
                (*status).into(),
                (*reason).into(),
                of(*detail),
            ]);
            let lines = strict.lines(expected.len());
            assert_eq!(told(lines.last().unwrap()), *expected.last().unwrap(), "{bytes:?}");
            let line = lines.last().unwrap();
            assert!(line["client"] == "127.0.0.1" && line["listener"].is_string(), "{line}");
            assert!(line["query"].is_null() && line["pipeline"].is_null(), "{line}");
        }
    }
    assert_eq!(strict.lines(expected.len()).iter().map(told).collect::<Vec<_>>(), expected);
    let counts = [("GET", 400), ("CONNECT", 501), ("_OTHER", 400), ("_OTHER", 431)];
    assert_eq!(counts.map(|(method, status)| counted(&strict, method, status)), [6, 2, 8, 2]);
    strict.gateway.stop();
}

/// What of HTTP/2 refuses what a service never hears of: the gateway, or its library, for a stream or for the
/// connection.
#[test]
fn refusals_over_http_2() {
    let strict = served();
    let long = "x".repeat(120);
    let names: Vec<String> = (0..60).map(|number| format!("x-{number}")).collect();
    let large: Vec<(&str, &str)> =
        [M, P, S, A].into_iter().chain(names.iter().map(|name| (&**name, &*long))).collect();
    let path = format!("/{}", "x".repeat(125));
    // Fields; then method, status and reason of the line.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, u16, &'a str);
    let cases: [Case<'_>; 8] = [
        (&[(":method", "CONNECT"), (":authority", "localhost:443")], "CONNECT", 501, "not-implemented"),
        (&[M, P, S, (":authority", "other")], "GET", 421, "misdirected"),
        (&[M, P, S, A, ("x", " y")], "GET", 400, "bad-request"),
        (&large, "", 431, "headers-too-large"),
        (&[M, P, S, A, ("te", "gzip")], "", 400, "bad-request"),
        (&[M, P, A], "", 400, "bad-request"),
        (&[M, P, S, A, ("X-Upper", "y")], "", 400, "bad-request"),
        (&[M, (":path", &path), S, A], "GET", 200, ""),
    ];
    let mut asked = 0;
    for (fields, method, status, reason) in cases {
        let mut connection = Connection::open(&strict.gateway);
        // One before it, and one after it, are served.
        let before = connection.ask(1, &[M, P, S, A], None);
        assert_eq!(before.status, Some(200));
        let outcome = connection.ask(3, fields, None);
        asked += 2;
        if !outcome.gone {
            assert_eq!(connection.ask(5, &[M, P, S, A], None).status, Some(200));
            asked += 1;
        }
        let lines = strict.lines(asked);
        let of_this = |line: &&Value| line["status"] == status && (status != 200 || line["path"] == *path);
        let found = lines.iter().rev().find(of_this).unwrap_or_else(|| panic!("{fields:?}: {lines:#?}"));
        let method = if method.is_empty() { Value::Null } else { method.into() };
        let reason = if reason.is_empty() { Value::Null } else { reason.into() };
        assert_eq!((&found["method"], &found["reason"]), (&method, &reason), "{fields:?}");
        assert_eq!((&found["protocol"], &found["client"]), (&"HTTP/2.0".into(), &"127.0.0.1".into()));
        drop(connection);
    }
    let lines = strict.lines(0);
    assert_eq!((lines.len(), asked), (23, 23), "{lines:#?}");
    assert_eq!([400, 431].map(|status| counted(&strict, "_OTHER", status)), [3, 1]);
    strict.gateway.stop();
}

/// A listener that only says where to go.
#[test]
fn redirects_have_their_line() {
    let strict = Strict::with("", "redirect = \"https\"", "");
    let mut client = Raw::connect(&strict.gateway, Protocol::Http1);
    client.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answers()[0].status, 308);
    let line = &strict.lines(1)[0];
    let expected = ["GET", "http", "localhost", "/a", "HTTP/1.1"].map(Value::from);
    assert_eq!(told(line)[..5], expected, "{line}");
    assert_eq!((&line["status"], &line["reason"]), (&308.into(), &"https-only".into()));
    strict.gateway.stop();
}
