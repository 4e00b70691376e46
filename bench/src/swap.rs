//! `swap`: the same load twice, first on one configuration, then while configurations are swapped.

use crate::Result;
use crate::client::Network;
use crate::gateway::Gateway;
use crate::load::{Load, Span};
use crate::options::Options;
use crate::report::{Phase, Report, Swaps};
use crate::variants::Folder;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Swaps after which memory and files are looked at first: then everything has been used once, and allocators have
/// grown.
const WARM: u64 = 50;
/// The run without swaps lasts as long as the one with them, at most this.
const BASELINE: Duration = Duration::from_secs(30);

/// Runs it; says whether everything was right.
pub async fn run(options: &Options) -> Result<bool> {
    let folder = Folder::new(&options.components, options.workers)?;
    folder.write(0)?;
    let gateway = Gateway::start(&options.binary, &folder.file())?;
    let network = || Network::new(gateway.address, &folder.certificates);
    let span = Rc::new(Span::default());
    let (_, version) = gateway.ask("GET", "/version").await?;

    // First answers, and every shape once, are not measured.
    let load = Load::start(network()?, options.rate, Rc::clone(&span));
    let mut swapper =
        Swapper { gateway: &gateway, folder: &folder, span: &span, next: 1, swaps: Swaps::default() };
    for _ in 0..WARM.min(options.swaps) {
        swapper.swap().await?;
    }
    let warming = load.stop().await?;
    gateway.settle().await?;

    let load = Load::start(network()?, options.rate, Rc::clone(&span));
    tokio::time::sleep(BASELINE.min(options.time)).await;
    let start = load.start;
    let still = Phase::of(start, &*load.stop().await?);
    gateway.settle().await?;
    let before = gateway.usage()?;

    let load = Load::start(network()?, options.rate, Rc::clone(&span));
    let (start, mut wanted) = (load.start, options.swaps);
    while wanted > 0 && start.elapsed() < options.time {
        swapper.swap().await?;
        wanted -= 1;
        if let Some(pause) = 1_000_000_000_u64.checked_div(options.pace) {
            let due = Duration::from_nanos((options.swaps - wanted) * pause);
            tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut swapping = Phase::of(start, &*load.stop().await?);
    // Failures count, whenever they were.
    swapping.add_failures(&warming);
    let retiring = gateway.settle().await?;
    let swaps = Swaps { seconds, before, after: gateway.usage()?, retiring, ..swapper.swaps };
    let report = Report { options, version, still, swapping, swaps };
    eprint!("{}", report.table());
    if options.json {
        println!("{:#}", report.json());
    }
    Ok(report.is_good())
}

struct Swapper<'a> {
    gateway: &'a Gateway,
    folder: &'a Folder,
    span: &'a Span,
    next: u64,
    swaps: Swaps,
}

impl Swapper<'_> {
    async fn swap(&mut self) -> Result<()> {
        let number = self.next;
        self.next += 1;
        self.folder.write(number)?;
        self.span.asked.set(number);
        let start = Instant::now();
        let (status, answer) = self.gateway.ask("POST", "/-/reload").await?;
        if status != 200 || answer["unchanged"] != false {
            eprintln!("configuration {number}: {status} {answer}");
            self.swaps.refused += 1;
            return Ok(());
        }
        self.span.live.set(number);
        let details = &answer["report"]["details"];
        self.swaps.made += details["compiled"].as_u64().unwrap_or(0);
        self.swaps.taken_over += details["reused"].as_u64().unwrap_or(0);
        self.swaps.micros.push(u64::try_from(start.elapsed().as_micros())?);
        Ok(())
    }
}
