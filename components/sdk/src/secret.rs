//! Comparing secrets.

use std::hint::black_box;

/// Whether two secrets are equal, in a time that does not depend on where they
/// differ. It does depend on the length of `offered`, which the client knows.
pub fn equal(offered: &[u8], secret: &[u8]) -> bool {
    let mut difference = offered.len() ^ secret.len();
    for (i, byte) in offered.iter().enumerate() {
        let against = secret.get(i).copied().unwrap_or(0);
        difference |= usize::from(byte ^ against);
        // Without this the compiler may stop at the first difference.
        difference = black_box(difference);
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn equal_is_equality() {
        assert!(equal(b"secret", b"secret"));
        assert!(!equal(b"secret", b"secreu"));
        assert!(!equal(b"secret", b"secre"));
        assert!(!equal(b"secre", b"secret"));
        assert!(!equal(b"secret\0", b"secret"));
        assert!(equal(b"", b""));
    }
}
