//! `linkspan check`: reports everything that `serve` would refuse, at once.

use super::admin::TokenFrom;
use super::against::compare;
use super::failed::{Failed, print};
use crate::gateway::Workshop;
use crate::server::forms;
use crate::server::prepare::prepare;
use crate::server::tls::TlsSettings;
use std::path::Path;

/// Format of the findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// With the line and a caret
    Text,
    /// An array, for programs
    Json,
}

/// `1 error`, `2 errors`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Runs the command.
pub(super) fn run(
    file: &Path,
    format: Format,
    against: Option<&str>,
    token: &TokenFrom,
) -> Result<(), Failed> {
    let prepared = prepare(file, &Workshop::default(), &TlsSettings::default());
    let (found, summary) = match prepared {
        Ok((inputs, generation, warnings)) => {
            let plan = &inputs.plan;
            let summary = format!(
                "{}: {}, {}, {}",
                file.display(),
                counted(plan.pipelines.len(), "pipeline"),
                counted(plan.routes.len(), "route"),
                counted(plan.listeners.len(), "listener"),
            );
            let forms = plan
                .pipelines
                .iter()
                .zip(generation.beginnings())
                .filter_map(|(pipeline, first)| Some(format!("{}: {}\n", pipeline.name, forms(first)?)));
            let summary = format!("{summary}\n{}", forms.collect::<String>());
            let changes = match against {
                Some(url) => compare(&generation, url, token.read()?.as_deref())?,
                None => String::new(),
            };
            (warnings, Some(summary + &changes))
        }
        Err(found) => (found, None),
    };
    match format {
        Format::Json => print(&format!("{:#}\n", found.to_json()))?,
        Format::Text => {
            eprint!("{found}");
            if let Some(summary) = &summary {
                print(summary)?;
            }
        }
    }
    match summary {
        Some(_) => Ok(()),
        None => Err(Failed::wrong(format!("{}: {}", file.display(), counted(found.errors(), "error")))),
    }
}
