//! Measures running gateways from outside: `linkspan-bench compare`, `scale` and `swap`.
//!
//! One process drives another: the gateway's binary, with a configuration that is written for the run, on ports of the
//! loopback interface that the system chooses. The load is open-loop: requests have a time at which they are to be sent,
//! whatever became of those before, and latency counts from that time, so that a gateway which stalls can't hide it.

mod client;
mod compare;
mod drive;
mod gateway;
mod load;
mod machine;
mod options;
mod report;
mod scale;
mod server;
mod svg;
mod swap;
mod variants;
mod wire;

use options::Arguments;
use std::process::ExitCode;

/// What goes wrong here ends the run, with a text.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let run = || {
        let mut arguments: Vec<String> = std::env::args().skip(1).collect();
        if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
            arguments = vec!["help".to_owned()];
        }
        // Sockets are looked at each time the load has had its turn: it spins.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()?;
        let local = tokio::task::LocalSet::new();
        match arguments.first().map(String::as_str) {
            Some("compare") => local.block_on(&runtime, compare::run(Arguments::of(&arguments[1..]))),
            Some("scale") => local.block_on(&runtime, scale::run(Arguments::of(&arguments[1..]))),
            _ => {
                let options = options::Options::parse(arguments.into_iter())?;
                let Some(options) = options else { return Ok(true) };
                local.block_on(&runtime, swap::run(&options))
            }
        }
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        // The report has said what.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
