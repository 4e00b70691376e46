//! Numbers in decimal digits and nothing else.

use std::str::FromStr;

/// Reads a whole number. A sign, which `parse` would take, space and an empty text are none.
pub fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
