//! Whole numbers in decimal digits, without anything else.

use std::str::FromStr;

/// Reads a whole number. A sign, which `parse` would accept, space, and an empty text are refused.
pub fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
