//! Hashes of passwords: their text, their bounds, and whether a password is theirs.
//!
//! A hash costs whoever checks it as much as its parameters say, so they are bounded when the stage is configured. The
//! bounds fit what a stage has by default: 64 MiB (`limits.memory`) and a second (`limits.cpu`).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use linkspan_sdk::{Value, secret};
use std::cell::RefCell;

/// The most memory of argon2id, in KiB: what OWASP's costliest choice takes.
pub(crate) const MOST_MEMORY: u32 = 47_104;
/// The most memory of argon2id times its passes, in KiB. OWASP's choices take up to 47,104, and the defaults of `argon2`
/// 12,288.
pub(crate) const MOST_WORK: u32 = 131_072;
/// The highest cost of bcrypt. Each one more doubles the time.
pub(crate) const MOST_COST: u32 = 12;
/// What bcrypt takes of a password, in bytes.
const BCRYPT_BYTES: usize = 72;

/// bcrypt's own base64, whose last digits have bits to spare.
const BCRYPT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The hash of a password.
#[derive(Clone, Debug)]
pub(crate) struct Hash {
    way: Way,
    output: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Way {
    Argon2id { params: Params, salt: Vec<u8> },
    Bcrypt { cost: u32, salt: [u8; 16] },
}

/// There is not enough memory for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

thread_local! {
    /// What argon2id works in: as much as the hash needs that needs the most, from the first one on. A piece of this size
    /// might not be found again between smaller ones.
    static BLOCKS: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

impl Value for Hash {
    const FORM: &'static str = ",\"title\":\"the hash of a password\",\"pattern\":\"^[$](argon2id|2[aby])[$]\",\"examples\":[\"$2y$10$…\"]";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("$argon2id$") {
            return argon2id(rest);
        }
        // All three names mean the same of a password without a NUL; `2x` means an old mistake.
        match ["$2a$", "$2b$", "$2y$"].iter().find_map(|name| text.strip_prefix(name)) {
            Some(rest) => bcrypt(rest),
            None => {
                Err("is not the hash of a password by argon2id (`$argon2id$…`) or bcrypt (`$2y$…`)".into())
            }
        }
    }
}

fn argon2id(rest: &str) -> Result<Hash, String> {
    const WRONG: &str = "is not an argon2id hash of the form `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`";
    let [version, costs, salt, output] = rest.split('$').collect::<Vec<_>>()[..] else {
        return Err(WRONG.into());
    };
    let costs: Vec<_> = costs.split(',').collect();
    let cost = |at: usize, name: &str| number(costs.get(at)?.strip_prefix(name)?);
    let (memory, passes, lanes) = (cost(0, "m="), cost(1, "t="), cost(2, "p="));
    let (Some(memory), Some(passes), Some(lanes), 3, "v=19") = (memory, passes, lanes, costs.len(), version)
    else {
        return Err(WRONG.into());
    };
    if memory > MOST_MEMORY {
        return Err(format!("takes more memory than {MOST_MEMORY} KiB: make it with a smaller `m`"));
    }
    if memory.checked_mul(passes).is_none_or(|work| work > MOST_WORK) {
        return Err(format!("takes too long: `m` times `t` may be {MOST_WORK} at most"));
    }
    let decode = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| WRONG);
    let (salt, output) = (decode(salt)?, decode(output)?);
    if !(8..=64).contains(&salt.len()) || !(16..=64).contains(&output.len()) {
        return Err("has a salt that is not of 8 to 64 bytes, or a hash that is not of 16 to 64".into());
    }
    let params = Params::new(memory, passes, lanes, Some(output.len())).map_err(|_| WRONG)?;
    Ok(Hash { way: Way::Argon2id { params, salt }, output })
}

fn bcrypt(rest: &str) -> Result<Hash, String> {
    const WRONG: &str = "is not a bcrypt hash: `$2y$`, two digits, `$`, and 53 characters";
    let (cost, rest) = rest.split_once('$').ok_or(WRONG)?;
    let cost = number(cost).filter(|_| cost.len() == 2).ok_or(WRONG)?;
    if cost > MOST_COST {
        return Err(format!("takes too long: the cost of bcrypt may be {MOST_COST} at most"));
    }
    if cost < 4 || rest.len() != 53 {
        return Err(WRONG.into());
    }
    let (salt, output) = rest.split_at_checked(22).ok_or(WRONG)?;
    let decode = |text: &str| BCRYPT.decode(text).map_err(|_| WRONG);
    let (salt, output) = (decode(salt)?, decode(output)?);
    let salt = salt.try_into().map_err(|_| WRONG)?;
    Ok(Hash { way: Way::Bcrypt { cost, salt }, output })
}

/// A number of digits alone.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl Hash {
    /// What the hash is, beside how it was made. It is as secret as a hash is.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    /// The blocks of memory that it works in.
    pub(crate) fn blocks(&self) -> usize {
        match &self.way {
            Way::Argon2id { params, .. } => params.block_count(),
            Way::Bcrypt { .. } => 0,
        }
    }

    /// Whether `password` is the one that was hashed. `blocks` are those of the hash that needs the most. bcrypt would leave
    /// off what a password has beyond 72 bytes, and let another one in that begins as it does: a longer one is nobody's.
    pub(crate) fn is_of(&self, password: &[u8], blocks: usize) -> Result<bool, NoMemory> {
        let output = match &self.way {
            Way::Bcrypt { .. } if password.len() > BCRYPT_BYTES => return Ok(false),
            Way::Bcrypt { cost, salt } => {
                // It hashes a text of C, with its end, as far as there is room for that.
                let mut key = [password, &[0]].concat();
                key.truncate(BCRYPT_BYTES);
                let output = bcrypt::bcrypt(*cost, *salt, &key);
                // All write one byte less than there is.
                output[..self.output.len().min(23)].to_vec()
            }
            Way::Argon2id { params, salt } => argon2((params, salt), password, self.output.len(), blocks)?,
        };
        Ok(secret::equal(&output, &self.output))
    }
}

