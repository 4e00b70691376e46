//! `std:forward-auth`: a service decides who passes; in both of its builds, in every kind of chain. The service here does
//! what the client's cookie `act` says, also what no good service does.

use crate::chain_test;
use crate::harness::{
    Answer, Chain, Client, Gateway, Load, PROTOCOLS, Pipeline, Protocol, Setup, body, drive, free, get,
    request, run,
};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A service, and the number of questions that came to it.
fn service(listener: TcpListener) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), count) = (stream, Arc::clone(&count)) else { return };
            std::thread::spawn(move || decide(stream, &count));
        }
    });
    asked
}

/// Reads a question, and does what its cookie says.
fn decide(mut stream: TcpStream, count: &AtomicUsize) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(1) = stream.read(&mut byte) else { return };
        head.push(byte[0]);
    }
    count.fetch_add(1, Ordering::Relaxed);
    let head = String::from_utf8(head).unwrap();
    let field = |name: &str| {
        let value = head.lines().find_map(|line| line.split_once(": ").filter(|pair| pair.0 == name));
        value.map(|pair| pair.1).unwrap_or_default()
    };
    let act = field("cookie").split("act=").nth(1).unwrap_or("none").split(';').next().unwrap();
    let echo = format!("x-echo: {}\r\n", head.trim_end().replace("\r\n", " ~ "));
    let answer = answer(act, field("x-forwarded-host"), &echo);
    // A client that is gone has no use for it.
    let _ = stream.write_all(answer.as_bytes());
    match act {
        "hang" => drop(stream.read(&mut byte)),
        "endless" => while stream.write_all(b"4\r\nmore\r\n").is_ok() {},
        _ => {}
    }
}

fn answer(act: &str, host: &str, echo: &str) -> String {
    let (end, body) = (
        "connection: close\r\ncontent-length: 0\r\n\r\n",
        "connection: close\r\ncontent-length: 3\r\n\r\nno\n",
    );
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    match act.split_once('.').unwrap_or((act, "")) {
        ("user", user) => format!("HTTP/1.1 200 OK\r\nx-user: {user}\r\n{end}"),
        ("pass", _) => format!(
            "HTTP/1.1 200 OK\r\nx-user: alice\r\nx-groups: a\r\nx-groups: b\r\nset-cookie: s=1\r\nset-cookie: t=2\r\n{echo}{end}"
        ),
        ("empty", _) => format!("HTTP/1.1 204 No Content\r\n{echo}connection: close\r\n\r\n"),
        ("long", _) => "HTTP/1.1 206 Partial\r\nx-user: alice\r\ncontent-length: 99999999\r\n\r\n".into(),
        ("early", _) => format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\n{end}"),
        ("none", _) => format!(
            "HTTP/1.1 401 No\r\nwww-authenticate: Bearer\r\nwww-authenticate: Basic realm=\"a\"\r\ncontent-type: text/plain\r\nx-user: root\r\nserver: own\r\n{body}"
        ),
        ("login", _) => format!(
            "HTTP/1.1 302 Found\r\nlocation: https://login.example/?back=https://{host}/\r\nset-cookie: s=1; Path=/\r\nset-cookie: t=2\r\n{end}"
        ),
        ("two", _) => {
            format!("HTTP/1.1 303 See Other\r\nlocation: /a\r\nlocation: https://evil.example/\r\n{end}")
        }
        ("fields", _) => "HTTP/1.1 403 No\r\nconnection: x-user, close\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\nproxy-authenticate: Basic\r\ncontent-length: 3\r\n\r\nno\n".into(),
        ("huge", _) => format!(
            "HTTP/1.1 403 No\r\ncontent-type: text/html\r\ncontent-length: 1000000\r\n\r\n{}",
            "x".repeat(1_000_000)
        ),
        ("endless", _) => format!("HTTP/1.1 403 No\r\ncontent-type: text/html\r\n{chunked}"),
        ("cut", _) => "HTTP/1.1 403 No\r\ncontent-type: text/html\r\ncontent-length: 100\r\n\r\nno".into(),
        ("broken", _) => format!("HTTP/1.1 500 Broken\r\nx-user: root\r\n{end}"),
        ("gateway", _) => format!("HTTP/1.1 503 Away\r\n{end}"),
        ("status", _) => format!("HTTP/1.1 abc\r\n{end}"),
        ("field", _) => format!("HTTP/1.1 200 OK\r\nx user: root\r\n{end}"),
        ("value", _) => format!("HTTP/1.1 200 OK\r\nx-user: ro\0ot\r\n{end}"),
        ("large", _) => format!("HTTP/1.1 200 OK\r\nx-user: {}\r\n{end}", "x".repeat(1_000_000)),
        ("framing", _) => "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".into(),
        ("noise", _) => "\0\x01\x02\r\n\r\n".into(),
        // `hang`, `drop`: nothing.
        _ => String::new(),
    }
}

