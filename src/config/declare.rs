//! The declaration of a table and its keys: everything else is made from it.
//!
//! `keys!` makes from one declaration the struct into which a table is read, its reader, its defaults, and the `Table`
//! that the decoder, the JSON Schema and the documentation use. `choices!` makes an enum of the words that a key may
//! have. A contradiction does not compile: a field whose type differs from its key's values, a default that is none of
//! the words, a key without a default that is not read into an `Option`.

use std::marker::PhantomData;
use std::time::Duration;

use super::fields::Named;
use super::kinds::{Change, Key, Kind, Presence, TextForm};
use super::ratio::Ratio;
use super::syntax::Node;
use super::typed::{Choice, Decoded, Field, Keys};

/// What a declaration says of a key whose values have the form `F`.
pub struct Spec<F> {
    kind: Kind,
    presence: Presence,
    example: &'static str,
    change: Change,
    form: PhantomData<fn() -> F>,
}

impl<F> Spec<F> {
    pub(super) const fn new(kind: Kind) -> Self {
        let (presence, change) = (Presence::Optional(""), Change::Reload);
        Self { kind, presence, example: "", change, form: PhantomData }
    }

    /// With this value where the key is left out: as it stands in TOML, without the quotes.
    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.example = value;
        self.presence = Presence::Default;
        self
    }

    /// Required. With an example, as it stands in TOML.
    pub(super) const fn required(mut self, example: &'static str) -> Self {
        self.example = example;
        self.presence = Presence::Required;
        self
    }

    /// Optional; the text says what it means to leave the key out. With an example, as it stands in TOML.
    pub(super) const fn optional(mut self, example: &'static str, otherwise: &'static str) -> Self {
        self.example = example;
        self.presence = Presence::Optional(otherwise);
        self
    }

    /// Changes take effect when the process is started again.
    pub(super) const fn restart(mut self) -> Self {
        self.change = Change::Restart;
        self
    }

    /// The key, for the field type `T`.
    pub(super) const fn key<T: Field<Form = F>>(self, name: &'static str, doc: &'static str) -> Key {
        let Self { kind, presence, example, change, .. } = self;
        assert!(!example.is_empty(), "say `default`, `required` or `optional` of each key");
        assert!(
            T::CAN_LACK != matches!(presence, Presence::Default),
            "a key with a default is read into its type; one without into an `Option`, a list or a table"
        );
        if let (Kind::Text(TextForm::OneOf { words, .. }), Presence::Default) = (&kind, presence) {
            assert!(is_among(example, words), "the default is none of the words");
        }
        Key { name, kind, presence, example, change, doc: doc.trim_ascii_start() }
    }
}

