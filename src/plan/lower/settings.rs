//! Configuration values and environment variables of a stage: flattened, with references to the process's environment
//! and to files replaced by their values.

use std::collections::HashMap;

use super::lowering::{Lowering, describe};
use crate::config::{Entry, Node, Span, Text, Value, format_size};
use crate::files;
use crate::plan::{ConfigValue, Stage, ValueOrigin};

/// Longest flattened key and longest name of a variable, in bytes.
const MAX_KEY: usize = 256;

/// The target of `{ env = "…" }` or `{ file = "…" }`.
enum Reference<'a> {
    Environment(Text<'a>),
    File(Text<'a>),
    /// Both keys are given: the meant one is unknown.
    Both,
}

/// Whether a table is a reference: exactly one of the keys, or exactly the two, with text.
fn reference(entries: &[Entry]) -> Option<Reference<'_>> {
    let is_text = |entry: &Entry| matches!(entry.node.value, Value::String(_));
    if !entries.iter().all(|entry| matches!(entry.key.as_str(), "env" | "file") && is_text(entry)) {
        return None;
    }
    match entries {
        [Entry { key, node: Node { span, value: Value::String(text) }, .. }] => {
            let text = Text { text, span: *span };
            Some(if key == "env" { Reference::Environment(text) } else { Reference::File(text) })
        }
        [_, _] => Some(Reference::Both),
        _ => None,
    }
}

