//! The pipelines that a stage reaches, by names of its own or by the pipelines' names; no pipeline reaches itself that
//! way.

use super::lowering::{Lowering, Names};
use crate::config::{At, Node, Span, Text, Value};
use crate::plan::{self, NextPipeline, Pipeline, PipelineIndex, Stage};

/// Stands for a pipeline that does not exist. No plan contains it, because a missing pipeline is an error.
const REFUSED: usize = usize::MAX;

/// The state of a pipeline in the search for circles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    No,
    /// On the current path.
    Open,
    Done,
}

/// A call of one pipeline by another: both by their place among the names, and where it is written.
struct Call {
    from: usize,
    to: usize,
    span: Span,
}

impl Lowering<'_> {
    /// The `next` of a stage. A refused entry keeps its name, so that the name is not reported as missing.
    pub(super) fn next(&mut self, node: &Node, pipelines: &mut Names<'_>) -> Vec<NextPipeline> {
        let Value::Table(entries) = &node.value else {
            return Vec::new();
        };
        let mut next = Vec::new();
        for entry in entries {
            let span = entry.node.span;
            let pipeline = match &entry.node.value {
                Value::String(text) => self.resolve(Text { text, span }, "pipeline", pipelines),
                other => {
                    self.diagnostics
                        .error(span, format!("`next.{}` must be a string", entry.key))
                        .label(format!("found {}", other.type_name()))
                        .help(format!("name a pipeline: `{} = \"edge\"`", entry.key));
                    None
                }
            };
            let pipeline = PipelineIndex(pipeline.unwrap_or(REFUSED));
            let (name, name_span) = (entry.key.clone(), entry.key_span);
            next.push(NextPipeline { name, pipeline, name_span, span });
        }
        next
    }

    /// The `calls` of a stage's grant.
    pub(super) fn calls(&mut self, names: &[At<String>], pipelines: &mut Names<'_>) -> Vec<plan::Call> {
        let mut calls: Vec<plan::Call> = Vec::new();
        for text in names.iter().map(At::text) {
            if let Some(earlier) = calls.iter().find(|call| call.name == text.text) {
                self.diagnostics
                    .error(text.span, format!("pipeline `{}` is named twice", text.text))
                    .label("named again")
                    .related(earlier.span, "first here")
                    .help("remove one of them");
                continue;
            }
            let pipeline = PipelineIndex(self.resolve(text, "pipeline", pipelines).unwrap_or(REFUSED));
            calls.push(plan::Call { name: text.text.to_owned(), pipeline, span: text.span });
        }
        calls
    }

    /// A pipeline that reaches itself would call itself for ever, or wait for itself.
    pub(super) fn check_circles(&mut self, pipelines: &[Pipeline], names: &Names<'_>) {
        let mut calls = Vec::new();
        for pipeline in pipelines {
            // A pipeline whose name was refused has the name from the file.
            let Some(from) = names.places.get(&*pipeline.name).copied() else { continue };
            let reached = pipeline.all_stages().flat_map(Stage::reaches);
            let reached = reached.filter(|(pipeline, _)| pipeline.0 != REFUSED);
            calls.extend(reached.map(|(pipeline, span)| Call { from, to: pipeline.0, span }));
        }
        let mut seen = vec![Seen::No; names.names.len()];
        for start in 0..names.names.len() {
            self.follow(start, &calls, &mut Vec::new(), &mut seen, names);
        }
    }

    /// Follows the calls out of `at`, which was reached by `way`. Each pipeline is followed once, and the depth is at
    /// most 1000, the number of pipelines.
    fn follow<'c>(
        &mut self,
        at: usize,
        calls: &'c [Call],
        way: &mut Vec<&'c Call>,
        seen: &mut [Seen],
        names: &Names<'_>,
    ) {
        if seen[at] != Seen::No {
            return;
        }
        seen[at] = Seen::Open;
        for call in calls.iter().filter(|call| call.from == at) {
            way.push(call);
            if seen[call.to] == Seen::Open {
                self.report_circle(call, way, names);
            } else {
                self.follow(call.to, calls, way, seen, names);
            }
            way.pop();
        }
        seen[at] = Seen::Done;
    }

    /// `last` leads back into `way`, of which it is the last call.
    fn report_circle(&mut self, last: &Call, way: &[&Call], names: &Names<'_>) {
        let start = way.iter().position(|call| call.from == last.to).unwrap_or(0);
        let circle = &way[start..];
        let name = |index: usize| format!("`{}`", names.names[index]);
        let mut text: Vec<String> = circle.iter().map(|call| name(call.from)).collect();
        text.push(name(last.to));
        let error = self
            .diagnostics
            .error(last.span, format!("pipelines call each other in a circle: {}", text.join(" → ")))
            .label(format!("leads back to {}", name(last.to)))
            .help("let one of them call another pipeline");
        for call in circle.iter().filter(|call| call.span != last.span) {
            error.related(call.span, format!("{} calls {}", name(call.from), name(call.to)));
        }
    }
}
