//! Times as access logs write them, always in UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// The time since 1970; a clock before that counts as 1970, which is no reason to fail.
pub fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utc(OffsetDateTime);

impl Utc {
    /// A time before 1970, or after the year 9999, counts as the beginning of 1970.
    pub(super) fn new(time: SystemTime) -> Self {
        let nanoseconds = i128::try_from(since_epoch(time).as_nanos()).unwrap_or_default();
        Self(OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// `20/Nov/2026:10:59:44 +0000`.
    pub(super) fn write_common(self, out: &mut impl fmt::Write) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second) = self.0.to_hms();
        let month = MONTHS[usize::from(u8::from(month)) - 1];
        write!(out, "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
    }

    /// RFC 3339 with milliseconds: `2026-11-20T10:59:44.123Z`.
    pub(super) fn write_rfc3339(self, out: &mut impl fmt::Write) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second, millisecond) = self.0.to_hms_milli();
        let month = u8::from(month);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

#[cfg(test)]
mod tests {
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
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_172_384_123, "2026-11-20T10:59:44.123Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
            // A clock that is that wrong does not end a worker.
            (253_402_300_800_000, "1970-01-01T00:00:00.000Z"),
            (u64::MAX / 1024, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(millis), expected);
        }
        let mut out = String::new();
        Utc::new(UNIX_EPOCH + Duration::from_secs(1_795_172_384)).write_common(&mut out).unwrap();
        assert_eq!(out, "20/Nov/2026:10:59:44 +0000");
        assert_eq!(Utc::new(UNIX_EPOCH - Duration::from_secs(1)), Utc::new(UNIX_EPOCH));
    }
}
