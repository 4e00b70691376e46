//! Signatures that the host verifies for stages, with what verifies those of TLS.
//!
//! The interface needs no grant: it computes with what it is given, and nothing else. The time that it takes is the guest's own,
//! since it is CPU time of the thread on which the guest runs, and counts against `limits.cpu`. Bounds: [`MAX_KEY`],
//! [`MAX_MESSAGE`], RSA keys of 2,048 to 4,096 bits, so that one call takes a fraction of a millisecond.

use crate::host::bindings::linkspan::gateway::signatures;
use crate::host::state::InstanceState;
use crate::telemetry::HostCall;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use der::asn1::UintRef;
use der::{Decode as _, Reader as _, SliceReader};
pub use signatures::{Algorithm, Error};
use wasmtime::component::HasSelf;

offers! {
    shared "linkspan:gateway/signatures" "0.1" (signatures as HasSelf<InstanceState>, |state| state);
}

/// Bytes of a key.
pub const MAX_KEY: usize = 1024;

/// Bytes of a message.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// All algorithms, in the order of the interface.
pub const ALGORITHMS: [Algorithm; 12] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Ed25519,
    Algorithm::Hs256,
    Algorithm::Hs384,
    Algorithm::Hs512,
];

impl signatures::Host for InstanceState {
    fn verify(
        &mut self,
        algorithm: Algorithm,
        key: Vec<u8>,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        self.count_call(HostCall::Signatures);
        Ok(verify(algorithm, &key, &message, &signature))
    }
}

