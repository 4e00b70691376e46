//! A decoded table: every key of its kind with a checked value, its default, or nothing.

use std::time::Duration;

use super::keys::{Key, Kind, Presence, Table};
use super::source::Span;
use super::syntax::Node;
use super::units;

/// A value that fits its key's type and bounds.
#[derive(Clone, Debug)]
pub enum Checked {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number, or bytes.
    Number(u64),
    /// A time span.
    Duration(Duration),
    /// Text whose form is not checked yet.
    Text(String),
    /// The items of a list that were good, each with its place.
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
#[derive(Clone, Debug)]
pub struct Named {
    /// The name; not checked yet.
    pub name: String,
    /// The name's place.
    pub name_span: Span,
    /// The table.
    pub fields: Fields,
}

/// Text and its place.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The text.
    pub text: &'a str,
    /// The value's place, quotes included; of a default, the table's.
    pub span: Span,
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) key: &'static Key,
    pub(super) span: Span,
    pub(super) checked: Checked,
}

/// A decoded table.
///
/// The getters take the names of the table's keys; a name or type that the table does not have is a bug in the caller,
/// which panics with the key's name and which the first run of any test meets.
#[derive(Clone, Debug)]
pub struct Fields {
    pub(super) table: &'static Table,
    pub(super) span: Span,
    pub(super) fields: Vec<Field>,
    /// Keys that are given with a value that was refused.
    pub(super) refused: Vec<&'static str>,
}

impl Fields {
    /// The table as if it stood in the file without any key.
    pub fn defaults(table: &'static Table) -> Fields {
        Fields { table, span: Span::default(), fields: Vec::new(), refused: Vec::new() }
    }

    /// The table's place: its header, or the braces.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The place of a key's value where it is given, else the table's.
    pub fn span_of(&self, name: &str) -> Span {
        self.find(name).map_or(self.span, |field| field.span)
    }

    /// Whether the key is given and its value is good.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether the key is given and its value is bad, which has been reported.
    pub fn is_refused(&self, name: &str) -> bool {
        self.refused.contains(&name)
    }

    /// A boolean.
    pub fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Checked::Boolean(value)) => value,
            other => unexpected(name, other),
        }
    }

    /// A boolean, or the word that stands in its place.
    pub fn boolean_or_word(&self, name: &str) -> Result<bool, Text<'_>> {
        match self.find(name) {
            Some(Field { checked: Checked::Text(text), span, .. }) => Err(Text { text, span: *span }),
            _ => Ok(self.boolean(name)),
        }
    }

    /// A count that has a default.
    pub fn count(&self, name: &str) -> usize {
        self.optional_count(name).unwrap_or_else(|| unexpected(name, None))
    }

    /// A count that has none.
    pub fn optional_count(&self, name: &str) -> Option<usize> {
        match self.value(name)? {
            // Counts are bounded far below 32 bits by their key.
            Checked::Number(value) => Some(usize::try_from(value).unwrap_or(usize::MAX)),
            other => unexpected(name, Some(other)),
        }
    }

    /// Bytes, which may be more than fit into memory.
    pub fn size(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Checked::Number(value)) => value,
            other => unexpected(name, other),
        }
    }

    /// Bytes of memory; on a 32-bit machine a larger value means all of it.
    pub fn memory_size(&self, name: &str) -> usize {
        usize::try_from(self.size(name)).unwrap_or(usize::MAX)
    }

    /// A time span.
    pub fn duration(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Checked::Duration(value)) => value,
            other => unexpected(name, other),
        }
    }

    /// Text, or its default.
    pub fn text(&self, name: &str) -> Option<Text<'_>> {
        match self.find(name) {
            Some(Field { checked: Checked::Text(text), span, .. }) => Some(Text { text, span: *span }),
            Some(other) => unexpected(name, Some(other.checked.clone())),
            None => {
                let key = self.key(name);
                (key.presence == Presence::Default).then_some(Text { text: key.example, span: self.span })
            }
        }
    }

    /// The items of a list; none where the key is left out.
    pub fn list(&self, name: &str) -> &[Item] {
        match self.find(name).map(|field| &field.checked) {
            Some(Checked::List(items)) => items,
            None => &[],
            Some(other) => unexpected(name, Some(other.clone())),
        }
    }

    /// The tables of a list; none where the key is left out.
    pub fn tables(&self, name: &str) -> impl Iterator<Item = &Fields> {
        self.list(name).iter().filter_map(|item| match &item.checked {
            Checked::Table(fields) => Some(fields),
            _ => None,
        })
    }

    /// The texts of a list; none where the key is left out.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = Text<'_>> {
        self.list(name).iter().filter_map(|item| match &item.checked {
            Checked::Text(text) => Some(Text { text, span: item.span }),
            _ => None,
        })
    }

    /// A table.
    pub fn table(&self, name: &str) -> Option<&Fields> {
        match &self.find(name)?.checked {
            Checked::Table(fields) => Some(fields),
            other => unexpected(name, Some(other.clone())),
        }
    }

    /// A table, or what an empty one gives.
    pub fn table_or_default(&self, name: &str) -> Fields {
        self.table(name).cloned().unwrap_or_else(|| match self.key(name).kind {
            Kind::Table(table) => Fields::defaults(table),
            _ => unexpected(name, None),
        })
    }

    /// Tables by name; none where the key is left out.
    pub fn named(&self, name: &str) -> &[Named] {
        match self.find(name).map(|field| &field.checked) {
            Some(Checked::Named(tables)) => tables,
            None => &[],
            Some(other) => unexpected(name, Some(other.clone())),
        }
    }

    /// A table as it was written.
    pub fn node(&self, name: &str) -> Option<&Node> {
        match &self.find(name)?.checked {
            Checked::Node(node) => Some(node),
            other => unexpected(name, Some(other.clone())),
        }
    }

    fn find(&self, name: &str) -> Option<&Field> {
        debug_assert!(self.table.key(name).is_some(), "{} has no key `{name}`", self.table.id);
        self.fields.iter().find(|field| field.key.name == name)
    }

    #[expect(clippy::panic, reason = "a name in linkspan's own code that its own table does not have")]
    fn key(&self, name: &str) -> &'static Key {
        self.table.key(name).unwrap_or_else(|| panic!("{} has no key `{name}`", self.table.id))
    }

    fn value(&self, name: &str) -> Option<Checked> {
        match self.find(name) {
            Some(field) => Some(field.checked.clone()),
            None => default_of(self.key(name)),
        }
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
        Kind::Size { .. } => units::parse_size(text).ok().map(Checked::Number),
        Kind::Duration { .. } => units::parse_duration(text).ok().map(Checked::Duration),
        Kind::Text(_) => Some(Checked::Text(text.to_owned())),
        _ => None,
    }
}

#[expect(clippy::panic, reason = "linkspan's own code and its own table disagree")]
fn unexpected(name: &str, found: Option<Checked>) -> ! {
    panic!("the key table gives `{name}` another type than its reader expects: {found:?}")
}
