//! Tables: which columns fit, and how wide they are.

use super::strip::{Tone, cut};
use unicode_width::UnicodeWidthStr as _;

/// Between two columns.
const GAP: usize = 2;
/// The least that is left to the first column before others go, and the least of a bar.
const FIRST: usize = 16;
const BAR: usize = 10;

/// A column. The first one of a grid is as wide as there is room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    /// The columns with the highest rank go first where there is no room; those with 0 stay.
    rank: u8,
    right: bool,
    /// Its cells are bars, which take what is left.
    bar: bool,
}

impl Column {
    /// Of text, which begins at the left.
    pub(super) const fn text(title: &'static str, rank: u8) -> Self {
        Self { title, rank, right: false, bar: false }
    }

    /// Of numbers, which end at the right.
    pub(super) const fn number(title: &'static str, rank: u8) -> Self {
        Self { title, rank, right: true, bar: false }
    }

    /// Of bars.
    pub(super) const fn bar(title: &'static str, rank: u8) -> Self {
        Self { title, rank, right: false, bar: true }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(Tone, String),
    /// A bar between two shares of the column's width.
    Bar(f64, f64),
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::Text(Tone::Plain, text.into())
    }

    pub(super) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self::Text(tone, text.into())
    }

    fn width(&self) -> usize {
        match self {
            Self::Text(_, text) => text.width(),
            Self::Bar(..) => 0,
        }
    }

    fn contains(&self, lower: &str) -> bool {
        matches!(self, Self::Text(_, text) if text.to_lowercase().contains(lower))
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A column that fits: its number, where it begins, and its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) column: usize,
    pub(super) x: usize,
    pub(super) width: usize,
}

impl Grid {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// The columns that fit into `width`.
    pub(super) fn places(&self, width: usize) -> Vec<Place> {
        let natural: Vec<_> = (0..self.columns.len()).map(|column| self.natural(column)).collect();
        let mut kept: Vec<_> = (0..self.columns.len()).collect();
        let others = |kept: &[usize]| {
            let gaps = GAP * kept.len().saturating_sub(1);
            gaps + kept.iter().skip(1).map(|column| natural[*column]).sum::<usize>()
        };
        let first = natural.first().copied().unwrap_or(0);
        while others(&kept) + first.min(FIRST) > width {
            let least = kept.iter().copied().max_by_key(|column| (self.columns[*column].rank, *column));
            match least.filter(|column| self.columns[*column].rank > 0) {
                Some(least) => kept.retain(|column| *column != least),
                None => break,
            }
        }
        let rest = width.saturating_sub(others(&kept));
        // What a bar may have beyond its least is shared with the first column.
        let first = first.min(rest);
        let spare = rest - first;
        let mut x = 0;
        let mut places = Vec::new();
        for (at, column) in kept.into_iter().enumerate() {
            let mut wide = if at == 0 { first } else { natural[column] };
            if self.columns[column].bar {
                wide += spare;
            }
            let wide = wide.min(width.saturating_sub(x));
            places.push(Place { column, x, width: wide });
            x += wide + GAP;
        }
        places
    }

    /// The width that a column would have.
    fn natural(&self, column: usize) -> usize {
        let Column { title, bar, .. } = self.columns[column];
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width);
        cells.chain([title.width(), if bar { BAR } else { 0 }]).max().unwrap_or(0)
    }

    /// A column's title, in its width.
    pub(super) fn title(&self, place: Place) -> String {
        self.aligned(place, self.columns[place.column].title)
    }

    /// A text in a column's width.
    pub(super) fn aligned(&self, place: Place, text: &str) -> String {
        let text = cut(text, place.width);
        let pad = " ".repeat(place.width.saturating_sub(text.width()));
        if self.columns[place.column].right { pad + &text } else { text + &pad }
    }

    /// Keeps the rows that have `filter` in some text, whatever its case, and of `keys` what stands beside them.
    pub(super) fn retain<T>(&mut self, filter: &str, keys: &mut Vec<T>) {
        let lower = filter.to_lowercase();
        let keep: Vec<_> = self
            .rows
            .iter()
            .map(|row| lower.is_empty() || row.iter().any(|cell| cell.contains(&lower)))
            .collect();
        let mut beside = keep.iter();
        self.rows.retain(|_| beside.next().copied().unwrap_or(true));
        let mut beside = keep.iter();
        keys.retain(|_| beside.next().copied().unwrap_or(true));
    }

    /// All of it but bars, as lines for programs and files.
    pub(super) fn to_text(&self) -> String {
        let shown: Vec<_> = (0..self.columns.len()).filter(|column| !self.columns[*column].bar).collect();
        let place = |column: usize| Place { column, x: 0, width: self.natural(column) };
        let mut lines = vec![shown.iter().map(|column| self.title(place(*column))).collect::<Vec<_>>()];
        for row in &self.rows {
            let cell = |column: &usize| match row.get(*column) {
                Some(Cell::Text(_, text)) => self.aligned(place(*column), text),
                _ => String::new(),
            };
            lines.push(shown.iter().map(cell).collect());
        }
        lines.iter().map(|line| format!("{}\n", line.join("  ").trim_end())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(&[
            Column::text("name", 0),
            Column::number("rate", 0),
            Column::bar("share", 2),
            Column::number("traps", 1),
        ]);
        for (name, rate) in [("a", "1"), ("a much longer name", "1000")] {
            grid.rows.push(vec![
                Cell::plain(name),
                Cell::plain(rate),
                Cell::Bar(0.0, 0.5),
                Cell::toned(Tone::Bad, "3"),
            ]);
        }
        grid
    }

    fn widths(width: usize) -> Vec<(usize, usize, usize)> {
        grid().places(width).into_iter().map(|place| (place.column, place.x, place.width)).collect()
    }

    #[test]
    fn columns_go_by_rank() {
        assert_eq!(widths(80), [(0, 0, 18), (1, 20, 4), (2, 26, 47), (3, 75, 5)]);
        assert_eq!(widths(41), [(0, 0, 16), (1, 18, 4), (2, 24, 10), (3, 36, 5)]);
        assert_eq!(widths(40), [(0, 0, 18), (1, 20, 4), (3, 26, 5)]);
        assert_eq!(widths(22), [(0, 0, 16), (1, 18, 4)]);
        assert_eq!(widths(10), [(0, 0, 4), (1, 6, 4)]);
        for width in 0..100 {
            for place in grid().places(width) {
                assert!(place.width == 0 || place.x + place.width <= width, "{width}: {place:?}");
            }
        }
        assert_eq!(Grid::default().places(10), []);
    }

    #[test]
    fn rows_are_found_by_what_they_say() {
        let (mut grid, mut keys) = (grid(), vec![1, 2]);
        grid.retain("LONGER", &mut keys);
        assert_eq!((grid.rows.len(), keys.as_slice()), (1, [2].as_slice()));
        grid.retain("nowhere", &mut keys);
        assert!(grid.rows.is_empty() && keys.is_empty());
    }

    #[test]
    fn lines_for_programs() {
        let expected = "name                rate  traps\na                      1      3\na much longer name  1000      3\n";
        assert_eq!(grid().to_text(), expected);
    }
}
