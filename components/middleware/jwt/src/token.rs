//! Tokens in the compact form (RFC 7515 §3.1), and who signed them.
//!
//! What a token says of where its key may be found (`jwk`, `jku`, `x5u`, `x5c`) is not looked at. Bound: [`MAX_BYTES`].

use crate::json;
use crate::key::{Algorithm, Key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linkspan_sdk::Value as _;
use serde_json::{Map, Value};

/// Bytes that a token may have.
pub const MAX_BYTES: usize = 8 * 1024;

/// Keys that are tried for a token that names none.
const MAX_TRIED: usize = 4;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

/// The claims of a token that one of `keys` signed with one of `algorithms`.
///
/// # Errors
/// Why it is refused.
pub fn verified(text: &str, keys: &[Key], algorithms: &[Algorithm]) -> Result<Map<String, Value>, Refused> {
    // Nothing is read of what nobody signed.
    json::object(&signed(text, keys, algorithms)?).ok_or(FORM)
}

const FORM: Refused = Refused("the token is malformed");

/// No key verifies it.
pub const SIGNATURE: Refused = Refused("the signature is not valid");

/// Whether a token names a key, and none of `keys` has this name.
#[cfg(any(feature = "remote", test))]
pub fn names_unknown_key(text: &str, keys: &[Key]) -> bool {
    let header = text.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|header| json::object(&header)).unwrap_or_default();
    let id = header.get("kid").and_then(Value::as_str);
    id.is_some_and(|id| !keys.iter().any(|key| key.id.as_deref() == Some(id)))
}

