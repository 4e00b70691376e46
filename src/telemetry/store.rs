//! What is counted of a store, on all workers together.

use super::histogram::{Histogram, OF_STAGES};
use super::series::Series;
use super::text::{MetricType, Text};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// The store did it.
    Done,
    /// There was no connection.
    Away,
    /// The queue was full.
    Full,
    /// There was no answer in time.
    Late,
    /// The store refused it, or the connection broke while it was under way.
    Failed,
}

const OUTCOMES: [&str; 5] = ["done", "away", "full", "late", "failed"];

/// The counts of one store.
pub struct StoreMetrics {
    operations: [AtomicU64; OUTCOMES.len()],
    waits: Histogram<22>,
    commands: AtomicU64,
    connections: AtomicU64,
    open: AtomicUsize,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            operations: Default::default(),
            waits: Histogram::new(&OF_STAGES),
            commands: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        }
    }
}

impl StoreMetrics {
    /// An operation is over, for which a request waited so long.
    pub fn ended(&self, outcome: StoreOutcome, waited: Duration) {
        self.operations[outcome as usize].fetch_add(1, Relaxed);
        self.waits.record(waited);
    }

    /// A command is sent, with some operations in it.
    pub fn sent(&self) {
        self.commands.fetch_add(1, Relaxed);
    }

    /// A connection is begun.
    pub fn connecting(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// A connection is there.
    pub fn connected(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    /// A connection is gone.
    pub fn disconnected(&self) {
        self.open.fetch_sub(1, Relaxed);
    }
}

/// The counts of all stores, by name, across generations.
#[derive(Clone, Default)]
pub struct StoreCounts(Arc<Series<1, StoreMetrics>>);

impl StoreCounts {
    /// The counts of the store called `name`: the same ones across generations.
    pub fn of(&self, name: &str) -> Arc<StoreMetrics> {
        self.0.of([name], 0)
    }

    /// Writes all of it.
    pub(super) fn render(&self, text: &mut Text) {
        let stores = self.0.all();
        if stores.is_empty() {
            return;
        }
        let all = || stores.iter().flat_map(|([name], of)| of.values().map(move |counts| (&**name, counts)));
        let name = "linkspan_store_operations_total";
        text.family(name, MetricType::Counter, "Operations on a store, by what became of them.");
        for (store, counts) in all() {
            for (outcome, count) in OUTCOMES.iter().zip(&counts.operations) {
                text.sample(name, &[("linkspan_store", store), ("outcome", outcome)], count.load(Relaxed));
            }
        }
        let name = "linkspan_store_wait_seconds";
        text.family(name, MetricType::Histogram, "Time that a request waited for an operation on a store.");
        for (store, counts) in all() {
            text.histogram(name, &[("linkspan_store", store)], &counts.waits.snapshot());
        }
        type Family = (&'static str, MetricType, &'static str, fn(&StoreMetrics) -> u64);
        let families: [Family; 3] = [
            (
                "linkspan_store_commands_total",
                MetricType::Counter,
                "Commands sent to a store, each with one operation or several.",
                |it| it.commands.load(Relaxed),
            ),
            (
                "linkspan_store_connections_total",
                MetricType::Counter,
                "Connections begun with a store.",
                |it| it.connections.load(Relaxed),
            ),
            (
                "linkspan_store_connections_open",
                MetricType::Gauge,
                "Connections that are open with a store.",
                |it| it.open.load(Relaxed) as u64,
            ),
        ];
        for (name, kind, help, of) in families {
            text.family(name, kind, help);
            for (store, counts) in all() {
                text.sample(name, &[("linkspan_store", store)], of(counts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Format, Metrics};

    #[test]
    fn a_store_keeps_its_counts() {
        let (metrics, counts) = (Metrics::new(), StoreCounts::default());
        metrics.set_stores(counts.clone());
        assert!(!metrics.render(Format::Prometheus).contains("linkspan_store_"));
        counts.of("a").ended(StoreOutcome::Done, Duration::from_micros(7));
        counts.of("a").ended(StoreOutcome::Late, Duration::from_millis(100));
        let store = counts.of("a");
        store.connecting();
        store.connected();
        store.sent();
        let text = metrics.render(Format::Prometheus);
        for line in [
            "linkspan_store_operations_total{linkspan_store=\"a\",outcome=\"done\"} 1",
            "linkspan_store_operations_total{linkspan_store=\"a\",outcome=\"late\"} 1",
            "linkspan_store_operations_total{linkspan_store=\"a\",outcome=\"full\"} 0",
            "linkspan_store_wait_seconds_count{linkspan_store=\"a\"} 2",
            "linkspan_store_commands_total{linkspan_store=\"a\"} 1",
            "linkspan_store_connections_open{linkspan_store=\"a\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        store.disconnected();
        let text = metrics.render(Format::Prometheus);
        assert!(text.contains("linkspan_store_connections_open{linkspan_store=\"a\"} 0"));
    }
}
