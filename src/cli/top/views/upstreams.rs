//! Servers elsewhere.

use super::super::answers::Server;
use super::super::format;
use super::super::grid::{Cell, Column, Grid};
use super::super::label::Label;
use super::super::state::{State, View};
use super::super::strip::Tone;
use super::page::Page;

const COLUMNS: [Column; 7] = [
    Column::text("upstream", 0),
    Column::text("server", 0),
    Column::text("state", 0),
    Column::number("req/s", 1),
    Column::number("failures/s", 2),
    Column::number("requests", 4),
    Column::number("failures", 3),
];

pub(super) fn page(state: &State) -> Page {
    let upstreams = state.history.last().map(|overview| overview.upstreams.as_slice()).unwrap_or_default();
    let mut grid = Grid::new(&COLUMNS);
    let mut keys = Vec::new();
    for upstream in upstreams {
        for server in &upstream.servers {
            grid.rows.push(row(state, &upstream.name, server));
            keys.push(Label::new(&format!("{} {}", upstream.name, server.server)));
        }
    }
    let empty =
        if keys.is_empty() { "no pipeline ends in an upstream" } else { "no server has the filter's text" };
    grid.retain(&state.filter, &mut keys);
    let selected = state.cursors[View::Upstreams as usize].place(&keys);
    Page { grid, keys, selected, empty: empty.to_owned(), ..Page::default() }
}

fn row(state: &State, upstream: &Label, server: &Server) -> Vec<Cell> {
    let (tone, health) = match server {
        Server { up: true, .. } => (Tone::Good, "up"),
        Server { failing: true, ejected: true, .. } => (Tone::Bad, "failing, ejected"),
        Server { ejected: true, .. } => (Tone::Bad, "ejected"),
        Server { failing: true, .. } => (Tone::Bad, "failing"),
        Server { .. } => (Tone::Bad, "down"),
    };
    let rates = state.history.server(upstream, server);
    let rate = |rate: Option<f64>| Cell::plain(rate.map_or_else(|| "-".to_owned(), format::rate));
    vec![
        Cell::toned(Tone::Strong, upstream.as_str()),
        Cell::plain(server.server.as_str()),
        Cell::toned(tone, health),
        rate(rates.map(|(requests, _)| requests)),
        rate(rates.map(|(_, failures)| failures)),
        Cell::plain(format::count(server.requests)),
        Cell::plain(format::count(server.failures)),
    ]
}
