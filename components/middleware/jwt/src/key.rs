//! Keys, and the signatures that they verify (RFC 7517, RFC 7518 §3, RFC 8037).
//!
//! A key verifies with the algorithms of its own kind alone, so that the public key of one can't be taken as the secret of
//! another. Bounds: RSA keys have 2,048 to 4,096 bits, secrets at least as many as their hash.

#[cfg(feature = "in-place")]
use crate::host as crypto;
use crate::json;
#[cfg(not(feature = "in-place"))]
use crate::portable as crypto;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linkspan_sdk::Value;
use serde_json::{Map, Value as Json};

/// Keys of a set.
pub const MAX_KEYS: usize = 64;

/// Bytes of a secret.
const MAX_SECRET: usize = 1024;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Hs(Hash),
    Rs(Hash),
    Ps(Hash),
    Es256,
    Es384,
    EdDsa,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Value for Algorithm {
    const FORM: &'static str = concat!(
        ",\"title\":\"an algorithm\",\"enum\":[\"RS256\",\"RS384\",\"RS512\",\"PS256\",\"PS384\",\"PS512\",\"ES256\",\"ES384\",",
        "\"EdDSA\",\"HS256\",\"HS384\",\"HS512\"]"
    );

    fn parse(text: &str) -> Result<Self, String> {
        use Hash::{Sha256, Sha384, Sha512};
        Ok(match text {
            "HS256" => Self::Hs(Sha256),
            "HS384" => Self::Hs(Sha384),
            "HS512" => Self::Hs(Sha512),
            "RS256" => Self::Rs(Sha256),
            "RS384" => Self::Rs(Sha384),
            "RS512" => Self::Rs(Sha512),
            "PS256" => Self::Ps(Sha256),
            "PS384" => Self::Ps(Sha384),
            "PS512" => Self::Ps(Sha512),
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return Err("is not an algorithm that there is here".into()),
        })
    }
}

/// A key that can verify.
pub struct Key {
    /// `kid`.
    pub id: Option<String>,
    /// What it is for alone, where it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

enum Material {
    Secret(Vec<u8>),
    Rsa(crypto::Rsa),
    P256(crypto::P256),
    P384(crypto::P384),
    Ed25519(crypto::Ed25519),
}

/// Why bytes are no point.
pub const NO_POINT: &str = "is no point of its curve";
pub const WEAK_POINT: &str = "is a weak point of its curve";

/// The keys of a set: those that are of a kind that is not known, or not for signatures, are left out (RFC 7517 §5).
///
/// # Errors
/// What is wrong with it, to follow the key in a sentence.
#[cfg(any(not(feature = "remote"), test))]
pub fn set(text: &str) -> Result<Vec<Key>, String> {
    keys_of(text, |place, reason| Err(format!("has a key that {reason}: number {place}")))
}

/// The keys of a set that somebody else made: those that are not as they must be, and secrets, are left out as well.
///
/// # Errors
/// What is wrong with it, to follow the set in a sentence.
#[cfg(any(feature = "remote", test))]
pub fn fetched(text: &str) -> Result<Vec<Key>, String> {
    let mut keys = keys_of(text, |_, _| Ok(()))?;
    keys.retain(|key| !matches!(key.material, Material::Secret(_)));
    if keys.is_empty() { Err(NONE.into()) } else { Ok(keys) }
}

const NONE: &str = "has no key that verifies signatures";

fn keys_of(text: &str, wrong: impl Fn(usize, &str) -> Result<(), String>) -> Result<Vec<Key>, String> {
    let set = json::object(text.as_bytes()).ok_or("is not a JSON object in which each name stands once")?;
    let Some(Json::Array(list)) = set.get("keys") else {
        return Err("is not a JWK Set: it has no list `keys`".into());
    };
    if list.len() > MAX_KEYS {
        return Err(format!("has more than {MAX_KEYS} keys"));
    }
    let mut keys = Vec::new();
    for (place, jwk) in list.iter().enumerate() {
        match jwk.as_object().ok_or("is not an object").and_then(Key::of) {
            Ok(key) => keys.extend(key),
            Err(reason) => wrong(place, reason)?,
        }
    }
    if keys.is_empty() {
        return Err(NONE.into());
    }
    Ok(keys)
}

impl Key {
    /// A secret of one's own.
    ///
    /// # Errors
    /// If it is too short for any algorithm.
    #[cfg(not(feature = "remote"))]
    pub fn secret(id: String, secret: &str) -> Result<Self, String> {
        if secret.len() < 32 {
            return Err("is shorter than 32 bytes (RFC 7518 §3.2)".into());
        }
        if secret.len() > MAX_SECRET {
            return Err("is longer than 1,024 bytes".into());
        }
        Ok(Self { id: Some(id), algorithm: None, material: Material::Secret(secret.as_bytes().to_vec()) })
    }

