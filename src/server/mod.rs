//! The server: a configuration's file becomes workers that listen, until a signal, and that change with the file.
//!
//! `cli` calls [`Server::build`] and [`Server::run`]. `listeners` has the sockets of all workers and what a reload does
//! with them; `operate` has the signals, watched files and admin listener that request changes; [`prepare`] and [`tls`]
//! read what a configuration names; [`worker`] is a thread that serves. `embed` shares the worker and the reading. This
//! room never parses arguments, prints, or chooses an exit code, and never looks into a request.

mod desk;
mod error;
mod listeners;
mod operate;
mod overview;
pub mod prepare;
pub mod tls;
pub mod worker;

use self::desk::{TakenOver, compile_in_background};
use self::listeners::Front;
use self::operate::Operator;
use self::prepare::gather;
use self::tls::TlsSettings;
use self::worker::Start;
use crate::chain::Cache;
use crate::engine::Onward;
use crate::gateway::{Control, Generation, Inputs, Live, Workshop, build};
use crate::host::Scope;
use crate::net::{Capacity, Cut, serve_worker, shutdown};
use crate::telemetry::{Metrics, log};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use self::error::Error;

/// How long the end waits until the access log is written.
const ACCESS_LOG_PATIENCE: Duration = Duration::from_secs(5);

/// How long the end waits until the last spans are sent.
const EXPORT_PATIENCE: Duration = Duration::from_secs(5);

/// A configuration, read and built, of which nothing is bound yet.
pub struct Server {
    settings: Arc<TlsSettings>,
    workshop: Workshop,
    inputs: Inputs,
    generation: Generation,
}

impl Server {
    /// Reads and builds the configuration in `file`. The process's log takes its bounds from there, and gets the
    /// warnings.
    ///
    /// # Errors
    /// [`Error::Wrong`] with all findings; [`Error::System`] if the compile cache can't be used.
    pub fn build(file: &Path) -> Result<Self, Error> {
        compile_in_background();
        let (settings, mut workshop) = (Arc::new(TlsSettings::default()), Workshop::default());
        let (inputs, warnings) =
            gather(file, &workshop, &settings).map_err(|refused| Error::Wrong(refused.findings))?;
        log::configure(&inputs.plan.log);
        if !warnings.is_empty() {
            log::say(&warnings.to_string());
        }
        workshop.cache = Cache::of(&inputs.plan.gateway).map_err(Error::system)?;
        let generation = build(&inputs, &workshop).map_err(Error::Wrong)?;
        Ok(Self { settings, workshop, inputs, generation })
    }

    /// Binds everything, then serves until SIGINT, SIGTERM or a takeover, and returns when all is finished or cut.
    ///
    /// # Errors
    /// [`Error::System`] if the system refuses something; [`Error::Cut`] if requests had to be cut at the end.
    pub fn run(self) -> Result<(), Error> {
        let Self { settings, workshop, inputs, generation } = self;
        let plan = generation.plan.clone();
        let (trigger, stop) = shutdown::channel();
        // Before anything is announced: a program that sees the address may send a signal.
        let operator = Operator::start(trigger.clone(), stop.clone(), plan.gateway.drain_delay)?;

        let metrics = Metrics::new();
        metrics.set_generation(generation.number);
        announce(&generation);
        let live = Arc::new(Live::new(generation));
        let start = Start::new(&plan, Arc::clone(&live), Arc::clone(&metrics)).map_err(Error::system)?;
        let mut front = Front::new(&plan, Arc::clone(&live))?;
        let endpoints = front.listen(&plan)?;
        let capacity = Capacity::new(&plan.limits);
        count_connections(&metrics, &capacity);
        let mut threads = Vec::new();
        for (number, endpoints) in endpoints.into_iter().enumerate() {
            let (changes, limits) = (front.changes(number), plan.limits.clone());
            let (capacity, stop) = (capacity.clone(), stop.clone());
            let thread = start.thread(number, move |service| async move {
                let recorded = Rc::clone(&service);
                let rejected = Rc::new(move |conn: &Rc<_>, rejection| recorded.rejected(conn, rejection));
                let serve = move |request, conn: &Rc<_>| Rc::clone(&service).serve(request, conn);
                serve_worker(endpoints, changes, limits, capacity, serve, rejected, stop).await
            });
            threads.push(thread.map_err(|error| Error::system(format!("cannot start a worker: {error}")))?);
        }
        let taken_over = TakenOver::default();
        let offer = front.take_over_and_offer(&plan, &trigger, taken_over.clone())?;
        let gather: crate::gateway::control::Gather =
            Box::new(move |file, workshop| gather(file, workshop, &settings));
        let control = Control::new(live, Arc::new(workshop), inputs, gather, front.into_prepare());
        let admin = operator.serve(Arc::new(control), &start, stop, taken_over)?;
        // A socket that closes now must not be taken over any more.
        drop(offer);
        let cut = wait_for_workers(threads)?;
        drop(admin);
        if start.access.is_some_and(|access| !access.close(ACCESS_LOG_PATIENCE)) {
            tracing::warn!("the access log could not be written to its end");
        }
        if start.exporter.is_some_and(|exporter| !exporter.close(EXPORT_PATIENCE)) {
            tracing::warn!("the last spans could not be sent");
        }
        match cut.requests {
            0 => {
                tracing::info!("stopped");
                Ok(())
            }
            requests => Err(Error::Cut(requests)),
        }
    }
}

fn count_connections(metrics: &Metrics, capacity: &Capacity) {
    let open = capacity.clone();
    metrics.set_connections(move || open.open_connections());
    let lost = capacity.clone();
    metrics.set_lost_handshakes(move || lost.lost_handshakes());
}

/// The forms of the segments from `first` on, if there are any, separated as in the line of their stages.
pub fn forms(first: &Onward) -> Option<String> {
    let forms: Vec<_> = first.forms().map(ToString::to_string).collect();
    (!forms.is_empty()).then(|| forms.join(" ⇒ "))
}

fn announce(generation: &Generation) {
    for (pipeline, first) in generation.plan.pipelines.iter().zip(generation.beginnings()) {
        let named = |scope: &Scope| {
            let conditional = pipeline.stages.get(scope.id.index).is_some_and(|stage| stage.when.is_some());
            format!("{}{}", scope.id.component, if conditional { "?" } else { "" })
        };
        // `→` within a store, `⇒` from one into another, `?` after a stage that does not always apply.
        let mut segments: Vec<_> = first
            .forks()
            .map(|fork| fork.whole().segment.scopes.iter().map(named).collect::<Vec<_>>().join(" → "))
            .collect();
        segments.extend(first.upstream().map(|upstream| format!("upstream {}", upstream.name())));
        let form = forms(first);
        let form = form.as_deref();
        tracing::info!(pipeline = %pipeline.name, stages = %segments.join(" ⇒ "), form, "ready");
    }
}

fn wait_for_workers(threads: Vec<JoinHandle<io::Result<Cut>>>) -> Result<Cut, Error> {
    let mut cut = Cut::default();
    for thread in threads {
        match thread.join() {
            Ok(result) => {
                cut += result.map_err(|error| Error::system(format!("a worker stopped: {error}")))?;
            }
            Err(_) => return Err(Error::system("a worker panicked; this is a defect of linkspan")),
        }
    }
    Ok(cut)
}
