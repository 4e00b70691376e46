//! A gateway without listeners, and its changes.

use super::description::Description;
use super::service::{Layer, Service};
use super::shared::Shared;
use super::workers::Workers;
use crate::chain::Cache;
use crate::config::Diagnostics;
use crate::gateway::control::{Change, Control};
use crate::gateway::{Live, Workshop, build};
use crate::plan::{CompileCache, Plan};
use crate::server::worker::Start;
use crate::telemetry::{Format, Metrics};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time between two looks at replaced configurations, while there are any.
const LOOK: Duration = Duration::from_millis(100);

/// Running pipelines without a listener. Cheap to clone; all clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

impl Gateway {
    pub(super) fn start(description: Description) -> Result<Self, Diagnostics> {
        let mut workshop = Workshop::default();
        let (inputs, warnings) = description.gather(&workshop)?;
        warn(&warnings);
        let plan = &inputs.plan;
        let system = |error: &dyn std::fmt::Display| {
            let mut diagnostics = plan.diagnostics();
            diagnostics.error(None, error.to_string());
            diagnostics
        };
        // A library writes only where it was told to.
        if let CompileCache::Folder(folder) = &plan.gateway.compile_cache {
            let most = plan.gateway.compile_cache_size;
            workshop.cache = Cache::on_disk(folder, most).map_err(|error| system(&error))?;
        }
        let generation = build(&inputs, &workshop)?;
        let metrics = Metrics::new();
        metrics.set_generation(generation.number);
        let live = Arc::new(Live::new(generation));
        let start =
            Start::new(plan, Arc::clone(&live), Arc::clone(&metrics)).map_err(|error| system(&error))?;
        let (workers, queue) = (plan.workers.get(), plan.gateway.calls);
        let workers = Workers::start(workers, queue, &start).map_err(|error| system(&error))?;
        let description = Arc::new(Mutex::new(description));
        let described = Arc::clone(&description);
        let gather = Box::new(move |_: &std::path::Path, workshop: &Workshop| {
            let described = described.lock().unwrap_or_else(PoisonError::into_inner).clone();
            described.gather(workshop)
        });
        let prepare = Box::new(|_: &Plan, _: &mut Diagnostics| -> Option<Box<dyn FnOnce() + Send>> {
            Some(Box::new(|| ()))
        });
        let control = Arc::new(Control::new(live, Arc::new(workshop), inputs, gather, prepare));
        control.make_all_observed();
        let (_exporter, looking) = (start.exporter, Arc::default());
        Ok(Self(Arc::new(Shared { workers, control, description, metrics, _exporter, looking })))
    }

    /// The pipeline called `name`, if there is one. If a reload removes the pipeline, requests are answered with 404.
    pub fn service(&self, name: &str) -> Option<Service> {
        self.0.control.live().plan.find_pipeline(name)?;
        Some(self.named(name))
    }

    /// Like [`Gateway::service`], as a layer: its `native = "inner"` is the service that is wrapped.
    pub fn layer(&self, name: &str) -> Option<Layer> {
        self.service(name).map(Layer)
    }

    /// All routes of the configuration.
    pub fn routes(&self) -> Service {
        Service { shared: Arc::clone(&self.0), pipeline: None, inner: None }
    }

    pub(super) fn named(&self, name: &str) -> Service {
        Service { shared: Arc::clone(&self.0), pipeline: Some(name.into()), inner: None }
    }

    /// Reads the configuration and its files again and lets them serve, if they are valid and new. Requests keep the
    /// configuration with which they began; parts that are the same keep running. `false`: nothing has changed.
    ///
    /// Blocks for as long as compiling takes. `gateway.workers`, `gateway.calls` and `access-log` need a new gateway.
    ///
    /// # Errors
    /// Everything that is wrong; then the live configuration stays.
    pub fn reload(&self) -> Result<bool, Diagnostics> {
        let outcome = self.0.control.reload("program");
        self.0.metrics.set_generation(outcome.generation);
        match outcome.result {
            Change::Swapped { .. } => {
                self.0.control.make_all_observed();
                self.look_after_retired();
                Ok(true)
            }
            Change::Refused(diagnostics) => Err(diagnostics),
            Change::Unchanged | Change::NoHistory => Ok(false),
        }
    }

    /// Like [`Gateway::reload`], with another description from now on, if it is valid.
    pub(super) fn redescribe(&self, description: Description) -> Result<bool, Diagnostics> {
        let lock = || self.0.description.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *lock(), description);
        let result = self.reload();
        if result.is_err() {
            *lock() = before;
        }
        result
    }

    /// The metrics, in Prometheus's text format.
    pub fn metrics(&self) -> String {
        self.0.metrics.render(Format::Prometheus)
    }

    /// Cuts the requests of replaced configurations after `gateway.retire-timeout`.
    fn look_after_retired(&self) {
        let (control, looking) = (Arc::clone(&self.0.control), Arc::clone(&self.0.looking));
        if looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let metrics = Arc::clone(&self.0.metrics);
        let look = move || {
            loop {
                let retiring = control.look_after_retired();
                metrics.set_retiring(retiring);
                metrics.streams_cut(control.take_cuts());
                if retiring == 0 {
                    // By then, workers have dropped what they had of it.
                    std::thread::sleep(LOOK);
                    control.drop_unused();
                    looking.store(false, Ordering::Release);
                    // A reload that came just before counts on this thread.
                    if control.look_after_retired() == 0 || looking.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
                std::thread::sleep(LOOK);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("linkspan-retire".to_owned()).spawn(look) {
            self.0.looking.store(false, Ordering::Release);
            tracing::warn!(%error, "replaced configurations end with their requests only");
        }
    }
}

fn warn(warnings: &Diagnostics) {
    if !warnings.is_empty() {
        tracing::warn!(findings = %warnings, "the configuration has warnings");
    }
}
