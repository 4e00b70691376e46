//! `linkspan bench`: what a hop costs, what a pipeline does and what a call does, measured in this process.
//!
//! A hop is the way through one more middleware and back. The same request goes
//! through chains of the no-op middleware of different depths, one at a time on one
//! thread, through the same pool and instances that serve real requests; rounds of
//! all chains alternate, so that a machine whose speed drifts slows all of them,
//! and the best round of each counts.

mod calls;
mod given;
mod micro;
mod pipeline;

use super::Failed;
use crate::chain::compile::Blueprint;
use crate::chain::{Cache, Member, Naming, PoolSize, Runtime, Segment, compose};
use crate::component::{Component, Digest, Lift};
use crate::engine::{ChainRequest, Fork, Hop, Onward, RequestBody, Worker, entrance};
use crate::host::{Budget, RequestHead};
use crate::plan::{OnFailure, PipelineLimits};
use crate::telemetry::Metrics;
use clap::{Args, Subcommand};
use given::{Given, Guest};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// The cost of a hop, with sync and with async guests
    Hops(Hops),
    /// Where the nanoseconds of a hop are
    Micro(micro::Options),
    /// The cost of a pipeline, and of each of its stages
    Pipeline(pipeline::Options),
    /// The cost of a call of another service, by name and over the loopback network
    Calls(calls::Calls),
}

#[derive(Debug, Args)]
pub(super) struct Hops {
    /// Middleware in the chains, 0 to 16 each
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 2, 4, 8, 16], value_parser = clap::value_parser!(u64).range(0..=16))]
    depths: Vec<u64>,
    /// Only the chains with these guests; with `--stage`, none but those if not said
    #[arg(long, value_enum)]
    guests: Option<Guests>,
    #[command(flatten)]
    given: Given,
    /// How the middleware are linked
    #[arg(long, value_enum, default_value_t = Link::Static)]
    link: Link,
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

/// How the middleware of a chain are lifted and lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Guests {
    /// Synchronously
    Sync,
    /// Asynchronously, as wit-bindgen does by default
    Async,
    /// Asynchronously, and rewritten to sync when loaded
    Rewritten,
}

/// How the middleware of a chain are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Link {
    /// Composed into one store
    Static,
    /// Each in a store of its own
    Dynamic,
}

/// One chain and its best round so far.
struct Row {
    guests: String,
    depth: u64,
    chain: Onward,
    best: Duration,
}

/// Runs the command.
pub(super) fn run(what: &Bench) -> Result<(), Failed> {
    let hops = match what {
        Bench::Hops(hops) => hops,
        Bench::Micro(options) => return micro::run(options),
        Bench::Pipeline(options) => return pipeline::run(options),
        Bench::Calls(options) => return calls::run(options),
    };
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
    let worker = Worker::start(0, Metrics::new());
    let chains = chains(hops, &depths)?;
    let head = hops.given.head();
    let mut rows: Vec<_> = chains
        .into_iter()
        .map(|(guests, depth, chain)| Row { guests, depth, chain, best: Duration::MAX })
        .collect();
    for row in &rows {
        // Instances are made and code is warm before the first round.
        send(&worker, &row.guests, &row.chain, &head, hops.requests / 10 + 1).await?;
    }
    for _ in 0..hops.rounds {
        for row in &mut rows {
            let start = Instant::now();
            send(&worker, &row.guests, &row.chain, &head, hops.requests).await?;
            row.best = row.best.min(start.elapsed());
        }
    }
    Ok(rows)
}

impl Link {
    fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }

    /// The stages of a chain that share a store.
    fn segments<'a>(self, members: &'a [Member<'a>]) -> impl DoubleEndedIterator<Item = &'a [Member<'a>]> {
        match self {
            Self::Static => members.chunks(members.len().max(1)),
            Self::Dynamic => members.chunks(1),
        }
    }
}

type Chains = Vec<(String, u64, Onward)>;

/// Compiles a chain of each depth for each kind of guest, all in one engine.
fn chains(hops: &Hops, depths: &[u64]) -> Result<Chains, Failed> {
    let link = hops.link;
    let service = match &hops.given.service {
        Some(file) => Component::load(file).map_err(Failed::wrong)?,
        None => own(hops, "empty.wasm")?,
    };
    let mut guests = Vec::new();
    if hops.given.stages.is_empty() || hops.guests.is_some() {
        guests = own_guests(hops)?;
    }
    for middleware in &hops.given.stages {
        guests.extend(middleware.load()?);
    }
    let mut chains = Vec::new();
    for guest in &guests {
        for depth in depths {
            let middleware = (0..*depth as usize).map(|index| Member { index, component: &guest.component });
            let service = Member { index: *depth as usize, component: &service };
            chains.push((guest, *depth, middleware.chain([service]).collect::<Vec<_>>()));
        }
    }
    let sizes: Vec<_> = chains
        .iter()
        .flat_map(|(_, _, members)| link.segments(members))
        .map(|members| PoolSize::of(members.iter().map(|member| &member.component.shape), 4, &BUDGET))
        .collect();
    let runtime = Runtime::new(&sizes, 1_000).map_err(Failed::system)?;
    chains
        .iter()
        .map(|(guest, depth, members)| {
            Ok((guest.label.clone(), *depth, chain(&runtime, members, guest, link)?))
        })
        .collect()
}

