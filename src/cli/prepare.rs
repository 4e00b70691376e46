//! From a file on disk to everything that a generation is built from: what `check`
//! does once, and `serve` at its start and at each reload.

use crate::component::Digest;
use crate::config::Diagnostics;
use crate::gateway::build::check_pipelines;
use crate::gateway::inputs::{Inputs, Tls, load_components, load_upstreams};
use crate::gateway::{Generation, Workshop, build};
use crate::net::TlsError;
use crate::plan::{Listener, Plan, TlsFiles};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// TLS settings that were made before, by the hash of their files: a reload that
/// does not touch them keeps their sessions.
#[derive(Default)]
pub(super) struct TlsSettings(Mutex<HashMap<Digest, Arc<ServerConfig>>>);

/// Settings that are remembered; with more, all are forgotten.
const MAX_SETTINGS: usize = 256;

impl TlsSettings {
    fn load(&self, files: &TlsFiles) -> Result<Tls, TlsError> {
        // What can't be read is told by the loader.
        let bytes = |path: &Path| std::fs::read(path).unwrap_or_default();
        let (certificate, key) = (bytes(&files.certificate), bytes(&files.key));
        let parts = [Digest::of(&certificate).0, Digest::of(&key).0].concat();
        let digest = Digest::of(&parts);
        let known = self.lock().get(&digest).cloned();
        let config = match known {
            Some(config) => config,
            None => crate::net::tls::load(&files.certificate, &files.key)?,
        };
        let mut settings = self.lock();
        if settings.len() >= MAX_SETTINGS {
            settings.clear();
        }
        settings.insert(digest, Arc::clone(&config));
        Ok(Tls { config, digest })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<ServerConfig>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    let tls = load_tls(&plan, settings, &mut found);
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

fn load_tls(plan: &Plan, settings: &TlsSettings, found: &mut Diagnostics) -> Vec<Option<Tls>> {
    let load = |listener: &Listener| {
        let files = listener.tls.as_ref()?;
        settings
            .load(files)
            .map_err(|error: TlsError| {
                let span = match is_about_key(&error, &files.key) {
                    true => files.key_span,
                    false => files.certificate_span,
                };
                found
                    .error(span, "the listener's certificate and key can't be used")
                    .label(error.to_string())
                    .help(
                        "both are PEM files: the certificate chain, and the private key that belongs to it",
                    );
            })
            .ok()
    };
    plan.listeners.iter().map(load).collect()
}

/// Whether the key is at fault: both keys of the table may name one file.
fn is_about_key(error: &TlsError, key: &Path) -> bool {
    match error {
        TlsError::NoCertificate { .. } | TlsError::BadCertificate { .. } => false,
        _ => error.file() == Some(key),
    }
}
