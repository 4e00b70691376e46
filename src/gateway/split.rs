//! Which pipeline of a route serves a request, where several share it.
//!
//! Chance decides by weight, or a header or cookie: equal values go to the same
//! pipeline as long as the weights stay, and a value that is a pipeline's name
//! chooses it. A request without the pinned field is left to chance.

use crate::plan::{Pin, PipelineIndex, Plan, Route};
use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest as _, Sha256};

/// The pipeline for a request to `route`; `chance` is a number that differs from
/// request to request.
pub fn choose(plan: &Plan, route: &Route, headers: &HeaderMap, chance: u64) -> PipelineIndex {
    if let [only] = route.split.as_slice() {
        return only.pipeline;
    }
    let value = route.pin.as_ref().and_then(|pin| value(pin, headers));
    if let Some(value) = value {
        let named = route.split.iter().find(|part| plan.pipeline(part.pipeline).name.as_bytes() == value);
        if let Some(named) = named {
            return named.pipeline;
        }
    }
    by_weight(route, value.map_or_else(|| scatter(chance), hash))
}

fn by_weight(route: &Route, number: u64) -> PipelineIndex {
    let total: u64 = route.split.iter().map(|part| u64::from(part.weight)).sum();
    // The upper half of a product is an even share without a division.
    let mut at = ((u128::from(number) * u128::from(total)) >> 64) as u64;
    for part in &route.split {
        match at.checked_sub(u64::from(part.weight)) {
            Some(rest) => at = rest,
            None => return part.pipeline,
        }
    }
    // Not reached: `at` is less than the sum of the weights, which is not 0.
    route.split[0].pipeline
}

fn value<'a>(pin: &Pin, headers: &'a HeaderMap) -> Option<&'a [u8]> {
    match pin {
        Pin::Header(name) => headers.get(name).map(http::HeaderValue::as_bytes),
        Pin::Cookie(name) => headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
            .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")),
    }
}

/// The same for a value in every process, so that gateways side by side agree.
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
    use crate::plan::{HostPattern, Split};

    fn route(weights: &[u32]) -> Route {
        let part = |(at, weight): (usize, &u32)| Split { pipeline: PipelineIndex(at), weight: *weight };
        Route {
            host: HostPattern::Any,
            path: "/".to_owned(),
            methods: None,
            split: weights.iter().enumerate().map(part).collect(),
            pin: None,
            mirror: None,
            span: crate::config::Span::new(0..0),
        }
    }

    #[test]
    fn shares_are_as_the_weights() {
        let route = route(&[90, 0, 10]);
        let mut counts = [0_u32; 3];
        for number in 0..100_000 {
            counts[by_weight(&route, scatter(number)).0] += 1;
        }
        assert!((9_000..11_000).contains(&counts[2]) && counts[1] == 0, "{counts:?}");
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, http::HeaderValue::from_static("xid=1; id=two;other=3"));
        assert_eq!(value(&Pin::Cookie("id".to_owned()), &headers), Some(&b"two"[..]));
        assert_eq!(value(&Pin::Cookie("other".to_owned()), &headers), Some(&b"3"[..]));
        assert_eq!(value(&Pin::Cookie("i".to_owned()), &headers), None);
    }
}
