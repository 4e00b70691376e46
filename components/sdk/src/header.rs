//! Names, values and edits of header fields.
//!
//! The fields of a request or response that came from elsewhere are immutable:
//! changing one means copying them, editing the copy, and building a new head
//! around the old body. Each step is a call to the host, so edits are collected
//! here and applied together, merged to the fewest calls. With the feature
//! `in-place` all of it is one call: see `in_place`.

use crate::bindings::wasi::http::types::{Fields, HeaderError};
use crate::error::{Error, internal};
use crate::value::Value;
use std::borrow::Cow;

/// The name of a header field: a lower-case token (RFC 9110 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(Cow<'static, str>);

impl HeaderName {
    /// A name known when the stage is built.
    ///
    /// # Panics
    /// At compile time, in a `const`, if it is not a lower-case token.
    pub const fn from_static(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            assert!(is_token(bytes[i]) && !bytes[i].is_ascii_uppercase());
            i += 1;
        }
        assert!(i > 0);
        Self(Cow::Borrowed(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for HeaderName {
    const FORM: &'static str = concat!(
        ",\"title\":\"the name of a header field\"",
        ",\"pattern\":\"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$\",\"examples\":[\"x-request-id\"]"
    );

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || !text.bytes().all(is_token) {
            return Err("is not the name of a header field".into());
        }
        Ok(Self(Cow::Owned(text.to_ascii_lowercase())))
    }
}

/// Empty text is no name.
impl Value for Option<HeaderName> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { HeaderName::parse(text).map(Some) }
    }
}

impl HeaderName {
    /// Whether the field says where a message ends, or belongs to the connection: a stage can't set it, or must not.
    pub fn is_of_the_connection(&self) -> bool {
        matches!(
            self.as_str(),
            "connection"
                | "content-length"
                | "host"
                | "http2-settings"
                | "keep-alive"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "proxy-connection"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
        )
    }
}

/// Text that can stand between quotes in a field's value as it is (RFC 9110 §5.6.4), like a realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotable(String);

impl Quotable {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Quotable {
    fn parse(text: &str) -> Result<Self, String> {
        if HeaderValue::parse(text).is_err() || text.contains(['"', '\\']) {
            return Err("holds a character that can't be quoted".into());
        }
        Ok(Self(text.into()))
    }
}

/// The token in a value of `authorization`, if its scheme is `Bearer`, in whatever case (RFC 6750 §2.1).
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii_start())
}

/// The value of a header field, without line breaks and other control
/// characters (RFC 9110 §5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderValue(String);

impl HeaderValue {
    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for HeaderValue {
    const FORM: &'static str = ",\"title\":\"the value of a header field\"";

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim_matches([' ', '\t']);
        if trimmed.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return Err("holds a character that a header value can't".into());
        }
        Ok(Self(trimmed.into()))
    }
}

/// Whether a byte may be part of a token (RFC 9110 §5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Changes to be made to a head's fields when it is sent on.
///
/// Names are compared as they are given: use lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits(Vec<Edit>);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) value: Option<Vec<u8>>,
    /// What follows it; empty, and without memory of its own, for most.
    pub(crate) more: Vec<Vec<u8>>,
}

impl Edit {
    fn push(&mut self, value: Vec<u8>) {
        match &mut self.value {
            None => self.value = Some(value),
            Some(_) => self.more.push(value),
        }
    }

    fn into_values(self) -> impl Iterator<Item = Vec<u8>> {
        self.value.into_iter().chain(self.more)
    }
}

/// What becomes of the values that the head has under an edit's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The edit's replace them.
    Replace,
    /// The edit's follow them.
    Append,
    /// If there are any, the edit's one is not needed.
    Default,
}

