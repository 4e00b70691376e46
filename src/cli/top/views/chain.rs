//! One pipeline as the chain that it is: its stages in their order, and what each of them does.

use super::super::answers::{Pipeline, Stage};
use super::super::format;
use super::super::grid::{Cell, Column, Grid};
use super::super::label::Label;
use super::super::rates::{Figures, Own};
use super::super::state::State;
use super::super::strip::{Strip, Tone, joined};
use super::page::Page;
use std::collections::BTreeMap;

const COLUMNS: [Column; 9] = [
    Column::text("stage", 0),
    Column::number("own", 0),
    Column::number("p99", 1),
    Column::bar("share", 3),
    Column::text("form", 4),
    Column::text("lift", 6),
    Column::text("breaker", 2),
    Column::number("answered", 7),
    Column::number("failed", 5),
];

pub(super) fn page(state: &State, name: &Label) -> Page {
    let Some(pipeline) = state.history.pipeline(name) else {
        let empty =
            "no configuration has this pipeline now, or it is not on this page; Esc goes back".to_owned();
        return Page { head: vec![Strip::of(Tone::Strong, name.as_str())], empty, ..Page::default() };
    };
    let owns: Vec<_> = pipeline.stages.iter().map(|stage| state.history.own(pipeline, stage)).collect();
    let mut grid = Grid::new(&COLUMNS);
    let total: f64 = owns.iter().flatten().map(|own| own.mean).sum();
    let mut before = 0.0;
    for (stage, own) in pipeline.stages.iter().zip(&owns) {
        let mean = own.as_ref().map_or(0.0, |own| own.mean);
        let share = if total > 0.0 { (before / total, (before + mean) / total) } else { (0.0, 0.0) };
        before += mean;
        grid.rows.push(row(pipeline, stage, own.as_ref(), share));
    }
    let keys: Vec<_> = pipeline.stages.iter().map(|stage| stage.name.clone()).collect();
    let selected = state.stage.place(&keys);
    let head = head(state, pipeline, &owns);
    let detail = match pipeline.stages.get(selected) {
        Some(stage) => detail(pipeline, stage, owns[selected].as_ref()),
        None => Vec::new(),
    };
    Page { head, grid, keys, selected, detail, empty: "the pipeline has no stages".to_owned() }
}

fn head(state: &State, pipeline: &Pipeline, owns: &[Option<Own>]) -> Vec<Strip> {
    let figures = state.history.figures(pipeline);
    let mut head = vec![title(pipeline, &figures), what_happened(pipeline)];
    head.retain(|strip| !strip.0.is_empty());
    let told = match state.history.last() {
        Some(overview) if !overview.traces.stages => "own times: `telemetry.stages` is off",
        _ if owns.iter().all(Option::is_none) => "own times: nothing was sampled",
        _ if owns.iter().flatten().any(|own| own.whole) => {
            "own times of sampled requests; ~ since the gateway's start"
        }
        _ => "own times of sampled requests",
    };
    head.push(Strip::of(Tone::Dim, told));
    head
}

fn title(pipeline: &Pipeline, figures: &Figures) -> Strip {
    let bad = |bad: bool| if bad { Tone::Bad } else { Tone::Plain };
    let end = match pipeline.end.kind.as_str() {
        "upstream" | "native" => format!("ends in {} {}", pipeline.end.kind, pipeline.end.name),
        _ => String::new(),
    };
    let parts = [
        (Tone::Strong, pipeline.name.to_string()),
        (Tone::Plain, format!("{} req/s", format::rate(figures.per_second(figures.requests)))),
        (bad(figures.errors > 0), format!("5xx {}", format::share(figures.errors, figures.requests))),
        (Tone::Plain, format!("4xx {}", format::share(figures.refused, figures.requests))),
        (Tone::Plain, format!("p50 {}", format::quantile(figures.p50))),
        (Tone::Plain, format!("p99 {}", format::quantile(figures.p99))),
        (Tone::Plain, format!("{} active", format::count(pipeline.active))),
        (Tone::Plain, format!("{} instances of {} made", pipeline.instances.warm, pipeline.instances.made)),
        (Tone::Plain, end),
    ];
    joined(parts.into_iter().filter(|(_, text)| !text.is_empty()), " · ")
}

/// Traps and refusals since the gateway's start, where there are any.
fn what_happened(pipeline: &Pipeline) -> Strip {
    let traps = some(&pipeline.traps);
    let traps = if traps.is_empty() { traps } else { format!("traps: {traps}") };
    let parts = [(Tone::Bad, traps), (Tone::Warn, some(&pipeline.events))];
    joined(parts.into_iter().filter(|(_, text)| !text.is_empty()), " · ")
}

