//! The command line: one file per command. Errors become text and exit codes here and nowhere else.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | the command succeeded; `serve` stopped after every request had finished |
//! | 1 | the configuration, a component or a composition is wrong, as printed |
//! | 2 | the command line or the variable `LINKSPAN_LOG` is wrong |
//! | 3 | the system refused something: an address is in use, a file can't be written |
//! | 4 | `serve` stopped, and had to cut requests that did not finish in time |
//! | 5 | linkspan panicked, which is a defect of linkspan, whatever the input was |

mod admin;
mod against;
mod bench;
mod check;
mod compose;
mod exchange;
mod failed;
mod inspect;
mod portable;
mod schema;
mod serve;
mod standard;
mod top;
mod trace;

use crate::chain::panics;
use crate::telemetry::log;
use clap::{Parser, Subcommand};
use failed::Failed;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// In-process middleware composition gateway.
#[derive(Debug, Parser)]
#[command(name = "linkspan", version, about, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// How long the end waits for whoever reads standard error.
const LAST_WORDS: Duration = Duration::from_secs(1);

const EXIT_CODES: &str = "Exit codes: 0 success; 1 the configuration or a component is wrong; 2 the command \
line is wrong; 3 the system refused something; 4 stopped with requests cut off; 5 a defect of linkspan";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the pipelines of a configuration
    Serve {
        /// The configuration, in TOML
        file: PathBuf,
        /// Format of the log lines
        #[arg(long, value_enum, default_value_t = serve::LogFormat::Text)]
        log_format: serve::LogFormat,
    },
    /// Report everything that is wrong with a configuration
    Check {
        /// The configuration, in TOML
        file: PathBuf,
        /// Format of the findings
        #[arg(long, value_enum, default_value_t = check::Format::Text)]
        format: check::Format,
        /// The admin listener of a running gateway (`http://HOST:PORT`): report what a reload would change there
        #[arg(long)]
        against: Option<String>,
        #[command(flatten)]
        token: admin::TokenFrom,
    },
    /// Write a pipeline as one component
    Compose {
        /// The configuration, in TOML
        file: PathBuf,
        /// The pipeline's name
        #[arg(long)]
        pipeline: String,
        /// Where to write the component
        #[arg(short, long)]
        output: PathBuf,
        #[command(flatten)]
        options: compose::Options,
    },
    /// Show what a component imports, exports and needs
    Inspect {
        /// The component
        component: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the components that linkspan brings, for `component = "std:NAME"`
    Std {
        #[command(subcommand)]
        what: standard::Wanted,
    },
    /// Measure costs in this process
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema {
        /// A configuration, in TOML: adds the stages' `config` as its components describe it
        file: Option<PathBuf>,
    },
    /// Show a running gateway live: its pipelines and their stages, upstreams, generations and traces
    Top(top::Options),
    /// Show what each stage of a running gateway did with one request
    Trace(trace::Options),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::log_panics();
    panics::tell_instead_of_printing();
    let result = panics::caught(|| run(arguments.command));
    match result.unwrap_or_else(|panicked| Err(Failed { message: panicked.to_string(), code: 5 })) {
        Ok(()) => {
            log::close(LAST_WORDS);
            ExitCode::SUCCESS
        }
        Err(failed) => {
            let message = format!("{}\n", failed.message.trim_end());
            if !log::say(&message) {
                eprint!("{message}");
            }
            log::close(LAST_WORDS);
            ExitCode::from(failed.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failed> {
    match command {
        Command::Serve { file, log_format } => serve::run(&file, log_format),
        Command::Check { file, format, against, token } => {
            check::run(&file, format, against.as_deref(), &token)
        }
        Command::Compose { file, pipeline, output, options } => {
            compose::run(&file, &pipeline, &output, &options)
        }
        Command::Inspect { component, json } => inspect::run(&component, json),
        Command::Std { what } => standard::run(&what),
        Command::Bench { what } => bench::run(&what),
        Command::Schema { file } => schema::run(file.as_deref()),
        Command::Top(options) => top::run(&options),
        Command::Trace(options) => trace::run(&options),
    }
}
