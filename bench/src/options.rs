//! The command line.

use crate::Result;
use std::path::PathBuf;
use std::time::Duration;

const HELP: &str = "\
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

/// What is wanted.
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
    /// Reads arguments; `None` if only help was asked for, which is then given.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        match arguments.next().as_deref() {
            Some("swap") => {}
            Some("help" | "--help" | "-h") => {
                print!("{HELP}\n{}\n{}", crate::compare::HELP, crate::scale::HELP);
                return Ok(None);
            }
            _ => return Err(format!("which benchmark?\n\n{HELP}").into()),
        }
        let mut options = Self {
            binary: "target/release/linkspan".into(),
            components: "components/dist".into(),
            swaps: 10_000,
            time: Duration::from_secs(600),
            pace: 0,
            rate: 1000,
            workers: std::thread::available_parallelism()?.get(),
            json: false,
        };
        while let Some(name) = arguments.next() {
            if name == "--json" {
                options.json = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n\n{HELP}"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
            match name.as_str() {
                "--binary" => options.binary = value.into(),
                "--components" => options.components = value.into(),
                "--swaps" => options.swaps = number()?.max(1),
                "--seconds" => options.time = Duration::from_secs(number()?.clamp(1, 24 * 3600)),
                "--pace" => options.pace = number()?,
                "--rate" => options.rate = number()?.clamp(1, 1_000_000),
                "--workers" => options.workers = usize::try_from(number()?)?.clamp(1, 256),
                _ => return Err(format!("there is no {name}\n\n{HELP}").into()),
            }
        }
        Ok(Some(options))
    }
}

/// Arguments that are taken by name.
pub struct Arguments(Vec<String>);

impl Arguments {
    pub fn of(arguments: &[String]) -> Self {
        Self(arguments.to_vec())
    }

    /// Whether a flag is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|argument| argument == name);
        found.map(|at| self.0.remove(at)).is_some()
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|argument| argument == name).filter(|at| at + 1 < self.0.len())?;
        self.0.remove(at);
        Some(self.0.remove(at))
    }

    /// The text behind a name; the last one, so that who starts this can be contradicted.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        let mut found = default.to_owned();
        while let Some(text) = self.value(name) {
            found = text;
        }
        found
    }

    /// The number behind a name.
    pub fn number(&mut self, name: &str, default: f64) -> Result<f64> {
        let text = self.text(name, &default.to_string());
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("{name} {text}: not a number").into()),
        }
    }

    /// Whatever was not taken is wrong.
    pub fn end(self, help: &str) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(other) => Err(format!("there is no {other}, or it needs a value\n\n{help}").into()),
        }
    }
}
