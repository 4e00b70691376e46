//! The results, for people and as JSON.

use crate::load::Counts;
use crate::options::Options;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

/// One run of the load.
pub struct Phase {
    seconds: f64,
    sent: u64,
    connections: u64,
    failures: BTreeMap<String, u64>,
    small: Vec<u64>,
    echo: Vec<u64>,
}

impl Phase {
    /// The counts since `start`.
    pub fn of(start: Instant, counts: &Counts) -> Self {
        let sorted = |latencies: &std::cell::RefCell<Vec<u64>>| {
            let mut latencies = latencies.take();
            latencies.sort_unstable();
            latencies
        };
        Self {
            seconds: start.elapsed().as_secs_f64(),
            sent: counts.sent.get(),
            connections: counts.connections.get(),
            failures: counts.failures.borrow().clone(),
            small: sorted(&counts.small),
            echo: sorted(&counts.echo),
        }
    }

    /// Adds failures of another run.
    pub fn add_failures(&mut self, counts: &Counts) {
        for (why, count) in &*counts.failures.borrow() {
            *self.failures.entry(why.clone()).or_default() += count;
        }
    }

    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn json(&self) -> Value {
        json!({
            "seconds": self.seconds,
            "requests": self.sent,
            "failed": self.failed(),
            "failures": self.failures,
            "connections": self.connections,
            "small": latencies(&self.small),
            "echo-64KiB": latencies(&self.echo),
        })
    }
}

fn latencies(sorted: &[u64]) -> Value {
    json!({
        "p50-ms": milliseconds(sorted, 0.5),
        "p99-ms": milliseconds(sorted, 0.99),
        "p99.9-ms": milliseconds(sorted, 0.999),
        "max-ms": milliseconds(sorted, 1.0),
    })
}

/// The value below which `part` of them lie.
fn milliseconds(sorted: &[u64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1)).or(sorted.last()).map_or(f64::NAN, |micros| *micros as f64 / 1000.0)
}

/// The swaps.
#[derive(Default)]
pub struct Swaps {
    /// The swaps of the measured run.
    pub seconds: f64,
    pub refused: u64,
    pub made: u64,
    pub taken_over: u64,
    /// How long each took.
    pub micros: Vec<u64>,
    /// Resident bytes and open files.
    pub before: (u64, usize),
    pub after: (u64, usize),
    /// Replaced generations that did not end.
    pub retiring: usize,
}

/// All results.
pub struct Report<'a> {
    pub options: &'a Options,
    pub version: Value,
    pub still: Phase,
    pub swapping: Phase,
    pub swaps: Swaps,
}

impl Report<'_> {
    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.still.failed() + self.swapping.failed() + self.swaps.refused == 0 && self.swaps.retiring == 0
    }

    fn sorted(&self) -> Vec<u64> {
        let mut micros = self.swaps.micros.clone();
        micros.sort_unstable();
        micros
    }

    /// For people.
    pub fn table(&self) -> String {
        let Self { still, swapping, swaps, .. } = self;
        let times = self.sorted();
        let mut text = String::new();
        let mut row = |name: &str, one: &dyn std::fmt::Display, two: &dyn std::fmt::Display| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<28}{one:>14}{two:>16}");
        };
        row("", &"without swaps", &"while swapping");
        row("seconds", &format!("{:.1}", still.seconds), &format!("{:.1}", swapping.seconds));
        row("swaps", &0, &swaps.micros.len());
        row("requests", &still.sent, &swapping.sent);
        row("failed", &still.failed(), &swapping.failed());
        row("connections opened", &still.connections, &swapping.connections);
        for (name, one, two) in
            [("small", &still.small, &swapping.small), ("echo of 64 KiB", &still.echo, &swapping.echo)]
        {
            for (label, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
                let show = |sorted| format!("{:.2} ms", milliseconds(sorted, part));
                row(&format!("{name}, {label}"), &show(one), &show(two));
            }
        }
        let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        row("resident, before and after", &mebibytes(swaps.before.0), &mebibytes(swaps.after.0));
        row("open files", &swaps.before.1, &swaps.after.1);
        let swap = |part| format!("{:.1} ms", milliseconds(&times, part));
        row("a swap, p50 and p99", &swap(0.5), &swap(0.99));
        row("segments, made and kept", &swaps.made, &swaps.taken_over);
        row("swaps refused; not retired", &swaps.refused, &swaps.retiring);
        for (why, count) in still.failures.iter().chain(&swapping.failures) {
            row("  failed", count, why);
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let Self { options, still, swapping, swaps, .. } = self;
        let times = self.sorted();
        json!({
            "benchmark": "swap",
            "linkspan": self.version["version"],
            "machine": crate::machine::describe(),
            "rate": options.rate,
            "workers": options.workers,
            "pace": options.pace,
            "swaps": {
                "count": times.len(),
                "refused": swaps.refused,
                "seconds": swaps.seconds,
                "p50-ms": milliseconds(&times, 0.5),
                "p99-ms": milliseconds(&times, 0.99),
                "max-ms": milliseconds(&times, 1.0),
                "segments-made": swaps.made,
                "segments-taken-over": swaps.taken_over,
                "not-retired": swaps.retiring,
            },
            "without-swaps": still.json(),
            "while-swapping": swapping.json(),
            "resident-bytes": { "before": swaps.before.0, "after": swaps.after.0 },
            "open-files": { "before": swaps.before.1, "after": swaps.after.1 },
        })
    }
}
