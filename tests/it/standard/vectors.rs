//! Signatures as the two builds of `std:jwt` verify them: by crates in the sandbox, and by linkspan.

use super::tokens::{base64, claims};
use crate::harness::{Client, Gateway, Pipeline, Protocol, Setup, repository, run, scaled};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const BUILDS: [&str; 2] = ["jwt", "jwt-in-place"];

const ALGORITHMS: &str = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA HS256 HS384 HS512";

/// A pipeline with a build of the component, whose configuration has these keys.
fn pipeline(name: &str, build: &str, jwks: &str) -> Pipeline {
    let algorithms: Vec<_> = ALGORITHMS.split(' ').collect();
    let keys = format!(
        "config = {{ jwks = {{ file = {jwks:?} }}, algorithms = {algorithms:?} }}\ngrant = {{ clocks = true }}"
    );
    Pipeline::new(name, "empty").route(&format!("path = \"/{name}\"")).stage_with(build, &keys)
}

/// Project Wycheproof's vectors of JSON Web Signatures: both builds give the same answers. What the portable one must accept is in
/// its unit tests. The payloads are no claims, so that what is signed well is called malformed, and nothing else is.
#[test]
fn both_builds_judge_wycheproofs_vectors_alike() {
    let file = repository().join("tests/vendor/wycheproof/json_web_signature_test.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let groups: Vec<_> = vectors["testGroups"].as_array().unwrap().iter().enumerate().collect();
    let mut setup = Vec::new();
    let mut files = Vec::new();
    let mut cases = Vec::new();
    for (number, group) in groups {
        let jwk = group.get("public").or(group.get("private")).unwrap();
        // Curves that are not here, and keys that say that they are for something else, are no configuration.
        if jwk["crv"] == "P-521"
            || jwk["use"] == "enc"
            || jwk["key_ops"].as_array().is_some_and(|ops| !ops.contains(&json!("verify")))
        {
            continue;
        }
        let name = format!("keys-{number}.json");
        files.push((name.clone(), json!({ "keys": [jwk] }).to_string()));
        setup.extend(BUILDS.map(|build| pipeline(&format!("{build}-{number}"), build, &name)));
        cases.extend(group["tests"].as_array().unwrap().iter().map(|test| (number, test)));
    }
    let setup = files.iter().fold(Setup::of(setup), |setup, (name, text)| setup.file(name, text));
    let gateway = Gateway::start(&setup);
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        let (mut alike, mut valid) = (0, 0);
        for (number, test) in cases {
            let token = test["jws"].as_str().unwrap();
            // What is no value of a field reaches no stage.
            if !token.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') || token.trim() != token {
                continue;
            }
            let mut answers = Vec::new();
            for build in BUILDS {
                let path = format!("/{build}-{number}");
                let answer = client.get(&path, &[("authorization", &format!("Bearer {token}"))]).await;
                answers.push((answer.status, answer.header("www-authenticate").map(str::to_owned)));
            }
            assert_eq!(answers[0], answers[1], "{}: {}", test["tcId"], test["comment"]);
            alike += 1;
            valid += usize::from(
                answers[0]
                    .1
                    .as_ref()
                    .is_some_and(|text| !text.contains("signature") && test["result"] == "valid"),
            );
        }
        assert!(alike >= 350 && valid >= 30, "{alike} were asked about, {valid} of them verified");
    });
    gateway.stop();
}

type Sign = dyn Fn(&[u8]) -> Vec<u8>;

/// Signs one kind of tokens.
struct Signer {
    algorithm: &'static str,
    jwk: Value,
    sign: Box<Sign>,
}

fn ecdsa(algorithm: &'static str, curve: &str, signing: &'static EcdsaSigningAlgorithm) -> Signer {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref()).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
    let jwk = json!({ "kty": "EC", "crv": curve, "kid": algorithm, "x": base64(x), "y": base64(y) });
    Signer { algorithm, jwk, sign: Box::new(move |text| pair.sign(&random, text).unwrap().as_ref().to_vec()) }
}

fn rsa(algorithm: &'static str, size: KeySize) -> Signer {
    let pair = RsaKeyPair::generate(size).unwrap();
    // Behind the heads of the sequence and the number, and the zero of its sign (RFC 8017 A.1.1).
    let modulus = pair.public_key().as_ref()[9..9 + pair.public_modulus_len()].to_vec();
    let kid = format!("{algorithm}-{}", modulus.len() * 8);
    let jwk = json!({ "kty": "RSA", "kid": kid, "n": base64(&modulus), "e": "AQAB" });
    let sign = move |text: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
        signature
    };
    Signer { algorithm, jwk, sign: Box::new(sign) }
}

fn signers() -> Vec<Signer> {
    let edwards = Ed25519KeyPair::generate().unwrap();
    let jwk =
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": base64(edwards.public_key().as_ref()) });
    vec![
        rsa("RS256", KeySize::Rsa2048),
        rsa("RS256", KeySize::Rsa4096),
        ecdsa("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ecdsa("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        Signer { algorithm: "EdDSA", jwk, sign: Box::new(move |text| edwards.sign(text).as_ref().to_vec()) },
    ]
}

impl Signer {
    fn token(&self, number: usize) -> String {
        let header = json!({ "alg": self.algorithm, "kid": self.jwk["kid"] }).to_string();
        let payload = claims(json!({ "jti": number.to_string() })).to_string();
        let signed = format!("{}.{}", base64(header.as_bytes()), base64(payload.as_bytes()));
        format!("{signed}.{}", base64(&(self.sign)(signed.as_bytes())))
    }
}

/// Every algorithm passes in both builds, and what a new token costs more than one that is remembered is printed (`--nocapture`).
#[test]
fn what_verifying_costs() {
    let signers = signers();
    let keys: Vec<_> = signers.iter().map(|signer| &signer.jwk).collect();
    let jwks = json!({ "keys": keys }).to_string();
    let setup = Setup::of(BUILDS.map(|build| pipeline(build, build, "jwks.json"))).file("jwks.json", &jwks);
    let gateway = Gateway::start(&setup.each("instances = 1"));
    let tokens = scaled(20, 400);
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        println!(
            "microseconds for a token that is new, beyond those for one that is known; the least of {tokens}"
        );
        for signer in &signers {
            let mut line = format!("{:<12}", signer.jwk["kid"].as_str().unwrap());
            for build in BUILDS {
                let (mut new, mut known) = (Vec::new(), Vec::new());
                for number in 0..tokens {
                    let token = format!("Bearer {}", signer.token(number));
                    for times in [&mut new, &mut known] {
                        let began = Instant::now();
                        let answer = client.get(&format!("/{build}"), &[("authorization", &token)]).await;
                        times.push(began.elapsed());
                        assert!(answer.status.is_success(), "{line}: {answer:?}");
                    }
                }
                // The least of each: what the machine does besides is no cost of a token's.
                let least = |times: &[Duration]| times.iter().min().unwrap().as_secs_f64() * 1e6;
                line += &format!("{build:>14} {:>7.0}", least(&new) - least(&known));
            }
            println!("{line}");
        }
    });
    gateway.stop();
}