/// What a service does that lets nobody pass: with `"closed"`, 503, and with `"open"`, the request goes on.
const FAILURES: [&str; 9] =
    ["broken", "gateway", "status", "field", "value", "large", "framing", "noise", "drop"];

/// A pipeline that asks the service at `address`.
fn asking(
    chain: Chain,
    (name, suffix): (&str, &str),
    service: &str,
    address: SocketAddr,
    more: &str,
) -> Pipeline {
    let name = format!("{name}{suffix}");
    let config = format!(
        "config = {{ url = \"http://{address}/verify?a=b\", response-headers = [\"x-user\", \"X-Groups\", \"x-echo\"], \
         client-response-headers = [\"set-cookie\"]{more} }}"
    );
    let pipeline = chain.named(&name, service).route(&format!("path = \"/{name}\""));
    pipeline.stage_with(
        &format!("forward-auth{suffix}"),
        &format!("{config}\ngrant = {{ egress = [\"http://{address}\"] }}"),
    )
}

fn setup(chain: Chain, address: SocketAddr, dead: SocketAddr) -> Setup {
    let patient = ", timeout = \"30s\"";
    let open = ", timeout = \"30s\", on-service-failure = \"open\"";
    let pipelines = ["", "-in-place"].into_iter().flat_map(|suffix| {
        [
            asking(chain, ("closed", suffix), "probe", address, patient),
            asking(chain, ("open", suffix), "probe", address, open),
            asking(chain, ("hasty", suffix), "probe", address, ", timeout = \"200ms\""),
            asking(chain, ("dead", suffix), "probe", dead, patient),
            asking(chain, ("dead-open", suffix), "probe", dead, open),
            asking(chain, ("body", suffix), "echo", address, patient),
        ]
    });
    Setup::of(pipelines).more("[http]\nunderscores = \"keep\"\n")
}

