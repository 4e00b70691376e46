//! Numbers that decide to which share of the requests a request belongs.
//!
//! The numbers are drawn by chance, evenly; or from a header or cookie, so that equal values give equal numbers in
//! every process, and gateways side by side agree.

use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest as _, Sha256};

use super::Pin;

/// Makes the number of a condition independent of the number of a split for the same request.
const OF_A_CONDITION: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number of a request for a split, evenly spread over all numbers: of its `pinned` value, else of `chance`, a
/// number that differs from request to request.
pub fn draw(pinned: Option<&[u8]>, chance: u64) -> u64 {
    pinned.map_or_else(|| scatter(chance), hash)
}

/// The same for a condition, independent of the split's.
pub(super) fn draw_for_condition(pin: Option<&Pin>, headers: &HeaderMap, chance: u64) -> u64 {
    scatter(draw(pin.and_then(|pin| pin.value(headers)), chance) ^ OF_A_CONDITION)
}

/// The place of `number` among `total`, as evenly as numbers are drawn.
pub fn place(number: u64, total: u64) -> u64 {
    // The upper half of a product is an even share, without a division.
    ((u128::from(number) * u128::from(total)) >> 64) as u64
}

impl Pin {
    /// The value that decides, if the request has one.
    pub fn value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        match self {
            Self::Header(name) => headers.get(name).map(http::HeaderValue::as_bytes),
            Self::Cookie(name) => headers
                .get_all(COOKIE)
                .iter()
                .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
                .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")),
        }
    }
}

/// A number that is the same for a value in every process.
fn hash(value: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(value).into();
    u64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

/// Spreads numbers that follow each other (the finaliser of SplitMix64).
fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_independent_of_each_other() {
        let mut counts = [[0_u32; 2]; 2];
        for chance in 0..100_000 {
            let split = place(draw(None, chance), 2) as usize;
            let condition = place(draw_for_condition(None, &HeaderMap::new(), chance), 2) as usize;
            counts[split][condition] += 1;
        }
        assert!(counts.iter().flatten().all(|count| (24_000..26_000).contains(count)), "{counts:?}");
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, http::HeaderValue::from_static("xid=1; id=two;other=3"));
        assert_eq!(Pin::Cookie("id".to_owned()).value(&headers), Some(&b"two"[..]));
        assert_eq!(Pin::Cookie("other".to_owned()).value(&headers), Some(&b"3"[..]));
        assert_eq!(Pin::Cookie("i".to_owned()).value(&headers), None);
    }
}
