//! `compare`: linkspan beside other servers, on the same work, in the same run.
//!
//! The servers of a scenario run at once, on one core, and have their turns one after the other, round after round, so
//! that a machine whose speed drifts slows all of them; the load comes from another core. Before they are measured, all
//! must answer alike: status, body, and every field that does not belong to a server.

pub mod configs;
mod filter;
mod filters;
mod group;
mod options;
pub mod paired;
mod peers;
mod real;
mod reload;
mod report;
mod scenario;
mod scenarios;

pub use self::group::with_file;
use self::group::{Group, expected};
pub use self::options::HELP;
use self::options::Options;
pub use self::peers::Peers;
use self::report::{Report, Table};
use self::scenario::Scenario;
use crate::Result;
use crate::arguments::Arguments;
use crate::drive::{Shape, open};
use crate::machine::Cores;
use std::time::Instant;

/// Scenarios of the quick form.
const QUICK: [&str; 7] =
    ["service-empty", "chain-8", "fresh-8", "tls-h1", "upstream", filters::NAME, reload::NAME];

/// Runs the comparison; returns whether it has any figures.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let options = Options::parse(arguments, &QUICK)?;
    for missing in &options.peers.missing {
        eprintln!("==> without {missing}");
    }
    let scenarios = scenarios::all();
    let names = scenarios.iter().map(|scenario| scenario.name.as_str());
    let names: Vec<_> = names.chain([filters::NAME, reload::NAME]).collect();
    if let Some(unknown) = options.only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("there is no scenario {unknown}; there are {}", names.join(", ")).into());
    }
    let cores = Cores::split();
    if cores.is_none() {
        eprintln!("==> nothing is pinned: there is one core, or no taskset");
    }
    let mut report = Report::new(&options, cores);
    let start = Instant::now();
    let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
    let wanted = names.iter().filter(|name| options.only.is_empty() || options.only.contains(name));
    for name in wanted {
        if Instant::now() > options.until {
            report.notes.push(format!("{name}: not run, the time was over"));
            continue;
        }
        eprintln!("==> {name}, after {:.1} min", start.elapsed().as_secs_f64() / 60.0);
        let notes = match scenarios.iter().find(|scenario| scenario.name == *name) {
            Some(scenario) => measure(&options, cores, scenario).await.map(|table| report.table(table)),
            None if name == filters::NAME => {
                filters::measure(&options, cores).await.map(|section| report.section(section))
            }
            None => reload::measure(&options, cores).await.map(|section| report.section(section)),
        };
        match notes {
            Ok(notes) => report.notes.extend(notes.iter().map(|note| format!("{name}: {note}"))),
            Err(error) => report.notes.push(format!("{name}: {error}")),
        }
        // The results so far outlive a run that is broken off.
        report.write(&options.output)?;
    }
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    report.write(&options.output)?;
    eprintln!("==> {}", options.output.display());
    Ok(report.has_figures())
}

async fn measure(options: &Options, cores: Option<Cores>, scenario: &Scenario) -> Result<Table> {
    let mut table = Table::new(scenario);
    let with_before = options.before.as_ref().map(|_| scenario.clone().with_before());
    let scenario = with_before.as_ref().unwrap_or(scenario);
    let mut group = Group::start(options, cores, scenario).await?;
    group.closed(options, Shape { connections: options.connections, fresh: scenario.fresh }).await?;
    table.notes.append(&mut group.notes);
    // At half of the rate of the slowest one, the same for all.
    let slowest =
        group.running.iter().map(|contender| contender.figures.rate()).fold(f64::INFINITY, f64::min);
    let rate = slowest / 2.0;
    if rate.is_finite() && rate > 1.0 && !scenario.fresh {
        table.rate = Some(rate);
        for _ in 0..options.rounds {
            for contender in &mut group.running {
                let (target, expected) = (&contender.target, expected(&contender.reply));
                let cpu = || contender.server.cpu();
                let (found, before) =
                    open(target, expected, options.connections, rate, options.turn, cpu).await?;
                contender.figures.open(&found, contender.server.cpu()? - before);
            }
        }
    }
    for contender in &mut group.running {
        let figures = &mut contender.figures;
        (figures.resident, figures.most_resident) = contender.server.resident()?;
        table.rows.push((contender.name.clone(), figures.clone()));
    }
    Ok(table)
}
