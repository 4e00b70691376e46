//! What a view shows, before it has a size.

use super::super::grid::Grid;
use super::super::label::Label;
use super::super::strip::Strip;

/// Lines, a table one of whose rows is selected, and what is to be said of that row.
#[derive(Clone, Debug, Default)]
pub(in crate::cli::top) struct Page {
    pub(in crate::cli::top) head: Vec<Strip>,
    pub(in crate::cli::top) grid: Grid,
    /// What the rows are of, row by row.
    pub(in crate::cli::top) keys: Vec<Label>,
    pub(in crate::cli::top) selected: usize,
    /// Of the selected row. What is too long for a line is broken.
    pub(in crate::cli::top) detail: Vec<Strip>,
    /// Why there are no rows.
    pub(in crate::cli::top) empty: String,
}
