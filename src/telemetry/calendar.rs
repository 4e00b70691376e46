//! Times as access logs write them, always in UTC.

use std::fmt;
use std::time::SystemTime;

use super::metrics::since_epoch;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: u64 = 24 * 60 * 60;
/// Four hundred years have the same number of days, wherever they start.
const DAYS_OF_400_YEARS: u64 = 146_097;

/// A time, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utc {
    year: u64,
    /// From 1.
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u32,
}

impl Utc {
    /// A time before 1970 counts as 1970.
    pub(super) fn new(time: SystemTime) -> Self {
        let since = since_epoch(time);
        let (mut days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
        // The loops run over what is left of four hundred years: at most 400 and 12 times.
        let mut year = 1970 + 400 * (days / DAYS_OF_400_YEARS);
        days %= DAYS_OF_400_YEARS;
        while days >= days_of_year(year) {
            days -= days_of_year(year);
            year += 1;
        }
        let mut month = 1;
        while days >= days_of_month(year, month) {
            days -= days_of_month(year, month);
            month += 1;
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Self { year, month, day: days + 1, hour, minute, second, millisecond: since.subsec_millis() }
    }

    /// `20/Nov/2026:10:59:44 +0000`.
    pub(super) fn write_common(self, out: &mut impl fmt::Write) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, .. } = self;
        write!(out, "{day:02}/{}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000", MONTHS[month - 1])
    }

    /// RFC 3339 with milliseconds: `2026-11-20T10:59:44.123Z`.
    pub(super) fn write_rfc3339(self, out: &mut impl fmt::Write) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, millisecond } = self;
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: usize) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn rfc3339(millis: u64) -> String {
        let mut out = String::new();
        Utc::new(UNIX_EPOCH + Duration::from_millis(millis)).write_rfc3339(&mut out).unwrap();
        out
    }

    #[test]
    fn times() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_172_384_123, "2026-11-20T10:59:44.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(millis), expected);
        }
        let mut out = String::new();
        Utc::new(UNIX_EPOCH + Duration::from_secs(1_795_172_384)).write_common(&mut out).unwrap();
        assert_eq!(out, "20/Nov/2026:10:59:44 +0000");
        assert_eq!(Utc::new(UNIX_EPOCH - Duration::from_secs(1)), Utc::new(UNIX_EPOCH));
    }
}
