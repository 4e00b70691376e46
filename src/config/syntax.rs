//! TOML text to a tree in which every key and every value knows its place.
//!
//! The tree keeps the order of the file, because the order of a stage's configuration is what its author sees, and owns
//! its text, so that nothing later borrows from the parser.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostics;
use super::source::Span;

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The value's place; of a table with a header, the header's.
    pub span: Span,
    /// The value.
    pub value: Value,
}

/// A TOML value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string, escapes resolved.
    String(String),
    /// An integer; TOML's range is that of `i64`.
    Integer(i64),
    /// A float as it was written, without separators.
    Float(String),
    /// A boolean.
    Boolean(bool),
    /// A date, a time or both, as text.
    Datetime(String),
    /// An array, or an array of tables.
    Array(Vec<Node>),
    /// A table in the order of the file.
    Table(Vec<Entry>),
    /// A value that cannot be represented, which has been reported.
    Refused,
}

/// A key of a table with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, quotes and escapes resolved.
    pub key: String,
    /// The key's place.
    pub key_span: Span,
    /// The value.
    pub node: Node,
}

impl Value {
    /// The type with its article, as a diagnostic says it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date or time",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
            Value::Refused => "a value out of range",
        }
    }
}

/// Parses the text of the file that `diagnostics` is about.
///
/// Text that is not TOML gives `None` and exactly one error, at the place where the parser stopped: further errors
/// would be guesses. The parser bounds nesting (80 levels).
pub(super) fn parse(diagnostics: &mut Diagnostics) -> Option<Node> {
    let source = diagnostics.source().clone();
    match DeTable::parse(source.text()) {
        Ok(table) => {
            let span = Span::new(table.span());
            Some(Node { span, value: convert_table(table.into_inner(), diagnostics) })
        }
        Err(error) => {
            let end = source.text().len();
            let span = Span::new(error.span().unwrap_or(end..end));
            diagnostics
                .error(span, "the file is not valid TOML")
                .label(error.message())
                .help("correct the syntax here; the rest is checked after that");
            None
        }
    }
}

fn convert(value: Spanned<DeValue<'_>>, diagnostics: &mut Diagnostics) -> Node {
    let span = Span::new(value.span());
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                diagnostics
                    .error(span, "the integer is out of range")
                    .label("does not fit in 64 bits")
                    .help("write it as a string if it is not meant as a number");
                Value::Refused
            }
        },
        DeValue::Float(float) => Value::Float(float.as_str().to_owned()),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(array) => {
            Value::Array(array.into_iter().map(|item| convert(item, diagnostics)).collect())
        }
        DeValue::Table(table) => convert_table(table, diagnostics),
    };
    Node { span, value }
}

fn convert_table(table: DeTable<'_>, diagnostics: &mut Diagnostics) -> Value {
    let entries = table.into_iter().map(|(key, value)| Entry {
        key_span: Span::new(key.span()),
        key: key.into_inner().into_owned(),
        node: convert(value, diagnostics),
    });
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_by_key(|entry| entry.key_span);
    Value::Table(entries)
}
