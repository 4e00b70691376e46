//! From a configuration to the inputs of a generation: `check` does this once, and a server or an embedding program at
//! its start and at each reload.

use super::tls::TlsSettings;
use crate::config::Diagnostics;
use crate::gateway::build::check_pipelines;
use crate::gateway::inputs::{Inputs, Natives, Tls, load_components, load_upstreams};
use crate::gateway::{Generation, Workshop, build};
use crate::plan::Plan;
use std::path::Path;

/// Reads `file` and all files that it names.
///
/// # Errors
/// Everything that is wrong with the text and the files, and, where the components could be read, with the stages.
pub fn gather(
    file: &Path,
    workshop: &Workshop,
    settings: &TlsSettings,
) -> Result<(Inputs, Diagnostics), Diagnostics> {
    read(crate::plan::survey(file), workshop, |plan, found| settings.load(plan, found), Natives::default())
}

/// Reads all files that a plan names; `tls` is for its listeners.
///
/// # Errors
/// The findings about the plan, and everything that is wrong with the files.
pub fn read(
    (plan, mut found): (Option<Plan>, Diagnostics),
    workshop: &Workshop,
    tls: impl FnOnce(&Plan, &mut Diagnostics) -> Vec<Option<Tls>>,
    natives: Natives,
) -> Result<(Inputs, Diagnostics), Diagnostics> {
    let Some(plan) = plan else { return Err(found) };
    let components = load_components(&plan, &workshop.shapes, &mut found);
    let tls = tls(&plan, &mut found);
    let upstreams = load_upstreams(&plan, &mut found);
    let inputs = Inputs { plan, components, tls, upstreams, natives };
    // With the earlier findings: one run shows all of them.
    check_pipelines(&inputs, &mut found);
    found.into_result(inputs)
}

/// Gathers the inputs in `file`, and builds them.
pub fn prepare(
    file: &Path,
    workshop: &Workshop,
    settings: &TlsSettings,
) -> Result<(Inputs, Generation, Diagnostics), Diagnostics> {
    let (inputs, mut warnings) = gather(file, workshop, settings)?;
    match build(&inputs, workshop) {
        Ok(generation) => Ok((inputs, generation, warnings)),
        Err(errors) => {
            warnings.extend(errors);
            Err(warnings)
        }
    }
}
