//! A screen as cells, and how a terminal is brought from one screen to the next.
//!
//! The sequences are those of ECMA-48 that every terminal has: positions, weights and the eight colours. The rest of what
//! a library for terminals does is not needed here, and would be some thirty crates.

use crate::telemetry::harmless;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar as _;

/// The most bytes in a cell: a character, and some that combine with it.
const MOST_IN_CELL: usize = 16;

/// A colour, by its number in a terminal's sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

/// How a cell looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) colour: Option<Colour>,
    pub(super) bold: bool,
    pub(super) dim: bool,
    pub(super) underlined: bool,
    pub(super) reversed: bool,
}

impl Style {
    /// The sequence that begins it, whatever was before.
    fn write(self, out: &mut String) {
        out.push_str("\u{1b}[0");
        let weights = [(self.bold, 1), (self.dim, 2), (self.underlined, 4), (self.reversed, 7)];
        let weights = weights.into_iter().filter_map(|(is_so, number)| is_so.then_some(number));
        for number in weights.chain(self.colour.map(|colour| colour as u8)) {
            // Writing to a string cannot fail; so everywhere here.
            let _ = write!(out, ";{number}");
        }
        out.push('m');
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    /// Empty behind a character of two columns.
    text: String,
    style: Style,
}

impl Cell {
    fn blank(style: Style) -> Self {
        Self { text: " ".to_owned(), style }
    }
}

/// A screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) width: usize,
    pub(super) height: usize,
    cells: Vec<Cell>,
}

impl Cells {
    /// An empty screen.
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, cells: vec![Cell::blank(Style::default()); width * height] }
    }

    /// Writes `text` from a place on into at most `most` columns, as far as they are on the screen. What a terminal would
    /// act on is escaped once more, whoever forgot it before.
    pub(super) fn write(&mut self, x: usize, y: usize, text: &str, most: usize, style: Style) {
        if y >= self.height {
            return;
        }
        let end = x.saturating_add(most).min(self.width);
        let line = &mut self.cells[y * self.width..(y + 1) * self.width];
        let mut at = x;
        for char in harmless(text, usize::MAX).chars() {
            match char.width().unwrap_or(0) {
                0 => {
                    let before =
                        at.checked_sub(1).filter(|before| *before >= x).and_then(|at| line.get_mut(at));
                    if let Some(cell) =
                        before.filter(|cell| cell.text.len() + char.len_utf8() <= MOST_IN_CELL)
                    {
                        cell.text.push(char);
                    }
                }
                width if at.saturating_add(width) <= end => {
                    line[at] = Cell { text: char.to_string(), style };
                    line[at + 1..at + width].fill(Cell { text: String::new(), style });
                    at += width;
                }
                _ => break,
            }
        }
        // Half a character is none: before what was written, and behind it.
        if at > x && x > 0 && is_wide(&line[x - 1].text) {
            line[x - 1].text = " ".to_owned();
        }
        if at > x && line.get(at).is_some_and(|cell| cell.text.is_empty()) {
            line[at].text = " ".to_owned();
        }
    }

    /// Has a line in reverse.
    pub(super) fn reverse(&mut self, y: usize) {
        let line = self.cells.chunks_mut(self.width.max(1)).nth(y);
        line.into_iter().flatten().for_each(|cell| cell.style.reversed = true);
    }

    /// What brings a terminal from `before` to this screen; from anything, without `before`.
    pub(super) fn changes(&self, before: Option<&Self>) -> String {
        let before = before.filter(|it| (it.width, it.height) == (self.width, self.height));
        let mut out = String::new();
        if before.is_none() {
            out.push_str("\u{1b}[0m\u{1b}[2J");
        }
        for y in 0..self.height {
            let line = self.line(y);
            if before.is_none_or(|before| before.line(y) != line) {
                write_line(&mut out, y, line);
            }
        }
        out
    }

    fn line(&self, y: usize) -> &[Cell] {
        &self.cells[y * self.width..(y + 1) * self.width]
    }

    /// What somebody reads.
    #[cfg(test)]
    pub(super) fn to_text(&self) -> String {
        let text = |y| self.line(y).iter().map(|cell| cell.text.as_str()).collect::<String>();
        (0..self.height).map(|y| format!("{}\n", text(y).trim_end())).collect()
    }

    /// Whether any cell has a colour.
    #[cfg(test)]
    pub(super) fn is_coloured(&self) -> bool {
        self.cells.iter().any(|cell| cell.style.colour.is_some())
    }
}

