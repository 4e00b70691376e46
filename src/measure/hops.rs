//! `linkspan bench hops`: what a hop costs, against the length of a chain.
//!
//! A hop is the way through one more middleware and back. The same request goes through chains of the no-op middleware
//! of different depths, one at a time on one thread, through the same pool and instances that serve real requests;
//! rounds of all chains alternate, so that a machine whose speed drifts slows all of them, and the best round of each
//! counts.

use super::given::{Given, Guest};
use super::guests::{Guests as Built, Source};
use super::{Failure, run_here};
use crate::chain::compile::Blueprint;
use crate::chain::{Cache, Member, Naming, PoolSize, Runtime, Segment, compose};
use crate::component::{Component, Digest, Lift};
use crate::engine::{ChainRequest, Fork, Hop, Onward, RequestBody, Worker, entrance};
use crate::host::{Budget, RequestHead};
use crate::plan::{Form, PipelineLimits};
use crate::telemetry::Metrics;
use clap::Args;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is measured, and how.
#[derive(Debug, Args)]
pub struct Options {
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
    #[command(flatten)]
    components: Source,
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

/// Measures, and returns the result.
///
/// # Errors
/// If a chain can't be made, or does not answer well.
pub fn run(hops: &Options) -> Result<String, Failure> {
    let rows = run_here(measure(hops))?;
    Ok(if hops.json { json(hops, &rows) } else { table(hops, &rows) })
}

async fn measure(hops: &Options) -> Result<Vec<Row>, Failure> {
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
fn chains(hops: &Options, depths: &[u64]) -> Result<Chains, Failure> {
    let link = hops.link;
    let built = hops.components.open()?;
    let service = match &hops.given.service {
        Some(file) => Component::load(file).map_err(Failure::wrong)?,
        None => own(&built, "empty")?,
    };
    let mut guests = Vec::new();
    if hops.given.stages.is_empty() || hops.guests.is_some() {
        guests = own_guests(hops, &built)?;
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
    let runtime = Runtime::new(&sizes, 1_000, None).map_err(Failure::system)?;
    chains
        .iter()
        .map(|(guest, depth, members)| {
            Ok((guest.label.clone(), *depth, chain(&runtime, members, guest, link)?))
        })
        .collect()
}

/// One of the components of the benchmark.
fn own(built: &Built, name: &str) -> Result<Component, Failure> {
    Component::load(&built.find(name)?).map_err(Failure::wrong)
}

/// The no-ops that are wanted.
fn own_guests(hops: &Options, built: &Built) -> Result<Vec<Guest>, Failure> {
    let asynchronous = own(built, "pass-through-async")?;
    let (rewritten, _) = asynchronous.relift().map_err(Failure::wrong)?;
    let kinds = [
        (Guests::Sync, Guest::plain("sync", own(built, "pass-through-sync")?)),
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
    // Wasmtime never frees the tasks of async calls that return at once (see `host/kept/wear.rs`). With less memory,
    // their table would fill, and instances would be replaced while they are measured.
    host_memory: 4 << 30,
    field_bytes: 256 << 10,
    cpu: Duration::from_secs(1),
};

fn chain(runtime: &Runtime, members: &[Member<'_>], guest: &Guest, link: Link) -> Result<Onward, Failure> {
    let mut next: Option<Onward> = None;
    for members in link.segments(members).rev() {
        let composed = compose(members, Naming::PerStage).map_err(Failure::wrong)?;
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
            judges: Vec::new(),
            rehearsal: Arc::default(),
        };
        let code = Cache::default()
            .compile(runtime.engine(), members, composed, Form::Auto)
            .map_err(|error| Failure::wrong(format!("{error:#}")))?;
        let segment = Arc::new(Segment::link(runtime, code, blueprint).map_err(Failure::wrong)?);
        let hop = Arc::new(Hop::new(Digest([0; 32]), segment, None));
        next = Some(Onward::Fork(Fork::only(hop, next)));
    }
    next.ok_or_else(|| Failure::wrong("a chain ends in a service"))
}

/// Sends requests with these fields through the chain of `name`, one after the other; each must be answered well.
pub(super) async fn send(
    worker: &Rc<Worker>,
    name: &str,
    chain: &Onward,
    headers: &HeaderMap,
    requests: u64,
) -> Result<(), Failure> {
    for _ in 0..requests {
        let head = RequestHead {
            scheme: Some(http::uri::Scheme::HTTP),
            authority: Some(http::uri::Authority::from_static("localhost")),
            path_with_query: Some(http::uri::PathAndQuery::from_static("/")),
            headers: headers.clone(),
            ..RequestHead::default()
        };
        let request = ChainRequest::new(head, RequestBody::empty(), Arc::default());
        let response = chain.handle(worker, Box::new(request)).await.map_err(Failure::wrong)?;
        if response.status().is_server_error() {
            return Err(Failure::wrong(format!("a chain of {name} answers {}", response.status())));
        }
        response.into_body().collect().await.map_err(Failure::wrong)?;
    }
    Ok(())
}

impl Row {
    fn nanoseconds(&self, hops: &Options) -> f64 {
        self.best.as_nanos() as f64 / hops.requests as f64
    }

    /// Nanoseconds per hop, from the service alone.
    fn per_hop(&self, hops: &Options, rows: &[Self]) -> Option<f64> {
        let base = rows.iter().find(|row| row.guests == self.guests && row.depth == 0)?;
        (self.depth > 0).then(|| (self.nanoseconds(hops) - base.nanoseconds(hops)) / self.depth as f64)
    }
}

fn table(hops: &Options, rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.guests.len()).max().unwrap_or(0).max(9);
    let mut text = format!("{:width$}  middleware  ns a request  ns a hop\n", "guests");
    for row in rows {
        let per_hop = row.per_hop(hops, rows).map_or_else(|| "-".to_owned(), |ns| format!("{ns:.0}"));
        let nanoseconds = row.nanoseconds(hops);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:width$}  {:>10}  {nanoseconds:>12.0}  {per_hop:>8}", row.guests, row.depth);
    }
    let (link, rounds, requests) = (hops.link.as_str(), hops.rounds, hops.requests);
    text + &format!("\n{link} links, one request at a time; best of {rounds} rounds of {requests}\n")
}

fn json(hops: &Options, rows: &[Row]) -> String {
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
    format!("{json:#}\n")
}