fn argon2(
    (params, salt): (&Params, &[u8]),
    password: &[u8],
    length: usize,
    blocks: usize,
) -> Result<Vec<u8>, NoMemory> {
    let mut output = vec![0; length];
    BLOCKS.with_borrow_mut(|memory| {
        let wanted = blocks.max(params.block_count());
        if memory.len() < wanted {
            memory.try_reserve_exact(wanted - memory.len()).map_err(|_| NoMemory)?;
            memory.resize(wanted, Block::default());
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let memory = &mut memory[..params.block_count()];
        argon2.hash_password_into_with_memory(password, salt, &mut output, memory).map_err(|_| NoMemory)
    })?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of(hash: &str, password: &str) -> bool {
        Hash::parse(hash).expect("a hash").is_of(password.as_bytes(), 0).expect("memory")
    }

    /// Those of OpenBSD, jBCrypt and PHP; the last ones were made by libxcrypt.
    #[test]
    fn known_hashes_by_bcrypt() {
        for (hash, password) in [
            ("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.", ""),
            ("$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a"),
            ("$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i", "abc"),
            ("$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC", "abcdefghijklmnopqrstuvwxyz"),
            (
                "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO",
                "~!@#$%^&*()      ~!@#$%^&*()PNBFRD",
            ),
            ("$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq", "rasmuslerdorf"),
            ("$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "secret"),
            ("$2y$05$abcdefghijklmnopqrstuuZVEMa1pjhlynBQ1qXmSvGBJpN9h1w8G", "pässwörd"),
        ] {
            assert!(is_of(hash, password), "{password}");
            assert!(!is_of(hash, &format!("{password}x")) && !is_of(hash, "other"), "{password}");
        }
    }

    /// Those of the reference implementation's `test.c`.
    #[test]
    fn known_hashes_by_argon2id() {
        for (hash, password) in [
            (
                "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                "password",
            ),
            (
                "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
                "password",
            ),
        ] {
            assert!(is_of(hash, password));
            assert!(!is_of(hash, "differentpassword") && !is_of(hash, ""));
        }
        let long = "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ$9qWtwbpyPd3vm1rB1GThgPzZ3/ydHL92zKL+15XZypg";
        assert!(Hash::parse(long).is_err_and(|reason| reason.starts_with("takes more memory than 47104")));
    }

    /// libxcrypt makes the same hash of 72 bytes and of 73.
    #[test]
    fn bcrypt_cuts_no_password() {
        let hash = "$2b$04$abcdefghijklmnopqrstuuNt.0ah97gHY3F7JC1Z6EXmQc0bQBhIO";
        assert!(is_of(hash, &"p".repeat(72)));
        assert!(!is_of(hash, &"p".repeat(73)) && !is_of(hash, &"p".repeat(71)));
    }

    #[test]
    fn what_costs_too_much_or_is_none_is_refused() {
        let argon2 = |costs: &str| {
            format!("$argon2id$v=19${costs}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
        };
        for (text, start) in [
            (argon2("m=47105,t=1,p=1"), "takes more memory"),
            (argon2("m=4294967295,t=1,p=1"), "takes more memory"),
            (argon2("m=47104,t=3,p=1"), "takes too long"),
            (argon2("m=8,t=4294967295,p=1"), "takes too long"),
            (argon2("m=4294967296,t=1,p=1"), "is not an argon2id"),
            (argon2("m=8,t=1,p=2"), "is not an argon2id"),
            (argon2("m=8,t=0,p=1"), "is not an argon2id"),
            (argon2("t=1,m=8,p=1"), "is not an argon2id"),
            (argon2("m=+8,t=1,p=1"), "is not an argon2id"),
            (argon2("m=8,t=1,p=1,data=AA"), "is not an argon2id"),
            (argon2("m=8,t=1,p=1").replace("v=19", "v=16"), "is not an argon2id"),
            (argon2("m=8,t=1,p=1").replace("c29tZXNhbHQ", "AA"), "has a salt"),
            (argon2("m=8,t=1,p=1").replace("c29tZXNhbHQ", "c29tZXNhbHQ="), "is not an argon2id"),
            (argon2("m=8,t=1,p=1") + "$x", "is not an argon2id"),
            ("$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AA".into(), "is not the hash"),
            (format!("$2y$13${}", "a".repeat(53)), "takes too long"),
            (format!("$2y$99${}", "a".repeat(53)), "takes too long"),
            (format!("$2y$03${}", "a".repeat(53)), "is not a bcrypt"),
            (format!("$2y$5${}", "a".repeat(53)), "is not a bcrypt"),
            (format!("$2y$05${}", "a".repeat(52)), "is not a bcrypt"),
            (format!("$2y$05${}=", "a".repeat(52)), "is not a bcrypt"),
            (format!("$2y$05${}", "é".repeat(26) + "a"), "is not a bcrypt"),
            (format!("$2x$05${}", "a".repeat(53)), "is not the hash"),
            ("$apr1$salt$hash".into(), "is not the hash"),
            ("{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=".into(), "is not the hash"),
            ("secret".into(), "is not the hash"),
            (String::new(), "is not the hash"),
        ] {
            let reason = Hash::parse(&text).err().unwrap_or_default();
            assert!(reason.starts_with(start), "{text}: {reason}");
        }
        assert!(Hash::parse(&argon2("m=47104,t=2,p=1")).is_ok(), "the costliest that there may be");
    }
}
