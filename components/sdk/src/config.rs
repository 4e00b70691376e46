//! A stage's configuration, read into a typed value.
//!
//! The gateway flattens the stage's `config` table: `a.b` for what is in a
//! nested table, `a.0`, `a.1` for the elements of an array, the text of every
//! scalar. [`Config`] reads it and notes everything that is wrong with it, keys
//! that nobody asked for among them. Its messages name keys, never values.

use crate::header::HeaderName;
use crate::schema::Part;
use crate::value::Value;

/// A type that a stage's configuration is read into.
///
/// [`configuration!`](crate::configuration) writes it for what keys alone can say.
pub trait FromConfig: Sized + Send + Sync + 'static {
    /// The schema of the configuration, which the component carries; without parts, it carries none.
    const SCHEMA: &'static [Part] = &[];

    /// Read it. `None` only where `config` has noted an error, so: read all
    /// keys first, then use `?`.
    fn from_config(config: &mut Config) -> Option<Self>;

    /// What the host alone can say of a configuration that was read, as of what is not granted to the stage. linkspan asks
    /// when it loads the configuration; nobody asks at a request.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// The configuration while it is read.
pub struct Config {
    /// Plain lists rather than maps: there are few, and a map's code would be a
    /// tenth of a small component.
    entries: Vec<Entry>,
    /// What was asked for: `key`, or `key.*` for tables.
    known: Vec<String>,
    errors: Vec<Finding>,
}

/// Something that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key.
    pub key: String,
    /// What is wrong, to follow the key in a sentence.
    pub reason: String,
}

struct Entry {
    key: String,
    text: String,
    used: bool,
}

impl Config {
    /// Read all of `entries`.
    ///
    /// # Errors
    /// Everything that is wrong, in one line.
    pub fn read<T: FromConfig>(entries: impl IntoIterator<Item = (String, String)>) -> Result<T, String> {
        Self::judge(entries).map_err(|findings| {
            let lines = findings.iter().map(|Finding { key, reason }| ["`", key, "` ", reason].concat());
            match findings.is_empty() {
                true => "could not be read".into(),
                false => lines.collect::<Vec<_>>().join("; "),
            }
        })
    }

