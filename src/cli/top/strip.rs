//! Text with meaning, before it has colours.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What a part of a text means to the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// Of less interest.
    Dim,
    /// A title.
    Strong,
    Good,
    /// Something to look at.
    Warn,
    Bad,
    /// A part of a bar.
    Bar,
}

/// A line of text in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strip(pub(super) Vec<(Tone, String)>);

impl Strip {
    /// A line whose first part is this text.
    pub(super) fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![(tone, text.into())])
    }

    #[must_use]
    pub(super) fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }
}

/// Parts with `separator` between them.
pub(super) fn joined(parts: impl IntoIterator<Item = (Tone, String)>, separator: &str) -> Strip {
    let mut strip = Strip::default();
    for (tone, text) in parts {
        if !strip.0.is_empty() {
            strip.0.push((Tone::Dim, separator.to_owned()));
        }
        strip.0.push((tone, text));
    }
    strip
}

/// `text` in at most `width` columns of a terminal.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for char in text.chars() {
        used += char.width().unwrap_or(0);
        if used >= width {
            break;
        }
        kept.push(char);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns() {
        for (text, width, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("漢字漢", 5, "漢字…"),
            ("漢字漢", 4, "漢…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, width), expected);
            assert!(cut(text, width).width() <= width);
        }
    }
}
