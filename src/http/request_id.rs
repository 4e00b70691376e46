//! The gateway's own name for a request, in its problem document and in the log.
//!
//! The name has 16 hexadecimal digits, unique in the process and unlikely in another process: a random number of the
//! thread, counted up. The name is no secret, and does not keep identifiers of clients; the middleware `request-id`
//! does that.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

/// A request's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    digits: [u8; 16],
    number: u64,
}

impl RequestId {
    /// The name of the next request.
    pub fn next() -> Self {
        thread_local! {
            // The standard library seeds its hashers from the operating system.
            static NEXT: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
        }
        let number = NEXT.get();
        // An odd step visits all numbers before it repeats one.
        NEXT.set(number.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut digits = [0; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15];
        }
        Self { digits, number }
    }

    /// The number that the digits spell.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        // The text consists of hexadecimal digits only.
        std::str::from_utf8(&self.digits).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::RequestId;

    #[test]
    fn ids_differ_and_are_hexadecimal() {
        let (one, two) = (RequestId::next(), RequestId::next());
        assert_ne!(one, two);
        assert!(one.as_str().len() == 16 && one.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
