//! `linkspan compose`: a pipeline as one component, as linkspan would compile it or
//! for other hosts.

use super::Failed;
use super::check::counted;
use crate::chain::Naming;
use crate::component::{Digest, Interface};
use crate::config::Diagnostics;
use crate::gateway::build::{check_pipelines, compose_stages};
use crate::gateway::inputs::{Components, Inputs, Shapes, load_components};
use crate::host::{Offer, Reach};
use crate::plan::{End, Pipeline, PipelineIndex, Plan, Relift};
use std::path::Path;
use std::sync::Arc;

/// Runs the command.
pub(super) fn run(
    file: &Path,
    name: &str,
    output: &Path,
    portable: bool,
    relift: bool,
) -> Result<(), Failed> {
    let (mut plan, _) = crate::plan::load(file).map_err(Failed::wrong)?;
    let index = find_pipeline(&plan, name)?;
    if relift {
        for pipeline in &mut plan.pipelines {
            let service = match &mut pipeline.end {
                End::Component(stage) => Some(&mut **stage),
                End::Native(_) | End::Upstream(_) => None,
            };
            for stage in pipeline.stages.iter_mut().chain(service) {
                // A wish: what can't be is left as it is.
                (stage.lift, stage.lift_span) = (Relift::Sync, None);
            }
        }
    }
    let pipeline = plan.pipeline(index);
    let mut diagnostics = plan.diagnostics();
    let components = load_components(&plan, &Shapes::default(), &mut diagnostics);
    let naming = match portable {
        true => {
            check_portable(pipeline, &components, &mut diagnostics);
            Naming::Portable
        }
        false => Naming::PerStage,
    };
    let inputs = Inputs { plan, components, tls: Vec::new(), upstreams: Vec::new(), natives: Arc::default() };
    check_pipelines(&inputs, &mut diagnostics);
    let Inputs { plan, components, .. } = inputs;
    let pipeline = plan.pipeline(index);
    if diagnostics.has_errors() {
        return Err(Failed::wrong(diagnostics));
    }
    if pipeline.all_stages().next().is_none() {
        return Err(Failed::wrong(format!(
            "there is nothing to compose: `{name}` goes straight to an upstream"
        )));
    }
    let stages: Vec<_> =
        pipeline.all_stages().filter_map(|stage| Some((stage, components.of(stage)?))).collect();
    let composed = compose_stages(pipeline, &stages, naming, &mut diagnostics)
        .ok_or_else(|| Failed::wrong(&diagnostics))?;
    std::fs::write(output, &composed.bytes)
        .map_err(|error| Failed::system(format!("cannot write `{}`: {error}", output.display())))?;
    let (size, digest) = (composed.bytes.len(), Digest::of(&composed.bytes));
    for (stage, component) in &stages {
        if component.relifted {
            println!("stage `{}`: lifted synchronously", stage.id);
        }
    }
    let stages = counted(stages.len(), "stage");
    println!("{}: {stages}, {size} bytes, sha256 {digest}", output.display());
    Ok(())
}

/// The pipeline called `name`.
///
/// # Errors
/// If there is none, with the names that there are.
pub(super) fn find_pipeline(plan: &Plan, name: &str) -> Result<PipelineIndex, Failed> {
    plan.find_pipeline(name).ok_or_else(|| {
        let names: Vec<_> = plan.pipelines.iter().map(|pipeline| &*pipeline.name).collect();
        let known = names.join("`, `");
        Failed::wrong(format!("there is no pipeline `{name}`; there are `{known}`"))
    })
}

/// What a stage has of its own would become everybody's, or nobody's, elsewhere.
fn check_portable(pipeline: &Pipeline, components: &Components, diagnostics: &mut Diagnostics) {
    for stage in pipeline.all_stages() {
        let reason = if !stage.config.is_empty() {
            Some("it has a configuration of its own".to_owned())
        } else if stage.grants.env.as_ref().is_some_and(|env| !env.is_empty()) {
            Some("it has an environment of its own".to_owned())
        } else if stage.when.is_some() {
            Some("it does not apply to every request".to_owned())
        } else if !stage.next.is_empty() {
            Some("it calls pipelines by names of its own".to_owned())
        } else if !stage.grants.calls.is_empty() {
            Some("it calls pipelines by their names".to_owned())
        } else {
            components.of(stage).and_then(|component| {
                let own = |interface: &&Interface| {
                    interface.package.starts_with("linkspan:")
                        && Offer::find(interface).is_some_and(|offer| offer.reach == Reach::Stage)
                };
                let imports = component.shape.imports.iter();
                let found = imports.filter_map(|import| import.interface.as_ref()).find(own)?;
                Some(format!("it imports `{found}`, which only linkspan has"))
            })
        };
        if let Some(reason) = reason {
            diagnostics
                .error(stage.span, format!("stage `{}` can't be composed for other hosts", stage.id))
                .label(reason)
                .help("leave `--portable` out, or take the stage out of the pipeline");
        }
    }
}
