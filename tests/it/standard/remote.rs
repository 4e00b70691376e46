//! `std:jwt-remote`: keys from a server that rotates them, fails, hangs and lies; in both of its builds.

use super::tokens::{Issuer, base64, claims, seen};
use crate::chain_test;
use crate::harness::{Answer, Client, Gateway, PROTOCOLS, Pipeline, Protocol, SOON, Setup, run, soon};
use serde_json::json;
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const BUILDS: [&str; 2] = ["jwt-remote", "jwt-remote-in-place"];

/// What a path of the server answers.
#[derive(Clone)]
enum Behaviour {
    /// These bytes, head and all, and then the end.
    Bytes(Vec<u8>),
    /// These, after a while.
    Late(Duration, Vec<u8>),
    /// These, once the server is told so.
    Held(Vec<u8>),
    /// These, and then nothing, for ever.
    Hangs(Vec<u8>),
    /// These, and then more of the same, without an end.
    Endless(Vec<u8>),
}

#[derive(Default)]
struct State {
    paths: HashMap<String, Behaviour>,
    fetches: HashMap<String, usize>,
    is_open: bool,
}

/// A server of keys.
struct Server {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        Self { address, state }
    }

    fn serve(&self, path: &str, behaviour: Behaviour) {
        self.state.0.lock().unwrap().paths.insert(path.to_owned(), behaviour);
    }

    fn keys(&self, path: &str, issuer: &Issuer, fields: &str) {
        self.serve(path, Behaviour::Bytes(good(issuer, fields)));
    }

    fn fetches(&self, path: &str) -> usize {
        self.state.0.lock().unwrap().fetches.get(path).copied().unwrap_or(0)
    }

    fn open(&self) {
        self.state.0.lock().unwrap().is_open = true;
        self.state.1.notify_all();
    }

    /// A stage whose keys are at `path`.
    fn stage(&self, path: &str, more: &str) -> String {
        format!(
            "config = {{ jwks-url = \"http://{address}{path}\", issuers = \"https://issuer.example\", audiences = [\"api\"], \
             claims = {{ x-user = \"sub\" }}{more} }}\ngrant = {{ clocks = true, egress = [\"http://{address}\"] }}",
            address = self.address,
        )
    }

    fn pipeline(&self, name: &str, build: &str, more: &str) -> Pipeline {
        let path = format!("/{name}");
        let keys = self.stage(&path, more);
        Pipeline::new(name, "probe").route(&format!("path = \"{path}\"")).stage_with(build, &keys)
    }
}

/// An answer of 200.
fn whole(kind: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n{kind}content-length: {}\r\n{fields}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn good(issuer: &Issuer, fields: &str) -> Vec<u8> {
    whole("content-type: application/jwk-set+json\r\n", fields, issuer.jwks().as_bytes())
}

fn answer(mut stream: TcpStream, state: &(Mutex<State>, Condvar)) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let behaviour = {
        let mut state = state.0.lock().unwrap();
        *state.fetches.entry(path.clone()).or_default() += 1;
        state.paths.get(&path).cloned()
    };
    let nothing = b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    // Who went away has no use for it.
    let _ = match behaviour.unwrap_or_else(|| Behaviour::Bytes(nothing.to_vec())) {
        Behaviour::Bytes(bytes) => stream.write_all(&bytes),
        Behaviour::Late(time, bytes) => {
            std::thread::sleep(time);
            stream.write_all(&bytes)
        }
        Behaviour::Held(bytes) => {
            let held = state.1.wait_timeout_while(state.0.lock().unwrap(), SOON, |state| !state.is_open);
            drop(held);
            stream.write_all(&bytes)
        }
        Behaviour::Hangs(bytes) => stream.write_all(&bytes).and_then(|()| stream.read(&mut byte)).map(drop),
        Behaviour::Endless(bytes) => loop {
            if let Err(error) = stream.write_all(&bytes) {
                break Err(error);
            }
        },
    };
}

async fn ask(client: &mut Client, name: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    client.get(&format!("/{name}"), &[("authorization", &bearer), ("x-user", "root")]).await
}

fn token(issuer: &Issuer) -> String {
    issuer.sign("ES256", &claims(json!({})))
}

/// A token that is signed by nobody, whose header names the key `kid`.
fn forged(kid: &str) -> String {
    let header = base64(json!({ "alg": "ES256", "kid": kid }).to_string().as_bytes());
    format!("{header}.{}.{}", base64(claims(json!({})).to_string().as_bytes()), base64(&[7; 64]))
}

