//! Sizes and durations with their units: `"64MiB"`, `"250ms"`.
//!
//! A number is whole, directly followed by its unit. The unit is required, because a bare `30` is read as seconds by
//! one reader and as milliseconds by the next.

use std::time::Duration;

use super::diagnostic::Fault;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(super) const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// A unit, and its number of smallest units.
type Unit = (&'static str, u64);

/// Units of a size with their bytes, largest first.
const SIZES: [Unit; 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Units of a duration with their microseconds, largest first.
const DURATIONS: [Unit; 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// The pattern of a size, for the JSON Schema.
pub(super) const SIZE_PATTERN: &str = "^[0-9]+(B|KiB|MiB|GiB)$";

/// The pattern of a duration, for the JSON Schema.
pub(super) const DURATION_PATTERN: &str = "^[0-9]+(us|ms|s|m|h)$";

/// Reads a size in bytes: a whole number and one of `B`, `KiB`, `MiB`, `GiB`.
///
/// Other units, `KB` and `MB` among them, are refused: they mean 1000 to one reader and 1024 to the next.
pub fn parse_size(text: &str) -> Result<u64, Fault> {
    parse(text, "size", "B, KiB, MiB and GiB", &SIZES, "64MiB")
}

/// Reads a duration: a whole number and one of `us`, `ms`, `s`, `m` (minutes), `h`.
pub fn parse_duration(text: &str) -> Result<Duration, Fault> {
    parse(text, "duration", "us, ms, s, m and h", &DURATIONS, "250ms").map(Duration::from_micros)
}

/// A size in its largest whole unit, as [`parse_size`] reads it.
pub fn format_size(bytes: u64) -> String {
    format(bytes, &SIZES, "0B")
}

/// A duration in its largest whole unit, as [`parse_duration`] reads it; parts below a microsecond are dropped.
pub fn format_duration(duration: Duration) -> String {
    format(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), &DURATIONS, "0s")
}

fn format(value: u64, units: &[Unit], zero: &str) -> String {
    let unit = units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", value / factor),
        None => zero.to_owned(),
    }
}

fn parse(text: &str, noun: &str, list: &str, units: &[Unit], example: &str) -> Result<u64, Fault> {
    let shape = format!("write a whole number and a unit, such as \"{example}\"; units are {list}");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(Fault::new(format!("`{text}` is not a {noun}"), format!("expected a {noun}"), shape));
    }
    if unit.is_empty() {
        return Err(Fault::new(format!("the {noun} `{text}` has no unit"), "the unit is missing", shape));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(unknown_unit(text, noun, number, unit, units, shape));
    };
    let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    value.ok_or_else(|| {
        Fault::new(format!("the {noun} `{text}` is too large"), "does not fit in 64 bits", shape)
    })
}

fn unknown_unit(text: &str, noun: &str, number: &str, unit: &str, units: &[Unit], shape: String) -> Fault {
    if unit.starts_with('.') {
        let message = format!("`{text}` is not a whole number");
        return Fault::new(message, "fractions are not allowed", format!("use a smaller unit; {shape}"));
    }
    let meant = meant_unit(unit.trim(), units);
    let help = match meant {
        Some(meant) => format!("did you mean \"{number}{meant}\"?"),
        None => shape,
    };
    if unit.trim() != unit {
        return Fault::new(format!("the {noun} `{text}` contains a space"), "no space before the unit", help);
    }
    Fault::new(format!("unknown unit `{unit}` in the {noun} `{text}`"), "unknown unit", help)
}

/// The unit that was probably meant: other case (`mib`), a decimal one (`MB`), a short one (`M`), a word (`sec`).
fn meant_unit(unit: &str, units: &[Unit]) -> Option<&'static str> {
    const WORDS: [(&str, &str); 15] = [
        ("k", "KiB"),
        ("kb", "KiB"),
        ("mb", "MiB"),
        ("g", "GiB"),
        ("gb", "GiB"),
        ("byte", "B"),
        ("µ", "us"),
        ("µs", "us"),
        ("msec", "ms"),
        ("milli", "ms"),
        ("sec", "s"),
        ("second", "s"),
        ("min", "m"),
        ("minute", "m"),
        ("hour", "h"),
    ];
    let lower = unit.to_lowercase();
    let singular = lower.strip_suffix('s').filter(|rest| rest.len() > 1).unwrap_or(&lower);
    let known = |name: &str| units.iter().map(|(unit, _)| *unit).find(|unit| unit.eq_ignore_ascii_case(name));
    known(&lower).or_else(|| {
        let word = WORDS.iter().find(|(word, _)| *word == lower || *word == singular)?;
        known(word.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("10KiB", 10 << 10), ("64MiB", 64 << 20), ("1GiB", 1 << 30)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
            assert_eq!(format_size(bytes), text);
        }
        assert_eq!(format_size(1536), "1536B");
        assert_eq!(format_size(1 << 20), "1MiB");
    }

    #[test]
    fn durations() {
        let cases = [
            ("0s", Duration::ZERO),
            ("100us", Duration::from_micros(100)),
            ("250ms", Duration::from_millis(250)),
            ("10s", Duration::from_secs(10)),
            ("2m", Duration::from_secs(120)),
            ("1h", Duration::from_secs(3600)),
        ];
        for (text, duration) in cases {
            assert_eq!(parse_duration(text).unwrap(), duration, "{text}");
            assert_eq!(format_duration(duration), text);
        }
        assert_eq!(format_duration(Duration::from_millis(1500)), "1500ms");
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let help = |text: &str| parse_size(text).unwrap_err().help;
        for (text, meant) in
            [("64MB", "64MiB"), ("64mib", "64MiB"), ("1gb", "1GiB"), ("5 KiB", "5KiB"), ("9 bytes", "9B")]
        {
            assert_eq!(help(text), format!("did you mean \"{meant}\"?"), "{text}");
        }
        let help = |text: &str| parse_duration(text).unwrap_err().help;
        for (text, meant) in
            [("5sec", "5s"), ("5 minutes", "5m"), ("10S", "10s"), ("3µs", "3us"), ("2hours", "2h")]
        {
            assert_eq!(help(text), format!("did you mean \"{meant}\"?"), "{text}");
        }
    }

    #[test]
    fn bad_sizes_and_durations() {
        for text in [
            "",
            "MiB",
            "64",
            "-1B",
            "1.5GiB",
            "18446744073709551616B",
            "18446744073709551615GiB",
            "1MiB ",
            "١B",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        for text in ["", "s", "10", "1.5s", "-1s", "1d", "1h30m", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
