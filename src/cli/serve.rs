//! `linkspan serve`: build everything, bind everything, then serve until a signal,
//! and let the configuration change meanwhile.

use super::Failed;
use super::front::Front;
use super::operate::{Commands, Operator, TakenOver, compile_in_background};
use super::prepare::gather;
use super::tls::TlsSettings;
use crate::chain::Cache;
use crate::config::Diagnostics;
use crate::engine::Worker;
use crate::gateway::{Control, Generation, Inputs, Live, Workshop, build};
use crate::host::Scope;
use crate::http::record::Recorder;
use crate::http::service::Service;
use crate::net::{Capacity, Cut, Endpoint, EndpointChange, Shutdown, serve_worker, shutdown};
use crate::plan::{GatewayLimits, Plan};
use crate::telemetry::{AccessLog, Metrics, log};
use std::io::IsTerminal as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Runs the command.
pub(super) fn run(file: &Path, log_format: LogFormat) -> Result<(), Failed> {
    start_log(log_format)?;
    compile_in_background();
    let settings = Arc::new(TlsSettings::default());
    let (workshop, inputs, generation) = first_generation(file, &settings)?;
    let plan = generation.plan.clone();
    let (trigger, stop) = shutdown::channel();
    let commands = Commands::default();
    // Before anything is announced: who sees the address may send a signal.
    let operator = Operator::start(trigger.clone(), plan.gateway.drain_delay, commands.clone())?;

    let metrics = Metrics::new();
    metrics.set_generation(generation.number);
    let access = open_access_log(&plan, &metrics)?;
    announce(&generation);
    let live = Arc::new(Live::new(generation));
    let mut front = Front::new(&plan, Arc::clone(&live))?;
    let endpoints = front.listen(&plan)?;
    let limits = plan.limits.clone();
    let capacity = Capacity::new(&limits);
    let open = capacity.clone();
    metrics.set_connections(move || open.open_connections());
    let shared = capacity.clone();
    metrics.set_lost_handshakes(move || shared.lost_handshakes());
    let threads: Vec<_> = endpoints
        .into_iter()
        .enumerate()
        .map(|(number, endpoints)| {
            Thread {
                number,
                endpoints,
                changes: front.changes(number),
                limits: limits.clone(),
                capacity: capacity.clone(),
                live: Arc::clone(&live),
                metrics: Arc::clone(&metrics),
                access: access.clone(),
                stop: stop.clone(),
            }
            .start()
        })
        .collect::<Result<_, _>>()?;
    let taken_over = TakenOver::default();
    let offer = front.take_over_and_offer(&plan, &trigger, taken_over.clone())?;
    let gather: crate::gateway::control::Gather =
        Box::new(move |file, workshop| gather(file, workshop, &settings));
    let control = Control::new(live, workshop, inputs, gather, front.into_prepare());
    let admin = operator.serve(Arc::new(control), metrics, access.clone(), stop, taken_over)?;
    // What closes now must not be taken over any more.
    drop(offer);
    let cut = wait_for_workers(threads)?;
    drop(admin);
    if let Some(access) = access
        && !access.close(Duration::from_secs(5))
    {
        tracing::warn!("the access log could not be written to its end");
    }
    match cut.requests {
        0 => {
            tracing::info!("stopped");
            Ok(())
        }
        requests => {
            Err(Failed::cut(format!("stopped; {requests} requests did not finish in time and were cut off")))
        }
    }
}

/// Reads and builds what `file` describes, before anything is bound.
fn first_generation(
    file: &Path,
    settings: &TlsSettings,
) -> Result<(Arc<Workshop>, Inputs, Generation), Failed> {
    let mut workshop = Workshop::default();
    let (inputs, warnings): (Inputs, Diagnostics) =
        gather(file, &workshop, settings).map_err(Failed::wrong)?;
    log::configure(&inputs.plan.log);
    log::say(&warnings.to_string());
    workshop.cache = Cache::of(&inputs.plan.gateway).map_err(Failed::system)?;
    let generation = build(&inputs, &workshop).map_err(Failed::wrong)?;
    Ok((Arc::new(workshop), inputs, generation))
}

fn open_access_log(plan: &Plan, metrics: &Metrics) -> Result<Option<Arc<AccessLog>>, Failed> {
    let open = |log| AccessLog::start(log, Arc::clone(metrics.access_log()));
    let log = plan.access_log.as_ref().map(open).transpose();
    log.map(|log| log.map(Arc::new))
        .map_err(|error| Failed::system(format!("cannot open the access log: {error}")))
}