chain_test! {
    fn keys_come_from_a_url(chain) {
        let (server, issuer) = (Server::start(), Issuer::new());
        server.keys("/keys", &issuer, "cache-control: max-age=600\r\n");
        let pipelines = BUILDS.map(|build| {
            chain.named(build, "probe").route(&format!("path = \"/{build}\"")).stage_with(build, &server.stage("/keys", ""))
        });
        let gateway = Gateway::start(&Setup::of(pipelines));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for build in BUILDS {
                    for algorithm in ["EdDSA", "ES256"] {
                        let answer = ask(&mut client, build, &issuer.sign(algorithm, &claims(json!({})))).await.ok();
                        assert_eq!(seen(&answer, "x-user").as_deref(), Some("alice"));
                        assert_eq!(seen(&answer, "authorization"), None);
                    }
                    for (token, status) in [
                        (token(&Issuer::new()), 401),
                        (forged("other"), 401),
                        (issuer.sign("ES256", &claims(json!({ "exp": 1 }))), 401),
                        (issuer.sign("HS256", &claims(json!({}))), 401),
                        ("x".into(), 401),
                    ] {
                        assert_eq!(ask(&mut client, build, &token).await.status, status, "{token}");
                    }
                    assert_eq!(client.get(&format!("/{build}"), &[]).await.status, 401);
                }
            }
            // Some chains have further instances; none fetches twice.
            assert!((2..=12).contains(&server.fetches("/keys")), "{}", server.fetches("/keys"));
        });
        gateway.stop();
    }
}

/// What a server may do that is no answer with keys.
fn lies(issuer: &Issuer) -> Vec<(&'static str, Behaviour)> {
    let json = "content-type: application/json\r\n";
    let keys = issuer.jwks();
    let key = serde_json::from_str::<serde_json::Value>(&keys).unwrap()["keys"][0].clone();
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{json}{more}\r\n").into_bytes();
    let status = |line: &str| {
        let text = format!(
            "HTTP/1.1 {line}\r\nconnection: close\r\n{json}content-length: {}\r\n\r\n{keys}",
            keys.len()
        );
        Behaviour::Bytes(text.into_bytes())
    };
    let body = |body: &str| Behaviour::Bytes(whole(json, "", body.as_bytes()));
    let chunks = format!("2000\r\n{}\r\n", " ".repeat(0x2000)).into_bytes();
    vec![
        ("missing", status("404 Not Found")),
        ("error", status("500 Internal Server Error")),
        ("partial", status("206 Partial Content")),
        ("inside", status("302 Found\r\nlocation: http://169.254.169.254/latest/meta-data/")),
        ("elsewhere", status("307 Temporary Redirect\r\nlocation: /good")),
        ("page", Behaviour::Bytes(whole("content-type: text/html\r\n", "", keys.as_bytes()))),
        ("of-no-type", Behaviour::Bytes(whole("", "", keys.as_bytes()))),
        ("no-json", body("<html>")),
        ("no-text", Behaviour::Bytes(whole(json, "", b"{\"keys\":[],\"a\":\"\xff\"}"))),
        ("no-keys", body("{\"keys\":[]}")),
        ("twice", body(&format!("{{\"keys\":[],{}", &keys[1..]))),
        ("deep", body(&format!("{{\"keys\":{}", "[".repeat(60_000)))),
        ("secret", body(&json!({ "keys": [{ "kty": "oct", "k": base64(&[7; 64]) }] }).to_string())),
        ("many", body(&json!({ "keys": vec![key.clone(); 10_000] }).to_string())),
        ("more", body(&json!({ "keys": vec![key; 65] }).to_string())),
        ("huge", Behaviour::Hangs(head("content-length: 10485760\r\n"))),
        ("long", Behaviour::Bytes(whole(json, "", &vec![b' '; 65_537]))),
        (
            "cut",
            Behaviour::Bytes(
                [head(&format!("content-length: {}\r\n", keys.len() + 1)), keys.clone().into()].concat(),
            ),
        ),
        ("endless", Behaviour::Endless(head("transfer-encoding: chunked\r\n"))),
        (
            "endless-body",
            Behaviour::Endless([head("transfer-encoding: chunked\r\n"), chunks.repeat(10)].concat()),
        ),
        ("silent", Behaviour::Hangs(Vec::new())),
        ("half", Behaviour::Hangs(head(&format!("content-length: {}\r\n", keys.len())))),
        ("no-http", Behaviour::Bytes(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())),
        ("gone", Behaviour::Bytes(Vec::new())),
    ]
}

