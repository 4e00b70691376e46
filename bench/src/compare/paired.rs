//! `paired`: what a change costs a request, from many short turns of two builds beside each other.
//!
//! `compare` shows factors; a change of one percent is smaller than the luck of a process (where its code and its heap
//! came to lie) and than what a machine drifts by in a minute. Here each build is started anew many times, and within a
//! start the two take turns of half a second, forth and back. The figure of a start is the ratio of their CPU a request;
//! the interval is Student's, over the starts.

use super::configs::Chain;
use super::group::{Group, Running, expected};
use super::options::Options;
use super::scenario::{Contender, Scenario, Setup};
use super::scenarios;
use crate::Result;
use crate::arguments::Arguments;
use crate::drive::{Shape, closed};
use crate::machine::Cores;
use std::time::Duration;

pub const HELP: &str = "\
linkspan-bench paired --before FILE [options]

CPU a request of a build against another one, and of the same build with some and with all requests sampled. All have an
admin listener. Takes the options of compare; --rounds is the number of starts (10), --seconds a turn's length (0.5).

  --turns N          turns of each build in a start (12)
  --only NAMES       of compare's scenarios (service-empty,chain-8,upstream)
";

/// The builds, and how each of them samples. A build from before traces knows no such table.
const SIDES: [(&str, bool, &str); 4] = [
    ("before", true, ""),
    ("now, none sampled", false, "sample = 0.0"),
    ("now, 1 % sampled", false, "sample = 0.01\nsample-max = 1000000"),
    ("now, all sampled", false, "sample = 1.0\nsample-max = 1000000"),
];

/// The time in which a gateway compiles the stages that its first sampled requests want: that is no part of a request.
const COMPILING: Duration = Duration::from_secs(3);

/// Student's t for an interval of 95 %, by the number of starts, from 2 on.
const STUDENT: [f64; 19] = [
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11,
    2.10, 2.09,
];

/// Runs it; returns whether no request failed.
pub async fn run(mut arguments: Arguments) -> Result<bool> {
    let turns = (arguments.number("--turns", 12.0)? as u32).clamp(2, 1000);
    let defaults = ["--rounds", "10", "--seconds", "0.5", "--only", "service-empty,chain-8,upstream"];
    let options = Options::parse(arguments.after(&defaults), &[])?;
    if options.before.is_none() {
        return Err(format!("--before is missing\n\n{HELP}").into());
    }
    let cores = Cores::split();
    let mut good = true;
    for name in &options.only {
        let scenarios = scenarios::all();
        let scenario = scenarios.iter().find(|scenario| scenario.name == *name);
        let scenario = sided(scenario.ok_or_else(|| format!("there is no scenario {name}"))?)?;
        let mut sides: [Side; SIDES.len()] = Default::default();
        for start in 1..=options.rounds {
            eprintln!("==> {name}, start {start} of {}", options.rounds);
            measure(&options, cores, &scenario, turns, &mut sides).await?;
        }
        print!("{}", table(&scenario, &sides));
        good &= sides.iter().all(|side| side.failed == 0);
    }
    Ok(good)
}

/// The results of one side.
#[derive(Default)]
struct Side {
    /// Microseconds of CPU a request, of each start.
    cpu: Vec<f64>,
    requests: u64,
    failed: u64,
}

/// One start of all sides, with their turns: forth, and back.
async fn measure(
    options: &Options,
    cores: Option<Cores>,
    scenario: &Scenario,
    turns: u32,
    sides: &mut [Side],
) -> Result<()> {
    let Group { running, notes, .. } = &Group::start(options, cores, scenario).await?;
    if let Some(note) = notes.first() {
        return Err(note.clone().into());
    }
    let mut spent = vec![(Duration::ZERO, 0); running.len()];
    let shape = Shape { connections: options.connections, fresh: false };
    for turn in 0..=turns {
        if turn == 1 {
            tokio::time::sleep(COMPILING).await;
        }
        let order: Vec<usize> = match turn % 2 {
            0 => (0..running.len()).collect(),
            _ => (0..running.len()).rev().collect(),
        };
        for side in order {
            let Running { server, target, reply, .. } = &running[side];
            let (round, begin) =
                closed(target, expected(reply), shape, options.turn, || server.cpu()).await?;
            // The first turn warms up.
            if turn > 0 {
                spent[side].0 += server.cpu()? - begin;
                spent[side].1 += round.requests;
                sides[side].failed += round.failed;
                if let Some(why) = round.failures() {
                    eprintln!("note: {}: {why}", SIDES[side].0);
                }
            }
        }
    }
    for (side, (cpu, requests)) in sides.iter_mut().zip(spent) {
        side.cpu.push(cpu.as_secs_f64() * 1e6 / requests.max(1) as f64);
        side.requests += requests;
    }
    Ok(())
}

/// The scenario with the sides in place of its contenders.
fn sided(scenario: &Scenario) -> Result<Scenario> {
    let chain = scenario.contenders.iter().find_map(|contender| match &contender.setup {
        Setup::Linkspan(chain) => Some(chain),
        _ => None,
    });
    let chain = chain.ok_or("linkspan is not in this scenario")?;
    let contenders = SIDES.map(|(name, before, keys)| contender(name, before, keys, chain));
    Ok(Scenario { contenders: contenders.into(), ..scenario.clone() })
}

fn contender(name: &str, before: bool, keys: &str, chain: &Chain) -> Contender {
    let chain = chain.clone().beside("[admin]\naddress = \"127.0.0.1:0\"\n");
    let chain = if before { chain } else { chain.beside(&format!("[telemetry]\n{keys}\n")) };
    let setup = if before { Setup::Before(chain) } else { Setup::Linkspan(chain) };
    Contender { name: name.to_owned(), setup, like: "" }
}

/// The mean of the ratios of the starts, and half of the interval around it, both as logarithms.
fn ratio(side: &Side, first: &Side) -> (f64, f64) {
    let logs: Vec<f64> = side.cpu.iter().zip(&first.cpu).map(|(cpu, first)| (cpu / first).ln()).collect();
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let student = STUDENT.get(logs.len().saturating_sub(2)).copied().unwrap_or(1.96);
    (mean, student * (variance / count).sqrt())
}

fn table(scenario: &Scenario, sides: &[Side]) -> String {
    let starts = sides[0].cpu.len();
    let mut text = format!(
        "\n### {}\n\n| build | µs CPU a request | against before | against none sampled | requests | failed |\n\
         | --- | --: | --: | --: | --: | --: |\n",
        scenario.title
    );
    for ((name, ..), side) in SIDES.iter().zip(sides) {
        let against = |first: &Side| {
            let (mean, half) = ratio(side, first);
            let percent = |log: f64| (log.exp() - 1.0) * 100.0;
            format!("{:+.2} % ({:+.2} to {:+.2})", percent(mean), percent(mean - half), percent(mean + half))
        };
        let cpu = side.cpu.iter().sum::<f64>() / starts as f64;
        text += &format!(
            "| {name} | {cpu:.3} | {} | {} | {} | {} |\n",
            against(&sides[0]),
            against(&sides[1]),
            side.requests,
            side.failed
        );
    }
    text + &format!("\nIn parentheses the interval of 95 %, over {starts} starts.\n")
}
