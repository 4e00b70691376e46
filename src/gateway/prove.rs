//! The findings of a segment's proof, at their lines.

use crate::chain::{Breakdown, Flaw};
use crate::config::{Diagnostics, Span};
use crate::plan::{Pipeline, Stage};

/// The longest text of a guest's own that a finding shows, in bytes.
const MAX_TEXT: usize = 1 << 10;

/// Adds `flaws`, which concern a segment of `pipeline`, to `diagnostics`. Segments of one pipeline that differ in their
/// conditions have the same flaws: each is reported once.
pub(super) fn tell(pipeline: &Pipeline, flaws: &[Flaw], diagnostics: &mut Diagnostics) {
    for flaw in flaws {
        match flaw {
            Flaw::Start(breakdown) => broke_down(pipeline, breakdown, "does not start", diagnostics),
            Flaw::Judge(breakdown) => {
                broke_down(pipeline, breakdown, "can't judge its configuration", diagnostics);
            }
            Flaw::Config { stage, key, message } => {
                let Some(stage) = stage_at(pipeline, *stage) else { continue };
                refused(stage, key.as_deref(), message, diagnostics);
            }
        }
    }
}

fn stage_at(pipeline: &Pipeline, index: usize) -> Option<&Stage> {
    pipeline.all_stages().find(|stage| stage.id.index == index)
}

fn broke_down(pipeline: &Pipeline, breakdown: &Breakdown, what: &str, diagnostics: &mut Diagnostics) {
    let Breakdown { stages, reason, said, wanted_memory } = breakdown;
    let blamed: Vec<&Stage> = stages.iter().filter_map(|index| stage_at(pipeline, *index)).collect();
    let names: Vec<String> = blamed.iter().map(|stage| format!("`{}`", stage.id)).collect();
    let (message, span) = match &blamed[..] {
        [] => (format!("pipeline `{}` {what}", pipeline.name), pipeline.span),
        [first, ..] => (format!("stage {} {what}", names.join(" or ")), first.component_span),
    };
    if is_told(span, &message, diagnostics) {
        return;
    }
    let hide = |text: &str| blamed.iter().fold(text.to_owned(), |text, stage| stage.hide_secrets(&text));
    let help = match (wanted_memory, &said[..]) {
        (true, _) => {
            "the stage was refused memory: raise its `limits.memory`, or `table-elements`".to_owned()
        }
        (false, []) => "`linkspan inspect` shows its imports and exports; the stage was started to prove the configuration (`gateway.prove`)".to_owned(),
        (false, said) => format!("it wrote: {}", shortened(&hide(&said.join(" | ")))),
    };
    let error = diagnostics.error(span, message).label(shortened(&hide(reason))).help(help);
    for other in blamed.iter().skip(1) {
        error.related(other.component_span, "the same component");
    }
}

fn refused(stage: &Stage, key: Option<&str>, message: &str, diagnostics: &mut Diagnostics) {
    let span = stage.config_span(key.unwrap_or_default());
    let text = match key {
        Some(key) => format!("`{key}` {message}"),
        None => message.to_owned(),
    };
    let label = shortened(&stage.hide_secrets(&text)).to_owned();
    let message = format!("stage `{}` refuses its configuration: {label}", stage.id);
    if !is_told(span, &message, diagnostics) {
        diagnostics
            .error(span, message)
            .label("refused")
            .help("`linkspan inspect` shows the keys of a component");
    }
}

fn is_told(span: Span, message: &str, diagnostics: &Diagnostics) -> bool {
    diagnostics.sorted().iter().any(|item| item.span() == Some(span) && item.message() == message)
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
