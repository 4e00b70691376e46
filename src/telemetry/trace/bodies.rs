//! The beginnings of bodies, in a trace for which an operator asked with its bodies.
//!
//! Bound: so many bytes of each as the plan says; of what is beyond, the number is known.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};

/// The beginning of a body that is on its way.
#[derive(Debug)]
pub struct BodyCopy {
    most: usize,
    bytes: Mutex<Vec<u8>>,
}

impl BodyCopy {
    /// A copy of at most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { most, bytes: Mutex::default() }
    }

    /// Notes that these bytes passed.
    pub fn add(&self, bytes: &[u8]) {
        let mut copied = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.most.saturating_sub(copied.len());
        copied.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What was copied, of a body of which so many bytes passed.
    pub fn shown(&self, bytes: u64) -> ShownBody {
        let beginning = self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ShownBody { bytes, beginning }
    }
}

/// The beginning of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownBody {
    /// Bytes of the body, as far as it was read.
    pub bytes: u64,
    /// The first of them.
    pub beginning: Vec<u8>,
}

impl ShownBody {
    fn is_whole(&self) -> bool {
        self.beginning.len() as u64 >= self.bytes
    }

    /// The text that it is, if it is one; of a beginning, without the part of a character at its end.
    fn text(&self) -> Option<&str> {
        match std::str::from_utf8(&self.beginning) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() && !self.is_whole() => {
                std::str::from_utf8(&self.beginning[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        }
    }

    /// For the admin listener: `text`, or `hex` of what is no text.
    pub(super) fn json(&self) -> Json {
        let mut shown = json!({ "bytes": self.bytes, "truncated": !self.is_whole() });
        match self.text() {
            Some(text) => {
                shown["shown"] = text.len().into();
                shown["text"] = text.into();
            }
            None => {
                shown["shown"] = self.beginning.len().into();
                let mut digits = String::with_capacity(2 * self.beginning.len());
                for byte in &self.beginning {
                    // Writing to a string cannot fail.
                    let _ = write!(digits, "{byte:02x}");
                }
                shown["hex"] = digits.into();
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(most: usize, pieces: &[&[u8]]) -> Json {
        let copy = BodyCopy::new(most);
        pieces.iter().for_each(|piece| copy.add(piece));
        copy.shown(pieces.iter().map(|piece| piece.len() as u64).sum()).json()
    }

    #[test]
    fn a_body_is_text_or_digits_up_to_its_bound() {
        for (most, pieces, expected) in [
            (
                9,
                &[&b"ab"[..], b"c"][..],
                json!({ "bytes": 3, "shown": 3, "truncated": false, "text": "abc" }),
            ),
            (9, &[], json!({ "bytes": 0, "shown": 0, "truncated": false, "text": "" })),
            (3, &[b"ab", b"cd", b"ef"], json!({ "bytes": 6, "shown": 3, "truncated": true, "text": "abc" })),
            // A character that is cut, where the body is, and where it is not.
            (3, &["éé".as_bytes()], json!({ "bytes": 4, "shown": 2, "truncated": true, "text": "é" })),
            (9, &[b"a\xc3"], json!({ "bytes": 2, "shown": 2, "truncated": false, "hex": "61c3" })),
            (3, &[b"\x00\xff\x1b["], json!({ "bytes": 4, "shown": 3, "truncated": true, "hex": "00ff1b" })),
        ] {
            assert_eq!(shown(most, pieces), expected);
        }
    }
}
