//! One trace: its spans below each other, with their times.

use super::super::answers::{Span, Trace, told};
use super::super::format;
use super::super::grid::{Cell, Column, Grid};
use super::super::label::Label;
use super::super::state::State;
use super::super::strip::{Strip, Tone, joined};
use super::page::Page;
use std::collections::{HashMap, HashSet};

/// The deepest span that still goes further to the right.
const DEEPEST: usize = 12;

const COLUMNS: [Column; 4] =
    [Column::text("span", 0), Column::number("took", 0), Column::number("own", 2), Column::bar("when", 1)];

pub(super) fn page(state: &State, id: &Label) -> Page {
    let Some(trace) = &state.spans else {
        let empty = match state.forgotten {
            true => "the gateway does not keep this trace any more; Esc goes back",
            false => "no answer yet",
        };
        let head = vec![Strip::of(Tone::Strong, id.as_str())];
        return Page { head, empty: empty.to_owned(), ..Page::default() };
    };
    let order = order(&trace.spans);
    let mut grid = Grid::new(&COLUMNS);
    grid.rows = order.iter().map(|(span, depth)| row(trace, span, *depth)).collect();
    let keys: Vec<_> = order.iter().map(|(span, _)| span.id.clone()).collect();
    let selected = state.span.place(&keys);
    let detail = order.get(selected).map(|(span, _)| detail(span)).unwrap_or_default();
    Page { head: head(trace), grid, keys, selected, detail, empty: "the trace has no spans".to_owned() }
}

fn head(trace: &Trace) -> Vec<Strip> {
    let text = |label: &Option<Label>| label.as_ref().map(ToString::to_string).unwrap_or_default();
    let parts = [
        (Tone::Strong, trace.name.to_string()),
        (Tone::Plain, trace.status.map(|status| status.to_string()).unwrap_or_default()),
        (Tone::Plain, format::duration(trace.duration)),
        (Tone::Plain, text(&trace.pipeline)),
        (Tone::Bad, text(&trace.error)),
        (Tone::Dim, trace.id.to_string()),
    ];
    vec![joined(parts.into_iter().filter(|(_, text)| !text.is_empty()), " · ")]
}

/// The spans, each below its parent, and how deep; brothers by their start. Each span is there once, whatever the parents
/// say of each other.
fn order(spans: &[Span]) -> Vec<(&Span, usize)> {
    let known: HashSet<_> = spans.iter().map(|span| &span.id).collect();
    let mut children: HashMap<&Label, Vec<&Span>> = HashMap::new();
    let mut roots = Vec::new();
    for span in spans {
        match span.parent.as_ref().filter(|parent| known.contains(parent) && **parent != span.id) {
            Some(parent) => children.entry(parent).or_default().push(span),
            None => roots.push(span),
        }
    }
    latest_first(&mut roots);
    children.values_mut().for_each(|spans| latest_first(spans));
    let mut open: Vec<_> = roots.into_iter().map(|span| (span, 0)).collect();
    let (mut order, mut seen) = (Vec::new(), HashSet::new());
    let mut left = spans.iter();
    loop {
        while let Some((span, depth)) = open.pop() {
            if seen.insert(std::ptr::from_ref(span)) {
                order.push((span, depth));
                open.extend(
                    children.remove(&span.id).unwrap_or_default().into_iter().map(|it| (it, depth + 1)),
                );
            }
        }
        // Those whose parents are below them.
        match left.find(|span| !seen.contains(&std::ptr::from_ref(*span))) {
            Some(span) => open.push((span, 0)),
            None => return order,
        }
    }
}

/// For a stack: the last one is the next one.
fn latest_first(spans: &mut [&Span]) {
    spans.sort_by(|a, b| b.start.total_cmp(&a.start));
}

fn row(trace: &Trace, span: &Span, depth: usize) -> Vec<Cell> {
    let tone = if span.error.is_some() { Tone::Bad } else { Tone::Plain };
    let share = |time: f64| if trace.duration > 0.0 { (time / trace.duration).clamp(0.0, 1.0) } else { 0.0 };
    let own = span.attributes.get(&Label::new("linkspan.stage.own_time")).and_then(serde_json::Value::as_f64);
    vec![
        Cell::toned(tone, format!("{}{}", "  ".repeat(depth.min(DEEPEST)), span.name)),
        Cell::plain(format::duration(span.duration)),
        Cell::plain(own.map(format::duration).unwrap_or_default()),
        Cell::Bar(share(span.start), share(span.start + span.duration)),
    ]
}

fn detail(span: &Span) -> Vec<Strip> {
    let mut lines = vec![joined(
        [
            (Tone::Strong, span.name.to_string()),
            (Tone::Plain, span.kind.to_string()),
            (
                Tone::Plain,
                format!("from {} for {}", format::duration(span.start), format::duration(span.duration)),
            ),
        ],
        " · ",
    )];
    if let Some(error) = &span.error {
        lines.push(Strip::of(Tone::Bad, "error ").and(Tone::Plain, error.as_str()));
    }
    let pair = |(name, value): (&Label, &serde_json::Value)| {
        Strip::of(Tone::Dim, format!("{name} ")).and(Tone::Plain, attribute(name, value))
    };
    lines.extend(span.attributes.iter().map(pair));
    for event in &span.events {
        let text = event.attributes.iter().map(|(name, value)| format!("{name} {}", told(value)));
        let title = format!("{} {}: ", format::duration(event.at), event.name);
        lines.push(Strip::of(Tone::Warn, title).and(Tone::Plain, text.collect::<Vec<_>>().join(", ")));
    }
    lines
}

/// Times are in seconds, and easier to read with a unit.
fn attribute(name: &Label, value: &serde_json::Value) -> String {
    match value.as_f64().filter(|_| name.as_str().ends_with("_time")) {
        Some(seconds) => format::duration(seconds),
        None => told(value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(&str, Option<&str>, f64)]) -> Vec<Span> {
        let span = |(id, parent, start): &(&str, Option<&str>, f64)| Span {
            id: Label::new(id),
            parent: parent.map(Label::new),
            start: *start,
            ..Span::default()
        };
        spans.iter().map(span).collect()
    }

    #[test]
    fn spans_stand_below_their_parents() {
        let told = |list: &[(&str, Option<&str>, f64)]| {
            let spans = spans(list);
            order(&spans)
                .iter()
                .map(|(span, depth)| format!("{}{depth}", span.id))
                .collect::<Vec<_>>()
                .join(" ")
        };
        // `outside` is the client's.
        let some = [
            ("c", Some("a"), 2.0),
            ("a", Some("outside"), 0.0),
            ("b", Some("a"), 1.0),
            ("d", Some("b"), 1.5),
        ];
        assert_eq!(told(&some), "a0 b1 d2 c1");
        // Answers that make no tree.
        assert_eq!(told(&[("a", Some("b"), 0.0), ("b", Some("a"), 1.0)]), "a0 b1");
        assert_eq!(told(&[("a", Some("a"), 0.0), ("a", None, 1.0)]), "a0 a0");
        assert_eq!(told(&[]), "");
    }
}
