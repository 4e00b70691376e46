//! Numbers and times in few characters.

use super::rates::Quantile;
use time::OffsetDateTime;

/// Three digits.
fn digits(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// A duration: `812ns`, `1.20µs`, `15.0ms`, `1.50s`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds <= 0.0 || seconds.is_nan() => "0s".to_owned(),
        seconds if seconds < 1e-6 => format!("{:.0}ns", seconds * 1e9),
        seconds if seconds < 1e-3 => format!("{}µs", digits(seconds * 1e6)),
        seconds if seconds < 1.0 => format!("{}ms", digits(seconds * 1e3)),
        seconds if seconds < 1000.0 => format!("{}s", digits(seconds)),
        seconds => rough(seconds),
    }
}

/// A long duration: `12s`, `4m 10s`, `2h 3m`, `3d 4h`.
pub(super) fn rough(seconds: f64) -> String {
    // A number that no clock has is as good as the largest.
    let seconds = seconds.max(0.0) as u64;
    match (seconds / 86_400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {}m", minutes % 60),
        (days, hours, _) => format!("{days}d {}h", hours % 24),
    }
}

/// A quantile, `>10.0s` beyond the last bucket; a dash for none.
pub(super) fn quantile(quantile: Option<Quantile>) -> String {
    match quantile {
        None => "-".to_owned(),
        Some(Quantile::About(seconds)) => duration(seconds),
        Some(Quantile::Beyond(seconds)) => format!(">{}", duration(seconds)),
    }
}

/// A number: `950`, `12.3k`, `4.56M`.
pub(super) fn count(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", digits(count as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{}M", digits(count as f64 / 1e6)),
        _ => format!("{}G", digits(count as f64 / 1e9)),
    }
}

/// A rate: `0`, `0.25`, `12.5`, `3400`.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        rate if rate <= 0.0 || rate.is_nan() => "0".to_owned(),
        rate if rate < 10_000.0 => digits(rate),
        rate => count(rate as u64),
    }
}

/// A share of something: `0%`, `0.25%`, `12%`.
pub(super) fn share(part: u64, of: u64) -> String {
    match (part, of) {
        (0, _) | (_, 0) => "0%".to_owned(),
        (part, of) => match part as f64 / of as f64 * 100.0 {
            percent if percent < 0.01 => "<0.01%".to_owned(),
            percent if percent < 9.95 => format!("{percent:.2}%"),
            percent => format!("{percent:.0}%"),
        },
    }
}

/// A size in memory.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", digits(bytes as f64 / 1024.0)),
        1_048_576..1_073_741_824 => format!("{} MiB", digits(bytes as f64 / 1_048_576.0)),
        _ => format!("{} GiB", digits(bytes as f64 / 1_073_741_824.0)),
    }
}

/// The time of the day, in UTC: `21:40:03`.
pub(super) fn clock(unix: f64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = time.to_hms();
    format!("{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_units() {
        for (seconds, expected) in [
            (0.0, "0s"),
            (-1.0, "0s"),
            (f64::NAN, "0s"),
            (8.12e-7, "812ns"),
            (1.2e-6, "1.20µs"),
            (0.015, "15.0ms"),
            (0.0999, "99.9ms"),
            (1.5, "1.50s"),
            (5000.0, "1h 23m"),
            (f64::INFINITY, "213503982334601d 7h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
        assert_eq!([rough(59.9), rough(250.0), rough(100_000.0)], ["59s", "4m 10s", "1d 3h"]);
        assert_eq!(
            [count(9999), count(12_345), count(4_560_000), count(u64::MAX)],
            ["9999", "12.3k", "4.56M", "18446744074G"]
        );
        assert_eq!(
            [rate(0.0), rate(0.25), rate(12.54), rate(3400.0), rate(34_000.0)],
            ["0", "0.25", "12.5", "3400", "34.0k"]
        );
        assert_eq!(
            [share(0, 0), share(3, 1200), share(1, 2), share(1, 100_000)],
            ["0%", "0.25%", "50%", "<0.01%"]
        );
        assert_eq!([bytes(12), bytes(91_234_304), bytes(3 << 30)], ["12 B", "87.0 MiB", "3.00 GiB"]);
        assert_eq!(
            [clock(1_763_846_691.12), clock(f64::MAX), clock(f64::NAN)],
            ["21:24:51", "00:00:00", "00:00:00"]
        );
        assert_eq!([quantile(None), quantile(Some(Quantile::Beyond(10.0)))], ["-", ">10.0s"]);
    }
}
