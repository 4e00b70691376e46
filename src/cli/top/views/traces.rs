//! Recent traces.

use super::super::answers::TraceHead;
use super::super::format;
use super::super::grid::{Cell, Column, Grid};
use super::super::label::Label;
use super::super::state::{State, View};
use super::super::strip::{Strip, Tone};
use super::page::Page;

const COLUMNS: [Column; 6] = [
    Column::text("request", 0),
    Column::text("pipeline", 2),
    Column::number("status", 0),
    Column::number("took", 0),
    Column::text("kept as", 3),
    Column::text("at (UTC)", 1),
];

pub(super) fn page(state: &State) -> Page {
    let Some(traces) = &state.traces else {
        return Page { empty: "no answer yet".to_owned(), ..Page::default() };
    };
    let mut traces: Vec<_> = traces.traces.iter().collect();
    let mut grid = Grid::new(&COLUMNS);
    grid.rows = traces.iter().map(|trace| row(trace)).collect();
    let empty = match traces.is_empty() {
        true => "no request was sampled yet: `telemetry.sample` says how many are",
        false => "no trace has the filter's text",
    };
    grid.retain(&state.filter, &mut traces);
    let keys: Vec<_> = traces.iter().map(|trace| trace.id.clone()).collect();
    let selected = state.cursors[View::Traces as usize].place(&keys);
    let error = traces.get(selected).and_then(|trace| trace.error.as_ref());
    let detail = error.map(|error| Strip::of(Tone::Bad, "error: ").and(Tone::Plain, error.as_str()));
    Page {
        grid,
        keys,
        selected,
        detail: detail.into_iter().collect(),
        empty: empty.to_owned(),
        ..Page::default()
    }
}

fn row(trace: &TraceHead) -> Vec<Cell> {
    let failed = trace.error.is_some() || trace.status.is_none_or(|status| status >= 500);
    let tone = if failed { Tone::Bad } else { Tone::Plain };
    vec![
        Cell::toned(Tone::Strong, trace.name.as_str()),
        Cell::plain(trace.pipeline.as_ref().map_or("-", Label::as_str)),
        Cell::toned(tone, trace.status.map_or_else(|| "-".to_owned(), |status| status.to_string())),
        Cell::plain(format::duration(trace.duration)),
        Cell::plain(trace.kept_as.as_str()),
        Cell::plain(format::clock(trace.start)),
    ]
}
