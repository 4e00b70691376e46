//! Exponential histograms, as buckets with fixed ends.
//!
//! Prometheus's text has none whose ends move. Those of the factor 2 do, for all scales: an exponential bucket lies within one of
//! them where the scale is 0 or more (OpenTelemetry's "Exponential Scale": two neighbours of a scale are one of the scale before), and
//! ends where one of them ends where it is less.

use super::told::Buckets;

/// The first and the last end, as powers of two: a millionth and some millions.
const LEAST: i64 = -20;
const MOST: i64 = 30;

/// The numbers of buckets whose ends are powers of a base.
#[derive(Clone, Debug, Default)]
pub struct Exponential {
    /// The base is 2 to the power of 2 to the power of minus this.
    pub scale: i8,
    /// Numbers that are taken to be 0.
    pub zeros: u64,
    /// The first index of a bucket, and the buckets, of numbers above 0.
    pub positive: (i32, Vec<u64>),
    /// The sizes of numbers below 0, likewise.
    pub negative: (i32, Vec<u64>),
    /// The sum of all numbers.
    pub sum: f64,
}

/// The same numbers in buckets that end at 0 and at powers of two.
pub fn explicit(from: &Exponential) -> Buckets {
    let ends: Vec<f64> = std::iter::once(0.0).chain((LEAST..=MOST).map(power_of_two)).collect();
    let mut counts = vec![0_u64; ends.len() + 1];
    let below = from.negative.1.iter().fold(from.zeros, |sum, count| sum.saturating_add(*count));
    counts[0] = below;
    for (at, count) in from.positive.1.iter().enumerate() {
        let index = i64::from(from.positive.0).saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
        let place = match upper(index, from.scale) {
            power if power <= LEAST => 1,
            power if power > MOST => counts.len() - 1,
            power => usize::try_from(power - LEAST).map_or(1, |place| place + 1),
        };
        counts[place] = counts[place].saturating_add(*count);
    }
    Buckets { ends, counts, sum: from.sum }
}

/// The power of two at or above the upper end of the bucket `index`.
fn upper(index: i64, scale: i8) -> i64 {
    let next = index.saturating_add(1);
    match u32::try_from(scale) {
        // Rounded up.
        Ok(shift) => -((-next) >> shift.min(62)),
        Err(_) => next.saturating_mul(1_i64 << u32::from(scale.unsigned_abs()).min(40)),
    }
}

/// Exactly.
fn power_of_two(power: i64) -> f64 {
    2_f64.powi(i32::try_from(power).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of the bucket in which the one number of this bucket is.
    fn end(scale: i8, index: i32) -> f64 {
        let buckets = explicit(&Exponential { scale, positive: (index, vec![1]), ..Exponential::default() });
        assert_eq!(buckets.counts.iter().sum::<u64>(), 1);
        let at = buckets.counts.iter().position(|count| *count == 1).unwrap();
        buckets.ends.get(at).copied().unwrap_or(f64::INFINITY)
    }

    #[test]
    fn a_number_is_below_the_end_of_its_bucket_and_above_half_of_it() {
        // At the scale 0, the bucket 0 is from 1 to 2, and the bucket -1 from 0.5 to 1.
        assert_eq!((end(0, 0), end(0, -1), end(0, 9)), (2.0, 1.0, 1024.0));
        // At the scale 3, eight buckets are one: those from 0 to 7 end at 2 at most.
        assert_eq!(
            (end(3, 0), end(3, 7), end(3, 8), end(3, -1), end(3, -8), end(3, -9)),
            (2.0, 2.0, 4.0, 1.0, 1.0, 0.5)
        );
        // At the scale -1, a bucket is two: from 1 to 4.
        assert_eq!((end(-1, 0), end(-1, 1), end(-1, -1)), (4.0, 16.0, 1.0));
        // Beyond the ends.
        assert_eq!((end(0, -500), end(0, 500)), (power_of_two(LEAST), f64::INFINITY));
        assert_eq!((end(i8::MAX, i32::MAX), end(i8::MIN, i32::MIN)), (2.0, power_of_two(LEAST)));
        assert_eq!(end(i8::MIN, i32::MAX), f64::INFINITY);
    }

    #[test]
    fn zeros_and_negative_numbers_end_at_zero() {
        let from = Exponential { zeros: 2, negative: (3, vec![1, 4]), sum: -9.0, ..Exponential::default() };
        let buckets = explicit(&from);
        assert_eq!((buckets.ends[0], buckets.counts[0], buckets.sum), (0.0, 7, -9.0));
        assert!(buckets.is_sound());
    }
}
