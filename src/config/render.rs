//! Diagnostics as text with the marked source line, and as JSON.

use std::fmt;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::{SourceFile, Span};

/// Longest part of a source line that is shown, in characters; of a longer line, the part around the mark.
const MAX_SHOWN: usize = 160;

/// Characters shown before the mark where the line is cut.
const LEAD: usize = 60;

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.sorted().into_iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write_text(f, &self.source, item)?;
        }
        Ok(())
    }
}

/// Writes one diagnostic, ending in a line feed.
fn write_text(f: &mut fmt::Formatter<'_>, source: &SourceFile, item: &Diagnostic) -> fmt::Result {
    let file = source.path().display();
    writeln!(f, "{}: {}", item.severity.as_str(), one_line(&item.message))?;
    let Some(span) = item.span else {
        writeln!(f, " --> {file}")?;
        return write_help(f, 1, item);
    };
    let width = line_number_width(source, item, span);
    write_place(f, source, width, "-->", span)?;
    write_snippet(f, source, width, span, '^', item.label.as_deref().unwrap_or(""))?;
    for (span, label) in &item.related {
        write_place(f, source, width, ":::", *span)?;
        write_snippet(f, source, width, *span, '-', label)?;
    }
    write_help(f, width, item)
}

fn line_number_width(source: &SourceFile, item: &Diagnostic, span: Span) -> usize {
    let spans = item.related.iter().map(|(span, _)| *span).chain([span]);
    let last_line = spans.map(|span| source.position(span.start()).line).max().unwrap_or(1);
    last_line.to_string().len()
}

fn write_place(
    f: &mut fmt::Formatter<'_>,
    source: &SourceFile,
    width: usize,
    arrow: &str,
    span: Span,
) -> fmt::Result {
    let position = source.position(span.start());
    let file = source.path().display();
    writeln!(f, "{:width$}{arrow} {file}:{}:{}", "", position.line, position.column)
}

fn write_snippet(
    f: &mut fmt::Formatter<'_>,
    source: &SourceFile,
    width: usize,
    span: Span,
    mark: char,
    label: &str,
) -> fmt::Result {
    let start = source.position(span.start());
    let end = source.position(span.end());
    let line = source.line(start.line);
    let line_length = line.chars().count();
    // A mark over several lines shows its first; an empty one (the end of the file) still gets one caret.
    let end_column = if end.line == start.line { end.column } else { line_length + 1 };
    let cut = if line_length > MAX_SHOWN { (start.column - 1).saturating_sub(LEAD) } else { 0 };

    let mut shown = String::from(if cut > 0 { "…" } else { "" });
    let mut before = shown.chars().count();
    let mut marked = 0;
    for (index, character) in line.chars().enumerate().skip(cut).take(MAX_SHOWN) {
        let text = printable(character);
        let columns = text.width();
        if index + 1 < start.column {
            before += columns;
        } else if index + 1 < end_column {
            marked += columns;
        }
        shown.push_str(&text);
    }
    if cut + MAX_SHOWN < line_length {
        shown.push('…');
    }
    writeln!(f, "{:width$} |", "")?;
    writeln!(f, "{}", format!("{:>width$} | {shown}", start.line).trim_end())?;
    let marks = mark.to_string().repeat(marked.max(1));
    let label = one_line(label);
    writeln!(f, "{}", format!("{:width$} | {:before$}{marks} {label}", "", "").trim_end())?;
    writeln!(f, "{:width$} |", "")
}

/// A character as a terminal may show it: a tab has a fixed width, so that the marks line up, and control characters,
/// with which a file could rewrite the terminal, are replaced.
fn printable(character: char) -> String {
    match character {
        '\t' => "    ".to_owned(),
        c if c.is_control() => '\u{fffd}'.to_string(),
        c => c.to_string(),
    }
}

/// A message, label or help, which may quote any text of the file, on one line of bounded length.
fn one_line(text: &str) -> String {
    const MAX_TEXT: usize = 1000;
    let mut line: String = text.chars().take(MAX_TEXT).map(printable).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        line.push('…');
    }
    line
}

fn write_help(f: &mut fmt::Formatter<'_>, width: usize, item: &Diagnostic) -> fmt::Result {
    match &item.help {
        Some(help) => writeln!(f, "{:width$} = help: {}", "", one_line(help)),
        None => Ok(()),
    }
}

