//! `linkspan compose`: a pipeline as one component, as linkspan would compile it or for other hosts.

use super::check::counted;
use super::failed::Failed;
use super::portable;
use crate::chain::Naming;
use crate::component::Digest;
use crate::config::Severity;
use crate::gateway::build::{check_pipelines, compose_stages};
use crate::gateway::inputs::{Inputs, Shapes, load_components, load_components_elsewhere};
use crate::plan::{PipelineIndex, Plan, Relift};
use std::path::Path;

/// How a pipeline is written.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Import plain interfaces only, so that other hosts can run it. Parts that only linkspan supports are an error
    #[arg(long)]
    portable: bool,
    /// With `--portable`: leave out parts that only linkspan supports (limits, failure policies, an upstream), with a
    /// warning
    #[arg(long, requires = "portable")]
    lossy: bool,
    /// With `--portable`: rewrite async lifts to sync ones where the file's `lift` allows it; `"auto"` does wherever that is
    /// proven to change nothing
    #[arg(long)]
    relift: bool,
}

/// Runs the command.
pub(super) fn run(file: &Path, name: &str, output: &Path, options: &Options) -> Result<(), Failed> {
    let (mut plan, _) = crate::plan::load(file).map_err(Failed::wrong)?;
    let index = find_pipeline(&plan, name)?;
    let as_is = options.portable && !options.relift;
    if as_is {
        leave_lifts(&mut plan, index);
    }
    let pipeline = plan.pipeline(index);
    let mut diagnostics = plan.diagnostics();
    let load = if options.portable { load_components_elsewhere } else { load_components };
    let components = load(&plan, &Shapes::default(), &mut diagnostics);
    let naming = match options.portable {
        true => {
            let lost = if options.lossy { Severity::Warning } else { Severity::Error };
            portable::check(&plan, pipeline, &components, lost, &mut diagnostics);
            Naming::Portable
        }
        false => Naming::PerStage,
    };
    let inputs = Inputs::bare(plan, components);
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
    eprint!("{diagnostics}");
    for (stage, component) in &stages {
        if component.relifted {
            println!("stage `{}`: {}", stage.id, lifted(components.is_trial(stage), options.portable));
        }
    }
    let (size, digest) = (composed.bytes.len(), Digest::of(&composed.bytes));
    let stages = counted(stages.len(), "stage");
    println!("{}: {stages}, {size} bytes, sha256 {digest}", output.display());
    Ok(())
}

/// Lets the components of a pipeline be as their authors made them.
fn leave_lifts(plan: &mut Plan, index: PipelineIndex) {
    let Some(pipeline) = plan.pipelines.get_mut(index.0) else { return };
    for stage in pipeline.all_stages_mut() {
        (stage.lift, stage.lift_span) = (Relift::AsIs, None);
    }
}

fn lifted(on_trial: bool, portable: bool) -> &'static str {
    match (on_trial, portable) {
        (false, _) => "lifted synchronously",
        (true, false) => "lifted synchronously, on trial",
        (true, true) => {
            "lifted synchronously, on trial: a request in which it writes a stream or future after its answer traps, \
             and no other host goes back to its original form"
        }
    }
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
