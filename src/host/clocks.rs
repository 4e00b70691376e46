//! How well a stage can tell the time.
//!
//! A fine clock is a tool: with one, code that shares a process can measure what its
//! neighbours do, by what they leave in the caches. `clocks = "coarse"` tells the
//! time in steps of [`COARSE`], some thousand times longer than such a difference
//! takes, and still as fine as the timers that requests are made of. A wait ends at
//! a step as well, so that it tells no more than the clock.

use crate::plan::Clocks;

/// The step of coarse clocks, in nanoseconds: a millisecond.
pub const COARSE: u64 = 1_000_000;

/// The step of a stage's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Precision(u64);

impl Precision {
    pub fn of(clocks: Clocks) -> Self {
        match clocks {
            Clocks::Coarse => Self(COARSE),
            // What is denied is never asked.
            Clocks::Real | Clocks::Denied => Self(1),
        }
    }

    /// The last step at or before `time`.
    pub fn round(self, time: u64) -> u64 {
        time - time % self.0
    }

    /// The same for the part of a time below a second.
    pub fn round_nanoseconds(self, nanoseconds: u32) -> u32 {
        nanoseconds - nanoseconds % self.0 as u32
    }

    /// The first step at or after `time`.
    pub fn round_up(self, time: u64) -> u64 {
        time.checked_next_multiple_of(self.0).unwrap_or(u64::MAX)
    }

    /// How precise a clock of `own` precision is.
    pub fn resolution(self, own: u64) -> u64 {
        own.max(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_times_are_whole_milliseconds() {
        let coarse = Precision::of(Clocks::Coarse);
        assert_eq!(coarse.round(12_345_678), 12_000_000);
        assert_eq!(coarse.round_nanoseconds(999_999_999), 999_000_000);
        assert_eq!(coarse.round_up(12_000_001), 13_000_000);
        assert_eq!(coarse.round_up(12_000_000), 12_000_000);
        assert_eq!(coarse.round_up(u64::MAX), u64::MAX);
        assert_eq!(coarse.resolution(1), COARSE);
        let real = Precision::of(Clocks::Real);
        assert_eq!((real.round(12_345_678), real.round_up(7), real.resolution(1)), (12_345_678, 7, 1));
    }
}