/// Whatever the server does, nobody passes, nobody is told that a token is wrong, and it is not asked again at each request.
#[test]
fn a_server_that_lies_lets_nobody_pass() {
    let (server, issuer) = (Server::start(), Issuer::new());
    let lies = lies(&issuer);
    server.keys("/good", &issuer, "");
    let mut pipelines = Vec::new();
    for (name, behaviour) in &lies {
        server.serve(&format!("/{name}"), behaviour.clone());
        for build in BUILDS {
            let path = format!("/{name}");
            let stage = server.stage(&path, ", jwks-timeout = \"500ms\", jwks-cooldown = \"1h\"");
            let name = format!("{name}-{build}");
            pipelines.push(
                Pipeline::new(&name, "probe").route(&format!("path = \"/{name}\"")).stage_with(build, &stage),
            );
        }
    }
    let gateway = Gateway::start(&Setup::of(pipelines).each("instances = 1"));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for (name, _) in &lies {
            for build in BUILDS {
                let pipeline = format!("{name}-{build}");
                // Who has no token needs no keys.
                let before = server.fetches(&format!("/{name}"));
                assert_eq!(client.get(&format!("/{pipeline}"), &[]).await.status, 401, "{pipeline}");
                assert_eq!(server.fetches(&format!("/{name}")), before, "{pipeline}");
                for token in [token(&issuer), forged("p"), forged("q"), "x".into()] {
                    let answer = ask(&mut client, &pipeline, &token).await;
                    assert_eq!(answer.status, 503, "{pipeline}: {answer:?}");
                    let pause: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                    assert!((1..=3601).contains(&pause), "{pipeline}: {answer:?}");
                }
                // The pauses grow from a second on.
                let fetches = server.fetches(&format!("/{name}")) - before;
                assert!((1..=3).contains(&fetches), "{pipeline}: {fetches}");
            }
        }
        assert_eq!(server.fetches("/good"), 0, "a redirect was followed");
        let said = |line: &crate::harness::Line| line.to_string().contains("the keys could not be fetched");
        assert!(gateway.count(said) >= lies.len(), "the log says why");
    });
    gateway.stop();
}

/// A token of a key that was not there when the keys were fetched passes, and one of a key that is gone does not.
#[test]
fn keys_rotate() {
    for build in BUILDS {
        let (server, first, second) = (Server::start(), Issuer::of("-1"), Issuer::of("-2"));
        server.keys("/main", &first, "");
        let more = ", jwks-cooldown = \"1s\"";
        let gateway =
            Gateway::start(&Setup::of([server.pipeline("main", build, more)]).each("instances = 1"));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            ask(&mut client, "main", &token(&first)).await.ok();
            assert_eq!(server.fetches("/main"), 1);
            server.keys("/main", &second, "");
            // Within the cooldown, it is not known yet.
            let (old, new, began) = (token(&first), token(&second), Instant::now());
            loop {
                let answer = ask(&mut client, "main", &new).await;
                if answer.status == 200 {
                    break;
                }
                assert_eq!(answer.status, 401, "{answer:?}");
                assert!(began.elapsed() < SOON);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(server.fetches("/main"), 2);
            // The one that passed before is remembered no more.
            assert_eq!(ask(&mut client, "main", &old).await.status, 401);
        });
        gateway.stop();
    }
}

/// Names of keys that are made up cost the server nothing.
#[test]
fn forged_names_are_not_amplified() {
    for build in BUILDS {
        let (server, issuer) = (Server::start(), Issuer::new());
        server.keys("/main", &issuer, "");
        let gateway = Gateway::start(&Setup::of([server.pipeline("main", build, "")]).each("instances = 1"));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http2).await;
            for number in 0..200 {
                assert_eq!(ask(&mut client, "main", &forged(&number.to_string())).await.status, 401);
            }
            ask(&mut client, "main", &token(&issuer)).await.ok();
        });
        assert_eq!(server.fetches("/main"), 1);
        gateway.stop();
    }
}

/// Requests of 64 connections wait for one fetch in each instance.
#[test]
fn requests_share_a_fetch() {
    for build in BUILDS {
        let (server, issuer) = (Server::start(), Issuer::new());
        server.serve("/main", Behaviour::Late(Duration::from_millis(300), good(&issuer, "")));
        let pipeline = server.pipeline("main", build, "").limit("instances = 1").limit("concurrency = 128");
        let gateway = Gateway::start(&Setup::of([pipeline]).workers(2));
        run(async {
            let token = token(&issuer);
            let mut clients = Vec::new();
            for _ in 0..64 {
                clients.push(Client::connect(&gateway, Protocol::Http1).await);
            }
            let asked = clients.into_iter().map(|mut client| {
                let token = token.clone();
                tokio::task::spawn_local(async move {
                    for _ in 0..3 {
                        ask(&mut client, "main", &token).await.ok();
                    }
                })
            });
            for asked in asked.collect::<Vec<_>>() {
                asked.await.unwrap();
            }
        });
        // One for each worker's instance.
        assert!((1..=2).contains(&server.fetches("/main")), "{}", server.fetches("/main"));
        gateway.stop();
    }
}