impl Lowering<'_> {
    /// The `config` of a stage as pairs: keys of nested tables joined by dots, items of arrays by their index. Empty
    /// tables and arrays leave no pair. The table itself is never a reference: `config = { file = "a" }` is one pair
    /// with the key `file`.
    pub(super) fn settings(&mut self, node: &Node) -> Vec<(String, ConfigValue)> {
        let mut pairs = Vec::new();
        self.flatten(String::new(), node, &mut pairs);
        self.check_number(pairs.len(), node.span, "config");
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for (key, value) in &pairs {
            if let Some(earlier) = seen.insert(key, value.span()) {
                self.diagnostics
                    .error(value.span(), format!("the configuration key `{key}` is given twice"))
                    .label("the same key, once nested keys are joined by dots")
                    .related(earlier, "the first value")
                    .help("rename one of them");
            }
        }
        pairs
    }

    /// The `env` of a grant.
    pub(super) fn variables(&mut self, node: &Node) -> Vec<(String, ConfigValue)> {
        let Value::Table(entries) = &node.value else {
            return Vec::new();
        };
        self.check_number(entries.len(), node.span, "env");
        let mut pairs = Vec::new();
        for entry in entries {
            self.check_variable_name(entry);
            let value =
                self.text_or_reference(&entry.node, &format!("the variable `{}`", entry.key), &entry.key);
            pairs.extend(value.map(|value| (entry.key.clone(), value)));
        }
        pairs
    }

    /// A value in the file, or a reference to one; `what` and `key` are for the error.
    pub(super) fn text_or_reference(&mut self, node: &Node, what: &str, key: &str) -> Option<ConfigValue> {
        match &node.value {
            Value::String(text) => self.inline(text, node.span),
            Value::Table(inner) if reference(inner).is_some() => self.referenced(inner, node.span),
            other => {
                self.diagnostics
                    .error(node.span, format!("{what} must be text, found {}", other.type_name()))
                    .label("expected a string, or a table with the one key `env` or `file`")
                    .help(format!("for example `{key} = \"…\"`"));
                None
            }
        }
    }

    fn check_variable_name(&mut self, entry: &Entry) {
        let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
        let mut bytes = entry.key.bytes();
        let good = bytes.next().is_some_and(letter) && bytes.all(|b| letter(b) || b.is_ascii_digit());
        if !good || entry.key.len() > MAX_KEY {
            self.diagnostics
                .error(entry.key_span, format!("invalid name of an environment variable: `{}`", entry.key))
                .label("invalid name")
                .help("names are letters, digits and `_`, do not start with a digit, and have at most 256 characters");
        }
    }

    fn check_number(&mut self, number: usize, span: Span, key: &str) {
        if number > Stage::MAX_VALUES {
            self.diagnostics
                .error(
                    span,
                    format!("`{key}` has {number} values, at most {} are allowed", Stage::MAX_VALUES),
                )
                .label("too many values")
                .help("move them into one value that the component parses");
        }
    }

    fn flatten(&mut self, key: String, node: &Node, pairs: &mut Vec<(String, ConfigValue)>) {
        let scalar = match &node.value {
            Value::String(text) => self.inline(text, node.span),
            Value::Integer(number) => self.inline(&number.to_string(), node.span),
            Value::Boolean(boolean) => self.inline(&boolean.to_string(), node.span),
            Value::Float(text) | Value::Datetime(text) => self.inline(text, node.span),
            Value::Table(entries) if !key.is_empty() && reference(entries).is_some() => {
                self.referenced(entries, node.span)
            }
            Value::Table(entries) => {
                for entry in entries {
                    if let Some(key) = self.join(&key, entry) {
                        self.flatten(key, &entry.node, pairs);
                    }
                }
                return;
            }
            Value::Refused => return,
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.flatten(format!("{key}.{index}"), item, pairs);
                }
                return;
            }
        };
        pairs.extend(scalar.map(|value| (key, value)));
    }

    /// The key of an entry below `prefix`.
    fn join(&mut self, prefix: &str, entry: &Entry) -> Option<String> {
        let key = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        let label = if entry.key.is_empty() {
            "empty"
        } else if key.len() > MAX_KEY {
            "longer than 256 bytes with the keys around it"
        } else {
            return Some(key);
        };
        self.diagnostics
            .error(entry.key_span, "invalid configuration key")
            .label(label)
            .help("choose a key that the component knows");
        None
    }

    fn inline(&mut self, text: &str, span: Span) -> Option<ConfigValue> {
        if text.len() > ConfigValue::MAX_SIZE {
            self.too_long("the value", span);
            return None;
        }
        Some(ConfigValue::new(text, ValueOrigin::Inline, span))
    }

    fn too_long(&mut self, what: &str, span: Span) {
        let limit = format_size(ConfigValue::MAX_SIZE as u64);
        self.diagnostics
            .error(span, format!("{what} is longer than {limit}"))
            .label("too long")
            .help("split it into several values");
    }

    fn referenced(&mut self, entries: &[Entry], span: Span) -> Option<ConfigValue> {
        match reference(entries)? {
            Reference::Environment(name) => self.read_variable(name, span),
            Reference::File(path) => self.read_value_file(path, span),
            Reference::Both => {
                self.diagnostics
                    .error(span, "a value comes from an environment variable or from a file, not from both")
                    .label("both `env` and `file`")
                    .help("remove one of the two keys");
                None
            }
        }
    }

    fn read_variable(&mut self, name: Text<'_>, span: Span) -> Option<ConfigValue> {
        let Some(value) = (self.around.env)(name.text) else {
            self.diagnostics
                .error(name.span, format!("the environment variable `{}` is not set", name.text))
                .label("not set")
                .help("set the variable to UTF-8 text in linkspan's environment");
            return None;
        };
        if value.len() > ConfigValue::MAX_SIZE {
            self.too_long(&format!("the environment variable `{}`", name.text), name.span);
            return None;
        }
        Some(ConfigValue::new(value, ValueOrigin::Environment(name.text.to_owned()), span))
    }

    fn read_value_file(&mut self, text: Text<'_>, span: Span) -> Option<ConfigValue> {
        let path = self.existing_file(text, "file")?;
        // With the line feed that its last line may have.
        let mut bytes = match files::read(&path, ConfigValue::MAX_SIZE as u64 + 2) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                self.too_long(&format!("the content of the file `{}`", text.text), text.span);
                return None;
            }
            Err(error) => {
                self.missing_file(text, "file", &path, describe(&error));
                return None;
            }
        };
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        if bytes.len() > ConfigValue::MAX_SIZE {
            self.too_long(&format!("the content of the file `{}`", text.text), text.span);
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(content) => Some(ConfigValue::new(content, ValueOrigin::File(path), span)),
            Err(_) => {
                self.diagnostics
                    .error(text.span, format!("the file `{}` is not UTF-8", text.text))
                    .label("not text")
                    .help("a configuration value is text: encode other content, for example as base64");
                None
            }
        }
    }
}
