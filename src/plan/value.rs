//! Values that a stage gets from its configuration.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::config::Span;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueOrigin {
    /// It stands in the configuration file.
    Inline,
    /// The environment variable of this name, read when the configuration was loaded.
    Environment(String),
    /// The file at this path, read when the configuration was loaded.
    File(PathBuf),
}

/// One value of a stage's configuration or environment: at most [`ConfigValue::MAX_SIZE`] bytes of text.
///
/// A value from an environment variable or a file is a secret: neither `Debug` nor a diagnostic shows it. There is no
/// `Display`, so showing a value takes an [`ConfigValue::expose`] that is visible in the code.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigValue {
    text: String,
    origin: ValueOrigin,
    span: Span,
}

impl ConfigValue {
    /// The longest value, in bytes.
    pub const MAX_SIZE: usize = 64 * 1024;

    /// A value with its origin and its place in the configuration file.
    pub fn new(text: impl Into<String>, origin: ValueOrigin, span: Span) -> ConfigValue {
        ConfigValue { text: text.into(), origin, span }
    }

    /// The text itself, for the stage. Not for logs.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Where it came from.
    pub fn origin(&self) -> &ValueOrigin {
        &self.origin
    }

    /// Its place in the configuration file.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Whether the value must not be shown.
    pub fn is_secret(&self) -> bool {
        self.origin != ValueOrigin::Inline
    }
}

/// The text alone: its origin and place change nothing for the stage.
impl Hash for ConfigValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            ValueOrigin::Inline => fmt::Debug::fmt(&self.text, f),
            ValueOrigin::Environment(name) => write!(f, "<secret: environment variable {name}>"),
            ValueOrigin::File(path) => write!(f, "<secret: file {}>", Path::display(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_secrets() {
        let value = |origin| format!("{:?}", ConfigValue::new("hunter2", origin, Span::default()));
        assert_eq!(value(ValueOrigin::Inline), "\"hunter2\"");
        assert_eq!(value(ValueOrigin::Environment("KEY".into())), "<secret: environment variable KEY>");
        assert_eq!(value(ValueOrigin::File("key.txt".into())), "<secret: file key.txt>");
    }
}
