//! A worker: a thread with an event loop, instances, and the service that handles requests.

use crate::engine::Worker;
use crate::gateway::Live;
use crate::http::record::Recorder;
use crate::http::service::Service;
use crate::plan::Plan;
use crate::telemetry::trace::{Exporter, Tracer};
use crate::telemetry::{AccessLog, Metrics};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What all workers of a gateway share.
#[derive(Clone)]
pub struct Start {
    /// The configuration that serves.
    pub live: Arc<Live>,
    /// The counters of requests.
    pub metrics: Arc<Metrics>,
    /// The access log, if it is configured.
    pub access: Option<Arc<AccessLog>>,
    /// What begins traces.
    pub tracer: Arc<Tracer>,
    /// What sends them, if there is a receiver.
    pub exporter: Option<Arc<Exporter>>,
}

impl Start {
    /// What the workers of `plan` start with. Opens the access log, starts what sends traces, and has the metrics tell the live breakers' states.
    ///
    /// # Errors
    /// When the access log can't be opened, or spans can't be sent.
    pub fn new(plan: &Plan, live: Arc<Live>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let open = |log| AccessLog::start(log, Arc::clone(metrics.access_log())).map(Arc::new);
        let access =
            plan.access_log.as_ref().map(open).transpose().map_err(said("cannot open the access log"))?;
        let send = |export| Exporter::start(export, Arc::clone(metrics.traces())).map(Arc::new);
        let exporter =
            plan.telemetry.export.as_ref().map(send).transpose().map_err(said("cannot send traces"))?;
        let breakers = Arc::clone(&live);
        metrics.set_breakers(move || breakers.load().hops().filter_map(|hop| hop.breaker_state()).collect());
        metrics.set_stores(live.load().store_counts.clone());
        metrics.set_own_metrics(live.load().own_metrics.clone());
        let tracer =
            Tracer::new(exporter.as_ref().map(|exporter| exporter.queue()), Arc::clone(metrics.traces()));
        Ok(Self { live, metrics, access, tracer, exporter })
    }

    /// Starts the worker with this number, which ends when `work` does.
    ///
    /// # Errors
    /// When there is no room for a thread or its event loop.
    pub fn thread<T, F>(
        &self,
        number: usize,
        work: impl FnOnce(Rc<Service>) -> F + Send + 'static,
    ) -> io::Result<JoinHandle<T>>
    where
        F: Future<Output = T>,
        T: Send + 'static,
    {
        // On this thread, so that its failures are errors of the start.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Self { live, metrics, access, tracer, exporter: _ } = self.clone();
        let run = move || {
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let worker = Worker::start(number, Arc::clone(&metrics));
                live.workers.join(&worker);
                let recorder = Recorder::new(number, metrics, access).with_tracer(tracer);
                work(Service::new(live, worker, recorder)).await
            })
        };
        std::thread::Builder::new().name(format!("linkspan-{number}")).spawn(run)
    }
}

/// An error with what failed.
fn said(what: &'static str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}