/// How an algorithm verifies.
enum Scheme {
    Rsa(&'static dyn VerificationAlgorithm),
    /// Points of a curve have this many bytes.
    Ecdsa(&'static dyn VerificationAlgorithm, usize),
    Ed25519,
    /// A secret has this many bytes at least (RFC 7518 §3.2).
    Hmac(hmac::Algorithm, usize),
}

fn scheme(algorithm: Algorithm) -> Scheme {
    match algorithm {
        Algorithm::Rs256 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 => Scheme::Ecdsa(&ECDSA_P256_SHA256_FIXED, 65),
        Algorithm::Es384 => Scheme::Ecdsa(&ECDSA_P384_SHA384_FIXED, 97),
        Algorithm::Ed25519 => Scheme::Ed25519,
        Algorithm::Hs256 => Scheme::Hmac(hmac::HMAC_SHA256, 32),
        Algorithm::Hs384 => Scheme::Hmac(hmac::HMAC_SHA384, 48),
        Algorithm::Hs512 => Scheme::Hmac(hmac::HMAC_SHA512, 64),
    }
}

/// Whether `signature` is that of `message`.
///
/// # Errors
/// As `wit/gateway.wit` says.
pub fn verify(algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, Error> {
    if key.len() > MAX_KEY || message.len() > MAX_MESSAGE {
        return Err(Error::TooLong);
    }
    let with = |algorithm| ParsedPublicKey::new(algorithm, key).map_err(|_| Error::InvalidKey);
    let parsed = match scheme(algorithm) {
        Scheme::Hmac(_, least) if key.len() < least => return Err(Error::InvalidKey),
        Scheme::Hmac(hash, _) => {
            return Ok(hmac::verify(&hmac::Key::new(hash, key), message, signature).is_ok());
        }
        Scheme::Rsa(algorithm) if is_rsa(key) => with(algorithm)?,
        Scheme::Ecdsa(algorithm, length) if key.len() == length && key[0] == 4 => with(algorithm)?,
        // A signature begins with a point, too.
        Scheme::Ed25519 if is_strong(key) => match signature.split_at_checked(32) {
            Some((point, _)) if is_strong(point) => with(&ED25519)?,
            _ => return Ok(false),
        },
        _ => return Err(Error::InvalidKey),
    };
    Ok(parsed.verify_sig(message, signature).is_ok())
}

/// Whether `key` is an `RSAPublicKey` (RFC 8017 A.1.1) with a modulus and an exponent that may be.
fn is_rsa(key: &[u8]) -> bool {
    let Ok(mut reader) = SliceReader::new(key) else { return false };
    let numbers: der::Result<_> =
        reader.sequence(|reader| Ok((UintRef::decode(reader)?, UintRef::decode(reader)?)));
    let Ok((modulus, exponent)) = numbers else { return false };
    let (modulus, exponent) = (modulus.as_bytes(), exponent.as_bytes());
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let good = exponent.len() <= 5 && exponent != [1];
    reader.is_finished() && (2048..=4096).contains(&bits) && odd(modulus) && odd(exponent) && good
}

/// The points of Curve25519 in Edwards form whose order is small, without the bit of their sign: whoever has one as a key can
/// have signatures that fit many messages (RFC 8032 §8.9 and its errata; Chalkias and others 2020, "Taming the many EdDSAs").
const WEAK: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

/// Whether a point of Curve25519 is written as it must be, and its order is not small.
fn is_strong(point: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(point) else { return false };
    y[31] &= 0x7f;
    // The numbers from 2^255 - 19 on are others again.
    let reduced = y[0] < 0xed || y[31] != 0x7f || y[1..31].iter().any(|byte| *byte != 0xff);
    reduced && !WEAK.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
        UnparsedPublicKey,
    };

    const MESSAGE: &[u8] = b"a message";

    /// A key of each algorithm, and its signature of [`MESSAGE`].
    fn signed() -> Vec<(Algorithm, Vec<u8>, Vec<u8>)> {
        let random = SystemRandom::new();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let rs = |encoding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(encoding, &random, MESSAGE, &mut signature).unwrap();
            (rsa.public_key().as_ref().to_vec(), signature)
        };
        let es = |algorithm: &'static EcdsaSigningAlgorithm| {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
            let signature = pair.sign(&random, MESSAGE).unwrap();
            (pair.public_key().as_ref().to_vec(), signature.as_ref().to_vec())
        };
        let hs = |hash: hmac::Algorithm| {
            let tag = hmac::sign(&hmac::Key::new(hash, &[7; 64]), MESSAGE);
            (vec![7; 64], tag.as_ref().to_vec())
        };
        let edwards = Ed25519KeyPair::generate().unwrap();
        let signatures = [
            rs(&RSA_PKCS1_SHA256),
            rs(&RSA_PKCS1_SHA384),
            rs(&RSA_PKCS1_SHA512),
            rs(&RSA_PSS_SHA256),
            rs(&RSA_PSS_SHA384),
            rs(&RSA_PSS_SHA512),
            es(&ECDSA_P256_SHA256_FIXED_SIGNING),
            es(&ECDSA_P384_SHA384_FIXED_SIGNING),
            (edwards.public_key().as_ref().to_vec(), edwards.sign(MESSAGE).as_ref().to_vec()),
            hs(hmac::HMAC_SHA256),
            hs(hmac::HMAC_SHA384),
            hs(hmac::HMAC_SHA512),
        ];
        ALGORITHMS
            .into_iter()
            .zip(signatures)
            .map(|(algorithm, (key, signature))| (algorithm, key, signature))
            .collect()
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else() {
        let all = signed();
        for (algorithm, key, signature) in &all {
            assert_eq!(verify(*algorithm, key, MESSAGE, signature), Ok(true), "{algorithm:?}");
            assert_eq!(verify(*algorithm, key, b"another", signature), Ok(false), "{algorithm:?}");
            for bit in 0..signature.len() * 8 {
                let mut other = signature.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verify(*algorithm, key, MESSAGE, &other), Ok(false), "{algorithm:?}: bit {bit}");
            }
            for length in 0..signature.len() {
                assert_eq!(
                    verify(*algorithm, key, MESSAGE, &signature[..length]),
                    Ok(false),
                    "{algorithm:?}: {length}"
                );
            }
            let longer = [signature.as_slice(), &[0]].concat();
            assert_eq!(verify(*algorithm, key, MESSAGE, &longer), Ok(false), "{algorithm:?}");
            // One algorithm's signature is none of another's, and its key mostly none at all.
            for (other, ..) in all.iter().filter(|(other, ..)| other != algorithm) {
                assert_ne!(verify(*other, key, MESSAGE, signature), Ok(true), "{algorithm:?} as {other:?}");
            }
        }
    }

