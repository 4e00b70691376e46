//! Signatures, verified by linkspan. A key is bytes, in the form in which the host takes it; whether it is one, the host says.

use crate::key::{Hash, NO_POINT, WEAK_POINT};
use linkspan_sdk::signatures::{Algorithm, Error, verify};

pub type Rsa = Vec<u8>;
pub type P256 = Vec<u8>;
pub type P384 = Vec<u8>;
pub type Ed25519 = [u8; 32];

/// A key of this modulus, which begins with no zero, and this exponent.
pub fn rsa(n: &[u8], e: &[u8]) -> Option<Rsa> {
    let key = tagged(0x30, &[number(n), number(e)].concat());
    is_key(Algorithm::Rs256, &key).then_some(key)
}

/// An INTEGER of DER, which is not negative and begins with no zero that it does not need.
fn number(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = &bytes[first..];
    let zero = if bytes.first().is_none_or(|first| first & 0x80 != 0) { &[0][..] } else { &[] };
    tagged(2, &[zero, bytes].concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length = match content.len() {
        0..0x80 => &[low][..],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

/// Whether the host takes a key.
fn is_key(algorithm: Algorithm, key: &[u8]) -> bool {
    verify(algorithm, key, &[], &[]) != Err(Error::InvalidKey)
}

pub fn p256(point: &[u8]) -> Result<P256, &'static str> {
    if is_key(Algorithm::Es256, point) { Ok(point.to_vec()) } else { Err(NO_POINT) }
}

pub fn p384(point: &[u8]) -> Result<P384, &'static str> {
    if is_key(Algorithm::Es384, point) { Ok(point.to_vec()) } else { Err(NO_POINT) }
}

pub fn ed25519(x: &[u8; 32]) -> Result<Ed25519, &'static str> {
    if is_key(Algorithm::Ed25519, x) { Ok(*x) } else { Err(WEAK_POINT) }
}

fn is_valid(algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    verify(algorithm, key, message, signature) == Ok(true)
}

pub fn hmac(hash: Hash, secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let algorithm = match hash {
        Hash::Sha256 => Algorithm::Hs256,
        Hash::Sha384 => Algorithm::Hs384,
        Hash::Sha512 => Algorithm::Hs512,
    };
    is_valid(algorithm, secret, message, signature)
}

pub fn pkcs1(key: &Rsa, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
    let algorithm = match hash {
        Hash::Sha256 => Algorithm::Rs256,
        Hash::Sha384 => Algorithm::Rs384,
        Hash::Sha512 => Algorithm::Rs512,
    };
    is_valid(algorithm, key, message, signature)
}

pub fn pss(key: &Rsa, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
    let algorithm = match hash {
        Hash::Sha256 => Algorithm::Ps256,
        Hash::Sha384 => Algorithm::Ps384,
        Hash::Sha512 => Algorithm::Ps512,
    };
    is_valid(algorithm, key, message, signature)
}

pub fn verify_p256(key: &P256, message: &[u8], signature: &[u8]) -> bool {
    is_valid(Algorithm::Es256, key, message, signature)
}

pub fn verify_p384(key: &P384, message: &[u8], signature: &[u8]) -> bool {
    is_valid(Algorithm::Es384, key, message, signature)
}

pub fn verify_ed25519(key: &Ed25519, message: &[u8], signature: &[u8]) -> bool {
    is_valid(Algorithm::Ed25519, key, message, signature)
}