/// One of the components of the benchmark.
fn own(hops: &Hops, name: &str) -> Result<Component, Failed> {
    Component::load(&hops.components.join(name)).map_err(|error| {
        Failed::wrong(format!("{error}\n`cargo xtask components` makes the components of the benchmark"))
    })
}

/// The no-ops that are wanted.
fn own_guests(hops: &Hops) -> Result<Vec<Guest>, Failed> {
    let asynchronous = own(hops, "pass-through-async.wasm")?;
    let (rewritten, _) = asynchronous.relift().map_err(Failed::wrong)?;
    let kinds = [
        (Guests::Sync, Guest::plain("sync", own(hops, "pass-through-sync.wasm")?)),
        (Guests::Async, Guest::plain("async", asynchronous)),
        (Guests::Rewritten, Guest::plain("rewritten", rewritten)),
    ];
    let wanted = |kind: &Guests| hops.guests.is_none_or(|wanted| wanted == *kind);
    Ok(kinds.into_iter().filter(|(kind, _)| wanted(kind)).map(|(_, guest)| guest).collect())
}

const BUDGET: Budget = Budget {
    memory: 1 << 30,
    one_memory: 64 << 20,
    table_elements: 20_000,
    field_bytes: 256 << 10,
    cpu: Duration::from_secs(1),
};

fn chain(runtime: &Runtime, members: &[Member<'_>], guest: &Guest, link: Link) -> Result<Onward, Failed> {
    let mut next: Option<Onward> = None;
    for members in link.segments(members).rev() {
        let composed = compose(members, Naming::PerStage).map_err(Failed::wrong)?;
        let all_async = members.iter().all(|member| member.component.shape.lift() == Lift::Async);
        let blueprint = Blueprint {
            pipeline: "bench".to_owned(),
            budget: BUDGET,
            // Instances live for the whole measurement.
            limits: PipelineLimits { reuse: usize::MAX, ..PipelineLimits::default() },
            lift: if all_async { Lift::Async } else { Lift::Sync },
            scopes: guest.scopes(members)?,
            fresh: false,
            trial: false,
            next: next.as_ref().map(entrance::next_stage),
            named: Vec::new(),
        };
        let code = Cache::default()
            .compile(runtime.engine(), members, composed)
            .map_err(|error| Failed::wrong(format!("{error:#}")))?;
        let segment = Arc::new(Segment::link(runtime, code, blueprint).map_err(Failed::wrong)?);
        let hop = Arc::new(Hop {
            identity: Digest([0; 32]),
            segment,
            fallback: None,
            on_failure: OnFailure::Fail,
            breaker: None,
            in_use: Arc::default(),
        });
        next = Some(Onward::Fork(Fork::only(hop, next)));
    }
    next.ok_or_else(|| Failed::wrong("a chain ends in a service"))
}

/// Sends requests with these fields through the chain of `name`, one after the other; each must be answered well.
async fn send(
    worker: &Rc<Worker>,
    name: &str,
    chain: &Onward,
    headers: &HeaderMap,
    requests: u64,
) -> Result<(), Failed> {
    for _ in 0..requests {
        let head = RequestHead {
            scheme: Some(http::uri::Scheme::HTTP),
            authority: Some(http::uri::Authority::from_static("localhost")),
            path_with_query: Some(http::uri::PathAndQuery::from_static("/")),
            headers: headers.clone(),
            ..RequestHead::default()
        };
        let request = ChainRequest::new(head, RequestBody::empty(), Arc::default());
        let response = chain.handle(worker, Box::new(request)).await.map_err(Failed::wrong)?;
        if !response.status().is_success() {
            return Err(Failed::wrong(format!("a chain of {name} answers {}", response.status())));
        }
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
    let width = rows.iter().map(|row| row.guests.len()).max().unwrap_or(0).max(9);
    println!("{:width$}  middleware  ns a request  ns a hop", "guests");
    for row in rows {
        let per_hop = row.per_hop(hops, rows).map_or_else(|| "-".to_owned(), |ns| format!("{ns:.0}"));
        println!("{:width$}  {:>10}  {:>12.0}  {per_hop:>8}", row.guests, row.depth, row.nanoseconds(hops));
    }
    println!(
        "\n{} links, one request at a time; best of {} rounds of {}",
        hops.link.as_str(),
        hops.rounds,
        hops.requests
    );
}

fn print_json(hops: &Hops, rows: &[Row]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "guests": row.guests,
                "link": hops.link.as_str(),
                "middleware": row.depth,
                "ns_per_request": row.nanoseconds(hops),
                "ns_per_hop": row.per_hop(hops, rows),
            })
        })
        .collect();
    let json = serde_json::json!({ "rounds": hops.rounds, "requests": hops.requests, "rows": rows });
    println!("{json:#}");
}
