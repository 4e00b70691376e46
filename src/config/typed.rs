//! The types into which the tables of a configuration are read, each value with its place where a finding may need it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use super::fields::{Checked, Fields, GivenKey, Item, Named, default_of};
use super::kinds::Table;
use super::ratio::Ratio;
use super::restart::Fixed;
use super::source::Span;
use super::syntax::Node;

/// A table that is declared by `keys!`.
pub trait Keys: Sized {
    /// Its keys.
    const TABLE: &'static Table;

    /// Reads it.
    fn of(fields: &Fields) -> Self;

    /// The names of the keys whose values are not the defaults.
    fn changed(&self) -> Vec<&'static str>;
}

/// An enum that is declared by `choices!`.
pub trait Choice: Copy + Sized + 'static {
    /// Their name, if it is not the key's.
    const NOUN: &'static str;
    /// The words, in the order of the declaration.
    const WORDS: &'static [&'static str];

    /// The meaning of a word.
    fn parse(word: &str) -> Option<Self>;
}

/// The name of a key of the table `T`, which has it.
#[derive(Debug)]
pub struct KeyOf<T> {
    /// The name.
    pub name: &'static str,
    table: PhantomData<fn() -> T>,
}

impl<T> Clone for KeyOf<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for KeyOf<T> {}

impl<T> KeyOf<T> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, table: PhantomData }
    }
}

/// A type that the value of a key is read into.
pub trait Field: Sized {
    /// What the key holds.
    type Form;
    /// Whether the type has a value where the key is left out and has no default.
    const CAN_LACK: bool;

    /// Reads what the key holds.
    fn read(found: Found<'_>) -> Self;
}

/// The value of a key, or its default, as the declaration says.
pub(super) fn read<T: Keys, F: Field>(fields: &Fields, key: KeyOf<T>) -> F {
    match fields.find(key.name) {
        Some(GivenKey { checked, span, .. }) => {
            F::read(Found { checked: Some(checked), span: *span, is_given: true })
        }
        None => {
            let default = default_of(fields.key(key.name));
            F::read(Found { checked: default.as_ref(), span: fields.span, is_given: false })
        }
    }
}

/// The value of a key, or its default.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    checked: Option<&'a Checked>,
    span: Span,
    is_given: bool,
}

impl<'a> Found<'a> {
    /// The table that is given.
    pub(super) fn table(self) -> Option<&'a Fields> {
        match self.checked {
            Some(Checked::Table(fields)) => Some(fields),
            None => None,
            Some(other) => self.unexpected(other),
        }
    }

    /// The meaning of the word, which the decoder has checked.
    pub(super) fn choice<C: Choice>(self) -> C {
        let word = match self.checked {
            Some(Checked::Text(word)) => C::parse(word),
            _ => None,
        };
        word.unwrap_or_else(|| self.unexpected(&self.checked))
    }

    /// `true` or `false`, or the word in its place.
    pub(super) fn boolean_or_word(self) -> Result<bool, &'a str> {
        match self.checked {
            Some(Checked::Boolean(value)) => Ok(*value),
            Some(Checked::Text(word)) => Err(word),
            other => self.unexpected(&other),
        }
    }

    fn number(self) -> u64 {
        match self.checked {
            Some(Checked::Number(value)) => *value,
            other => self.unexpected(&other),
        }
    }

    #[expect(
        clippy::panic,
        reason = "the types of declarations rule it out; a default that is wrong meets it"
    )]
    fn unexpected(self, found: &dyn fmt::Debug) -> ! {
        panic!("a declaration's type and its default disagree: {found:?}")
    }
}

/// Text and its place.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The text.
    pub text: &'a str,
    /// The value's place, quotes included; of a default, the table's.
    pub span: Span,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// The value's place, quotes included; of a default, the table's.
    pub span: Span,
}

impl At<String> {
    /// The text and its place.
    pub fn text(&self) -> Text<'_> {
        Text { text: &self.value, span: self.span }
    }
}

/// A table that was read, with the places of its keys.
#[derive(Clone)]
pub struct Decoded<T> {
    values: T,
    fields: Fields,
}

impl<T: Keys> Decoded<T> {
    /// Reads `fields`, a table of this kind.
    pub(super) fn new(fields: Fields) -> Self {
        Self { values: T::of(&fields), fields }
    }

    /// The table as if it stood in the file without any key.
    pub fn defaults() -> Self {
        Self::new(Fields::defaults(T::TABLE))
    }

