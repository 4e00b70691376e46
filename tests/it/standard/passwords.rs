//! `std:basic-auth`: who passes by name and password, and what later stages learn; in both of its builds, in every kind of
//! chain.

use crate::chain_test;
use crate::harness::{Answer, Chain, Client, Gateway, Load, PROTOCOLS, Protocol, Setup, drive, get, run};

/// `secret` by bcrypt.
const ALICE: &str = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";
/// `correct horse` by argon2id, as OWASP has it: 19 MiB, two passes.
const BOB: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$rk2Mi3E4dgRMg0fHaYaptWVZRKqs//6b6k3/nntqGJk";
/// The same, by the costliest that there may be: 46 MiB, two passes.
const CAROL: &str =
    "$argon2id$v=19$m=47104,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$hmymGzfhfKoH0Ue+Ka1nhZdPk1Ip7MHa5I9ASy9oJT0";
/// The same, by bcrypt of the highest cost.
const DAVE: &str = "$2y$12$abcdefghijklmnopqrstuuFDJRuYeKkCzo3Wy7h8SxhBSHBAHiPK2";
/// `pässwörd` by bcrypt.
const ERIN: &str = "$2y$05$abcdefghijklmnopqrstuuZVEMa1pjhlynBQ1qXmSvGBJpN9h1w8G";
/// 72 times `p` by bcrypt.
const LONG: &str = "$2b$04$abcdefghijklmnopqrstuuNt.0ah97gHY3F7JC1Z6EXmQc0bQBhIO";

/// Base64 (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let chunk = |chunk: &[u8]| {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |place: usize| match place <= chunk.len() {
            true => char::from(alphabet[(bits >> (18 - 6 * place)) as usize & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(chunk).collect()
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", base64(credentials.as_bytes()))
}

fn setup(chain: Chain) -> Setup {
    let plain = format!("users = {{ alice = '{ALICE}', bob = '{BOB}', long = '{LONG}' }}");
    let costly = format!("users = {{ alice = '{ALICE}', carol = '{CAROL}', dave = '{DAVE}' }}");
    let file =
        "htpasswd = { file = \"htpasswd\" }, forward = true, consumer-header = \"x-user\", remember = \"0s\"";
    let pipelines = ["", "-in-place"].into_iter().flat_map(|suffix| {
        [("plain", &*plain), ("costly", &*costly), ("file", file)].map(|(name, keys)| {
            let name = format!("{name}{suffix}");
            let config = format!("config = {{ {keys} }}\ngrant = {{ clocks = true }}");
            let pipeline = chain.named(&name, "probe").route(&format!("path = \"/{name}\""));
            pipeline.stage_with(&format!("basic-auth{suffix}"), &config)
        })
    });
    Setup::of(pipelines).file("htpasswd", &format!("# people\nerin.smith:{ERIN}\n\n"))
}

async fn ask(client: &mut Client, path: &str, authorization: &str) -> Answer {
    let fields = [("authorization", authorization), ("x-consumer", "root"), ("x-user", "root")];
    client.get(path, &fields).await
}

/// That nobody comes in, and is told how one would.
#[track_caller]
fn refused(answer: &Answer, title: &str) {
    let challenge = "Basic realm=\"restricted\", charset=\"UTF-8\"";
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (401, Some(challenge)),
        "{answer:?}"
    );
    assert_eq!(answer.json()["title"], title);
}

async fn check(client: &mut Client, suffix: &str) {
    let path = |name: &str| format!("/{name}{suffix}/x");
    let long = format!("long:{}", "p".repeat(72));
    for (credentials, user) in [("alice:secret", "alice"), ("bob:correct horse", "bob"), (&long, "long")] {
        // From the second time on, it is remembered.
        for _ in 0..3 {
            let answer = ask(client, &path("plain"), &basic(credentials)).await.ok();
            assert_eq!(answer.seen("x-consumer"), [user], "{credentials}");
            assert!(answer.seen("authorization").is_empty());
        }
    }
    let erin = basic("erin.smith:pässwörd");
    for _ in 0..2 {
        let answer = ask(client, &path("file"), &erin).await.ok();
        assert_eq!(
            (answer.seen("x-user"), answer.seen("authorization")),
            (vec!["erin.smith".to_owned()], vec![erin.clone()])
        );
    }
    let wrong = "The name or the password is not valid";
    for credentials in [
        "alice:Secret",
        "alice:",
        ":",
        "alice:correct horse",
        "bob:secret",
        "bob:correct horse ",
        "root:secret",
        "alice :secret",
        &format!("long:{}", "p".repeat(73)),
        &format!("nobody:{}", "p".repeat(1000)),
    ] {
        refused(&ask(client, &path("plain"), &basic(credentials)).await, wrong);
    }
    let malformed = "The name and the password are malformed";
    for value in [
        basic("alice"),
        "Basic alice:secret".into(),
        "Basic YWxpY2U6c2VjcmV0, Basic YWxpY2U6c2VjcmV0".into(),
        "Basic YWxpY2U6c2VjcmV0=".into(),
        format!("Basic {}", base64(b"alice:\xff")),
        format!("Basic {}", base64(b"alice:sec\0ret")),
        basic("alice\r\nx-consumer: root:secret"),
        basic(&format!("alice:{}", "x".repeat(2000))),
    ] {
        refused(&ask(client, &path("plain"), &value).await, malformed);
    }
    let alice = basic("alice:secret");
    for value in ["Bearer YWxpY2U6c2VjcmV0", "Basic", "YWxpY2U6c2VjcmV0"] {
        refused(&ask(client, &path("plain"), value).await, "A name and a password are required");
    }
    refused(&client.get(&path("plain"), &[]).await, "A name and a password are required");
    let twice = [("authorization", &*alice), ("authorization", &*alice)];
    refused(&client.get(&path("plain"), &twice).await, "More than one name and password were sent");
}

chain_test! {
    fn passwords_are_judged(chain) {
        let gateway = Gateway::start(&setup(chain));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for suffix in ["", "-in-place"] {
                    check(&mut client, suffix).await;
                }
            }
        });
        gateway.stop();
    }
}

/// Sixty-four clients at once: each gets the answer to its own credentials.
#[test]
fn many_come_at_once() {
    let gateway = Gateway::start(&setup(Chain { link: "static", front: &[] }).workers(2));
    run(async {
        let good = |number: u64| number.is_multiple_of(2);
        for protocol in PROTOCOLS {
            let make = move |number| {
                let credentials = if good(number) { "erin.smith:pässwörd" } else { "erin.smith:wrong" };
                get("/file-in-place/x", &[("authorization", &basic(credentials))])
            };
            let check = move |number, answer: hyper::Result<Answer>| {
                assert_eq!(answer.unwrap().status, if good(number) { 200 } else { 401 }, "{number}");
            };
            assert_eq!(drive(&gateway, protocol, Load::requests(64, 640), make, check).await, 640);
        }
    });
    gateway.stop();
}

/// What costs the most fits what a stage has by default.
#[test]
fn the_costliest_hashes_fit() {
    let gateway = Gateway::start(&setup(Chain { link: "static", front: &[] }));
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        for name in ["carol", "dave"] {
            ask(&mut client, "/costly/x", &basic(&format!("{name}:correct horse"))).await.ok();
        }
    });
    gateway.stop();
}