/// The log is there first, so that all that follows has a place to say what is wrong.
fn start_log(format: LogFormat) -> Result<(), Failed> {
    let format = match format {
        LogFormat::Text => log::LogFormat::Text { colours: std::io::stderr().is_terminal() },
        LogFormat::Json => log::LogFormat::Json,
    };
    log::start(format, filter()?).map_err(|error| Failed::system(format!("cannot start the log: {error}")))
}

/// `LINKSPAN_LOG=debug` or `LINKSPAN_LOG=linkspan::stage=trace`, as tracing's filters are written.
fn filter() -> Result<EnvFilter, Failed> {
    const NAME: &str = "LINKSPAN_LOG";
    let wrong = |error: &dyn std::fmt::Display| {
        Failed::usage(format!(
            "the environment variable {NAME} has a wrong filter: {error}\n\
             it is a level (error, warn, info, debug, trace, off), or TARGET=LEVEL, or several of them with commas"
        ))
    };
    match std::env::var(NAME) {
        Ok(text) if text.trim().is_empty() => Ok(EnvFilter::new("info")),
        Ok(text) => {
            // A level that is misspelt would be the name of a target, whose lines there are none of.
            let misspelt = |part: &&str| {
                !part.contains(['=', '[', ']', '{', '}']) && part.parse::<LevelFilter>().is_err()
            };
            match text.split(',').map(str::trim).find(misspelt) {
                Some(word) => Err(wrong(&format_args!("`{word}` is not a level"))),
                None => EnvFilter::builder().parse(&text).map_err(|error| wrong(&error)),
            }
        }
        Err(std::env::VarError::NotPresent) => Ok(EnvFilter::new("info")),
        Err(error) => Err(wrong(&error)),
    }
}

fn announce(generation: &Generation) {
    for (pipeline, first) in generation.plan.pipelines.iter().zip(generation.beginnings()) {
        let named = |scope: &Scope| {
            let conditional = pipeline.stages.get(scope.id.index).is_some_and(|stage| stage.when.is_some());
            format!("{}{}", scope.id.component, if conditional { "?" } else { "" })
        };
        // `→` within a store, `⇒` from one into another, `?` behind what does not always apply.
        let mut segments: Vec<_> = first
            .forks()
            .map(|fork| fork.whole().segment.scopes.iter().map(named).collect::<Vec<_>>().join(" → "))
            .collect();
        segments.extend(first.upstream().map(|upstream| format!("upstream {}", upstream.name())));
        tracing::info!(pipeline = %pipeline.name, stages = %segments.join(" ⇒ "), "ready");
    }
}

/// What a worker's thread starts with.
struct Thread {
    number: usize,
    endpoints: Vec<Endpoint>,
    changes: mpsc::Receiver<EndpointChange>,
    limits: GatewayLimits,
    capacity: Capacity,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    access: Option<Arc<AccessLog>>,
    stop: Shutdown,
}

impl Thread {
    fn start(self) -> Result<JoinHandle<std::io::Result<Cut>>, Failed> {
        let name = format!("linkspan-{}", self.number);
        std::thread::Builder::new()
            .name(name)
            .spawn(|| self.run())
            .map_err(|error| Failed::system(format!("cannot start a worker: {error}")))
    }

    fn run(self) -> std::io::Result<Cut> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let worker = Worker::start(self.number, Arc::clone(&self.metrics));
            let recorder = Recorder::new(self.number, self.metrics, self.access);
            let service = Service::new(self.live, worker, recorder);
            let recorded = Rc::clone(&service);
            let rejected = Rc::new(move |conn: &Rc<_>, rejection| recorded.rejected(conn, rejection));
            let serve = move |request, conn: &Rc<_>| Rc::clone(&service).serve(request, conn);
            let Self { endpoints, changes, limits, capacity, stop, .. } = self;
            serve_worker(endpoints, changes, limits, capacity, serve, rejected, stop).await
        })
    }
}

fn wait_for_workers(threads: Vec<JoinHandle<std::io::Result<Cut>>>) -> Result<Cut, Failed> {
    let mut cut = Cut::default();
    for thread in threads {
        match thread.join() {
            Ok(result) => {
                cut += result.map_err(|error| Failed::system(format!("a worker stopped: {error}")))?;
            }
            Err(_) => return Err(Failed::system("a worker panicked; this is a defect of linkspan")),
        }
    }
    Ok(cut)
}