/// What a client says who it is, in every way that might get through.
const FORGED: [(&str, &str); 11] = [
    ("x-user", "root"),
    ("x-user", "admin"),
    ("X_User", "root"),
    ("x_user", "root"),
    ("x-groups", "wheel"),
    ("x-echo", "forged"),
    ("x-forwarded-method", "OPTIONS"),
    ("x-forwarded-uri", "/public"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-proto", "gopher"),
];

async fn ask(client: &mut Client, path: &str, act: &str) -> Answer {
    let cookie = format!("act={act}");
    client.get(path, &[&FORGED[..], &[("cookie", &cookie), ("authorization", "Bearer t")]].concat()).await
}

/// That of `names`, nothing is left that the client said.
#[track_caller]
fn not_forged(answer: &Answer, names: &[&str]) {
    for name in names.iter().chain(&["x_user"]) {
        assert!(answer.seen(name).is_empty(), "{name}: {answer:?}");
    }
}

async fn check_passing(client: &mut Client, protocol: Protocol, suffix: &str) {
    for name in ["closed", "open"] {
        let path = format!("/{name}{suffix}");
        let answer =
            ask(client, &format!("{path}/a/%2e%2e/b/../c%20d//e?q=1%2f..&r=../x"), "pass").await.ok();
        assert_eq!(
            (answer.seen("x-user"), answer.seen("x-groups")),
            (vec!["alice".to_owned()], vec!["a".into(), "b".into()])
        );
        not_forged(&answer, &[]);
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["s=1", "t=2"]);
        // What the service judges is what the stages behind it get.
        let question = &answer.seen("x-echo")[0];
        assert!(question.starts_with("GET /verify?a=b HTTP/1.1 ~ "), "{question}");
        let scheme = if protocol == Protocol::Http1 { "http" } else { "https" };
        let seen_path = answer.json()["path"].as_str().unwrap().to_owned();
        assert!(!seen_path.contains("/../"), "{seen_path}");
        for (field, value) in [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", scheme),
            ("x-forwarded-host", answer.json()["authority"].as_str().unwrap()),
            ("x-forwarded-uri", &seen_path),
            ("x-forwarded-for", "127.0.0.1"),
            ("authorization", "Bearer t"),
            ("cookie", "act=pass"),
        ] {
            assert_eq!(question.matches(&format!(" ~ {field}: ")).count(), 1, "{field} in {question}");
            assert!(
                format!("{question} ~ ").contains(&format!(" ~ {field}: {value} ~ ")),
                "{field} in {question}"
            );
        }
        for none in ["x-user", "x-groups", "x-real-ip", "content-length", "transfer-encoding"] {
            assert!(!question.contains(&format!(" ~ {none}: ")), "{none} in {question}");
        }
        // Fields that the service does not set are gone as well.
        let answer = ask(client, &path, "empty").await.ok();
        not_forged(&answer, &["x-user", "x-groups"]);
        assert!(!answer.headers.contains_key("set-cookie"));
        // Nobody reads the body of such an answer.
        assert_eq!(ask(client, &path, "long").await.ok().seen("x-user"), ["alice"]);
    }
}

async fn check_refusals(client: &mut Client, suffix: &str) {
    for name in ["closed", "open"] {
        let path = format!("/{name}{suffix}");
        let answer = ask(client, &path, "none").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (401, "no\n"), "{answer:?}");
        let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Bearer", "Basic realm=\"a\""]);
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert!(
            !answer.headers.contains_key("x-user") && !answer.headers.contains_key("server"),
            "{answer:?}"
        );
        let answer = ask(client, &path, "login").await;
        assert_eq!(answer.status, 302);
        assert!(
            answer.header("location").unwrap().starts_with("https://login.example/?back=https://localhost")
        );
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
        let answer = ask(client, &path, "two").await;
        let locations = answer.headers.get_all("location").iter().count();
        assert_eq!((answer.status.as_u16(), locations), (303, 1), "{answer:?}");
        assert_eq!(answer.header("location"), Some("/a"));
        let answer = ask(client, &path, "fields").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (403, "no\n"), "{answer:?}");
        for none in ["keep-alive", "upgrade", "proxy-authenticate"] {
            assert!(!answer.headers.contains_key(none), "{none}: {answer:?}");
        }
        // It was refused, whatever comes of the words.
        for act in ["huge", "endless", "cut", "early"] {
            let answer = ask(client, &path, act).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (403, ""), "{act}: {answer:?}");
            assert!(!answer.headers.contains_key("content-type"), "{act}");
        }
    }
}

async fn check_failures(client: &mut Client, suffix: &str) {
    for act in FAILURES {
        let answer = ask(client, &format!("/closed{suffix}"), act).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("retry-after")),
            (503, Some("1")),
            "{act}: {answer:?}"
        );
        let answer = ask(client, &format!("/open{suffix}"), act).await.ok();
        not_forged(&answer, &["x-user", "x-groups", "x-echo"]);
    }
    assert_eq!(ask(client, &format!("/hasty{suffix}"), "hang").await.status, 503);
    assert_eq!(ask(client, &format!("/dead{suffix}"), "pass").await.status, 503);
    not_forged(
        &ask(client, &format!("/dead-open{suffix}"), "pass").await.ok(),
        &["x-user", "x-groups", "x-echo"],
    );
}