/// While the server fails, the keys that were there stand in, for so long and no longer.
#[test]
fn old_keys_stand_in_for_a_server_that_fails() {
    for build in BUILDS {
        let (server, issuer) = (Server::start(), Issuer::new());
        server.keys("/main", &issuer, "cache-control: no-store\r\n");
        let more = ", jwks-refresh-min = \"1s\", jwks-refresh-max = \"1s\", jwks-stale = \"3s\", jwks-cooldown = \"1s\"";
        let gateway =
            Gateway::start(&Setup::of([server.pipeline("main", build, more)]).each("instances = 1"));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let (token, began) = (token(&issuer), Instant::now());
            ask(&mut client, "main", &token).await.ok();
            server.serve("/main", Behaviour::Bytes(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec()));
            let mut ended = Duration::ZERO;
            while ended == Duration::ZERO {
                let answer = ask(&mut client, "main", &token).await;
                match answer.status.as_u16() {
                    200 => assert!(began.elapsed() < SOON),
                    503 => ended = began.elapsed(),
                    _ => panic!("{answer:?}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(ended >= Duration::from_secs(4), "{ended:?}");
            // It was asked about once a second, not at each request.
            assert!((2..=8).contains(&server.fetches("/main")), "{}", server.fetches("/main"));
            server.keys("/main", &issuer, "");
            let began = Instant::now();
            while ask(&mut client, "main", &token).await.status != 200 {
                assert!(began.elapsed() < SOON);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        gateway.stop();
    }
}

/// Keys that are still good are fetched again, and nobody waits for it.
#[test]
fn keys_are_refreshed_ahead_of_their_time() {
    for build in BUILDS {
        let (server, issuer) = (Server::start(), Issuer::new());
        server.keys("/main", &issuer, "cache-control: max-age=8\r\n");
        let more = ", jwks-refresh-min = \"1s\", jwks-timeout = \"30s\"";
        let gateway =
            Gateway::start(&Setup::of([server.pipeline("main", build, more)]).each("instances = 1"));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            let token = token(&issuer);
            ask(&mut client, "main", &token).await.ok();
            server.serve("/main", Behaviour::Held(good(&issuer, "cache-control: max-age=600\r\n")));
            let began = Instant::now();
            while server.fetches("/main") < 2 {
                ask(&mut client, "main", &token).await.ok();
                assert!(began.elapsed() < SOON);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // At 70 to 90 % of their time; the server has not answered yet.
            assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
            ask(&mut client, "main", &token).await.ok();
            assert!(!server.state.0.lock().unwrap().is_open && began.elapsed() < Duration::from_secs(8));
            server.open();
            // Without the new ones, requests would wait, and be 503.
            tokio::time::sleep(Duration::from_secs(9).saturating_sub(began.elapsed())).await;
            ask(&mut client, "main", &token).await.ok();
            assert_eq!(server.fetches("/main"), 2);
        });
        gateway.stop();
    }
}

/// A pipeline of the gateway is where keys are, and may be one that every instance's fetches come through.
#[test]
fn keys_come_from_a_pipeline() {
    let issuer = Issuer::new();
    let stage = "config = { jwks-url = \"http://keys.internal/jwks.json\" }\ngrant = { clocks = true, calls = [\"keys\"] }";
    let body = format!(
        "config = {{ status = 200, body = {:?}, content-type = \"application/json\" }}",
        issuer.jwks()
    );
    let keys = Pipeline::new("keys", "respond").service_with(&body).route("path = \"/keys\"");
    let pipelines = BUILDS.map(|build| {
        Pipeline::new(build, "probe").route(&format!("path = \"/{build}\"")).stage_with(build, stage)
    });
    let gateway = Gateway::start(&Setup::of(pipelines.into_iter().chain([keys])));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for build in BUILDS {
            ask(&mut client, build, &token(&issuer)).await.ok();
            assert_eq!(ask(&mut client, build, &forged("p")).await.status, 401);
        }
    });
    gateway.stop();
}

/// A certificate that nobody vouches for is no server's.
#[test]
fn another_ones_certificate_is_no_keys() {
    let gateway = Gateway::start(&Setup::of([Pipeline::new("main", "hello")]));
    let address = Protocol::Http2.address(&gateway);
    let stage = format!(
        "config = {{ jwks-url = \"https://localhost:{port}/\" }}\ngrant = {{ clocks = true, egress = [\"https://localhost:{port}\"] }}",
        port = address.port()
    );
    let asking = Gateway::start(&Setup::of([Pipeline::new("main", "probe").stage_with(BUILDS[1], &stage)]));
    run(async {
        let mut client = Client::connect(&asking, Protocol::Http1).await;
        assert_eq!(ask(&mut client, "", &token(&Issuer::new())).await.status, 503);
        soon("the reason is in the log", || {
            asking.count(|line| line.to_string().contains("TlsProtocolError")) > 0
        })
        .await;
    });
    asking.stop();
    gateway.stop();
}