/// The counts that are not 0.
fn some(counts: &BTreeMap<Label, u64>) -> String {
    let some = counts.iter().filter(|(_, count)| **count > 0);
    some.map(|(kind, count)| format!("{kind} {}", format::count(*count))).collect::<Vec<_>>().join(", ")
}

/// The segment of a stage: its form and link, and why it has not the direct form.
fn segment(pipeline: &Pipeline, stage: &Stage) -> Option<(String, Option<String>)> {
    let segment = pipeline.segments.iter().find(|segment| segment.stages.contains(&stage.index))?;
    Some((format!("{} {}", segment.form, segment.link), segment.reason.as_ref().map(ToString::to_string)))
}

fn row(pipeline: &Pipeline, stage: &Stage, own: Option<&Own>, share: (f64, f64)) -> Vec<Cell> {
    let mark = if own.is_some_and(|own| own.whole) { "~" } else { "" };
    let time = |text: Option<String>| text.map_or_else(|| "-".to_owned(), |text| format!("{mark}{text}"));
    let counted = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), format::count);
    let breaker = match &stage.breaker {
        Some(breaker) if breaker.open => Cell::toned(Tone::Bad, "open"),
        Some(_) => Cell::toned(Tone::Good, "closed"),
        None => Cell::plain("-"),
    };
    let observed = stage.observed.as_ref();
    let failed = observed.map(|observed| observed.failed);
    vec![
        Cell::toned(Tone::Strong, stage.name.as_str()),
        Cell::plain(time(own.map(|own| format::duration(own.mean)))),
        Cell::plain(time(own.and_then(|own| own.p99).map(|p99| format::quantile(Some(p99))))),
        Cell::Bar(share.0, share.1),
        Cell::plain(segment(pipeline, stage).map_or_else(|| "-".to_owned(), |(form, _)| form)),
        Cell::plain(stage.lift.as_str()),
        breaker,
        Cell::plain(counted(observed.map(|observed| observed.answered))),
        Cell::toned(
            if failed.is_some_and(|count| count > 0) { Tone::Bad } else { Tone::Plain },
            counted(failed),
        ),
    ]
}

fn detail(pipeline: &Pipeline, stage: &Stage, own: Option<&Own>) -> Vec<Strip> {
    let mut lines = vec![joined(
        [
            (Tone::Strong, stage.name.to_string()),
            (Tone::Plain, format!("component {}", stage.component)),
            (Tone::Plain, format!("lift {}", stage.lift)),
            (Tone::Dim, stage.digest.to_string()),
        ],
        " · ",
    )];
    let mut say = |name: &str, text: String| {
        if !text.is_empty() {
            lines.push(Strip::of(Tone::Dim, format!("{name} ")).and(Tone::Plain, text));
        }
    };
    if let Some((form, reason)) = segment(pipeline, stage) {
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        say("segment", format!("{form}{reason}"));
    }
    if let Some(own) = own {
        let busy =
            own.busy.map(|busy| format!(", of it computing {}", format::duration(busy))).unwrap_or_default();
        let (mean, p50) = (format::duration(own.mean), format::quantile(own.p50));
        say("own time", format!("mean {mean}, p50 {p50}{busy}"));
    }
    let observed = stage.observed.as_ref();
    let counts = [
        ("sampled", observed.map_or(0, |observed| observed.requests)),
        ("broke off", observed.map_or(0, |observed| observed.broke_off)),
        ("not applied", stage.not_applied),
        ("bypassed", stage.bypassed),
        ("refused by the breaker", stage.refused),
    ];
    let told = counts.iter().filter(|(_, count)| *count > 0);
    let told = told.map(|(name, count)| format!("{name} {}", format::count(*count)));
    say("requests", told.collect::<Vec<_>>().join(", "));
    let condition = if stage.when { "has a condition" } else { "" };
    let on_failure = stage.on_failure.as_ref().filter(|it| it.as_str() != "fail");
    let on_failure = on_failure.map(|it| format!("on failure: {it}")).unwrap_or_default();
    let opened =
        stage.breaker.as_ref().map(|it| format!("breaker opened {} times", it.opened)).unwrap_or_default();
    let policies = [condition.to_owned(), on_failure, opened];
    say("policy", policies.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", "));
    say("grants", list(&stage.grants));
    say("imports", list(&stage.imports));
    lines
}

fn list(labels: &[Label]) -> String {
    labels.iter().map(Label::as_str).collect::<Vec<_>>().join(", ")
}
