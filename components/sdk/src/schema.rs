//! The schema of a configuration, written when a component is compiled.
//!
//! It goes into a custom section of the core module, which stays in the component that is made of it; nothing of it is
//! in an instance's memory. A host that knows the section checks configurations against it without running anything.

/// A part of a schema's text.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// JSON as it is.
    Json(&'static str),
    /// A comma, but before the first of several.
    Comma,
    /// A line of a doc comment, inside of a JSON string.
    Doc(&'static str),
    /// The name of a field in kebab case, inside of a JSON string.
    Key(&'static str),
    /// Several parts.
    All(&'static [Part]),
}

/// Bytes that `parts` have as JSON.
pub const fn length(parts: &[Part]) -> usize {
    let mut writer = Writer { json: &mut [], length: 0, last: 0 };
    writer.all(parts);
    writer.length
}

/// `parts` as JSON, of [`length`] bytes.
pub const fn write<const N: usize>(parts: &[Part]) -> [u8; N] {
    let mut json = [0; N];
    Writer { json: &mut json, length: 0, last: 0 }.all(parts);
    json
}

/// Writes what fits, and counts all.
struct Writer<'a> {
    json: &'a mut [u8],
    length: usize,
    last: u8,
}

impl Writer<'_> {
    const fn all(&mut self, parts: &[Part]) {
        let mut at = 0;
        while at < parts.len() {
            match parts[at] {
                Part::All(parts) => self.all(parts),
                Part::Comma if matches!(self.last, b'{' | b'[') => {}
                Part::Comma => self.byte(b','),
                Part::Json(text) => self.text(text, false),
                Part::Key(text) => self.text(text, true),
                Part::Doc(text) => {
                    // Lines are joined, and what a comment begins with is a space.
                    let begins = matches!(text.as_bytes(), [b' ', ..]);
                    if self.last != b'"' {
                        self.byte(b' ');
                    }
                    self.doc(text, if begins { 1 } else { 0 });
                }
            }
            at += 1;
        }
    }

    const fn text(&mut self, text: &str, kebab: bool) {
        let (bytes, mut from) = (text.as_bytes(), 0);
        while from < bytes.len() {
            self.byte(if kebab && bytes[from] == b'_' { b'-' } else { bytes[from] });
            from += 1;
        }
    }

    const fn doc(&mut self, text: &str, mut from: usize) {
        let bytes = text.as_bytes();
        while from < bytes.len() {
            match bytes[from] {
                quoted @ (b'"' | b'\\') => {
                    self.byte(b'\\');
                    self.byte(quoted);
                }
                // A tab, or another character that can't stand in a JSON string.
                0..=31 => self.byte(b' '),
                byte => self.byte(byte),
            }
            from += 1;
        }
    }

    const fn byte(&mut self, byte: u8) {
        if self.length < self.json.len() {
            self.json[self.length] = byte;
        }
        self.length += 1;
        self.last = byte;
    }
}

/// What stands between the quotes of a literal, or the literal itself.
pub const fn unquoted(literal: &'static str) -> &'static str {
    match literal.as_bytes() {
        [b'"', .., b'"'] => literal.split_at(literal.len() - 1).0.split_at(1).1,
        _ => literal,
    }
}

/// A field's name as a key, in kebab case.
pub fn key(field: &str) -> String {
    field.replace('_', "-")
}
