//! The decoder's result for a table: a checked value for each key that is given.

use std::time::Duration;

use super::kinds::{Key, Kind, Presence, Table};
use super::ratio::Ratio;
use super::source::Span;
use super::syntax::Node;
use super::units;

/// A value that fits its key's type and bounds.
#[derive(Clone, Debug)]
pub enum Checked {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number, bytes, or billionths of a ratio.
    Number(u64),
    /// A time span.
    Duration(Duration),
    /// Text whose form is not checked yet.
    Text(String),
    /// The valid items of a list, each with its place.
    List(Vec<Item>),
    /// A table with known keys.
    Table(Fields),
    /// Tables by name.
    Named(Vec<Named>),
    /// A table as it was written.
    Node(Node),
}

/// An item of a list.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its place.
    pub span: Span,
    /// Its value.
    pub checked: Checked,
}

/// A table with the name that its author gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T = Fields> {
    /// The name; not checked yet.
    pub name: String,
    /// The name's place.
    pub name_span: Span,
    /// The table.
    pub table: T,
}

/// A key that is given.
#[derive(Clone, Debug)]
pub(super) struct GivenKey {
    pub(super) key: &'static Key,
    pub(super) span: Span,
    pub(super) checked: Checked,
}

/// A table that was checked against its kind. Declarations read it, by the names of their own keys.
#[derive(Clone, Debug)]
pub struct Fields {
    pub(super) table: &'static Table,
    pub(super) span: Span,
    pub(super) fields: Vec<GivenKey>,
    /// Keys whose values were refused.
    pub(super) refused: Vec<&'static str>,
}

impl Fields {
    /// The table as if it stood in the file without any key.
    pub fn defaults(table: &'static Table) -> Fields {
        Fields { table, span: Span::default(), fields: Vec::new(), refused: Vec::new() }
    }

    /// The place of a key's value where it is given, else the table's.
    pub fn span_of(&self, name: &str) -> Span {
        self.find(name).map_or(self.span, |field| field.span)
    }

    /// Whether the key is given and its value is valid.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether the key is given and its value is wrong, which has been reported.
    pub fn is_refused(&self, name: &str) -> bool {
        self.refused.contains(&name)
    }

    /// The key called `name`, if it is given and its value is valid.
    pub(super) fn find(&self, name: &str) -> Option<&GivenKey> {
        debug_assert!(self.table.key(name).is_some(), "{} has no key `{name}`", self.table.id);
        self.fields.iter().find(|field| field.key.name == name)
    }

    #[expect(clippy::panic, reason = "a name in linkspan's own code that its own table does not have")]
    pub(super) fn key(&self, name: &str) -> &'static Key {
        self.table.key(name).unwrap_or_else(|| panic!("{} has no key `{name}`", self.table.id))
    }
}

/// The default of a key, read as the same text in a file would be.
pub(super) fn default_of(key: &Key) -> Option<Checked> {
    if key.presence != Presence::Default {
        return None;
    }
    let text = key.example;
    match key.kind {
        Kind::Boolean | Kind::BooleanOr(_) => text.parse().ok().map(Checked::Boolean),
        Kind::Count { .. } => text.parse().ok().map(Checked::Number),
        Kind::Ratio => Ratio::parse(text).map(Checked::Number),
        Kind::Size { .. } => units::parse_size(text).ok().map(Checked::Number),
        Kind::Duration { .. } => units::parse_duration(text).ok().map(Checked::Duration),
        Kind::Text(_) => Some(Checked::Text(text.to_owned())),
        _ => None,
    }
}
