//! The options of `compare`.

use super::peers::Peers;
use crate::Result;
use crate::arguments::Arguments;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const HELP: &str = "\
linkspan-bench compare [options]

Compares linkspan with wasmtime serve, Envoy, nginx and HAProxy, as far as they are there or can be installed.

  --binary FILE      the gateway (target/release/linkspan)
  --before FILE      another build of it, which is measured beside it in every scenario
  --components DIR   its components (components/dist)
  --peers DIR        where peers are installed (target/peers)
  --no-install       use what is there; else wheels are unpacked into that folder, and root
                     installs Debian's nginx and haproxy where they are missing
  --only NAMES       these scenarios, with commas between them
  --rounds N         turns of each server (5)
  --seconds N        of a turn (2), and of one with an open-loop load
  --connections N    of the load (32)
  --minutes N        at most so long; scenarios that are left then are not run (60)
  --output DIR       where results go (bench/results/<date>-<machine>)
  --quick            2 rounds of half a second, and the shortest list of scenarios
";

/// The options.
pub struct Options {
    pub binary: PathBuf,
    pub before: Option<PathBuf>,
    pub components: PathBuf,
    pub only: Vec<String>,
    pub rounds: u32,
    pub turn: Duration,
    pub connections: usize,
    pub until: Instant,
    pub output: PathBuf,
    pub peers: Peers,
}

impl Options {
    /// Reads the command line. `quick_form` names the scenarios of the quick form.
    pub fn parse(mut arguments: Arguments, quick_form: &[&str]) -> Result<Self> {
        let quick = arguments.flag("--quick");
        let install = !arguments.flag("--no-install");
        let folder: PathBuf = arguments.text("--peers", "target/peers").into();
        let before = arguments.text("--before", "");
        let only = arguments.text("--only", if quick { "quick" } else { "" });
        let only: Vec<String> = match only.as_str() {
            "quick" => quick_form.iter().map(|name| (*name).to_owned()).collect(),
            names => names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        };
        let output = format!("bench/results/{}-{}", crate::machine::date(), crate::machine::name());
        let options = Self {
            binary: arguments.text("--binary", "target/release/linkspan").into(),
            before: (!before.is_empty()).then(|| before.into()),
            components: arguments.text("--components", "components/dist").into(),
            only,
            rounds: u32::try_from(arguments.number("--rounds", if quick { 2.0 } else { 5.0 })? as u64)?
                .clamp(1, 1000),
            turn: Duration::from_secs_f64(
                arguments.number("--seconds", if quick { 0.5 } else { 2.0 })?.clamp(0.1, 600.0),
            ),
            connections: (arguments.number("--connections", 32.0)? as usize).clamp(1, 1000),
            until: Instant::now()
                + Duration::from_secs_f64(60.0 * arguments.number("--minutes", 60.0)?.clamp(0.1, 1440.0)),
            output: arguments.text("--output", &output).into(),
            peers: Peers::find(&folder, install),
        };
        arguments.end(HELP)?;
        Ok(options)
    }
}
