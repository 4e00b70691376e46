//! The gateway's reports about its work: metrics, the log and the access log.
//!
//! `http`, `engine` and `gateway` count into [`Metrics`] and write to [`AccessLog`]; `admin` shows the metrics.
//! Guarantees: nothing here ever makes a request wait. Counting is one uncontended atomic; a line of the access log is
//! put into a bounded queue, or dropped and counted. Text from a client is never the name of a series, and is escaped
//! and cut in a line.
//!
//! This room takes numbers and text, and knows nothing else about requests or generations. It never imports wasmtime.

pub mod access;
mod calendar;
mod calls;
mod escape;
mod exposition;
mod histogram;
mod host_calls;
mod line;
pub mod log;
pub mod metrics;
mod observation;
mod observed;
mod overview;
pub mod own_metrics;
mod pipeline;
mod series;
mod stage;
mod store;
mod text;
pub mod trace;
mod upstream;

pub use access::{AccessCounters, AccessLog};
pub use calendar::since_epoch;
pub use calls::CallMetrics;
pub use escape::{harmless, harmless_json};
pub use host_calls::{CountedCalls, HostCall};
pub use line::AccessEntry;
pub use metrics::{BreakerState, Metrics, ReloadResult};
pub use observation::{Observation, Outcome, Sight, apart, timed};
pub use observed::Observed;
pub use overview::buckets;
pub use pipeline::{InFlight, PipelineMetrics, TrapKind};
pub use stage::StageMetrics;
pub use store::{StoreCounts, StoreMetrics, StoreOutcome};
pub use text::Format;
pub use upstream::UpstreamMetrics;
