//! `linkspan bench`: what a hop costs, measured in this process.
//!
//! A hop is the way through one more middleware and back. The same request goes
//! through chains of the no-op middleware of different depths, one at a time on one
//! thread, through the same pool and instances that serve real requests; rounds of
//! all chains alternate, so that a machine whose speed drifts slows all of them,
//! and the best round of each counts.

use super::Failed;
use crate::chain::compile::Blueprint;
use crate::chain::{Member, Naming, PoolSize, Runtime, Segment, compose};
use crate::component::{Component, Lift};
use crate::engine::{Pool, RequestBody, Worker};
use crate::host::Budget;
use crate::plan::PipelineLimits;
use clap::{Args, Subcommand};
use http_body_util::BodyExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// The cost of a hop, with sync and with async guests
    Hops(Hops),
}

#[derive(Debug, Args)]
pub(super) struct Hops {
    /// Middleware in the chains, 0 to 16 each
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 2, 4, 8, 16], value_parser = clap::value_parser!(u64).range(0..=16))]
    depths: Vec<u64>,
    /// Rounds of which the best counts
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Requests in a round
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    requests: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// The folder that `cargo xtask components` fills
    #[arg(long, default_value = "components/dist")]
    components: PathBuf,
}

/// One chain and its best round so far.
struct Row {
    guests: &'static str,
    depth: u64,
    pool: Rc<Pool>,
    best: Duration,
}

/// Runs the command.
pub(super) fn run(what: &Bench) -> Result<(), Failed> {
    let Bench::Hops(hops) = what;
    let system = |error| Failed::system(format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let rows = tokio::task::LocalSet::new().block_on(&runtime, measure(hops))?;
    match hops.json {
        true => print_json(hops, &rows),
        false => print_table(hops, &rows),
    }
    Ok(())
}

async fn measure(hops: &Hops) -> Result<Vec<Row>, Failed> {
    let mut depths = hops.depths.clone();
    depths.push(0);
    depths.sort_unstable();
    depths.dedup();
    let worker = Worker::start();
    let segments = segments(&hops.components, &depths)?;
    let mut rows: Vec<_> = segments
        .iter()
        .map(|(guests, depth, segment)| {
            let pool = worker.pool(segment);
            Row { guests, depth: *depth, pool, best: Duration::MAX }
        })
        .collect();
    for row in &rows {
        // Instances are made and code is warm before the first round.
        send(&row.pool, hops.requests / 10 + 1).await?;
    }
    for _ in 0..hops.rounds {
        for row in &mut rows {
            let start = Instant::now();
            send(&row.pool, hops.requests).await?;
            row.best = row.best.min(start.elapsed());
        }
    }
    Ok(rows)
}

/// Compiles a chain of each depth for each kind of guest, all in one engine.
fn segments(folder: &Path, depths: &[u64]) -> Result<Vec<(&'static str, u64, Arc<Segment>)>, Failed> {
    let load = |name: &str| {
        Component::load(&folder.join(name)).map_err(|error| {
            Failed::wrong(format!("{error}\n`cargo xtask components` makes the components of the benchmark"))
        })
    };
    let service = load("empty.wasm")?;
    let kinds = [("sync", load("pass-through-sync.wasm")?), ("async", load("pass-through-async.wasm")?)];
    let budget = Budget {
        memory: 1 << 30,
        one_memory: 64 << 20,
        table_elements: 20_000,
        field_bytes: 256 << 10,
        cpu: Duration::from_secs(1),
    };
    let chains: Vec<_> = kinds
        .iter()
        .flat_map(|(guests, middleware)| depths.iter().map(move |depth| (*guests, middleware, *depth)))
        .collect();
    let members = |middleware, depth: u64| -> Vec<Member<'_>> {
        let depth = depth as usize;
        let stages = (0..depth).map(|index| Member { index, component: middleware });
        stages.chain([Member { index: depth, component: &service }]).collect()
    };
    let sizes: Vec<_> = chains
        .iter()
        .map(|(_, middleware, depth)| {
            let members = members(middleware, *depth);
            PoolSize::of(members.iter().map(|member| &member.component.shape), 4, &budget)
        })
        .collect();
    let runtime = Runtime::new(&sizes, 1_000).map_err(Failed::system)?;
    chains
        .into_iter()
        .map(|(guests, middleware, depth)| {
            let members = members(middleware, depth);
            let composed = compose(&members, Naming::PerStage).map_err(Failed::wrong)?;
            let all_async = members.iter().all(|member| member.component.shape.lift() == Lift::Async);
            let blueprint = Blueprint {
                pipeline: format!("{guests}-{depth}"),
                budget,
                // Instances live for the whole measurement.
                limits: PipelineLimits { reuse: usize::MAX, ..PipelineLimits::default() },
                lift: if all_async { Lift::Async } else { Lift::Sync },
                scopes: Vec::new(),
            };
            let segment = Segment::compile(&runtime, composed, blueprint).map_err(Failed::wrong)?;
            Ok((guests, depth, Arc::new(segment)))
        })
        .collect()
}

async fn send(pool: &Rc<Pool>, requests: u64) -> Result<(), Failed> {
    for _ in 0..requests {
        let mut request = http::Request::new(RequestBody::empty());
        *request.uri_mut() = http::Uri::from_static("http://localhost/");
        let response = pool.handle(request).await.map_err(Failed::wrong)?;
        response.into_body().collect().await.map_err(Failed::wrong)?;
    }
    Ok(())
}

impl Row {
    fn nanoseconds(&self, hops: &Hops) -> f64 {
        self.best.as_nanos() as f64 / hops.requests as f64
    }

    /// Nanoseconds a hop, against the service alone.
    fn per_hop(&self, hops: &Hops, rows: &[Self]) -> Option<f64> {
        let base = rows.iter().find(|row| row.guests == self.guests && row.depth == 0)?;
        (self.depth > 0).then(|| (self.nanoseconds(hops) - base.nanoseconds(hops)) / self.depth as f64)
    }
}

fn print_table(hops: &Hops, rows: &[Row]) {
    println!("guests  middleware  ns a request  ns a hop");
    for row in rows {
        let per_hop = row.per_hop(hops, rows).map_or_else(|| "-".to_owned(), |ns| format!("{ns:.0}"));
        println!("{:6}  {:>10}  {:>12.0}  {per_hop:>8}", row.guests, row.depth, row.nanoseconds(hops));
    }
    println!("\nstatic links, one request at a time; best of {} rounds of {}", hops.rounds, hops.requests);
}

fn print_json(hops: &Hops, rows: &[Row]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "guests": row.guests,
                "link": "static",
                "middleware": row.depth,
                "ns_per_request": row.nanoseconds(hops),
                "ns_per_hop": row.per_hop(hops, rows),
            })
        })
        .collect();
    let json = serde_json::json!({ "rounds": hops.rounds, "requests": hops.requests, "rows": rows });
    println!("{json:#}");
}
