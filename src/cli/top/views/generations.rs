//! The live configuration, and what became of reloads.

use super::super::answers::{Finding, Generations, Reload};
use super::super::format;
use super::super::grid::{Cell, Column, Grid};
use super::super::label::Label;
use super::super::state::{State, View};
use super::super::strip::{Strip, Tone, joined};
use super::page::Page;

const COLUMNS: [Column; 6] = [
    Column::text("reload at (UTC)", 0),
    Column::text("trigger", 2),
    Column::text("result", 0),
    Column::number("generation", 1),
    Column::number("took", 3),
    Column::text("segments", 4),
];

pub(super) fn page(state: &State) -> Page {
    let Some(generations) = &state.generations else {
        return Page { empty: "no answer yet".to_owned(), ..Page::default() };
    };
    // The newest first.
    let mut reloads: Vec<_> = generations.reloads.iter().rev().collect();
    let mut grid = Grid::new(&COLUMNS);
    grid.rows = reloads.iter().map(|reload| row(reload)).collect();
    let empty =
        if reloads.is_empty() { "there was no reload yet" } else { "no reload has the filter's text" };
    grid.retain(&state.filter, &mut reloads);
    let key = |reload: &&Reload| Label::new(&format!("{} {}", reload.at, reload.generation));
    let keys: Vec<_> = reloads.iter().map(key).collect();
    let selected = state.cursors[View::Generations as usize].place(&keys);
    let detail = reloads.get(selected).map(|reload| detail(reload)).unwrap_or_default();
    let head = head(generations, state.history.last().map_or(0.0, |overview| overview.now));
    Page { head, grid, keys, selected, detail, empty: empty.to_owned() }
}

fn head(generations: &Generations, now: f64) -> Vec<Strip> {
    let live = &generations.live;
    let age =
        if now > live.built { format!(", {} ago", format::rough(now - live.built)) } else { String::new() };
    let mut lines = vec![joined(
        [
            (Tone::Strong, format!("generation {} is live", live.generation)),
            (Tone::Plain, format!("built at {} UTC{age}", format::clock(live.built))),
            (Tone::Plain, format!("{} segments compiled, {} taken over", live.compiled, live.reused)),
            (Tone::Plain, format!("{} to go back to", generations.history)),
        ],
        " · ",
    )];
    if let Some(under_way) = &generations.under_way {
        let text = format!("a reload is under way for {} s ({})", under_way.seconds, under_way.trigger);
        lines.push(Strip::of(Tone::Warn, text));
    }
    if !generations.retiring.is_empty() {
        let retiring = generations.retiring.iter();
        let text = retiring.map(|it| format!("{} for {}", it.generation, format::rough(it.seconds as f64)));
        let text = format!("still with requests: generation {}", text.collect::<Vec<_>>().join(", "));
        lines.push(Strip::of(Tone::Warn, text));
    }
    lines
}

fn row(reload: &Reload) -> Vec<Cell> {
    let tone = match reload.result.as_str() {
        "swapped" => Tone::Good,
        "refused" => Tone::Bad,
        _ => Tone::Plain,
    };
    let segments = reload.segments();
    let segments = segments.map(|(compiled, reused)| format!("{compiled} compiled, {reused} taken over"));
    vec![
        Cell::plain(format::clock(reload.at)),
        Cell::plain(reload.trigger.as_str()),
        Cell::toned(tone, reload.result.as_str()),
        Cell::plain(reload.generation.to_string()),
        Cell::plain(format::duration(reload.milliseconds as f64 / 1e3)),
        Cell::plain(segments.unwrap_or_default()),
    ]
}

fn detail(reload: &Reload) -> Vec<Strip> {
    reload.findings().iter().flat_map(finding).collect()
}

fn finding(finding: &Finding) -> Vec<Strip> {
    let place = match (&finding.file, finding.line) {
        (Some(file), Some(line)) => format!(" {file}:{line}"),
        (Some(file), None) => format!(" {file}"),
        (None, _) => String::new(),
    };
    let tone = if finding.severity.as_str() == "error" { Tone::Bad } else { Tone::Warn };
    let mut lines =
        vec![Strip::of(tone, format!("{}: ", finding.severity)).and(Tone::Plain, finding.message.as_str())];
    lines[0].0.push((Tone::Dim, place));
    for (name, text) in [("", &finding.label), ("help: ", &finding.help)] {
        let text = text.as_ref().map(Label::as_str).filter(|text| !text.is_empty());
        lines.extend(text.map(|text| Strip::of(Tone::Dim, format!("  {name}{text}"))));
    }
    lines
}
