//! Writing small JSON documents (RFC 8259) without a library's weight.

/// A string.
pub fn string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    escape(text, &mut json);
    json.push('"');
    json
}

/// A string, or `null`.
pub fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "null".into(), string)
}

/// An array of strings.
pub fn strings(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    enclose('[', texts.into_iter().map(|text| string(text.as_ref())), ']')
}

/// An array of arrays of two strings, which may hold a name twice.
pub fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, impl AsRef<str>)>) -> String {
    let pairs = pairs.into_iter().map(|(name, value)| strings([name, value.as_ref()]));
    enclose('[', pairs, ']')
}

/// An object, of names and JSON.
pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields = fields.into_iter().map(|(name, json)| string(name) + ":" + &json);
    enclose('{', fields, '}')
}

fn enclose(open: char, parts: impl Iterator<Item = String>, close: char) -> String {
    let mut json = String::from(open);
    for (i, part) in parts.enumerate() {
        if i > 0 {
            json.push(',');
        }
        json.push_str(&part);
    }
    json.push(close);
    json
}

/// Append `text` as the inside of a string.
fn escape(text: &str, json: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            c if c < ' ' => {
                let code = c as usize;
                json.push_str("\\u00");
                json.push(char::from(HEX[code >> 4]));
                json.push(char::from(HEX[code & 15]));
            }
            c => json.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(string("a \"b\"\n\\\u{1}é"), "\"a \\\"b\\\"\\n\\\\\\u0001é\"");
        assert_eq!(optional(None), "null");
    }

    #[test]
    fn documents_nest() {
        let json = object([
            ("a", string("b")),
            ("c", pairs([("d", "e"), ("d", "f")])),
            ("g", strings([] as [&str; 0])),
        ]);
        assert_eq!(json, r#"{"a":"b","c":[["d","e"],["d","f"]],"g":[]}"#);
    }
}