const fn is_among(word: &str, words: &[&str]) -> bool {
    let mut at = 0;
    while at < words.len() {
        if is_equal(word.as_bytes(), words[at].as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// `true` or `false`.
pub(super) const fn boolean() -> Spec<bool> {
    Spec::new(Kind::Boolean)
}

/// A permission, which is not given where the key is left out.
pub(super) const fn permission() -> Spec<bool> {
    boolean().default("false")
}

/// A whole number without unit.
pub(super) const fn count(min: u64, max: u64) -> Spec<u64> {
    Spec::new(Kind::Count { min, max })
}

/// A share between 0 and 1.
pub(super) const fn ratio() -> Spec<Ratio> {
    Spec::new(Kind::Ratio)
}

/// Bytes.
pub(super) const fn size(min: u64, max: u64) -> Spec<u64> {
    Spec::new(Kind::Size { min, max })
}

/// A time span.
pub(super) const fn time(min: Duration, max: Duration) -> Spec<Duration> {
    Spec::new(Kind::Duration { min, max })
}

/// Text of a form that `plan` checks.
pub(super) const fn text(form: TextForm) -> Spec<String> {
    Spec::new(Kind::Text(form))
}

/// A path.
pub(super) const fn path() -> Spec<String> {
    text(TextForm::Path)
}

/// One of the words of `C`.
pub(super) const fn one_of<C: Choice>() -> Spec<C> {
    Spec::new(Kind::Text(TextForm::OneOf { noun: C::NOUN, words: C::WORDS }))
}

/// Some of the words of `C`.
pub(super) const fn some_of<C: Choice>() -> Spec<Vec<C>> {
    let item = const { &Kind::Text(TextForm::OneOf { noun: C::NOUN, words: C::WORDS }) };
    Spec::new(Kind::List { item, min: 1, max: C::WORDS.len() })
}

/// Texts of one form, given as [`Kind::Text`].
pub(super) const fn texts(item: &'static Kind, min: usize, max: usize) -> Spec<Vec<String>> {
    Spec::new(Kind::List { item, min, max })
}

/// A table.
pub(super) const fn table<T: Keys>() -> Spec<T> {
    Spec::new(Kind::Table(T::TABLE))
}

/// An array of tables.
pub(super) const fn tables<T: Keys>(min: usize, max: usize) -> Spec<Vec<T>> {
    Spec::new(Kind::List { item: const { &Kind::Table(T::TABLE) }, min, max })
}

/// Tables by name.
pub(super) const fn named<T: Keys>(max: usize) -> Spec<Vec<Named<Decoded<T>>>> {
    Spec::new(Kind::Named { table: T::TABLE, max })
}

/// A value that `plan` reads as it was written.
pub(super) const fn node(kind: Kind) -> Spec<Node> {
    Spec::new(kind)
}

/// The name of a key as TOML has it: `download-rate` for the field `download_rate`.
pub(super) const fn kebab<const N: usize>(field: &str) -> [u8; N] {
    let mut name = [0; N];
    let mut at = 0;
    while at < N {
        let byte = field.as_bytes()[at];
        name[at] = if byte == b'_' { b'-' } else { byte };
        at += 1;
    }
    name
}

/// A name of [`kebab`] as text.
#[expect(clippy::panic, reason = "the compiler runs this, on a field's name")]
pub(super) const fn name(kebab: &'static [u8]) -> &'static str {
    match std::str::from_utf8(kebab) {
        Ok(name) => name,
        Err(_) => panic!("a field's name is text"),
    }
}

macro_rules! key_name {
    ($field:ident) => {
        $crate::config::declare::name(
            const { &$crate::config::declare::kebab::<{ stringify!($field).len() }>(stringify!($field)) },
        )
    };
    ($field:ident $name:literal) => {
        $name
    };
}

/// Declares a table: what it is for, the name of its struct, its name in the JSON Schema, how diagnostics call it, and
/// its keys.
///
/// A key is called like its field, with `-` for `_`, or by the text behind `as`. The comment above it is its
/// documentation everywhere.
macro_rules! keys {
    (
        $(#[doc = $about:literal])+
        $table:ident = $id:literal, $title:literal;
        $($(#[doc = $doc:literal])+ $field:ident $(as $name:literal)?: $type:ty = $spec:expr;)+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $table {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        #[allow(non_upper_case_globals, missing_docs, reason = "called like the fields, for their places")]
        impl $table {
            $(pub const $field: $crate::config::typed::KeyOf<Self> =
                $crate::config::typed::KeyOf::new($crate::config::declare::key_name!($field $($name)?));)+
        }

        impl $crate::config::typed::Keys for $table {
            const TABLE: &'static $crate::config::kinds::Table = &$crate::config::kinds::Table {
                id: $id,
                title: $title,
                doc: concat!($($about),+).trim_ascii_start(),
                keys: &[$({
                    const SPEC: $crate::config::declare::Spec<<$type as $crate::config::typed::Field>::Form> = $spec;
                    SPEC.key::<$type>($table::$field.name, concat!($($doc),+))
                }),+],
            };

            fn of(fields: &$crate::config::fields::Fields) -> Self {
                Self { $($field: $crate::config::typed::read(fields, Self::$field)),+ }
            }

            fn changed(&self) -> Vec<&'static str> {
                let default = Self::default();
                let changed = [$((self.$field != default.$field).then_some(Self::$field.name)),+];
                changed.into_iter().flatten().collect()
            }
        }

        impl Default for $table {
            fn default() -> Self {
                use $crate::config::typed::Keys as _;
                Self::of(&$crate::config::fields::Fields::defaults(Self::TABLE))
            }
        }

        impl $crate::config::typed::Field for $table {
            type Form = Self;
            const CAN_LACK: bool = true;

            fn read(found: $crate::config::typed::Found<'_>) -> Self {
                use $crate::config::typed::Keys as _;
                found.table().map_or_else(Self::default, Self::of)
            }
        }
    };
}

/// Declares an enum of the words that a key may have, and which word stands for what.
macro_rules! choices {
    (
        $(#[$about:meta])*
        $choice:ident $(($noun:literal))? { $($(#[$meta:meta])* $variant:ident = $word:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $choice {
            $($(#[$meta])* $variant,)+
        }

        impl $crate::config::typed::Choice for $choice {
            const NOUN: &'static str = concat!($($noun)?);
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl $choice {
            /// The word that stands for it.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $crate::config::typed::Field for $choice {
            type Form = Self;
            const CAN_LACK: bool = false;

            fn read(found: $crate::config::typed::Found<'_>) -> Self {
                found.choice()
            }
        }
    };
}

pub(super) use {choices, key_name, keys};
