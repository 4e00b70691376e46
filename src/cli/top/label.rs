//! Text of the gateway's that may stand on a terminal.

use crate::telemetry::harmless;
use serde::de::{Deserialize, Deserializer};
use std::fmt;

/// The longest text that is kept, in characters.
const LONGEST: usize = 300;

/// A name or a message as a terminal can show it: control characters and what turns text around are escaped, and a long
/// text is cut. Everything that an answer says is read as this type, so that nothing else is there to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Label(String);

impl Label {
    pub(super) fn new(text: &str) -> Self {
        Self(harmless(text, LONGEST))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_acts_on() {
        let label: Label = serde_json::from_str(r#""a\u001b[2J\u009b\u202e\r\nb""#).unwrap();
        assert_eq!(label.as_str(), "a\\u{1b}[2J\\u{9b}\\u{202e}\\r\\nb");
        let long = Label::new(&"漢".repeat(10_000));
        assert_eq!(long.as_str().chars().count(), LONGEST + 1);
    }
}
