//! Measures running gateways from outside: `linkspan-bench compare`, `paired`, `scale` and `swap`.
//!
//! One process drives another: the gateway's binary, with a configuration that is written for the run, on ports of the
//! loopback interface that the system chooses. The load is open-loop: requests have a time at which they are to be
//! sent, whatever became of those before, and latency counts from that time, so that a gateway which stalls can't hide
//! it.

mod arguments;
mod client;
mod compare;
mod drive;
mod gateway;
mod load;
mod machine;
mod options;
mod report;
mod result;
mod scale;
mod server;
mod svg;
mod swap;
mod variants;
mod wire;

use arguments::Arguments;
use result::Result;
use std::process::ExitCode;

fn main() -> ExitCode {
    let run = || {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let asked = |word: &str| arguments.iter().any(|argument| argument == word);
        if asked("--help") || asked("-h") || arguments.first().is_some_and(|first| first == "help") {
            print!("{}", help());
            return Ok(true);
        }
        let Some((name, rest)) = arguments.split_first() else {
            return Err(format!("which benchmark?\n\n{}", help()).into());
        };
        let rest = Arguments::of(rest);
        // Sockets are looked at each time the load has had its turn: it spins.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()?;
        let local = tokio::task::LocalSet::new();
        match name.as_str() {
            "compare" => local.block_on(&runtime, compare::run(rest)),
            "paired" => local.block_on(&runtime, compare::paired::run(rest)),
            "scale" => local.block_on(&runtime, scale::run(rest)),
            "swap" => local.block_on(&runtime, swap::run(&options::Options::parse(rest)?)),
            other => Err(format!("there is no benchmark {other}\n\n{}", help()).into()),
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

fn help() -> String {
    format!("{}\n{}\n{}\n{}", options::HELP, compare::HELP, compare::paired::HELP, scale::HELP)
}
