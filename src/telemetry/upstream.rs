//! What one worker counts of one server of an upstream.

use super::series::Counts;
use super::text::{MetricType, Text, sum};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The counts of one server on one worker, which alone writes here.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    requests: AtomicU64,
    active: AtomicUsize,
    retries: AtomicU64,
    connections: AtomicU64,
    open: AtomicUsize,
    faults: [AtomicU64; FAULTS.len()],
    /// Whether the server gets requests, while anybody has it.
    up: Mutex<Weak<AtomicBool>>,
}

/// What a server can do wrong.
pub(super) const FAULTS: [&str; 3] = ["connect", "timeout", "broken"];

impl UpstreamMetrics {
    /// A request was given to the server.
    pub fn began(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.active.fetch_add(1, Relaxed);
    }

    /// It is over, however.
    pub fn ended(&self) {
        self.active.fetch_sub(1, Relaxed);
    }

    /// A request that it failed is sent again.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// A connection is begun.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    /// It is gone.
    pub fn disconnected(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// No connection could be made.
    pub fn connect_failed(&self) {
        self.faults[0].fetch_add(1, Relaxed);
    }

    /// There was no response in time.
    pub fn timed_out(&self) {
        self.faults[1].fetch_add(1, Relaxed);
    }

    /// Where it says whether it gets requests.
    pub(super) fn set_up(&self, up: &Arc<AtomicBool>) {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(up);
    }

    fn is_up(&self) -> Option<bool> {
        let up = self.up.lock().unwrap_or_else(PoisonError::into_inner).upgrade()?;
        Some(up.load(Relaxed))
    }

    /// Requests that were given to it, and faults of it.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.requests.load(Relaxed), self.faults.iter().map(|fault| fault.load(Relaxed)).sum())
    }

    /// A response broke off, before its head or after.
    pub fn broke(&self) {
        self.faults[2].fetch_add(1, Relaxed);
    }
}

/// One metric of servers: its name, what it is, its type, and where it is.
type Family = (&'static str, &'static str, MetricType, fn(&UpstreamMetrics) -> u64);

const FAMILIES: [Family; 5] = [
    ("linkspan_upstream_requests_total", "Requests given to a server.", MetricType::Counter, |it| {
        it.requests.load(Relaxed)
    }),
    ("linkspan_upstream_requests_active", "Requests that a server has now.", MetricType::Gauge, |it| {
        it.active.load(Relaxed) as u64
    }),
    (
        "linkspan_upstream_retries_total",
        "Requests sent again after a server failed.",
        MetricType::Counter,
        |it| it.retries.load(Relaxed),
    ),
    ("linkspan_upstream_connections_total", "Connections begun with a server.", MetricType::Counter, |it| {
        it.connections.load(Relaxed)
    }),
    (
        "linkspan_upstream_connections_open",
        "Connections that are open with a server.",
        MetricType::Gauge,
        |it| it.open.load(Relaxed) as u64,
    ),
];

/// Writes all of it.
pub(super) fn render(text: &mut Text, servers: &Counts<2, UpstreamMetrics>) {
    if servers.is_empty() {
        return;
    }
    for (name, help, kind, of) in FAMILIES {
        text.family(name, kind, help);
        for ([upstream, server], workers) in servers {
            text.sample(name, &[("linkspan_upstream", upstream), ("server", server)], sum(workers, of));
        }
    }
    let name = "linkspan_upstream_faults_total";
    text.family(name, MetricType::Counter, "Failures of a server, by kind.");
    for ([upstream, server], workers) in servers {
        for (at, fault) in FAULTS.iter().enumerate() {
            let labels = [("fault", *fault), ("linkspan_upstream", upstream), ("server", server)];
            text.sample(name, &labels, sum(workers, |it| it.faults[at].load(Relaxed)));
        }
    }
    let name = "linkspan_upstream_server_up";
    text.family(name, MetricType::Gauge, "Whether a server gets requests.");
    for ([upstream, server], workers) in servers {
        if let Some(up) = workers.values().find_map(|worker| worker.is_up()) {
            let labels: [(&str, &str); 2] = [("linkspan_upstream", upstream), ("server", server)];
            text.sample(name, &labels, u8::from(up));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Format;
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn workers_are_added_up_and_a_gone_server_is_neither_up_nor_down() {
        let metrics = Metrics::new();
        assert!(!metrics.render(Format::Prometheus).contains("linkspan_upstream_"));
        let up = Arc::new(AtomicBool::new(false));
        for worker in 0..2 {
            let server = metrics.upstream("a", "http://b", worker, &up);
            server.began();
            server.connected();
            server.timed_out();
        }
        metrics.upstream("a", "http://b", 1, &up).ended();
        let text = metrics.render(Format::Prometheus);
        let has = |line: &str| text.lines().any(|found| found == line);
        let labels = "linkspan_upstream=\"a\",server=\"http://b\"";
        assert!(has(&format!("linkspan_upstream_requests_total{{{labels}}} 2")), "{text}");
        assert!(has(&format!("linkspan_upstream_requests_active{{{labels}}} 1")));
        assert!(has(&format!("linkspan_upstream_connections_open{{{labels}}} 2")));
        assert!(has(&format!("linkspan_upstream_faults_total{{fault=\"timeout\",{labels}}} 2")));
        assert!(has(&format!("linkspan_upstream_server_up{{{labels}}} 0")));
        drop(up);
        assert!(!metrics.render(Format::Prometheus).contains("linkspan_upstream_server_up{"));
    }
}
