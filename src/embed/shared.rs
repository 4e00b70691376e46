//! What a gateway and its services share.

use super::description::Description;
use super::workers::Workers;
use crate::gateway::control::Control;
use crate::telemetry::Metrics;
use crate::telemetry::trace::Exporter;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// The state that all handles share.
pub(super) struct Shared {
    pub workers: Workers,
    pub control: Arc<Control>,
    pub description: Arc<Mutex<Description>>,
    pub metrics: Arc<Metrics>,
    /// What sends traces, as long as there is a handle.
    pub _exporter: Option<Arc<Exporter>>,
    /// Whether a thread looks after replaced configurations.
    pub looking: Arc<AtomicBool>,
}
