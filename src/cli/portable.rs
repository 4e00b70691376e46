//! The parts of a pipeline that other hosts can't have, as `linkspan compose --portable` reports them.
//!
//! A component can't do without some of these parts, so there is no composition. The other parts are lost, which is an
//! error unless `--lossy` allows it.

use crate::component::Interface;
use crate::config::{Diagnostics, Severity, Span};
use crate::gateway::inputs::Components;
use crate::plan::{
    Elsewhere, End, Isolation, Link, OnFailure, Pipeline, PipelineLimits, Plan, Stage, StageLimits,
};

/// Adds to `diagnostics` what stands in the way, and, as errors or as warnings, what is lost.
pub(super) fn check(
    plan: &Plan,
    pipeline: &Pipeline,
    components: &Components,
    lost: Severity,
    diagnostics: &mut Diagnostics,
) {
    let mut lose = |span: Span, what: String, losses: &[&str]| {
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
        lose(pipeline.span, what, &[upstream.as_str()]);
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

fn losses_of_pipeline(pipeline: &Pipeline) -> Vec<&'static str> {
    let losses = [
        (pipeline.limits != PipelineLimits::default(), "its limits"),
        (pipeline.isolation == Isolation::Request, "`isolation`"),
    ];
    losses.into_iter().filter_map(|(is_there, what)| is_there.then_some(what)).collect()
}

fn losses_of_stage(stage: &Stage) -> Vec<&'static str> {
    let losses = [
        (stage.limits != StageLimits::default(), "its limits"),
        (stage.on_failure != OnFailure::default(), "`on-failure`"),
        (stage.breaker.is_some(), "`breaker`"),
        (stage.link == Link::Dynamic, "a store of its own (`link`)"),
        (stage.isolation == Isolation::Request, "`isolation`"),
    ];
    let granted = stage.grants.elsewhere().filter_map(|grant| match grant {
        Elsewhere::Lost(what) => Some(what),
        Elsewhere::Same | Elsewhere::Impossible(_) => None,
    });
    losses.into_iter().filter_map(|(is_there, what)| is_there.then_some(what)).chain(granted).collect()
}
