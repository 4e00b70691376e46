//! From a file, or a text, to a plan.

use std::path::Path;
use std::sync::Arc;

use super::{Plan, Surroundings, lower};
use crate::config::{self, Diagnostics, SourceFile};

/// Reads and checks the configuration at `path`: the plan with its warnings, or everything that is wrong.
///
/// Environment variables are those of the process; a variable that is not UTF-8 counts as not set.
pub fn load(path: &Path) -> Result<(Plan, Diagnostics), Diagnostics> {
    lower::lower(config::read(path)?, &Surroundings::process())
}

/// Like [`load`], but returns the valid parts of the plan even if others are wrong, so that the contents of components,
/// of which the plan knows nothing, can be checked in the same run. Wrong parts are left out or replaced; such a plan
/// serves to find more mistakes, and for nothing else.
pub fn survey(path: &Path) -> (Option<Plan>, Diagnostics) {
    match config::read(path) {
        Ok(source) => survey_source(source, &Surroundings::process()),
        Err(diagnostics) => (None, diagnostics),
    }
}

/// Like [`survey`], for a text in memory and its surroundings.
pub fn survey_source(source: Arc<SourceFile>, around: &Surroundings<'_>) -> (Option<Plan>, Diagnostics) {
    match too_large(&source) {
        Some(diagnostics) => (None, diagnostics),
        None => lower::survey(source, around),
    }
}

/// Checks `text` as if it stood in the file `path`, taking environment variables from `env_lookup`.
///
/// Files that the text names are looked up relative to the folder of `path`; `path` itself is not read.
pub fn parse(
    path: &Path,
    text: &str,
    env_lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    let source = Arc::new(SourceFile::new(path, text));
    match too_large(&source) {
        Some(diagnostics) => Err(diagnostics),
        None => lower::lower(source, &Surroundings { env: env_lookup, program: None }),
    }
}

fn too_large(source: &Arc<SourceFile>) -> Option<Diagnostics> {
    let limit = config::format_size(config::MAX_FILE_SIZE as u64);
    (source.text().len() > config::MAX_FILE_SIZE).then(|| {
        let mut diagnostics = Diagnostics::new(Arc::clone(source));
        diagnostics.error(None, format!("the configuration is larger than {limit}"));
        diagnostics
    })
}