    /// Read all of `entries`.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn judge<T: FromConfig>(
        entries: impl IntoIterator<Item = (String, String)>,
    ) -> Result<T, Vec<Finding>> {
        let entry = |(key, text)| Entry { key, text, used: false };
        let mut config =
            Self { entries: entries.into_iter().map(entry).collect(), known: Vec::new(), errors: Vec::new() };
        let value = T::from_config(&mut config);
        config.report_unknown();
        match value {
            Some(value) if config.errors.is_empty() => Ok(value),
            _ => Err(config.errors),
        }
    }

    /// Whether an error was noted.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Where a key's entry is.
    fn position(&self, key: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }

    /// The value of the entry at a place, which is used now.
    fn parse<T: Value>(&mut self, at: usize) -> Option<T> {
        let entry = &mut self.entries[at];
        entry.used = true;
        match T::parse(&entry.text) {
            Ok(value) => Some(value),
            Err(reason) => {
                let key = entry.key.clone();
                self.reject(&key, &reason);
                None
            }
        }
    }

    /// The fields that the table `key` names. Noted as errors are names that no field can have, that stand twice, and those
    /// of the connection.
    pub fn fields<T>(&mut self, key: &str, table: Vec<(String, T)>) -> Vec<(HeaderName, T)> {
        let mut fields: Vec<(HeaderName, T)> = Vec::new();
        for (name, value) in table {
            let key = format!("{key}.{name}");
            match HeaderName::parse(&name) {
                Err(_) => self.reject(&key, "has a name that can't be a field's"),
                Ok(name) if name.is_of_the_connection() => self.reject(&key, "belongs to the connection"),
                Ok(name) if fields.iter().any(|(other, _)| *other == name) => {
                    self.reject(&key, "is there twice")
                }
                Ok(name) => fields.push((name, value)),
            }
        }
        fields
    }

    /// The value of a key that may be missing.
    pub fn optional<T: Value>(&mut self, key: &str) -> Option<T> {
        self.known.push(key.into());
        let at = self.position(key)?;
        self.parse(at)
    }

    /// The value of a key, or what it is by default.
    pub fn or<T: Value>(&mut self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value of a key that must be there. `None` notes an error.
    pub fn required<T: Value>(&mut self, key: &str) -> Option<T> {
        if self.position(key).is_none() {
            self.reject(key, "is missing");
        }
        self.optional(key)
    }

    /// The value of a key, or what `default` means; `None` notes an error.
    pub fn or_text<T: Value>(&mut self, key: &str, default: &str) -> Option<T> {
        let errors = self.errors.len();
        match self.optional(key) {
            None if self.errors.len() > errors => None,
            None => T::parse(default).map_err(|reason| self.reject(key, &reason)).ok(),
            value => value,
        }
    }

    /// `value`, if it is from `least` to `most`; else notes an error.
    pub fn within<T: Value + PartialOrd + std::fmt::Display>(
        &mut self,
        key: &str,
        value: Option<T>,
        least: T,
        most: T,
    ) -> Option<T> {
        let value = value?;
        if (&least..=&most).contains(&&value) {
            return Some(value);
        }
        self.reject(key, &["is not from ", &least.to_string(), " to ", &most.to_string()].concat());
        None
    }

    /// The elements of a list that must be there, and not empty; `None` notes an error.
    pub fn required_list<T: Value>(&mut self, key: &str) -> Option<Vec<T>> {
        let errors = self.errors.len();
        let list = self.list(key);
        if list.is_none() && self.errors.len() == errors {
            self.reject(key, "is missing");
        }
        list
    }

    /// The entries of a table that must have one at least; `None` notes an error.
    pub fn required_table<T: Value>(&mut self, key: &str) -> Option<Vec<(String, T)>> {
        let errors = self.errors.len();
        let table = self.table(key);
        if table.is_empty() && self.errors.len() == errors {
            self.reject(key, "is missing");
        }
        (!table.is_empty()).then_some(table)
    }

    /// The elements of a list; a single value is a list of one. `None` if there
    /// is neither.
    pub fn list<T: Value>(&mut self, key: &str) -> Option<Vec<T>> {
        self.known.push(key.into());
        if let Some(at) = self.position(key) {
            return self.parse(at).map(|value| vec![value]);
        }
        let mut values = Vec::new();
        let mut any = false;
        for i in 0u32.. {
            let element = [key, ".", &i.to_string()].concat();
            let Some(at) = self.position(&element) else {
                break;
            };
            any = true;
            values.extend(self.parse(at));
        }
        any.then_some(values)
    }

    /// The entries of a table, by name, in the order that the host gives.
    pub fn table<T: Value>(&mut self, key: &str) -> Vec<(String, T)> {
        self.known.push([key, ".*"].concat());
        let prefix = [key, "."].concat();
        let mut table = Vec::new();
        for at in 0..self.entries.len() {
            let Some(name) = self.entries[at].key.strip_prefix(&prefix) else {
                continue;
            };
            let name = name.to_string();
            if let Some(value) = self.parse(at) {
                table.push((name, value));
            }
        }
        table
    }

    /// Note that the value of a key is wrong: `reason` follows the key in a
    /// sentence.
    pub fn reject(&mut self, key: &str, reason: &str) {
        self.errors.push(Finding { key: key.into(), reason: reason.into() });
    }

    fn report_unknown(&mut self) {
        let known = ["`", &self.known.join("`, `"), "`"].concat();
        let reason = ["is not known; known are ", &known].concat();
        for at in 0..self.entries.len() {
            let Entry { key, used, .. } = &self.entries[at];
            if !used {
                let key = key.clone();
                self.reject(&key, &reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[derive(Debug, PartialEq)]
    struct Options {
        name: String,
        on: bool,
        wait: Duration,
        origins: Vec<String>,
        keys: Vec<(String, u32)>,
    }

    impl FromConfig for Options {
        fn from_config(config: &mut Config) -> Option<Self> {
            let name = config.required("name");
            let on = config.or("on", true);
            let wait = config.or("wait", Duration::from_secs(1));
            let origins = config.list("origins").unwrap_or_default();
            let keys = config.table("keys");
            Some(Self { name: name?, on, wait, origins, keys })
        }
    }

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn everything_given_is_read() {
        let options = read(&[
            ("name", "n"),
            ("on", "false"),
            ("wait", "250ms"),
            ("origins.0", "a"),
            ("origins.1", "b"),
            ("keys.alice", "1"),
            ("keys.bob.smith", "2"),
        ]);
        let expected = Options {
            name: "n".into(),
            on: false,
            wait: Duration::from_millis(250),
            origins: vec!["a".into(), "b".into()],
            keys: vec![("alice".into(), 1), ("bob.smith".into(), 2)],
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn a_single_value_is_a_list_of_one() {
        let options = read(&[("name", "n"), ("origins", "a")]);
        assert_eq!(options.map(|o| o.origins), Ok(vec!["a".into()]));
    }

    #[test]
    fn a_list_keeps_its_order_beyond_ten() {
        let entries: Vec<_> = (0..12).map(|i| (format!("origins.{i}"), i.to_string())).collect();
        let mut entries: Vec<_> = entries.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        entries.push(("name", "n"));
        let expected: Vec<_> = (0..12).map(|i| i.to_string()).collect();
        assert_eq!(read(&entries).map(|o| o.origins), Ok(expected));
    }

    #[test]
    fn every_error_is_reported_and_no_value() {
        let error =
            read(&[("on", "yes-hunter2"), ("wait", "10"), ("keys.alice", "hunter2"), ("nmae", "hunter2")]);
        let error = error.expect_err("five errors");
        assert_eq!(
            error,
            "`name` is missing; `on` is neither true nor false; \
             `wait` is not a time with a unit, like \"250ms\" or \"10s\"; \
             `keys.alice` is not an integer of type u32; `nmae` is not known; \
             known are `name`, `on`, `wait`, `origins`, `keys.*`"
        );
    }
}