/// What is signed.
fn signed(text: &str, keys: &[Key], algorithms: &[Algorithm]) -> Result<Vec<u8>, Refused> {
    if text.len() > MAX_BYTES {
        return Err(Refused("the token is too long"));
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(FORM)?;
    let (header, payload) = signed.split_once('.').ok_or(FORM)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| FORM);
    let header = json::object(&decode(header)?).ok_or(FORM)?;
    let (payload, signature) = (decode(payload)?, decode(signature)?);
    // Extensions that must be understood (RFC 7515 §4.1.11): there are none here.
    if header.contains_key("crit") || header.get("b64").is_some_and(|b64| *b64 != true) {
        return Err(Refused("the token has an extension that is not known"));
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or(FORM)?;
    let algorithm = Algorithm::parse(name).ok().filter(|algorithm| algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or(Refused("the algorithm is not allowed"))?;
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(_) => return Err(FORM),
    };
    let named =
        |key: &&Key| key.is_for(algorithm) && (id.is_none() || key.id.is_none() || key.id.as_deref() == id);
    let verifies = |key: &Key| key.verifies(algorithm, signed.as_bytes(), &signature);
    if !keys.iter().filter(named).take(MAX_TRIED).any(verifies) {
        return Err(SIGNATURE);
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;
    use serde_json::json;

    /// Numbers that follow from a seed (xorshift).
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % end as u64) as usize
        }

        /// Some bytes are others, left out, or there twice.
        fn change(&mut self, bytes: &[u8], alphabet: &[u8]) -> Vec<u8> {
            let mut bytes = bytes.to_vec();
            for _ in 0..=self.below(3) {
                let at = self.below(bytes.len());
                match self.below(4) {
                    0 if bytes.len() > 1 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, alphabet[self.below(alphabet.len())]),
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes[at] = alphabet[self.below(alphabet.len())],
                }
            }
            bytes
        }
    }

    /// Fuzzing in little: of all that is near a token, the token alone passes. `LINKSPAN_FUZZ_RUNS` says how often.
    #[test]
    fn what_is_near_a_token_is_refused() {
        let runs =
            std::env::var("LINKSPAN_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(20_000);
        let vectors = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../tests/vendor/wycheproof/json_web_signature_test.json"
        );
        let vectors: Value = serde_json::from_slice(&std::fs::read(vectors).expect("there")).expect("JSON");
        let mac = vectors["testGroups"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|group| group["private"]["kty"] == "oct");
        let mac = mac.expect("a secret");
        let set = json!({ "keys": [mac["private"]] }).to_string();
        let keys = key::set(&set).expect("a key");
        let hs = ["HS256", "HS384", "HS512"].map(|name| Algorithm::parse(name).expect("one of them"));
        let valid = mac["tests"].as_array().expect("a list").iter().find(|test| test["result"] == "valid");
        let good = valid.expect("one")["jws"].as_str().expect("text");
        assert!(signed(good, &keys, &hs).is_ok());
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        for _ in 0..runs {
            let near = chance.change(good.as_bytes(), b"ABab019-_=.+/ \n{");
            let near = String::from_utf8(near).expect("ASCII");
            assert!(near == good || signed(&near, &keys, &hs).is_err(), "{near}");
            let set = chance.change(set.as_bytes(), b"{}[]\":,\\ak0-");
            assert!(key::fetched(&String::from_utf8_lossy(&set)).is_err(), "a secret was fetched");
            let _ = key::set(&String::from_utf8_lossy(&set));
        }
    }

    #[test]
    fn a_key_that_is_not_there_is_known_by_its_name() {
        let ed = "11qYAycDVn4E2XGTS7dVPKTvwDBdjCLKJBtFTBpIdrI";
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": ed }] });
        let keys = key::set(&set.to_string()).expect("a key");
        for (header, expected) in [
            (r#"{"alg":"EdDSA","kid":"a"}"#, false),
            (r#"{"alg":"EdDSA","kid":"b"}"#, true),
            (r#"{"alg":"EdDSA","kid":""}"#, true),
            (r#"{"alg":"EdDSA"}"#, false),
            (r#"{"alg":"EdDSA","kid":1}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","kid":"b"}"#, false),
            ("{", false),
        ] {
            let text = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(names_unknown_key(&text, &keys), expected, "{header}");
        }
        assert!(!names_unknown_key("", &keys) && !names_unknown_key("...", &keys));
    }

    /// Vectors that are called valid and are refused: two that are signed with PS384, by a key that says PS256, two with a curve
    /// that is not here, and two with a character that is not base64url's.
    const STRICTER: [u64; 6] = [346, 347, 350, 351, 372, 373];
    /// Vectors that are called invalid, and are byte for byte number 357, which is called valid.
    const THE_SAME: [u64; 2] = [367, 370];

    /// Project Wycheproof's vectors of JSON Web Signatures: the payloads are not claims, so only the signature counts.
    #[test]
    fn wycheproof() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../tests/vendor/wycheproof/json_web_signature_test.json"
        );
        let vectors: Value =
            serde_json::from_slice(&std::fs::read(file).expect("the vectors")).expect("JSON");
        let all = ["RS", "PS", "HS"]
            .iter()
            .flat_map(|kind| ["256", "384", "512"].map(|bits| format!("{kind}{bits}")));
        let all = all.chain(["ES256", "ES384", "EdDSA"].map(String::from));
        let all: Vec<_> = all.map(|name| Algorithm::parse(&name).expect("one of them")).collect();
        let (mut accepted, mut refused) = (0, 0);
        for group in vectors["testGroups"].as_array().expect("a list") {
            let jwk = group.get("public").or(group.get("private")).expect("a key");
            let keys = key::set(&json!({ "keys": [jwk] }).to_string()).unwrap_or_default();
            for test in group["tests"].as_array().expect("a list") {
                let text = test["jws"].as_str().expect("text");
                let found = signed(text, &keys, &all).is_ok();
                let what = format!("{} {}: {}", group["comment"], test["tcId"], test["comment"]);
                let number = test["tcId"].as_u64().expect("a number");
                let expected = test["result"] == "valid" && !STRICTER.contains(&number);
                let expected = expected || THE_SAME.contains(&number);
                assert_eq!(found, expected, "{what}");
                if found { accepted += 1 } else { refused += 1 }
            }
        }
        assert_eq!((accepted, refused), (42, 359));
    }
}
