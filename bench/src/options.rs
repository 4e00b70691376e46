//! The options of `swap`.

use crate::Result;
use crate::arguments::Arguments;
use std::path::PathBuf;
use std::time::Duration;

pub const HELP: &str = "\
linkspan-bench swap [options]

Swaps configurations under load, and counts what that costs. Ends with 1 if a request failed or a swap was refused.

  --binary FILE      the gateway (target/release/linkspan)
  --components DIR   its components (components/dist)
  --swaps N          how many configurations are swapped in (10000)
  --seconds N        at most so long (600); as many swaps as fit
  --pace N           at most so many swaps a second (0: as fast as they go)
  --rate N           requests a second (1000)
  --workers N        the gateway's threads (as many as there are CPUs)
  --json             the figures as JSON on standard output, the table on standard error
";

/// The options.
#[derive(Debug)]
pub struct Options {
    pub binary: PathBuf,
    pub components: PathBuf,
    pub swaps: u64,
    pub time: Duration,
    pub pace: u64,
    pub rate: u64,
    pub workers: usize,
    pub json: bool,
}

impl Options {
    /// Reads the command line.
    pub fn parse(mut arguments: Arguments) -> Result<Self> {
        let options = Self {
            binary: arguments.text("--binary", "target/release/linkspan").into(),
            components: arguments.text("--components", "components/dist").into(),
            swaps: arguments.number("--swaps", 10_000.0)?.max(1.0) as u64,
            time: Duration::from_secs_f64(arguments.number("--seconds", 600.0)?.clamp(1.0, 24.0 * 3600.0)),
            pace: arguments.number("--pace", 0.0)?.max(0.0) as u64,
            rate: arguments.number("--rate", 1000.0)?.clamp(1.0, 1e6) as u64,
            workers: match arguments.number("--workers", 0.0)? {
                0.0 => std::thread::available_parallelism()?.get(),
                some => some.clamp(1.0, 256.0) as usize,
            },
            json: arguments.flag("--json"),
        };
        arguments.end(HELP)?;
        Ok(options)
    }
}
