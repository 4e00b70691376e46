//! The one normal form of a path (RFC 3986 §6.2.2), if it has one.
//!
//! | input | what becomes of it |
//! | --- | --- |
//! | `.` and `..`, also encoded | resolved; 400 above the root, and where parameters follow (`..;x`), which some servers drop first |
//! | several slashes in a row | one, or, with `merge-slashes = false`, distinct paths |
//! | `%2F` | by `encoded-slash`: 400, a character of its segment, or a slash |
//! | `\`, `%5C` | 400: a slash to some |
//! | control characters, also encoded | 400: the end of a string, of a line or of a field to some |
//! | unreserved characters, encoded | literal |
//! | other encoded bytes | encoded, in capitals; 400 for overlong UTF-8, which some decode to a dot or slash |
//! | bytes beyond ASCII, characters that no path may have | encoded |
//! | `%` without two hexadecimal digits | 400 |
//!
//! A query stays as received, except for bytes beyond ASCII, which are encoded.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

use super::respond::{Refusal, bad};
use crate::plan::policy::{EncodedSlash, PathRules};

/// Path and query of a target in their normal form.
pub(super) fn path_and_query(uri: &Uri, rules: PathRules) -> Result<PathAndQuery, Refusal> {
    let Some(raw) = uri.path_and_query() else { return bad("The request has no path.") };
    let path = normal_path(raw.path(), rules)?;
    let query = raw.query().map(normal_query);
    // `http://a.example?x` has the path `/`, which is not written there.
    let stands_there = raw.as_str().starts_with('/');
    if stands_there && matches!(path, Cow::Borrowed(_)) && !matches!(query, Some(Cow::Owned(_))) {
        // The usual case: nothing changes, and the bytes stay shared with the head.
        return Ok(raw.clone());
    }
    let mut normal = path.into_owned();
    if let Some(query) = query {
        normal.push('?');
        normal.push_str(&query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(normal)).or_else(|_| bad("The path is not valid."))
}

fn normal_query(query: &str) -> Cow<'_, str> {
    if query.is_ascii() {
        return Cow::Borrowed(query);
    }
    let mut normal = String::with_capacity(query.len() + 16);
    for byte in query.bytes() {
        push(&mut normal, byte, byte.is_ascii());
    }
    Cow::Owned(normal)
}

/// The path's normal form, borrowed if the path already is in it.
fn normal_path(path: &str, rules: PathRules) -> Result<Cow<'_, str>, Refusal> {
    if !path.starts_with('/') {
        return bad("The path must start with `/`.");
    }
    let bytes = path.as_bytes();
    let plain = bytes.iter().all(|byte| is_path_byte(*byte) && *byte != b'%');
    let has = |wanted: &[u8; 2]| bytes.windows(2).any(|pair| pair == wanted);
    if plain && !has(b"/.") && !(rules.merge_slashes && has(b"//")) {
        return Ok(Cow::Borrowed(path));
    }
    let encoded = normal_encoding(bytes, rules.encoded_slash)?;
    Ok(Cow::Owned(resolve_dots(&encoded, rules.merge_slashes)?))
}

/// RFC 3986's `pchar`, `/`, and `%`.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
        || matches!(byte, b'/' | b'%')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Encodes bytes with `%` where that is required, and nowhere else.
fn normal_encoding(path: &[u8], slash: EncodedSlash) -> Result<String, Refusal> {
    let mut normal = String::with_capacity(path.len() + 16);
    let mut rest = path.iter().copied();
    let mut before = 0;
    while let Some(byte) = rest.next() {
        if byte == b'\\' || byte.is_ascii_control() {
            return bad("The path has a backslash or a control character.");
        }
        if byte != b'%' {
            push(&mut normal, byte, is_path_byte(byte));
            before = 0;
            continue;
        }
        let digits = (rest.next().and_then(hex), rest.next().and_then(hex));
        let (Some(high), Some(low)) = digits else {
            return bad("The path has a `%` without two hexadecimal digits.");
        };
        let decoded = high << 4 | low;
        if decoded == b'\\' || decoded.is_ascii_control() {
            return bad("The path has an encoded backslash or control character.");
        }
        if is_overlong(before, decoded) {
            return bad("The path has an overlong encoding.");
        }
        before = decoded;
        match slash {
            EncodedSlash::Reject if decoded == b'/' => return bad("The path has an encoded slash."),
            EncodedSlash::Decode if decoded == b'/' => normal.push('/'),
            _ => push(&mut normal, decoded, is_unreserved(decoded)),
        }
    }
    Ok(normal)
}

