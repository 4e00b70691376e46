//! `linkspan bench`: what a hop costs, what a pipeline does and what a call does, measured in this process.

use super::compose::find_pipeline;
use super::failed::{Failed, print};
use crate::gateway::Workshop;
use crate::measure::{Failure, calls, hops, micro, pipeline};
use crate::server::prepare::gather;
use crate::server::tls::TlsSettings;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// The cost of a hop, with sync and with async guests
    Hops(hops::Options),
    /// The parts of a hop's cost
    Micro(micro::Options),
    /// The cost of a pipeline, and of each of its stages
    Pipeline(Pipeline),
    /// The cost of a call of another service, by name and over the loopback network
    Calls(calls::Options),
}

#[derive(Debug, Args)]
pub(super) struct Pipeline {
    /// The configuration, in TOML
    file: PathBuf,
    #[command(flatten)]
    options: pipeline::Options,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Wrong(message) => Self::wrong(message),
            Failure::System(message) => Self::system(message),
        }
    }
}

/// Runs the command.
pub(super) fn run(what: &Bench) -> Result<(), Failed> {
    let text = match what {
        Bench::Hops(options) => hops::run(options)?,
        Bench::Micro(options) => micro::run(options)?,
        Bench::Pipeline(what) => {
            let (inputs, warnings) = gather(&what.file, &Workshop::default(), &TlsSettings::default())
                .map_err(|refused| Failed::wrong(refused.findings))?;
            eprint!("{warnings}");
            let index = find_pipeline(&inputs.plan, &what.options.pipeline)?;
            pipeline::run(&what.options, inputs, index)?
        }
        Bench::Calls(options) => calls::run(options)?,
    };
    print(&text)
}
