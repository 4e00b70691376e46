//! `linkspan check`: everything that `serve` would refuse, and all of it at once.

use super::Failed;
use crate::config::Diagnostics;
use crate::gateway::Generation;
use crate::host::Limiters;
use crate::net::TlsError;
use crate::plan::{Listener, Plan, TlsFiles};
use rustls::ServerConfig;
use std::path::Path;
use std::sync::Arc;

/// How findings look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// With the line and a caret
    Text,
    /// An array, for programs
    Json,
}

/// What a configuration becomes when nothing is wrong with it.
pub(super) struct Ready {
    pub generation: Generation,
    /// One for each listener of the plan.
    pub tls: Vec<Option<Arc<ServerConfig>>>,
    pub warnings: Diagnostics,
}

/// Builds all that `file` describes, without serving it.
pub(super) fn prepare(file: &Path, limiters: &Limiters) -> Result<Ready, Diagnostics> {
    let (plan, mut warnings) = crate::plan::load(file)?;
    let (tls, mut found) = load_tls(&plan);
    match crate::gateway::build(plan, limiters) {
        Ok(generation) if !found.has_errors() => Ok(Ready { generation, tls, warnings }),
        Ok(_) => {
            warnings.extend(found);
            Err(warnings)
        }
        Err(errors) => {
            found.extend(errors);
            warnings.extend(found);
            Err(warnings)
        }
    }
}

fn load_tls(plan: &Plan) -> (Vec<Option<Arc<ServerConfig>>>, Diagnostics) {
    let mut diagnostics = plan.diagnostics();
    let mut load = |listener: &Listener| {
        let TlsFiles { certificate, key, certificate_span, key_span } = listener.tls.as_ref()?;
        crate::net::tls::load(certificate, key)
            .map_err(|error: TlsError| {
                let span = if is_about_key(&error, key) { *key_span } else { *certificate_span };
                diagnostics
                    .error(span, "the listener's certificate and key can't be used")
                    .label(error.to_string())
                    .help("both are PEM files: the certificate chain, and the private key that belongs to it");
            })
            .ok()
    };
    let tls = plan.listeners.iter().map(&mut load).collect();
    (tls, diagnostics)
}

/// Whether the key is at fault: both keys of the table may name one file.
fn is_about_key(error: &TlsError, key: &Path) -> bool {
    match error {
        TlsError::NoCertificate { .. } | TlsError::BadCertificate { .. } => false,
        _ => error.file() == Some(key),
    }
}

/// `1 error`, `2 errors`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Runs the command.
pub(super) fn run(file: &Path, format: Format) -> Result<(), Failed> {
    let (found, summary) = match prepare(file, &Limiters::default()) {
        Ok(ready) => {
            let plan = &ready.generation.plan;
            let summary = format!(
                "{}: {}, {}, {}",
                file.display(),
                counted(plan.pipelines.len(), "pipeline"),
                counted(plan.routes.len(), "route"),
                counted(plan.listeners.len(), "listener"),
            );
            (ready.warnings, Some(summary))
        }
        Err(found) => (found, None),
    };
    match format {
        Format::Json => println!("{:#}", found.to_json()),
        Format::Text => {
            eprint!("{found}");
            if let Some(summary) = &summary {
                println!("{summary}");
            }
        }
    }
    match summary {
        Some(_) => Ok(()),
        None => Err(Failed::wrong(format!("{}: {}", file.display(), counted(found.errors(), "error")))),
    }
}
