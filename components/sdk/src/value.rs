//! What the text of a configuration value can mean.

use std::time::Duration;

/// A type that a configuration value can be read as.
pub trait Value: Sized {
    /// Its type in a JSON Schema: `string`, `integer` or `boolean`.
    const TYPE: &'static str = "string";

    /// What else a JSON Schema says of it: members of an object, each with a comma before it. `title` is what it is
    /// called in a sentence, as `a rate`; `pattern` and `examples` are for editors.
    const FORM: &'static str = "";

    /// Read the text.
    ///
    /// # Errors
    /// What is wrong with it, to follow the key in a sentence. Never the text
    /// itself, which may be a secret.
    fn parse(text: &str) -> Result<Self, String>;
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

impl Value for bool {
    const TYPE: &'static str = "boolean";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("is neither true nor false".into()),
        }
    }
}

macro_rules! integers {
    ($($integer:ty: $form:literal),* $(,)?) => {$(
        impl Value for $integer {
            const TYPE: &'static str = "integer";
            const FORM: &'static str = $form;

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| {
                    ["is not an integer of type ", stringify!($integer)].concat()
                })
            }
        }
    )*};
}
integers! {
    u16: ",\"minimum\":0,\"maximum\":65535",
    u32: ",\"minimum\":0,\"maximum\":4294967295",
    u64: ",\"minimum\":0",
    i64: "",
}

impl Value for Duration {
    const FORM: &'static str = concat!(
        ",\"title\":\"a time with a unit\",\"pattern\":\"^[0-9]+ *(ns|us|µs|ms|s|m|min|h|d)$\"",
        ",\"examples\":[\"250ms\",\"10s\"]"
    );

    /// A number with its unit: `ns`, `us`, `ms`, `s`, `m`, `h` or `d`.
    fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str = "is not a time with a unit, like \"250ms\" or \"10s\"";
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| WRONG)?;
        let unit = match unit.trim_start() {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            other => seconds(other).ok_or(WRONG)? * 1_000_000_000,
        };
        let nanoseconds = number.checked_mul(unit).ok_or("is longer than 584 years")?;
        Ok(Self::from_nanos(nanoseconds))
    }
}

/// A size in bytes: `"512B"`, `"1MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl Value for Size {
    const FORM: &'static str = concat!(
        ",\"title\":\"a size with a unit\",\"pattern\":\"^[0-9]+(B|KiB|MiB|GiB)$\"",
        ",\"examples\":[\"512B\",\"1MiB\"]"
    );

    /// A whole number and its unit, as in the keys of linkspan itself.
    fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str = "is not a size with a unit, like \"512B\" or \"1MiB\"";
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| WRONG)?;
        let unit = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(WRONG.into()),
        };
        Ok(Self(number.checked_mul(unit).ok_or("is larger than 16 EiB")?))
    }
}

/// Requests in a time: `"10/s"`, `"600/m"`, `"5000/h"`, `"100000/d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    /// In nanoseconds.
    period: u64,
}

impl Rate {
    /// Requests in one period.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Nanoseconds between two requests.
    pub fn interval(self) -> u64 {
        self.period / u64::from(self.count)
    }
}

impl Value for Rate {
    const FORM: &'static str = concat!(
        ",\"title\":\"a rate\",\"pattern\":\"^[1-9][0-9]* */ *(s|m|min|h|d)$\"",
        ",\"examples\":[\"10/s\",\"600/m\"]"
    );

    fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str = "is not a rate, like \"10/s\" or \"600/m\"";
        let (count, unit) = text.split_once('/').ok_or(WRONG)?;
        let count: u32 = count.trim_end().parse().map_err(|_| WRONG)?;
        let period = seconds(unit.trim_start()).ok_or(WRONG)? * 1_000_000_000;
        if count == 0 {
            return Err("is a rate of none: leave the route out instead".into());
        }
        if u64::from(count) > period {
            return Err("is more than one a nanosecond".into());
        }
        Ok(Self { count, period })
    }
}

fn seconds(unit: &str) -> Option<u64> {
    match unit {
        "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let cases = [
            ("250ms", Duration::from_millis(250)),
            ("10s", Duration::from_secs(10)),
            ("5 m", Duration::from_secs(300)),
            ("1h", Duration::from_secs(3600)),
            ("7us", Duration::from_micros(7)),
            ("0ns", Duration::ZERO),
        ];
        for (text, duration) in cases {
            assert_eq!(Duration::parse(text), Ok(duration), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1.5s", "10 parsecs", "99999999999999d"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "1", "MiB", "-1B", "1.5KiB", "1 MiB", "1MB", "1mib", "99999999999GiB"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_have_units() {
        assert_eq!(Rate::parse("10/s").map(Rate::interval), Ok(100_000_000));
        assert_eq!(Rate::parse("600 / m").map(Rate::interval), Ok(100_000_000));
        assert_eq!(Rate::parse("1/d").map(Rate::interval), Ok(86_400_000_000_000));
        for text in ["", "10", "0/s", "-1/s", "10/", "10/fortnight", "4294967295/ns"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert!(Rate::parse("4000000000/s").is_err());
    }
}
