//! Characters that a terminal or a reader of lines would not take for text, and their escapes.

use std::fmt::{self, Write};

/// Characters that end lines, move cursors, turn text around or can't be seen.
pub(super) fn is_hostile(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        )
}

/// `text` as a terminal can show it: at most `most` characters of it, those escaped that a terminal would act on.
pub fn harmless(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    let mut chars = text.chars();
    for char in chars.by_ref().take(most) {
        // Writing to a string cannot fail.
        let _ = Within::Text.write(char, &mut out);
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// `json` with such characters escaped in its strings; outside of strings, JSON has none but its white space.
pub fn harmless_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        let _ = match char {
            '\n' | '\r' | '\t' => out.write_char(char),
            char if is_hostile(char) => Within::Json.write(char, &mut out),
            char => out.write_char(char),
        };
    }
    out
}

/// The text in which a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// Text for people: `\n`, `\u{202e}`. Backslashes are not escaped.
    Text,
    /// The same between quotes, which are escaped, too.
    Quotes,
    /// A string of JSON.
    Json,
}

impl Within {
    /// Writes one character, escaped as the text needs it.
    pub(super) fn write(self, char: char, out: &mut impl Write) -> fmt::Result {
        match (char, self) {
            ('\n', _) => out.write_str("\\n"),
            ('\r', _) => out.write_str("\\r"),
            ('\t', _) => out.write_str("\\t"),
            ('"', Self::Quotes | Self::Json) => out.write_str("\\\""),
            ('\\', Self::Quotes | Self::Json) => out.write_str("\\\\"),
            // All of them are below U+10000, so four digits are enough.
            (char, Self::Json) if is_hostile(char) => write!(out, "\\u{:04x}", u32::from(char)),
            (char, _) if is_hostile(char) => write!(out, "\\u{{{:x}}}", u32::from(char)),
            (char, _) => out.write_char(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_is_left() {
        let hostile = "a\n\r\t\0\u{1b}[2J\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200f}\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}\"\\é漢z";
        let escaped = |within: Within| {
            let mut out = String::new();
            hostile.chars().try_for_each(|char| within.write(char, &mut out)).unwrap();
            assert!(!out.chars().any(is_hostile), "{out}");
            out
        };
        let json: String = serde_json::from_str(&format!("\"{}\"", escaped(Within::Json))).unwrap();
        assert_eq!(json, hostile);
        let text = escaped(Within::Text);
        assert!(
            text.starts_with("a\\n\\r\\t\\u{0}\\u{1b}[2J\\u{7f}\\u{85}") && text.ends_with("\"\\é漢z"),
            "{text}"
        );
        assert!(escaped(Within::Quotes).ends_with("\\\"\\\\é漢z"));
        assert_eq!(harmless(hostile, usize::MAX), escaped(Within::Text));
        assert_eq!(harmless("a\u{1b}[2Jbc", 3), "a\\u{1b}[…");
        assert_eq!(harmless("漢字", 2), "漢字");
        let json = harmless_json(&format!("{:#}", serde_json::json!({ "a": hostile })));
        assert!(json.starts_with("{\n") && !json.replace('\n', "").chars().any(is_hostile), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["a"], hostile);
    }
}
