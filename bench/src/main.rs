//! Measures a running gateway from outside: `linkspan-bench swap`.
//!
//! One process drives another: the gateway's binary, with a configuration that is written for the run, on ports of the
//! loopback interface that the system chooses. The load is open-loop: requests have a time at which they are to be sent,
//! whatever became of those before, and latency counts from that time, so that a gateway which stalls can't hide it.

mod client;
mod gateway;
mod load;
mod options;
mod report;
mod swap;
mod variants;

use std::process::ExitCode;

/// What goes wrong here ends the run, with a text.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let run = || {
        let options = options::Options::parse(std::env::args().skip(1))?;
        let Some(options) = options else { return Ok(true) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, swap::run(&options))
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
