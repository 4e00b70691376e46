//! The parts of a pipeline that other hosts can't have, as `linkspan compose --portable` reports them.
//!
//! A component can't do without some of these parts, so there is no composition. The other parts are lost, which is an
//! error unless `--lossy` allows it.

use crate::component::Interface;
use crate::config::{Diagnostics, Keys, Severity, Span};
use crate::gateway::inputs::Components;
use crate::plan::{Elsewhere, End, Isolation, Link, OnFailure, Pipeline, Plan, Stage};

/// Adds to `diagnostics` what stands in the way, and, as errors or as warnings, what is lost.
pub(super) fn check(
    plan: &Plan,
    pipeline: &Pipeline,
    components: &Components,
    lost: Severity,
    diagnostics: &mut Diagnostics,
) {
    let mut lose = |span: Span, what: String, losses: &[String]| {
        if losses.is_empty() {
            return;
        }
        let message = format!("{what} loses behaviour that only linkspan provides");
        let finding = match lost {
            Severity::Error => {
                diagnostics.error(span, message).help("`--lossy` writes the composition without it")
            }
            Severity::Warning => diagnostics.warning(span, message),
        };
        finding.label(format!("not in the composition: {}", losses.join(", ")));
    };
    if let End::Upstream(index) = &pipeline.end {
        let what = format!("pipeline `{}`", pipeline.name);
        let upstream =
            format!("`upstream = \"{}\"`, in whose place it imports a handler", plan.upstream(*index).name);
        lose(pipeline.span, what, &[upstream]);
    }
    lose(pipeline.span, format!("pipeline `{}`", pipeline.name), &losses_of_pipeline(pipeline));
    for stage in pipeline.all_stages() {
        lose(stage.span, format!("stage `{}`", stage.id), &losses_of_stage(stage));
    }
    for stage in pipeline.all_stages() {
        if let Some(obstacle) = obstacle(stage, components) {
            diagnostics
                .error(stage.span, format!("stage `{}` can't be composed for other hosts", stage.id))
                .label(obstacle)
                .help("leave `--portable` out, or take the stage out of the pipeline");
        }
    }
}

/// What a stage has of its own, and would be everybody's or nobody's elsewhere.
fn obstacle(stage: &Stage, components: &Components) -> Option<String> {
    let obstacles = [
        (!stage.config.is_empty(), "it has a configuration of its own"),
        (stage.when.is_some(), "it does not apply to every request"),
        (!stage.next.is_empty(), "it calls pipelines by names of its own"),
    ];
    let own = obstacles.into_iter().filter_map(|(is_there, obstacle)| is_there.then_some(obstacle));
    let granted = stage.grants.elsewhere().filter_map(|grant| match grant {
        Elsewhere::Impossible(obstacle) => Some(obstacle),
        Elsewhere::Same | Elsewhere::Lost(_) => None,
    });
    if let Some(obstacle) = own.chain(granted).next() {
        return Some(obstacle.to_owned());
    }
    let imports = &components.of(stage)?.shape.imports;
    let ours = |interface: &&Interface| interface.package.starts_with("linkspan:");
    let import = imports.iter().filter_map(|import| import.interface.as_ref()).find(ours)?;
    Some(format!("it imports `{import}`, which only linkspan has"))
}

fn losses_of_pipeline(pipeline: &Pipeline) -> Vec<String> {
    let isolation = (pipeline.isolation == Isolation::Request).then(|| "`isolation`".to_owned());
    limits(&pipeline.limits).chain(isolation).collect()
}

fn losses_of_stage(stage: &Stage) -> Vec<String> {
    let losses = [
        (stage.on_failure != OnFailure::default(), "`on-failure`"),
        (stage.breaker.is_some(), "`breaker`"),
        (stage.link == Link::Dynamic, "a store of its own (`link`)"),
        (stage.isolation == Isolation::Request, "`isolation`"),
    ];
    let granted = stage.grants.elsewhere().filter_map(|grant| match grant {
        Elsewhere::Lost(what) => Some(what),
        Elsewhere::Same | Elsewhere::Impossible(_) => None,
    });
    let losses = losses.into_iter().filter_map(|(is_there, what)| is_there.then_some(what));
    limits(&stage.limits).chain(losses.chain(granted).map(str::to_owned)).collect()
}

/// The limits that are not the defaults, by their keys.
fn limits(limits: &impl Keys) -> impl Iterator<Item = String> {
    limits.changed().into_iter().map(|key| format!("`limits.{key}`"))
}
