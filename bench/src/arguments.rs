//! Arguments of the command line, by name.

use crate::Result;

/// Arguments that are taken by name.
pub struct Arguments(Vec<String>);

impl Arguments {
    pub fn of(arguments: &[String]) -> Self {
        Self(arguments.to_vec())
    }

    /// The same behind others, which count where these do not say otherwise.
    pub fn after(self, others: &[&str]) -> Self {
        let others = others.iter().map(|argument| (*argument).to_owned());
        Self(others.chain(self.0).collect())
    }

    /// Whether a flag is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|argument| argument == name);
        found.map(|at| self.0.remove(at)).is_some()
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|argument| argument == name).filter(|at| at + 1 < self.0.len())?;
        self.0.remove(at);
        Some(self.0.remove(at))
    }

    /// The text behind a name; of several, the last one, so that a caller's own arguments win.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        let mut found = default.to_owned();
        while let Some(text) = self.value(name) {
            found = text;
        }
        found
    }

    /// The number behind a name.
    pub fn number(&mut self, name: &str, default: f64) -> Result<f64> {
        let text = self.text(name, &default.to_string());
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("{name} {text}: not a number").into()),
        }
    }

    /// An argument that was not taken is an error.
    pub fn end(self, help: &str) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(other) => Err(format!("there is no {other}, or it needs a value\n\n{help}").into()),
        }
    }
}
