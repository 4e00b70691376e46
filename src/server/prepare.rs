//! From a configuration to the inputs of a generation: `check` does this once, and a server or an embedding program at
//! its start and at each reload.

use super::tls::TlsSettings;
use crate::config::Diagnostics;
use crate::gateway::build::check_pipelines;
use crate::gateway::inputs::{
    Inputs, Natives, Refused, Tls, load_components, load_upstreams, looks_at_files,
};
use crate::gateway::watch::{Look, look};
use crate::gateway::{Generation, Workshop, build};
use crate::plan::Plan;
use std::path::Path;
use std::sync::Arc;

/// Reads `file` and all files that it names.
///
/// # Errors
/// Everything that is wrong with the text and the files, and, where the components could be read, with the stages.
pub fn gather(
    file: &Path,
    workshop: &Workshop,
    settings: &TlsSettings,
) -> Result<(Inputs, Diagnostics), Refused> {
    let before = look(file);
    read(
        before,
        crate::plan::survey(file),
        workshop,
        |plan, found| settings.load(plan, found),
        Natives::default(),
    )
}

/// Reads all files that a plan names; `tls` is for its listeners. `file` is the state of the configuration's own file before
/// the plan was made.
///
/// # Errors
/// The findings about the plan, and everything that is wrong with the files.
pub fn read(
    file: Look,
    (plan, mut found): (Option<Plan>, Diagnostics),
    workshop: &Workshop,
    tls: impl FnOnce(&Plan, &mut Diagnostics) -> Vec<Option<Tls>>,
    natives: Natives,
) -> Result<(Inputs, Diagnostics), Refused> {
    let Some(plan) = plan else { return Err(found.into()) };
    let mut looks = looks_at_files(&plan);
    looks.insert(0, (plan.file.clone(), file));
    let looks = Arc::new(looks);
    let components = load_components(&plan, &workshop.shapes, &mut found);
    let tls = tls(&plan, &mut found);
    let upstreams = load_upstreams(&plan, &mut found);
    let inputs = Inputs { plan, components, tls, upstreams, natives, looks: Arc::clone(&looks) };
    // With the earlier findings: one run shows all of them.
    check_pipelines(&inputs, &mut found);
    found.into_result(inputs).map_err(|findings| Refused::after(looks.to_vec(), findings))
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
