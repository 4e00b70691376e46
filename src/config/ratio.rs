//! Shares between 0 and 1.

/// A share, exact to a billionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio {
    billionths: u32,
}

/// What 1 is.
const WHOLE: u32 = 1_000_000_000;

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self { billionths: 0 };

    /// The share of so many billionths; at most 1.
    pub fn of_billionths(billionths: u64) -> Self {
        let billionths = u32::try_from(billionths).unwrap_or(WHOLE).min(WHOLE);
        Self { billionths }
    }

    /// The billionths in a number as TOML has it, rounded; `None` unless that is between 0 and 1.
    pub(super) fn parse(text: &str) -> Option<u64> {
        let number: f64 = text.parse().ok()?;
        // NaN is in no range.
        (0.0..=1.0).contains(&number).then(|| (number * f64::from(WHOLE)).round() as u64)
    }

    /// It as a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.billionths) / f64::from(WHOLE)
    }

    /// Whether the share has `chance` in it, one of 2^64 numbers that are equally likely.
    pub fn has(self, chance: u64) -> bool {
        // Of equal parts, as many as there are billionths.
        ((u128::from(chance) * u128::from(WHOLE)) >> 64) < u128::from(self.billionths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_between_0_and_1() {
        for (text, billionths) in [
            ("0", Some(0)),
            ("0.0", Some(0)),
            ("1", Some(1_000_000_000)),
            ("0.01", Some(10_000_000)),
            ("1e-9", Some(1)),
            ("1.0000001", None),
            ("-0.1", None),
            ("nan", None),
            ("inf", None),
            ("2", None),
        ] {
            assert_eq!(Ratio::parse(text), billionths, "{text}");
        }
    }

    #[test]
    fn a_share_has_so_many_of_all_numbers() {
        let share = |text| Ratio::of_billionths(Ratio::parse(text).unwrap());
        assert!(!Ratio::ZERO.has(0) && share("1").has(u64::MAX) && share("0.5").has(u64::MAX / 2 - 10));
        assert!(!share("0.5").has(u64::MAX / 2 + 10_000_000_000));
        let step = u64::MAX / 10_000;
        let hit = (0..10_000).filter(|at| share("0.25").has(at * step)).count();
        assert!((2_499..=2_501).contains(&hit), "{hit}");
    }
}