fn is_wide(text: &str) -> bool {
    text.chars().next().and_then(|char| char.width()) == Some(2)
}

fn write_line(out: &mut String, y: usize, line: &[Cell]) {
    let _ = write!(out, "\u{1b}[{};1H", y + 1);
    let blank = Cell::blank(Style::default());
    let used = line.iter().rposition(|cell| *cell != blank).map_or(0, |last| last + 1);
    let mut style = None;
    for (x, cell) in line[..used].iter().enumerate() {
        if cell.text.is_empty() {
            continue;
        }
        if style != Some(cell.style) {
            cell.style.write(out);
            style = Some(cell.style);
        }
        out.push_str(&cell.text);
        // Terminals disagree on the width of some characters; the next one stands where it should all the same.
        if !cell.text.is_ascii() {
            let next = x + if is_wide(&cell.text) { 3 } else { 2 };
            let _ = write!(out, "\u{1b}[{next}G");
        }
    }
    out.push_str("\u{1b}[0m");
    if used < line.len() {
        out.push_str("\u{1b}[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colour: None, bold: false, dim: false, underlined: false, reversed: false };

    #[test]
    fn text_stays_where_it_belongs() {
        let mut cells = Cells::new(6, 2);
        cells.write(0, 0, "abcdefgh", 4, PLAIN);
        cells.write(4, 0, "xyz", usize::MAX, PLAIN);
        // A character of two columns that does not fit is left out.
        cells.write(1, 1, "漢字漢", 5, PLAIN);
        cells.write(9, 1, "x", 1, PLAIN);
        cells.write(0, 9, "x", 1, PLAIN);
        assert_eq!(cells.to_text(), "abcdxy\n 漢字\n");
        // Half of one is a blank.
        cells.write(2, 1, "-", 1, PLAIN);
        assert_eq!(cells.to_text(), "abcdxy\n  -字\n");
        cells.write(3, 1, "漢", 2, PLAIN);
        cells.write(4, 1, "-", 1, PLAIN);
        assert_eq!(cells.to_text(), "abcdxy\n  - -\n");
        let mut cells = Cells::new(20, 1);
        cells.write(0, 0, "e\u{301}\u{1b}\u{202e}", 20, PLAIN);
        assert_eq!(cells.to_text(), "e\u{301}\\u{1b}\\u{202e}\n");
        let mut cells = Cells::new(3, 1);
        cells.write(0, 0, &format!("\u{301}a{}b", "\u{301}".repeat(100)), 3, PLAIN);
        assert!(cells.to_text().len() < 24 && cells.to_text().ends_with("b\n"));
        Cells::new(0, 0).write(0, 0, "a", 1, PLAIN);
        Cells::new(0, 3).reverse(1);
    }

    #[test]
    fn a_terminal_is_told_what_changed() {
        let red = Style { colour: Some(Colour::Red), bold: true, ..PLAIN };
        let mut first = Cells::new(5, 2);
        first.write(0, 0, "abc", 5, red);
        let whole =
            "\u{1b}[0m\u{1b}[2J\u{1b}[1;1H\u{1b}[0;1;31mabc\u{1b}[0m\u{1b}[K\u{1b}[2;1H\u{1b}[0m\u{1b}[K";
        assert_eq!(first.changes(None), whole);
        assert_eq!(first.changes(Some(&first)), "");
        let mut second = first.clone();
        second.write(0, 1, "漢-", 5, PLAIN);
        assert_eq!(second.changes(Some(&first)), "\u{1b}[2;1H\u{1b}[0m漢\u{1b}[3G-\u{1b}[0m\u{1b}[K");
        // All of a line in reverse, to its end.
        second.reverse(1);
        assert!(second.changes(Some(&first)).ends_with("\u{1b}[0;7m漢\u{1b}[3G-  \u{1b}[0m"));
        assert!(Cells::new(6, 2).changes(Some(&first)).starts_with("\u{1b}[0m\u{1b}[2J"));
    }
}
