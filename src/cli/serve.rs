//! `linkspan serve`: the log, then a server until a signal.

use super::failed::Failed;
use crate::server::Server;
use crate::telemetry::log;
use std::io::IsTerminal as _;
use std::path::Path;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Format of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Runs the command.
pub(super) fn run(file: &Path, log_format: LogFormat) -> Result<(), Failed> {
    start_log(log_format)?;
    Ok(Server::build(file)?.run()?)
}

/// The log is there first, so that all that follows has a place to say what is wrong.
fn start_log(format: LogFormat) -> Result<(), Failed> {
    let format = match format {
        LogFormat::Text => log::LogFormat::Text { colours: std::io::stderr().is_terminal() },
        LogFormat::Json => log::LogFormat::Json,
    };
    log::start(format, filter()?).map_err(|error| Failed::system(format!("cannot start the log: {error}")))
}

/// `LINKSPAN_LOG=debug` or `LINKSPAN_LOG=linkspan::stage=trace`, as tracing's filters are written.
fn filter() -> Result<EnvFilter, Failed> {
    const NAME: &str = "LINKSPAN_LOG";
    let wrong = |error: &dyn std::fmt::Display| {
        Failed::usage(format!(
            "the environment variable {NAME} has a wrong filter: {error}\n\
             expected a level (error, warn, info, debug, trace, off), or TARGET=LEVEL, or several of them with commas"
        ))
    };
    match std::env::var(NAME) {
        Ok(text) if text.trim().is_empty() => Ok(EnvFilter::new("info")),
        Ok(text) => {
            // A level that is misspelt would be the name of a target, whose lines there are none of.
            let misspelt = |part: &&str| {
                !part.contains(['=', '[', ']', '{', '}']) && part.parse::<LevelFilter>().is_err()
            };
            match text.split(',').map(str::trim).find(misspelt) {
                Some(word) => Err(wrong(&format_args!("`{word}` is not a level"))),
                None => EnvFilter::builder().parse(&text).map_err(|error| wrong(&error)),
            }
        }
        Err(std::env::VarError::NotPresent) => Ok(EnvFilter::new("info")),
        Err(error) => Err(wrong(&error)),
    }
}
