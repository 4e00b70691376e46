//! W3C Trace Context: a valid `traceparent` is passed on; an invalid one is removed or replaced. `tracestate` is passed
//! on with the `traceparent` that it came with, or not at all.

use std::hash::{BuildHasher as _, RandomState};

use http::{HeaderMap, HeaderValue};

use super::kinds::{TRACEPARENT, TRACESTATE};

/// Keeps, removes or makes the identity of the trace.
pub fn trace(headers: &mut HeaderMap, make: bool) {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    let valid = match (values.next(), values.next()) {
        (Some(one), None) => is_valid(one.as_bytes()),
        _ => false,
    };
    if valid {
        return;
    }
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
    if make && let Ok(made) = HeaderValue::from_str(&made()) {
        headers.insert(TRACEPARENT, made);
    }
}

/// Trace Context §3.2: `version-trace-parent-flags`; a later version may have further parts.
fn is_valid(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| hex(part) && part.iter().any(|byte| *byte != b'0');
    let Some((known, more)) = value.split_at_checked(55) else { return false };
    let (version, trace, parent, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    let ends = if version == b"00" { more.is_empty() } else { more.is_empty() || more[0] == b'-' };
    let joined = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    joined && ends && hex(version) && version != b"ff" && some(trace) && some(parent) && hex(flags)
}

/// A new trace, not sampled: the stages decide about sampling.
fn made() -> String {
    // Seeded by the operating system for each thread; each call has another number.
    let random = |number: u64| RandomState::new().hash_one(number).max(1);
    format!("00-{:016x}{:016x}-{:016x}-00", random(0), random(1), random(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_ones_pass_and_others_do_not() {
        for (value, valid) in [
            (GOOD.to_owned(), true),
            (GOOD.replacen("00", "cc", 1), true),
            (GOOD.replacen("00", "cc", 1) + "-more", true),
            (GOOD.replacen("00", "cc", 1) + "more", false),
            (GOOD.to_owned() + "-more", false),
            (GOOD.replacen("00", "ff", 1), false),
            (GOOD.to_uppercase(), false),
            (GOOD.replace('-', "_"), false),
            (GOOD[..54].to_owned(), false),
            (GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false),
            (GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (String::new(), false),
        ] {
            assert_eq!(is_valid(value.as_bytes()), valid, "{value}");
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_str(&value).unwrap());
            headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
            trace(&mut headers, false);
            assert_eq!((headers.contains_key(TRACEPARENT), headers.contains_key(TRACESTATE)), (valid, valid));
        }
    }

    #[test]
    fn made_ones_are_valid_and_differ() {
        let (mut one, mut two) = (HeaderMap::new(), HeaderMap::new());
        one.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        one.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        one.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        trace(&mut one, true);
        trace(&mut two, true);
        assert!(is_valid(one[TRACEPARENT].as_bytes()) && is_valid(two[TRACEPARENT].as_bytes()));
        assert!(one[TRACEPARENT] != two[TRACEPARENT] && one[TRACEPARENT] != GOOD);
        assert!(!one.contains_key(TRACESTATE));
    }
}