impl HeaderEdits {
    /// No edits.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Give a field this one value.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl AsRef<[u8]>) {
        let edit = self.replace(name.into());
        edit.value = Some(value.as_ref().to_vec());
    }

    /// Take a field away.
    pub fn remove(&mut self, name: impl Into<Cow<'static, str>>) {
        self.replace(name.into());
    }

    /// Give a field this value if it has none.
    pub fn set_default(&mut self, name: impl Into<Cow<'static, str>>, value: impl AsRef<[u8]>) {
        let name = name.into();
        let value = || value.as_ref().to_vec();
        match self.0.iter_mut().find(|edit| edit.name == name) {
            Some(edit) => {
                edit.value.get_or_insert_with(value);
            }
            None => self.add(name, Kind::Default, Some(value())),
        }
    }

    /// Add a further value to a field.
    pub fn append(&mut self, name: impl Into<Cow<'static, str>>, value: impl AsRef<[u8]>) {
        let name = name.into();
        let value = value.as_ref().to_vec();
        match self.0.iter_mut().rfind(|edit| edit.name == name) {
            Some(edit) if edit.kind != Kind::Default => edit.push(value),
            _ => self.add(name, Kind::Append, Some(value)),
        }
    }

    fn replace(&mut self, name: Cow<'static, str>) -> &mut Edit {
        let at = self.0.iter().position(|edit| edit.name == name).unwrap_or(self.0.len());
        // What was to be appended to a default goes with it.
        let (mut index, len) = (0, self.0.len());
        self.0.retain(|edit| {
            index += 1;
            index - 1 <= at || edit.name != name
        });
        if at == len {
            self.add(name, Kind::Replace, None);
        }
        let edit = &mut self.0[at];
        edit.kind = Kind::Replace;
        edit.value = None;
        edit.more.clear();
        edit
    }

    fn add(&mut self, name: Cow<'static, str>, kind: Kind, value: Option<Vec<u8>>) {
        if self.0.is_empty() {
            // Who edits one field often edits some.
            self.0.reserve(8);
        }
        self.0.push(Edit { name, kind, value, more: Vec::new() });
    }

    /// Apply them to fields that can be changed: one call an edited name.
    ///
    /// # Errors
    /// `internal-error` that names the field that the host refused.
    pub(crate) fn apply(self, fields: &Fields) -> Result<(), Error> {
        for edit in self.0 {
            let Edit { name, kind, value, more } = edit;
            let refused = |error: HeaderError| refused(&name, &error);
            let values: Vec<_> = value.into_iter().chain(more).collect();
            match (kind, values.is_empty()) {
                (Kind::Replace, true) => fields.delete(&name).map_err(refused)?,
                (Kind::Replace, false) => fields.set(&name, &values).map_err(refused)?,
                (Kind::Default, _) if fields.has(&name) => {}
                (Kind::Append | Kind::Default, _) => {
                    for value in &values {
                        fields.append(&name, value).map_err(refused)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The edits, one a name; two for a default with further values.
    #[cfg(feature = "in-place")]
    pub(crate) fn into_edits(self) -> Vec<Edit> {
        self.0
    }

    /// Fields that hold just these: one call for all of them.
    ///
    /// # Errors
    /// `internal-error` if the host refuses one.
    pub(crate) fn into_fields(self) -> Result<Fields, Error> {
        Fields::from_list(&self.into_list()).map_err(|error| refused("fields", &error))
    }

    fn into_list(self) -> Vec<(String, Vec<u8>)> {
        let mut list = Vec::with_capacity(self.0.len());
        for edit in self.0 {
            let name = edit.name.clone().into_owned();
            list.extend(edit.into_values().map(|value| (name.clone(), value)));
        }
        list
    }
}

pub(crate) fn refused(name: &str, error: &HeaderError) -> Error {
    let reason = match error {
        HeaderError::InvalidSyntax => "is malformed",
        HeaderError::Forbidden => "is not for a stage to set",
        HeaderError::SizeExceeded => "makes the head too large",
        HeaderError::Immutable | HeaderError::Other(_) => "can't be set",
    };
    internal([name, " ", reason].concat())
}

/// The fields of a head, edited: copied only if there is an edit.
pub(crate) fn edited(fields: Fields, edits: HeaderEdits) -> Result<Fields, Error> {
    if edits.is_empty() {
        return Ok(fields);
    }
    // `clone` and a call per edited name, rather than `copy-all` and
    // `from-list`: those carry every field across twice (of eleven fields, one
    // edited: 3.5 times the cost; six edited: 1.6 times), and the latter
    // refuses fields that came with the head but that a guest may not set.
    let copy = fields.clone();
    edits.apply(&copy)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(build: impl Fn(&mut HeaderEdits)) -> HeaderEdits {
        let mut edits = HeaderEdits::new();
        build(&mut edits);
        edits
    }

    fn edit(name: &'static str, kind: Kind, values: &[&str]) -> Edit {
        let mut values = values.iter().map(|v| v.as_bytes().to_vec());
        Edit { name: name.into(), kind, value: values.next(), more: values.collect() }
    }

    #[test]
    fn the_last_set_wins_in_one_call() {
        let edits = edits(|e| {
            e.set("a", "1");
            e.set("b", "2");
            e.set("a", "3");
        });
        assert_eq!(edits.0, [edit("a", Kind::Replace, &["3"]), edit("b", Kind::Replace, &["2"])]);
    }

    #[test]
    fn an_append_joins_the_set_before_it() {
        let edits = edits(|e| {
            e.set("a", "1");
            e.append("a", "2");
            e.append("b", "3");
        });
        assert_eq!(edits.0, [edit("a", Kind::Replace, &["1", "2"]), edit("b", Kind::Append, &["3"])]);
    }

    #[test]
    fn a_removal_forgets_what_was_to_be_added() {
        let edits = edits(|e| {
            e.append("a", "1");
            e.remove("a");
            e.remove("b");
            e.append("b", "2");
        });
        assert_eq!(edits.0, [edit("a", Kind::Replace, &[]), edit("b", Kind::Replace, &["2"])]);
    }

    #[test]
    fn a_default_is_for_a_field_without_a_value() {
        let edits = edits(|e| {
            e.set_default("a", "1");
            e.set_default("a", "2");
            e.append("a", "3");
            e.append("a", "4");
            e.remove("b");
            e.set_default("b", "5");
            e.append("c", "6");
            e.set_default("c", "7");
            e.set_default("d", "8");
            e.append("d", "9");
            e.set("d", "10");
        });
        let expected = [
            edit("a", Kind::Default, &["1"]),
            edit("a", Kind::Append, &["3", "4"]),
            edit("b", Kind::Replace, &["5"]),
            edit("c", Kind::Append, &["6"]),
            edit("d", Kind::Replace, &["10"]),
        ];
        assert_eq!(edits.0, expected);
    }

    #[test]
    fn a_list_holds_every_value_in_order() {
        let edits = edits(|e| {
            e.append("a", "1");
            e.append("b", "2");
            e.append("a", "3");
            e.remove("c");
        });
        let list = [("a", "1"), ("a", "3"), ("b", "2")];
        let list: Vec<_> = list.iter().map(|(n, v)| (n.to_string(), v.as_bytes().to_vec())).collect();
        assert_eq!(edits.into_list(), list);
    }

    #[test]
    fn names_and_values_are_checked() {
        assert_eq!(HeaderName::parse("X-Id").map(|n| n.as_str().to_string()), Ok("x-id".into()));
        assert!(HeaderName::parse("x id").is_err());
        assert!(HeaderName::parse("").is_err());
        assert!(HeaderValue::parse("a\r\nb: c").is_err());
        assert_eq!(HeaderValue::parse(" a b ").map(|v| v.0), Ok("a b".into()));
    }
}