impl Diagnostics {
    /// The form of `check --format json`: an array of objects with `severity`, `message` and `file`; with `line`,
    /// `column`, `end_line` and `end_column` (from 1, in characters, the end exclusive) where there is a place; with
    /// `label`, `help` and `related` (objects with the four of a place and `label`) where there are any.
    pub fn to_json(&self) -> Value {
        Value::Array(self.sorted().into_iter().map(|item| self.item_json(item)).collect())
    }

    fn item_json(&self, item: &Diagnostic) -> Value {
        let mut object = json!({
            "severity": item.severity.as_str(),
            "message": item.message,
            "file": self.source.path().display().to_string(),
        });
        if let Some(span) = item.span {
            self.put_place(&mut object, span);
        }
        if let Some(label) = &item.label {
            object["label"] = json!(label);
        }
        if let Some(help) = &item.help {
            object["help"] = json!(help);
        }
        if !item.related.is_empty() {
            let related = item.related.iter().map(|(span, label)| {
                let mut place = json!({ "label": label });
                self.put_place(&mut place, *span);
                place
            });
            object["related"] = related.collect();
        }
        object
    }

    fn put_place(&self, object: &mut Value, span: Span) {
        let start = self.source.position(span.start());
        let end = self.source.position(span.end());
        object["line"] = json!(start.line);
        object["column"] = json!(start.column);
        object["end_line"] = json!(end.line);
        object["end_column"] = json!(end.column);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// The text of an error that marks `marked` in `text`.
    fn rendered(text: &str, marked: &str) -> String {
        let at = text.find(marked).unwrap();
        let mut diagnostics = Diagnostics::new(Arc::new(SourceFile::new("a.toml", text)));
        diagnostics.error(Span::new(at..at + marked.len()), "wrong").label("here").help("do it");
        diagnostics.to_string()
    }

    #[test]
    fn the_form() {
        let text = "a = 1\nb = \"helo\"\n";
        let expected = "error: wrong\n --> a.toml:2:5\n  |\n2 | b = \"helo\"\n  |     ^^^^^^ here\n  |\n  = help: do it\n";
        assert_eq!(rendered(text, "\"helo\""), expected);
    }

    #[test]
    fn marks_line_up_behind_tabs_and_other_letters() {
        assert!(rendered("\tü = 1\n", "1").contains("1 |     ü = 1\n  |         ^ here\n"));
        // Two columns each; a mark that combines with the letter before it has no column.
        assert!(rendered("'名前' = '値' # e\u{301}\n", "'値'").contains("  |          ^^^^ here\n"));
        assert!(rendered("'e\u{301}' = 1\n", "1").contains("  |       ^ here\n"));
    }

    #[test]
    fn control_characters_are_not_shown() {
        assert!(!rendered("a = \"\u{1b}[2J\"", "a").contains('\u{1b}'));
        let mut diagnostics = Diagnostics::new(Arc::new(SourceFile::new("a.toml", "")));
        diagnostics.error(None, "a\u{1b}b\nc");
        assert_eq!(diagnostics.to_string(), "error: a\u{fffd}b\u{fffd}c\n --> a.toml\n");
    }

    #[test]
    fn odd_marks() {
        let over_lines = rendered("a = [\n1,\n]\n", "[\n1,\n]");
        assert!(over_lines.contains("1 | a = [\n  |     ^ here\n"), "{over_lines}");
        let at_the_end = rendered("a = ", "");
        assert!(at_the_end.contains("1 | a =\n  | ^ here\n"), "{at_the_end}");
        let long = format!("{} = 1", "a".repeat(5000));
        assert!(rendered(&long, "= 1").lines().all(|line| line.chars().count() < 200));
    }

    #[test]
    fn json() {
        let mut diagnostics = Diagnostics::new(Arc::new(SourceFile::new("a.toml", "a = 1\nb = 2\n")));
        diagnostics.warning(Span::new(10..11), "second").related(Span::new(4..5), "first value");
        diagnostics.error(None, "whole").help("do it");
        let expected = json!([
            { "severity": "error", "message": "whole", "file": "a.toml", "help": "do it" },
            {
                "severity": "warning", "message": "second", "file": "a.toml",
                "line": 2, "column": 5, "end_line": 2, "end_column": 6,
                "related": [{ "label": "first value", "line": 1, "column": 5, "end_line": 1, "end_column": 6 }],
            },
        ]);
        assert_eq!(diagnostics.to_json(), expected);
    }
}
