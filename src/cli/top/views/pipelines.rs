//! All pipelines, a row for each.

use super::super::answers::Pipeline;
use super::super::format;
use super::super::grid::{Cell, Column, Grid};
use super::super::label::Label;
use super::super::rates::{Figures, History};
use super::super::state::{Sort, State, View};
use super::super::strip::Tone;
use super::page::Page;
use std::cmp::Ordering;

const COLUMNS: [Column; 11] = [
    Column::text("pipeline", 0),
    Column::number("requests", 7),
    Column::number("req/s", 0),
    Column::number("5xx", 1),
    Column::number("4xx", 4),
    Column::number("active", 5),
    Column::number("p50", 3),
    Column::number("p99", 0),
    Column::number("traps", 2),
    Column::number("instances", 6),
    Column::text("end", 8),
];

pub(super) fn page(state: &State) -> Page {
    let (mut grid, mut keys) = table(&state.history, state.sort);
    grid.retain(&state.filter, &mut keys);
    let selected = state.cursors[View::Pipelines as usize].place(&keys);
    let empty = match state.history.last() {
        None => "no answer yet",
        Some(overview) if overview.pipelines.is_empty() => "there are no pipelines",
        Some(_) => "no pipeline here has the filter's text",
    };
    Page { grid, keys, selected, empty: empty.to_owned(), ..Page::default() }
}

/// The pipelines of the last answer, and their names.
pub(in crate::cli::top) fn table(history: &History, sort: Sort) -> (Grid, Vec<Label>) {
    let pipelines = history.last().map(|overview| overview.pipelines.as_slice()).unwrap_or_default();
    let mut rows: Vec<_> = pipelines.iter().map(|pipeline| (pipeline, history.figures(pipeline))).collect();
    // Those that are equal stay in the configuration's order.
    rows.sort_by(|a, b| order(sort, a, b));
    let mut grid = Grid::new(&COLUMNS);
    grid.rows = rows.iter().map(|(pipeline, figures)| row(pipeline, figures)).collect();
    (grid, rows.into_iter().map(|(pipeline, _)| pipeline.name.clone()).collect())
}

fn order(sort: Sort, (a, of_a): &(&Pipeline, Figures), (b, of_b): &(&Pipeline, Figures)) -> Ordering {
    let share = |figures: &Figures| figures.errors as f64 / (figures.requests as f64).max(1.0);
    let latency = |figures: &Figures| figures.p99.map_or(-1.0, |quantile| quantile.seconds());
    match sort {
        Sort::Configuration => Ordering::Equal,
        Sort::Name => a.name.cmp(&b.name),
        Sort::Rate => of_b.per_second(of_b.requests).total_cmp(&of_a.per_second(of_a.requests)),
        Sort::Errors => share(of_b).total_cmp(&share(of_a)),
        Sort::Latency => latency(of_b).total_cmp(&latency(of_a)),
        Sort::Traps => traps(b).cmp(&traps(a)),
    }
}

/// Since the gateway's start.
fn traps(pipeline: &Pipeline) -> u64 {
    pipeline.traps.values().fold(0, |sum, count| sum.saturating_add(*count))
}

fn row(pipeline: &Pipeline, figures: &Figures) -> Vec<Cell> {
    let tone = |bad: bool, tone| if bad { tone } else { Tone::Plain };
    let end = match pipeline.end.kind.as_str() {
        "" => "-".to_owned(),
        kind => format!("{kind} {}", pipeline.end.name),
    };
    vec![
        Cell::toned(Tone::Strong, pipeline.name.as_str()),
        Cell::plain(format::count(pipeline.requests)),
        Cell::plain(format::rate(figures.per_second(figures.requests))),
        Cell::toned(tone(figures.errors > 0, Tone::Bad), format::share(figures.errors, figures.requests)),
        Cell::toned(tone(figures.refused > 0, Tone::Warn), format::share(figures.refused, figures.requests)),
        Cell::plain(format::count(pipeline.active)),
        Cell::plain(format::quantile(figures.p50)),
        Cell::plain(format::quantile(figures.p99)),
        Cell::toned(tone(figures.traps > 0, Tone::Bad), format::count(traps(pipeline))),
        Cell::plain(format::count(pipeline.instances.warm)),
        Cell::plain(end),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::answers::Overview;
    use super::*;

    #[test]
    fn orders() {
        let pipeline = |name: &str, requests: u64, errors: u64, slow: u64| Pipeline {
            name: Label::new(name),
            requests,
            errors,
            durations: vec![requests - slow, slow],
            traps: [(Label::new("trap"), slow)].into(),
            ..Pipeline::default()
        };
        let pipelines = vec![pipeline("b", 100, 10, 0), pipeline("c", 300, 3, 30), pipeline("a", 200, 0, 2)];
        let mut history = History::default();
        history.push(Overview { now: 10.0, buckets: vec![1.0], pipelines, ..Overview::default() });
        let mut sort = Sort::default();
        let mut seen = Vec::new();
        for expected in ["bca", "cab", "bca", "cab", "cab", "abc"] {
            let (grid, keys) = table(&history, sort);
            let names: String = keys.iter().map(Label::as_str).collect();
            assert_eq!(names, expected, "{sort:?}");
            assert_eq!(grid.rows.len(), 3);
            seen.push(sort);
            sort = sort.next();
        }
        assert_eq!((sort, seen.len()), (Sort::Configuration, 6));
    }
}