/// Whether these bytes are a longer form than necessary in UTF-8 (RFC 3629 §3).
fn is_overlong(before: u8, byte: u8) -> bool {
    matches!((before, byte), (_, 0xc0 | 0xc1) | (0xe0, 0x80..0xa0) | (0xf0, 0x80..0x90))
}

fn push(path: &mut String, byte: u8, literally: bool) {
    if literally {
        path.push(char::from(byte));
    } else {
        // Writing to a string does not fail.
        let _ = write!(path, "%{byte:02X}");
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// RFC 3986 §5.2.4, but going above the root is an error.
fn resolve_dots(path: &str, merge_slashes: bool) -> Result<String, Refusal> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" if merge_slashes && !last => continue,
            "." => {}
            ".." => {
                if kept.pop().is_none() {
                    return bad("The path goes above its root.");
                }
            }
            // Some servers drop the parameters and would then see a dot segment.
            _ if matches!(segment.split(';').next(), Some("." | "..")) => {
                return bad("The path has a dot segment with parameters.");
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: PathRules = PathRules { encoded_slash: EncodedSlash::Reject, merge_slashes: true };
    const DISTINCT: PathRules = PathRules { merge_slashes: false, ..STRICT };
    const KEEP: PathRules = PathRules { encoded_slash: EncodedSlash::Keep, ..STRICT };
    const DECODE: PathRules = PathRules { encoded_slash: EncodedSlash::Decode, ..STRICT };

    #[test]
    fn paths_have_one_normal_form_and_it_is_its_own() {
        let cases = [
            ("/", "/", STRICT),
            ("/a/b", "/a/b", STRICT),
            ("/a/b/", "/a/b/", STRICT),
            ("/a//b///c", "/a/b/c", STRICT),
            ("//a", "/a", STRICT),
            ("//", "/", STRICT),
            ("/a//", "/a/", STRICT),
            ("/a//../b", "/b", STRICT),
            ("/a//.", "/a/", STRICT),
            ("/a//b///c", "/a//b///c", DISTINCT),
            ("//a", "//a", DISTINCT),
            ("/a//../b", "/a/b", DISTINCT),
            ("/.", "/", STRICT),
            ("/./", "/", STRICT),
            ("/a/.", "/a/", STRICT),
            ("/a/./b", "/a/b", STRICT),
            ("/a/..", "/", STRICT),
            ("/a/../", "/", STRICT),
            ("/a/../b", "/b", STRICT),
            ("/a/b/../../c", "/c", STRICT),
            ("/a/b/..", "/a/", STRICT),
            ("/a/%2e%2E/b", "/b", STRICT),
            ("/a/.%2e/b", "/b", STRICT),
            ("/a/%2e/b", "/a/b", STRICT),
            ("/...", "/...", STRICT),
            ("/.well-known/x", "/.well-known/x", STRICT),
            ("/..a/b..", "/..a/b..", STRICT),
            ("/%7Euser/%41%2d%5f", "/~user/A-_", STRICT),
            ("/%e4%b8%ad", "/%E4%B8%AD", STRICT),
            ("/%e9", "/%E9", STRICT),
            ("/100%25", "/100%25", STRICT),
            ("/%252e%252e/x", "/%252e%252e/x", STRICT),
            ("/a%20b%3b%3F%23", "/a%20b%3B%3F%23", STRICT),
            ("/a;v=1/b,c=(d)*'!$&+:@", "/a;v=1/b,c=(d)*'!$&+:@", STRICT),
            ("/{a}|\"^", "/%7Ba%7D%7C%22%5E", STRICT),
            ("/\u{e9}", "/%C3%A9", STRICT),
            ("/a%2fb%2F..", "/a%2Fb%2F..", KEEP),
            ("/a/%2f/../b", "/a/b", KEEP),
            ("/a%2fb", "/a/b", DECODE),
            ("/a/b/..%2f..%2fc%2f%2fd", "/c/d", DECODE),
        ];
        for (path, normal, rules) in &cases {
            let once = normal_path(path, *rules).unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"));
            assert_eq!(once, *normal, "{path}");
            assert_eq!(normal_path(&once, *rules).unwrap(), *normal, "{path}: not its own normal form");
            assert!(once.parse::<PathAndQuery>().is_ok(), "{path}");
        }
        assert!(normal_path("/a/..%2f..%2fb", DECODE).is_err(), "above the root");
    }

    #[test]
    fn paths_without_a_normal_form_are_refused() {
        let cases = [
            "",
            "a",
            "*",
            "/..",
            "/../",
            "/a/../..",
            "/a/../../b",
            "/%2e%2e",
            "/%2e%2e/etc",
            "/./..",
            "/a/%2f",
            "/%2F..",
            "/%5c",
            "/%5C..%5c",
            "/%00",
            "/a%00b",
            "/%0d%0ax",
            "/%7f",
            "/%09",
            "/\\",
            "/a\\..\\b",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/%%31",
            "/%u002f",
            "/a\tb",
            "/\u{7f}",
            "/..;/a",
            "/a/..;x=1/b",
            "/.;/",
            "/%2e%2e;/a",
            "/%c0%af",
            "/%c0%ae%c0%ae/",
            "/%c1%9c",
            "/%e0%80%af",
            "/%f0%80%80%af",
            "//..",
        ];
        for path in cases {
            let outcome = normal_path(path, STRICT);
            assert!(matches!(outcome, Err(Refusal::BadRequest(_))), "{path:?}: {outcome:?}");
        }
    }

    /// For every path of up to five of these pieces: normalising the normal form changes nothing, it has no dot
    /// segment, and it is never above the root.
    #[test]
    fn generated_paths_are_safe_or_refused() {
        const PIECES: [&str; 9] = ["/", ".", "..", "%2e", "%2E.", "a", "%61", "%2f", ";"];
        for rules in [STRICT, DISTINCT, KEEP, DECODE] {
            let mut paths = vec![String::new()];
            for _ in 0..5 {
                let longer: Vec<_> =
                    paths.iter().flat_map(|path| PIECES.map(|piece| format!("{path}{piece}"))).collect();
                for path in &longer {
                    let path = format!("/{path}");
                    let Ok(normal) = normal_path(&path, rules) else { continue };
                    assert!(normal.starts_with('/'), "{path} -> {normal}");
                    assert!(!normal.split('/').any(|it| matches!(it, "." | "..")), "{path} -> {normal}");
                    assert!(rules == KEEP || !normal.contains("%2"), "{path} -> {normal}");
                    assert!(!rules.merge_slashes || !normal.contains("//"), "{path} -> {normal}");
                    assert_eq!(normal_path(&normal, rules).unwrap(), normal, "{path}");
                }
                paths = longer;
            }
        }
    }

    #[test]
    fn a_path_that_is_left_out_is_the_root() {
        for (target, normal) in [("http://a?x", "/?x"), ("http://a", "/"), ("http://a/?x", "/?x")] {
            let uri: Uri = target.parse().unwrap();
            assert_eq!(path_and_query(&uri, STRICT).unwrap().as_str(), normal, "{target}");
        }
    }

    #[test]
    fn queries_are_ascii() {
        assert_eq!(normal_query("x=%2f..//&y=%zz\\"), "x=%2f..//&y=%zz\\");
        assert_eq!(normal_query("q=\u{e9}"), "q=%C3%A9");
    }
}
