//! Which responses can be compressed, and what becomes of their heads.

use crate::encoder::Coding;
use linkspan_sdk::{MediaRange, Response};

/// Digests of a body's bytes (RFC 9530, and what was before): they are wrong of others.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Whether a request could get the body of this response compressed.
pub fn is_compressible(response: &Response, types: &[MediaRange], min_size: u64) -> bool {
    // No body by their status, no change of what the client has, or a part (RFC 9110 §15).
    if matches!(response.status(), 100..=199 | 204..=206 | 304) {
        return false;
    }
    let one = |name: &str| match response.header_values(name).as_mut_slice() {
        [value] => String::from_utf8(std::mem::take(value)).ok(),
        _ => None,
    };
    if !one("content-type").is_some_and(|value| types.iter().any(|range| range.matches(&value))) {
        return false;
    }
    // Never twice. One that is not text, or stands there twice, is some coding.
    if response.has_header("content-encoding")
        && !one("content-encoding").is_some_and(|value| value.trim().eq_ignore_ascii_case("identity"))
    {
        return false;
    }
    let length = one("content-length").and_then(|value| value.trim().parse::<u64>().ok());
    if length.is_some_and(|length| length == 0 || length < min_size) {
        return false;
    }
    !response.has_header("content-range")
        && !lists(&response.header_values("cache-control"), "no-transform")
        && !DIGESTS.iter().any(|name| response.has_header(name))
}

/// Whether a list of words in a field has this one; parameters after it do not matter.
pub fn lists(values: &[Vec<u8>], word: &str) -> bool {
    values.iter().flat_map(|value| value.split(|byte| *byte == b',')).any(|member| {
        let end = member.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(member.len());
        member[..end].trim_ascii().eq_ignore_ascii_case(word.as_bytes())
    })
}

/// Says that the response depends on what the client accepts.
pub fn vary(response: &mut Response) {
    let values = response.header_values("vary");
    if let Some(vary) = varied(&values) {
        response.headers_mut().set("vary", vary);
    }
}

/// The `vary` in place of these; `None` if it says so already.
fn varied(values: &[Vec<u8>]) -> Option<Vec<u8>> {
    if lists(values, "accept-encoding") || lists(values, "*") {
        return None;
    }
    let mut vary = values.join(&b", "[..]);
    if !vary.is_empty() {
        vary.extend(b", ");
    }
    vary.extend(b"Accept-Encoding");
    Some(vary)
}

/// Gives a response the head of its compressed form.
pub fn encoded(response: &mut Response, coding: Coding) {
    let tag = response.header_values("etag");
    let headers = response.headers_mut();
    headers.set("content-encoding", coding.name());
    headers.remove("content-length");
    // Ranges would be of bytes that nobody can make again.
    headers.remove("accept-ranges");
    match tag.as_slice() {
        [] => {}
        [tag] => match weakened(tag) {
            Some(weak) => headers.set("etag", weak),
            None if is_weak(tag) => {}
            None => headers.remove("etag"),
        },
        _ => headers.remove("etag"),
    }
}

/// Gives a 304 the head that the 200 would have had, as far as the client shows that it has that (RFC 9110 §15.4.5).
pub fn revalidated(response: &mut Response, known: &[Vec<u8>]) {
    vary(response);
    let tags = response.header_values("etag");
    let [tag] = tags.as_slice() else { return };
    let Some(weak) = weakened(tag) else { return };
    if known.iter().any(|value| value.windows(weak.len()).any(|part| part == weak)) {
        response.headers_mut().set("etag", weak);
    }
}

/// The weak validator in place of a strong one (RFC 9110 §8.8.3); `None` if it is not a strong one.
fn weakened(tag: &[u8]) -> Option<Vec<u8>> {
    is_opaque(tag).then(|| [b"W/", tag].concat())
}

fn is_weak(tag: &[u8]) -> bool {
    tag.strip_prefix(b"W/").is_some_and(is_opaque)
}

fn is_opaque(tag: &[u8]) -> bool {
    match tag {
        [b'"', inner @ .., b'"'] => inner.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(values: &[&str]) -> Vec<Vec<u8>> {
        values.iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_vary_is_merged_and_not_doubled() {
        for (values, vary) in [
            (&[][..], Some("Accept-Encoding")),
            (&["Origin"], Some("Origin, Accept-Encoding")),
            (&["Origin", "Cookie, x-a"], Some("Origin, Cookie, x-a, Accept-Encoding")),
            (&["x-accept-encoding"], Some("x-accept-encoding, Accept-Encoding")),
            (&[""], Some("Accept-Encoding")),
            (&["accept-encoding"], None),
            (&["Origin", "Cookie ,ACCEPT-Encoding"], None),
            (&["*"], None),
            (&["Origin, *"], None),
        ] {
            assert_eq!(varied(&list(values)), vary.map(|vary| vary.as_bytes().to_vec()), "{values:?}");
        }
    }

    #[test]
    fn words_are_found_in_lists() {
        for (values, found) in [
            (&["no-transform"][..], true),
            (&["public, No-Transform"], true),
            (&["max-age=1", "no-transform"], true),
            (&["no-transform=1"], true),
            (&["no-transformation"], false),
            (&["x=\"no-transform"], false),
            (&[], false),
        ] {
            assert_eq!(lists(&list(values), "no-transform"), found, "{values:?}");
        }
    }

    #[test]
    fn strong_validators_become_weak() {
        for (tag, weak) in [
            ("\"abc\"", Some("W/\"abc\"")),
            ("\"\"", Some("W/\"\"")),
            ("\"a,b\"", Some("W/\"a,b\"")),
            ("W/\"abc\"", None),
            ("w/\"abc\"", None),
            ("abc", None),
            ("\"abc", None),
            ("\"", None),
            ("\"a\"b\"", None),
            ("\"a b\"", None),
            ("\"a\", \"b\"", None),
        ] {
            assert_eq!(weakened(tag.as_bytes()), weak.map(|weak| weak.as_bytes().to_vec()), "{tag}");
        }
        assert!(is_weak(b"W/\"abc\"") && !is_weak(b"w/\"abc\"") && !is_weak(b"\"abc\""));
    }
}
