//! A worker: a thread with an event loop, instances, and the service that handles requests.

use crate::engine::Worker;
use crate::gateway::Live;
use crate::http::record::Recorder;
use crate::http::service::Service;
use crate::plan::Plan;
use crate::telemetry::trace::Tracer;
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
}

impl Start {
    /// What the workers of `plan` start with. Opens the access log, and has the metrics tell the live breakers' states.
    ///
    /// # Errors
    /// When the access log can't be opened.
    pub fn new(plan: &Plan, live: Arc<Live>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let open = |log| AccessLog::start(log, Arc::clone(metrics.access_log())).map(Arc::new);
        let access = plan.access_log.as_ref().map(open).transpose()?;
        let breakers = Arc::clone(&live);
        metrics.set_breakers(move || breakers.load().hops().filter_map(|hop| hop.breaker_state()).collect());
        let tracer = Tracer::new(None, Arc::clone(metrics.traces()));
        Ok(Self { live, metrics, access, tracer })
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
        let Self { live, metrics, access, tracer } = self.clone();
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