    /// The table's place: its header, or the braces.
    pub fn span(&self) -> Span {
        self.fields.span
    }

    /// The place of a key's value where it is given, else the table's.
    pub fn span_of(&self, key: KeyOf<T>) -> Span {
        self.fields.span_of(key.name)
    }

    /// Whether the key is given and its value is valid.
    pub fn has(&self, key: KeyOf<T>) -> bool {
        self.fields.has(key.name)
    }

    /// Whether the key is given and its value is wrong, which has been reported.
    pub fn is_refused(&self, key: KeyOf<T>) -> bool {
        self.fields.is_refused(key.name)
    }

    /// Whether any of its keys is wrong, which has been reported.
    pub fn has_refused(&self) -> bool {
        !self.fields.refused.is_empty()
    }

    /// The values that only a restart changes.
    pub fn fixed(&self) -> Fixed {
        Fixed::of(&self.fields)
    }

    /// Whether the key is given, whatever its value is.
    pub fn is_given(&self, key: KeyOf<T>) -> bool {
        self.has(key) || self.is_refused(key)
    }
}

impl<T> Deref for Decoded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.values
    }
}

impl<T: fmt::Debug> fmt::Debug for Decoded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Decoded<T> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<T: Eq> Eq for Decoded<T> {}

impl<T: Keys> Field for Decoded<T> {
    type Form = T;
    const CAN_LACK: bool = true;

    fn read(found: Found<'_>) -> Self {
        found.table().map_or_else(Self::defaults, |fields| Self::new(fields.clone()))
    }
}

impl<T: Field> Field for At<T> {
    type Form = T::Form;
    const CAN_LACK: bool = T::CAN_LACK;

    fn read(found: Found<'_>) -> Self {
        Self { span: found.span, value: T::read(found) }
    }
}

impl<T: Field> Field for Option<T> {
    type Form = T::Form;
    const CAN_LACK: bool = true;

    fn read(found: Found<'_>) -> Self {
        found.is_given.then(|| T::read(found))
    }
}

impl<T: Field> Field for Vec<T> {
    type Form = Vec<T::Form>;
    const CAN_LACK: bool = true;

    fn read(found: Found<'_>) -> Self {
        let read =
            |item: &Item| T::read(Found { checked: Some(&item.checked), span: item.span, is_given: true });
        match found.checked {
            Some(Checked::List(items)) => items.iter().map(read).collect(),
            None => Self::new(),
            Some(other) => found.unexpected(other),
        }
    }
}

impl<T: Keys> Field for Vec<Named<Decoded<T>>> {
    type Form = Self;
    const CAN_LACK: bool = true;

    fn read(found: Found<'_>) -> Self {
        let read = |named: &Named| Named {
            name: named.name.clone(),
            name_span: named.name_span,
            table: Decoded::new(named.table.clone()),
        };
        match found.checked {
            Some(Checked::Named(tables)) => tables.iter().map(read).collect(),
            None => Self::new(),
            Some(other) => found.unexpected(other),
        }
    }
}

/// Implements [`Field`] for a type whose values need nothing but their key.
macro_rules! field {
    ($($type:ty: $form:ty = $read:expr;)+) => {$(
        impl Field for $type {
            type Form = $form;
            const CAN_LACK: bool = false;

            fn read(found: Found<'_>) -> Self {
                let read: fn(Found<'_>) -> Self = $read;
                read(found)
            }
        }
    )+};
}

field! {
    u64: u64 = |found| found.number();
    // The declarations bound counts. On a 32-bit machine, a larger size means all of the memory.
    usize: u64 = |found| usize::try_from(found.number()).unwrap_or(usize::MAX);
    u32: u64 = |found| u32::try_from(found.number()).unwrap_or(u32::MAX);
    u16: u64 = |found| u16::try_from(found.number()).unwrap_or(u16::MAX);
    u8: u64 = |found| u8::try_from(found.number()).unwrap_or(u8::MAX);
    Ratio: Ratio = |found| Ratio::of_billionths(found.number());
    bool: bool = |found| match found.checked {
        Some(Checked::Boolean(value)) => *value,
        other => found.unexpected(&other),
    };
    Duration: Duration = |found| match found.checked {
        Some(Checked::Duration(value)) => *value,
        other => found.unexpected(&other),
    };
    String: String = |found| match found.checked {
        Some(Checked::Text(text)) => text.clone(),
        other => found.unexpected(&other),
    };
    Node: Node = |found| match found.checked {
        Some(Checked::Node(node)) => node.clone(),
        other => found.unexpected(&other),
    };
}
