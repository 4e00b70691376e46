//! The names of traces and spans: random, and never zero.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::num::{NonZeroU64, NonZeroU128};

/// The name of a trace: 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

/// The name of a span within its trace: 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

impl TraceId {
    /// A name that no other trace has.
    pub fn random() -> Self {
        let number = u128::from(random()) << 64 | u128::from(random());
        Self(NonZeroU128::new(number).unwrap_or(NonZeroU128::MIN))
    }

    /// The name with these 32 digits; `None` if they are not lower-case hexadecimal digits, or all zero.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let (high, low) = digits.split_at_checked(16)?;
        NonZeroU128::new(u128::from(hexadecimal(high)?) << 64 | u128::from(hexadecimal(low)?)).map(Self)
    }

    /// Its bytes, in the order of its digits.
    pub fn bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }
}

impl SpanId {
    /// A name that no other span of the trace has.
    pub fn random() -> Self {
        Self(NonZeroU64::new(random()).unwrap_or(NonZeroU64::MIN))
    }

    /// The name with these 16 digits; `None` if they are not lower-case hexadecimal digits, or all zero.
    pub(super) fn parse(digits: &[u8]) -> Option<Self> {
        NonZeroU64::new(hexadecimal(digits)?).map(Self)
    }

    /// Its bytes, in the order of its digits.
    pub fn bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

/// The number with these 16 digits.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let digits: &[u8; 16] = digits.try_into().ok()?;
    digits.iter().try_fold(0, |number, byte| Some(number << 4 | u64::from(digit(byte)?)))
}

/// Spreads the bits of a number over all of it (the finaliser of SplitMix64): numbers that follow each other are then
/// alike in nothing.
pub(super) fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A random number of this thread's: SplitMix64. Names of traces are no secrets, so that a generator will do whose numbers can
/// be told from earlier ones.
fn random() -> u64 {
    thread_local! {
        // The standard library seeds its hashers from the operating system.
        static NEXT: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
    }
    let next = NEXT.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    NEXT.set(next);
    mixed(next)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn random_names_differ_on_all_threads() {
        let some = || (0..1000).map(|_| SpanId::random().to_string()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(some)).collect();
        let names: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| SpanId::parse(name.as_bytes()).is_some()));
    }

    #[test]
    fn names_and_their_digits() {
        let trace = TraceId::parse(b"4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.bytes()[..3], [0x4b, 0xf9, 0x2f]);
        let span = SpanId::parse(b"00f067aa0ba902b7").unwrap();
        assert_eq!((span.to_string().as_str(), span.bytes()[1]), ("00f067aa0ba902b7", 0xf0));
        for wrong in [
            "",
            "0",
            "0000000000000000",
            "00f067aa0ba902b",
            "00F067aa0ba902b7",
            "00f067aa0ba902b7 ",
            "+0f067aa0ba902b7",
        ] {
            assert!(SpanId::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
        for wrong in [
            "00000000000000000000000000000000",
            "4bf92f3577b34da6a3ce929d0e0e473",
            "4bf92f3577b34da6a3ce929d0e0e473g",
        ] {
            assert!(TraceId::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