    /// An `RSAPublicKey` whose modulus has so many bits.
    fn rsa(bits: usize, exponent: &[u8]) -> Vec<u8> {
        let number = |bytes: &[u8]| {
            let zero = if bytes.first().is_some_and(|first| first & 0x80 != 0) { &[0][..] } else { &[] };
            tagged(2, &[zero, bytes].concat())
        };
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] = 0xff >> ((8 - bits % 8) % 8);
        tagged(0x30, &[number(&modulus), number(exponent)].concat())
    }

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let length = match length {
            0..0x80 => vec![length as u8],
            0x80..0x100 => vec![0x81, length as u8],
            _ => vec![0x82, (length >> 8) as u8, length as u8],
        };
        [&[tag], length.as_slice(), content].concat()
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let none = |algorithm, key: &[u8], what: &str| {
            assert_eq!(verify(algorithm, key, MESSAGE, &[0; 256]), Err(Error::InvalidKey), "{what}");
        };
        for (bits, exponent, what) in [
            (1024, &[1, 0, 1][..], "a short modulus"),
            (2047, &[1, 0, 1], "a modulus that is a bit too short"),
            (4097, &[1, 0, 1], "a modulus that is a bit too long"),
            (2048, &[1], "an exponent of one"),
            (2048, &[2], "an even exponent"),
            (2048, &[0], "no exponent"),
            (2048, &[1, 0, 0, 0, 0, 1], "a long exponent"),
        ] {
            none(Algorithm::Rs256, &rsa(bits, exponent), what);
        }
        for (bits, exponent) in [(2048, &[3][..]), (4096, &[1, 0, 1])] {
            assert_eq!(
                verify(Algorithm::Rs256, &rsa(bits, exponent), MESSAGE, &[0; 256]),
                Ok(false),
                "{bits}"
            );
        }
        none(Algorithm::Rs256, &[rsa(2048, &[3]), vec![0]].concat(), "more than a key");
        none(Algorithm::Rs256, &[], "no key");
        none(Algorithm::Rs256, &[0x30; 300], "no DER");
        none(Algorithm::Es256, &[4; 65], "a point that is not on its curve");
        none(Algorithm::Es256, &[&[4][..], &[0; 64]].concat(), "a point of zeros");
        none(Algorithm::Es256, &[0], "the point at infinity");
        none(Algorithm::Es256, &[2; 33], "a compressed point");
        none(Algorithm::Es384, &[4; 65], "a point of another curve");
        none(Algorithm::Ed25519, &[2; 31], "a short point");
        none(Algorithm::Hs256, &[7; 31], "a short secret");
        none(Algorithm::Hs512, &[7; 63], "a short secret");
        let too_long = rsa(16384, &[1, 0, 1]);
        assert_eq!(verify(Algorithm::Rs256, &too_long, MESSAGE, &[0; 2048]), Err(Error::TooLong));
    }

    /// aws-lc takes them, with signatures that fit one message of eight; this does not.
    #[test]
    fn weak_points_are_refused() {
        let neutral = [&WEAK[1][..], &[0; 32]].concat();
        for weak in WEAK {
            for sign in [0, 0x80] {
                let mut key = weak;
                key[31] |= sign;
                let messages = (0..200_u8).map(|number| [number]);
                let fits =
                    messages.filter(|it| UnparsedPublicKey::new(&ED25519, key).verify(it, &neutral).is_ok());
                let parses = ParsedPublicKey::new(&ED25519, key).is_ok();
                assert!(fits.count() > 0 || sign == 0x80 || !parses, "{key:x?} would be strong");
                assert_eq!(
                    verify(Algorithm::Ed25519, &key, MESSAGE, &neutral),
                    Err(Error::InvalidKey),
                    "{key:x?}"
                );
            }
        }
        for low in 0xed..=0xff {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, 0x7f);
            assert_eq!(verify(Algorithm::Ed25519, &key, MESSAGE, &neutral), Err(Error::InvalidKey), "{low}");
        }
        let (_, key, mut signature) = signed().swap_remove(8);
        signature[..32].copy_from_slice(&WEAK[0]);
        assert_eq!(verify(Algorithm::Ed25519, &key, MESSAGE, &signature), Ok(false));
    }

    #[test]
    fn what_is_given_is_bounded() {
        for (algorithm, key, signature) in signed() {
            for (key, message, expected) in [
                (key.clone(), vec![0; MAX_MESSAGE], Ok(false)),
                (key.clone(), vec![0; MAX_MESSAGE + 1], Err(Error::TooLong)),
                (vec![7; MAX_KEY + 1], MESSAGE.to_vec(), Err(Error::TooLong)),
            ] {
                assert_eq!(verify(algorithm, &key, &message, &signature), expected, "{algorithm:?}");
            }
        }
        assert_eq!(verify(Algorithm::Hs256, &[7; MAX_KEY], MESSAGE, &[0; 32]), Ok(false));
    }
}