async fn check_requests(client: &mut Client, protocol: Protocol, suffix: &str, asked: &AtomicUsize) {
    let path = format!("/closed{suffix}");
    let before = asked.load(Ordering::Relaxed);
    let twice = [("cookie", "act=pass"), ("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert_eq!(client.get(&path, &twice).await.status, 400);
    let encoded = client.get(&format!("{path}/a%2f..%2fb"), &[("cookie", "act=pass")]).await;
    assert_eq!(encoded.status, 400, "a path that servers read in two ways: {encoded:?}");
    assert_eq!(asked.load(Ordering::Relaxed), before, "nobody is asked");
    // A body goes on to the next stage, and not to the service.
    let sent = request(
        "POST".parse().unwrap(),
        &format!("/body{suffix}"),
        &[("cookie", "act=pass")],
        body::whole("a body"),
    );
    assert_eq!(client.ask(sent).await.ok().text(), "a body");
    let sent = request("PUT".parse().unwrap(), &path, &[("cookie", "act=pass")], body::whole("a body"));
    let question = &client.ask(sent).await.ok().seen("x-echo")[0];
    assert!(question.starts_with("GET ") && question.contains(" ~ x-forwarded-method: PUT"), "{question}");
    assert!(!question.contains("content-length") && !question.contains("transfer-encoding"), "{question}");
    if protocol != Protocol::Http1 {
        return;
    }
    // A client can take its own fields away, and none of the stage's.
    let fields = [("cookie", "act=pass"), ("connection", "x-user, x-forwarded-uri, x-forwarded-for")];
    let answer = client.get(&path, &fields).await.ok();
    assert_eq!(answer.seen("x-user"), ["alice"]);
    let question = &answer.seen("x-echo")[0];
    assert!(
        question.contains(" ~ x-forwarded-uri: ") && question.contains(" ~ x-forwarded-for: 127.0.0.1"),
        "{question}"
    );
    let answer = client.get(&path, &[("cookie", "act=pass"), ("connection", "cookie")]).await;
    assert_eq!(answer.status, 401, "who takes the cookie away has none: {answer:?}");
    // The host of an absolute URI is the one that counts, everywhere.
    let absolute =
        get(&format!("http://shop.example{path}/x"), &[("host", "shop.example"), ("cookie", "act=pass")]);
    let answer = client.ask(absolute).await.ok();
    assert_eq!(answer.json()["authority"], "shop.example");
    assert!(answer.seen("x-echo")[0].contains(" ~ x-forwarded-host: shop.example ~ "), "{answer:?}");
}

chain_test! {
    fn a_service_decides(chain) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, dead) = (listener.local_addr().unwrap(), free());
        let asked = service(listener);
        let gateway = Gateway::start(&setup(chain, address, dead));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for suffix in ["", "-in-place"] {
                    check_passing(&mut client, protocol, suffix).await;
                    check_refusals(&mut client, suffix).await;
                    check_failures(&mut client, suffix).await;
                    check_requests(&mut client, protocol, suffix, &asked).await;
                }
            }
            // A service that comes back is asked again.
            let asked = service(TcpListener::bind(dead).unwrap());
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            ask(&mut client, "/dead/x", "pass").await.ok();
            assert_eq!(asked.load(Ordering::Relaxed), 1);
        });
        gateway.stop();
    }
}

/// Sixty-four clients at once: each is who the service says, and no other.
#[test]
fn many_are_judged_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = service(listener);
    let gateway = Gateway::start(&setup(Chain { link: "static", front: &[] }, address, free()).workers(2));
    run(async {
        for (protocol, path) in PROTOCOLS.into_iter().zip(["/closed-in-place", "/closed"]) {
            let make = move |number: u64| {
                let cookie = if number % 4 == 3 { "act=none".into() } else { format!("act=user.{number}") };
                get(path, &[("cookie", &cookie), ("x-user", "root")])
            };
            let check = |number: u64, answer: hyper::Result<Answer>| match answer.unwrap() {
                answer if number % 4 == 3 => assert_eq!(answer.status, 401),
                answer => assert_eq!(answer.ok().seen("x-user"), [number.to_string()]),
            };
            assert_eq!(drive(&gateway, protocol, Load::requests(64, 640), make, check).await, 640);
        }
    });
    assert_eq!(asked.load(Ordering::Relaxed), 2 * 640);
    gateway.stop();
}
