//! `std:jwt`: who passes with a token, and what later stages learn; in both of its builds, in every kind of chain.

use crate::chain_test;
use crate::harness::{Answer, Chain, Client, Gateway, PROTOCOLS, Setup, run};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::time::SystemTime;

/// The issuer's keys.
pub struct Issuer {
    /// What the names of its keys end with.
    generation: &'static str,
    edwards: Ed25519KeyPair,
    p256: EcdsaKeyPair,
}

/// Base64url without padding (RFC 4648 §5).
pub fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let chunk = |chunk: &[u8]| {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len())
            .map(|place| alphabet[(bits >> (18 - 6 * place)) as usize & 63])
            .map(char::from)
            .collect::<String>()
    };
    bytes.chunks(3).map(chunk).collect()
}

impl Issuer {
    pub fn new() -> Self {
        Self::of("")
    }

    pub fn of(generation: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        Self { generation, edwards: Ed25519KeyPair::generate().unwrap(), p256 }
    }

    pub fn jwks(&self) -> String {
        let point = self.p256.public_key().as_ref();
        let [ed, p] = ["ed", "p"].map(|kid| format!("{kid}{}", self.generation));
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": ed, "x": base64(self.edwards.public_key().as_ref()) },
            { "kty": "EC", "crv": "P-256", "kid": p, "use": "sig", "x": base64(&point[1..33]), "y": base64(&point[33..]) },
            // A kind that nobody here knows is left out.
            { "kty": "AKP", "kid": "later", "pub": "AA" },
        ] })
        .to_string()
    }

    pub fn sign(&self, algorithm: &str, claims: &Value) -> String {
        let kid = if algorithm == "EdDSA" { "ed" } else { "p" };
        let kid = format!("{kid}{}", self.generation);
        let header = json!({ "alg": algorithm, "kid": kid, "typ": "at+jwt" }).to_string();
        let signed = format!("{}.{}", base64(header.as_bytes()), base64(claims.to_string().as_bytes()));
        let signature = match algorithm {
            "EdDSA" => base64(self.edwards.sign(signed.as_bytes()).as_ref()),
            _ => base64(self.p256.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref()),
        };
        format!("{signed}.{signature}")
    }
}

pub fn claims(with: Value) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({ "iss": "https://issuer.example", "aud": "api", "exp": now + 3600, "sub": "alice", "scope": "read" });
    for (name, value) in with.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn setup(chain: Chain, issuer: &Issuer) -> Setup {
    let common = "jwks = { file = \"jwks.json\" }, issuers = \"https://issuer.example\", audiences = [\"api\"], \
                  claims = { x-user = \"sub\", x-groups = \"groups\" }";
    let pipelines = ["", "-in-place"].into_iter().flat_map(|suffix| {
        [("plain", ""), ("open", ", optional = true, forward = true"), ("writers", ", scopes = [\"write\"]")]
            .map(|(name, more)| {
                let name = format!("{name}{suffix}");
                let config = format!("config = {{ {common}{more} }}\ngrant = {{ clocks = true }}");
                let pipeline = chain.named(&name, "probe").route(&format!("path = \"/{name}\""));
                pipeline.stage_with(&format!("jwt{suffix}"), &config)
            })
    });
    Setup::of(pipelines).file("jwks.json", &issuer.jwks())
}

/// A field that the service saw.
pub fn seen(answer: &Answer, name: &str) -> Option<String> {
    let json = answer.json();
    let pair = json["headers"].as_array().unwrap().iter().find(|pair| pair[0] == name)?.clone();
    Some(pair[1].as_str().unwrap().to_owned())
}

async fn ask(client: &mut Client, path: &str, token: &str) -> Answer {
    client
        .get(
            path,
            &[("authorization", &format!("Bearer {token}")), ("x-user", "root"), ("x-groups", "admins")],
        )
        .await
}

async fn check(client: &mut Client, issuer: &Issuer, suffix: &str) {
    let path = |name: &str| format!("/{name}{suffix}/x");
    for algorithm in ["EdDSA", "ES256"] {
        let token = issuer.sign(algorithm, &claims(json!({ "groups": ["a", "b"] })));
        // A token that was seen is remembered.
        for _ in 0..3 {
            let answer = ask(client, &path("plain"), &token).await.ok();
            assert_eq!(seen(&answer, "x-user").as_deref(), Some("alice"), "{algorithm}");
            assert_eq!(seen(&answer, "x-groups").as_deref(), Some("a,b"));
            assert_eq!(seen(&answer, "authorization"), None);
        }
        // Of a claim that is not there, nothing is left that the client said.
        let token = issuer.sign(algorithm, &claims(json!({})));
        let answer = ask(client, &path("open"), &token).await.ok();
        assert_eq!((seen(&answer, "x-groups"), seen(&answer, "x-user").as_deref()), (None, Some("alice")));
        assert!(seen(&answer, "authorization").is_some_and(|value| value == format!("Bearer {token}")));
    }
    let good = issuer.sign("ES256", &claims(json!({})));
    let others = Issuer::new().sign("ES256", &claims(json!({})));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let root = base64(claims(json!({ "sub": "root" })).to_string().as_bytes());
    for (token, reason) in [
        (others, "the signature is not valid"),
        (format!("{header}.{root}.{signature}"), "the signature is not valid"),
        (format!("{}.{payload}.", base64(b"{\"alg\":\"none\"}")), "the algorithm is not allowed"),
        (issuer.sign("HS256", &claims(json!({}))), "the algorithm is not allowed"),
        (issuer.sign("EdDSA", &claims(json!({ "exp": 1 }))), "the token expired"),
        (
            issuer.sign("EdDSA", &claims(json!({ "iss": "https://evil.example" }))),
            "the issuer is another one",
        ),
        (issuer.sign("EdDSA", &claims(json!({ "aud": "other" }))), "the token is for others"),
        ("x".into(), "the token is malformed"),
    ] {
        for name in ["plain", "open"] {
            let answer = ask(client, &path(name), &token).await;
            let challenge =
                format!("Bearer realm=\"api\", error=\"invalid_token\", error_description=\"{reason}\"");
            assert_eq!(
                (answer.status.as_u16(), answer.header("www-authenticate")),
                (401, Some(&*challenge)),
                "{token}"
            );
        }
    }
    let answer = client.get(&path("plain"), &[("x-user", "root")]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (401, Some("Bearer realm=\"api\""))
    );
    let answer = client.get(&path("open"), &[("x-user", "root")]).await.ok();
    assert_eq!(seen(&answer, "x-user"), None);
    let bearer = format!("Bearer {good}");
    let answer = client.get(&path("open"), &[("authorization", &bearer), ("authorization", &bearer)]).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let answer = ask(client, &path("writers"), &good).await;
    let challenge = "Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"write\"";
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (403, Some(challenge)));
    let writes = issuer.sign("EdDSA", &claims(json!({ "scope": "read write" })));
    ask(client, &path("writers"), &writes).await.ok();
}

chain_test! {
    fn tokens_are_judged(chain) {
        let issuer = Issuer::new();
        let gateway = Gateway::start(&setup(chain, &issuer));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for suffix in ["", "-in-place"] {
                    check(&mut client, &issuer, suffix).await;
                }
            }
        });
        gateway.stop();
    }
}
