//! From a file on disk to everything that a generation is built from: what `check`
//! does once, and `serve` at its start and at each reload.

use super::tls::TlsSettings;
use crate::config::Diagnostics;
use crate::gateway::build::check_pipelines;
use crate::gateway::inputs::{Inputs, load_components, load_upstreams};
use crate::gateway::{Generation, Workshop, build};
use std::path::Path;
use std::sync::Arc;

/// Reads `file` and all that it names.
///
/// # Errors
/// Everything that is wrong with the text and the files, and, where the components
/// could be read, with the stages.
pub(super) fn gather(
    file: &Path,
    workshop: &Workshop,
    settings: &TlsSettings,
) -> Result<(Inputs, Diagnostics), Diagnostics> {
    let (plan, mut found) = crate::plan::survey(file);
    let Some(plan) = plan else { return Err(found) };
    let components = load_components(&plan, &workshop.shapes, &mut found);
    let tls = settings.load(&plan, &mut found);
    let upstreams = load_upstreams(&plan, &mut found);
    let inputs = Inputs { plan, components, tls, upstreams, natives: Arc::default() };
    if found.has_errors() {
        // One run shows all of it.
        check_pipelines(&inputs, &mut found);
        return Err(found);
    }
    Ok((inputs, found))
}

/// Gathers and builds what `file` describes.
pub(super) fn prepare(
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