    fn of(jwk: &Map<String, Json>) -> Result<Option<Self>, &'static str> {
        let text = |name: &str| jwk.get(name).and_then(Json::as_str);
        if text("use").is_some_and(|wanted| wanted != "sig") {
            return Ok(None);
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array().ok_or("has `key_ops` that are no list")?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Ok(None);
            }
        }
        let algorithm = match text("alg").map(Algorithm::parse) {
            Some(Err(_)) => return Ok(None),
            known => known.and_then(Result::ok),
        };
        let bytes = |name: &str| {
            let text = text(name).ok_or("has not what its kind must have")?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| "is not base64url")
        };
        let material = match (text("kty").unwrap_or_default(), text("crv").unwrap_or_default()) {
            ("oct", _) => match bytes("k")? {
                long if long.len() > MAX_SECRET => return Err("is longer than 1,024 bytes"),
                secret => Material::Secret(secret),
            },
            ("RSA", _) => Material::Rsa(rsa_key(&bytes("n")?, &bytes("e")?)?),
            ("EC", "P-256") => Material::P256(crypto::p256(&point(&bytes("x")?, &bytes("y")?))?),
            ("EC", "P-384") => Material::P384(crypto::p384(&point(&bytes("x")?, &bytes("y")?))?),
            ("OKP", "Ed25519") => {
                let x: [u8; 32] =
                    bytes("x")?.try_into().map_err(|_| "has another length than its curve's")?;
                Material::Ed25519(crypto::ed25519(&x)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { id: text("kid").map(str::to_owned), algorithm, material }))
    }

    /// Whether it may verify what is signed so.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        let kind = match (&self.material, algorithm) {
            (Material::Secret(secret), Algorithm::Hs(hash)) => secret.len() >= hash.len(),
            (Material::Rsa(_), Algorithm::Rs(_) | Algorithm::Ps(_))
            | (Material::P256(_), Algorithm::Es256)
            | (Material::P384(_), Algorithm::Es384)
            | (Material::Ed25519(_), Algorithm::EdDsa) => true,
            _ => false,
        };
        kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Whether `signature` is that of `message`.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.is_for(algorithm) {
            return false;
        }
        match (&self.material, algorithm) {
            (Material::Secret(secret), Algorithm::Hs(hash)) => crypto::hmac(hash, secret, message, signature),
            (Material::Rsa(key), Algorithm::Rs(hash)) => crypto::pkcs1(key, hash, message, signature),
            (Material::Rsa(key), Algorithm::Ps(hash)) => crypto::pss(key, hash, message, signature),
            (Material::P256(key), Algorithm::Es256) => crypto::verify_p256(key, message, signature),
            (Material::P384(key), Algorithm::Es384) => crypto::verify_p384(key, message, signature),
            (Material::Ed25519(key), Algorithm::EdDsa) => crypto::verify_ed25519(key, message, signature),
            _ => false,
        }
    }
}

impl Hash {
    fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A point as SEC 1 writes it (§2.3.3), uncompressed; of another length than its curve's it is none.
fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

fn rsa_key(n: &[u8], e: &[u8]) -> Result<crypto::Rsa, &'static str> {
    const WIDTH: &str = "is an RSA key of less than 2,048 or more than 4,096 bits";
    let first = n.iter().position(|byte| *byte != 0).ok_or(WIDTH)?;
    let n = &n[first..];
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    if !(2048..=4096).contains(&bits) {
        return Err(WIDTH);
    }
    if e.is_empty() || e.len() > 5 {
        return Err("has an exponent that is not used");
    }
    crypto::rsa(n, e).ok_or("is no RSA key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ED: &str = "11qYAycDVn4E2XGTS7dVPKTvwDBdjCLKJBtFTBpIdrI";

    fn rsa(bits: usize, e: &str) -> Json {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] = 0xff >> ((8 - bits % 8) % 8);
        json!({ "kty": "RSA", "kid": bits.to_string(), "n": URL_SAFE_NO_PAD.encode(n), "e": e })
    }

    /// What a server may serve that is no key: none of it is used, and what is beside it is.
    #[test]
    fn hostile_keys_are_left_out() {
        let good = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "good", "x": ED });
        let x = |bytes: [u8; 32]| URL_SAFE_NO_PAD.encode(bytes);
        let mut one = [0; 32];
        one[0] = 1;
        let hostile = [
            json!({ "kty": "oct", "kid": "a secret", "k": URL_SAFE_NO_PAD.encode([7; 64]) }),
            rsa(1024, "AQAB"),
            rsa(2047, "AQAB"),
            rsa(4097, "AQAB"),
            rsa(16384, "AQAB"),
            rsa(2048, "AQ"),
            rsa(2048, "Ag"),
            rsa(2048, ""),
            rsa(2048, "AQAAAAAAAAAB"),
            json!({ "kty": "EC", "crv": "P-256", "x": x([1; 32]), "y": x([2; 32]) }),
            json!({ "kty": "EC", "crv": "P-256", "x": x([0; 32]), "y": x([0; 32]) }),
            json!({ "kty": "EC", "crv": "P-521", "x": x([1; 32]), "y": x([2; 32]) }),
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "the neutral element", "x": x(one) }),
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "of order 4", "x": x([0; 32]) }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }),
            json!({ "kty": "OKP", "crv": "Ed448", "x": ED }),
            json!({ "kty": "none" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "use": "enc", "x": ED }),
            json!({ "kty": "OKP", "crv": "Ed25519", "alg": "RSA-OAEP", "x": ED }),
            json!({ "kty": "OKP", "crv": "Ed25519", "key_ops": "verify", "x": ED }),
            json!([]),
            json!(null),
        ];
        for jwk in &hostile {
            assert!(fetched(&json!({ "keys": [jwk] }).to_string()).is_err(), "{jwk}");
        }
        let mut keys: Vec<Json> = hostile.to_vec();
        keys.push(good.clone());
        let found = fetched(&json!({ "keys": keys }).to_string()).expect("one is good");
        assert_eq!(found.iter().map(|key| key.id.as_deref()).collect::<Vec<_>>(), [Some("good")]);
        // Keys of one name are tried one after another, as those of a set that is configured.
        assert_eq!(
            fetched(&json!({ "keys": [good.clone(), good.clone()] }).to_string()).map(|keys| keys.len()),
            Ok(2)
        );
        assert!(fetched(&json!({ "keys": vec![good; MAX_KEYS + 1] }).to_string()).is_err());
        for text in ["", "[]", "<html>", r#"{"keys":[],"keys":[]}"#, r#"{"keys":{}}"#] {
            assert!(fetched(text).is_err(), "{text}");
        }
    }
}
