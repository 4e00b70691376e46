//! Signatures, verified by well-kept crates in the sandbox: what any host runs.

use crate::key::{Hash, NO_POINT, WEAK_POINT};
use ::hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Verifier as _;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

pub type Rsa = Box<RsaPublicKey>;
pub type P256 = Box<p256::ecdsa::VerifyingKey>;
pub type P384 = Box<p384::ecdsa::VerifyingKey>;
pub type Ed25519 = Box<ed25519_dalek::VerifyingKey>;

/// Runs an expression with the type of a hash.
macro_rules! with_hash {
    ($hash:expr, $type:ident => $run:expr) => {
        match $hash {
            Hash::Sha256 => {
                type $type = Sha256;
                $run
            }
            Hash::Sha384 => {
                type $type = Sha384;
                $run
            }
            Hash::Sha512 => {
                type $type = Sha512;
                $run
            }
        }
    };
}

/// A key of this modulus, which begins with no zero, and this exponent.
pub fn rsa(n: &[u8], e: &[u8]) -> Option<Rsa> {
    let number = |bytes: &[u8], bits: u32| BoxedUint::from_be_slice(bytes, bits).ok();
    let bits = u32::try_from(n.len() * 8).ok()?;
    RsaPublicKey::new(number(n, bits)?, number(e, 64)?).ok().map(Box::new)
}

pub fn p256(point: &[u8]) -> Result<P256, &'static str> {
    p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Box::new).map_err(|_| NO_POINT)
}

pub fn p384(point: &[u8]) -> Result<P384, &'static str> {
    p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Box::new).map_err(|_| NO_POINT)
}

pub fn ed25519(x: &[u8; 32]) -> Result<Ed25519, &'static str> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(x).map_err(|_| NO_POINT)?;
    if key.is_weak() { Err(WEAK_POINT) } else { Ok(Box::new(key)) }
}

pub fn hmac(hash: Hash, secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    with_hash!(hash, Sha => Hmac::<Sha>::new_from_slice(secret).is_ok_and(|mut mac| {
        mac.update(message);
        mac.verify_slice(signature).is_ok()
    }))
}

pub fn pkcs1(key: &Rsa, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
    with_hash!(hash, Sha => key.verify(Pkcs1v15Sign::new::<Sha>(), &Sha::digest(message), signature).is_ok())
}

/// The salt is as long as the hash (RFC 7518 §3.5).
pub fn pss(key: &Rsa, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
    with_hash!(hash, Sha => key.verify(Pss::<Sha>::new(), &Sha::digest(message), signature).is_ok())
}

pub fn verify_p256(key: &P256, message: &[u8], signature: &[u8]) -> bool {
    p256::ecdsa::Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

pub fn verify_p384(key: &P384, message: &[u8], signature: &[u8]) -> bool {
    p384::ecdsa::Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

pub fn verify_ed25519(key: &Ed25519, message: &[u8], signature: &[u8]) -> bool {
    ed25519_dalek::Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}
