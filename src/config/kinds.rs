//! The properties of a key: its name, type, bounds and presence. `keys` declares with these types; decoder, schema and
//! documentation read them.

use std::time::Duration;

/// A kind of table.
#[derive(Debug)]
pub struct Table {
    /// Its name in the JSON Schema.
    pub id: &'static str,
    /// Its name in diagnostics.
    pub title: &'static str,
    /// Its purpose.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// The type and bounds of its value.
    pub kind: Kind,
    /// What applies where it is left out.
    pub presence: Presence,
    /// A value in TOML, shown where another one is wrong.
    pub example: &'static str,
    /// When a change of it takes effect.
    pub change: Change,
    /// Its purpose, in Markdown; links lead from `docs/`.
    pub doc: &'static str,
}

/// What applies where a key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is an error.
    Required,
    /// This, in words; empty if the value's own table says it.
    Optional(&'static str),
    /// The example is the default.
    Default,
}

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// When the configuration is loaded again.
    Reload,
    /// When the process is started again.
    Restart,
}

/// The type of a value, with its bounds (inclusive).
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// `true` or `false`, or one of these words.
    BooleanOr(&'static [&'static str]),
    /// A whole number without unit.
    Count {
        /// Least value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A number between 0 and 1, as [`Ratio`](super::ratio::Ratio) reads it.
    Ratio,
    /// Bytes, as text with a unit.
    Size {
        /// Least value, in bytes.
        min: u64,
        /// Largest value, in bytes.
        max: u64,
    },
    /// A time span, as text with a unit.
    Duration {
        /// Shortest value.
        min: Duration,
        /// Longest value.
        max: Duration,
    },
    /// Text: one of some words, or of a form that `plan` checks.
    Text(TextForm),
    /// An array.
    List {
        /// Its items.
        item: &'static Kind,
        /// Least number of items.
        min: usize,
        /// Largest number of items.
        max: usize,
    },
    /// A table with known keys.
    Table(&'static Table),
    /// A table whose keys are names chosen by the author and whose values are tables of one kind.
    Named {
        /// The kind of its values.
        table: &'static Table,
        /// Largest number of names.
        max: usize,
    },
    /// A table of any shape: the configuration of a stage.
    Settings,
    /// A table of names with values: the environment of a stage.
    Variables,
    /// A table of names of any form with values that are not shown: fields of a request.
    Secrets,
    /// A table of names, chosen by a component's author, with texts of one form.
    Texts {
        /// The form of its values.
        form: TextForm,
        /// Largest number of names.
        max: usize,
    },
    /// Text, or a table with the one key `env` or `file`: a value that is not shown.
    Secret,
}

/// The meaning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// IP address and port.
    Address,
    /// A path, relative to the folder of the configuration file.
    Path,
    /// SHA-256 in hexadecimal.
    Digest,
    /// A name under `[components]`, or that of a standard component.
    Component,
    /// A name under `[pipelines]`.
    Pipeline,
    /// The name that an embedding program gave to a service.
    Native,
    /// A name under `[upstreams]`.
    Upstream,
    /// A server of an upstream.
    Server,
    /// A name under `[stores]`.
    Store,
    /// A URL of Redis.
    RedisUrl,
    /// A URL of HTTP, without a query.
    Url,
    /// The host in a request.
    Authority,
    /// A path and query.
    Target,
    /// One of some words.
    OneOf {
        /// Their name; if empty, that of the key.
        noun: &'static str,
        /// The words.
        words: &'static [&'static str],
    },
    /// A host or the hosts below a domain.
    Host,
    /// A path prefix.
    Prefix,
    /// A request method.
    Method,
    /// An origin for egress.
    Origin,
    /// Addresses and ports for sockets.
    Socket,
    /// A network of addresses.
    Network,
    /// An absolute path as a stage sees it.
    GuestPath,
    /// The name of a header or cookie.
    FieldName,
    /// The value of a header.
    FieldValue,
}

impl Table {
    /// The key called `name`.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
