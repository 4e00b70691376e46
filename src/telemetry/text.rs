//! The lines of Prometheus's text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use super::pipeline::{BUCKETS, Snapshot};

/// The text being written.
pub(super) struct Text(String);

#[derive(Clone, Copy)]
pub(super) enum MetricType {
    Counter,
    Gauge,
    Histogram,
}

impl Text {
    /// Room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// What was written.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// Begins a metric. `help` has neither line feeds nor backslashes.
    pub(super) fn family(&mut self, name: &str, kind: MetricType, help: &str) {
        let kind = match kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
        };
        // Writing to a string cannot fail; so everywhere here.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// The samples of one histogram of the family `name`.
    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], snapshot: &Snapshot) {
        let bucket = format!("{name}_bucket");
        let (mut sum, all) = (0, snapshot.count());
        for ((_, end), count) in BUCKETS.iter().zip(snapshot.buckets) {
            sum += count;
            self.sample(&bucket, &[labels, &[("le", end)]].concat(), sum);
        }
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), all);
        self.sample(&format!("{name}_sum"), labels, seconds(snapshot.nanoseconds));
        self.sample(&format!("{name}_count"), labels, all);
    }

    /// A metric with one sample and no labels.
    pub(super) fn single(&mut self, name: &str, kind: MetricType, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// A label's value as the format wants it.
fn escape(out: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// Nanoseconds as seconds, in full and without an exponent.
pub(super) fn seconds(nanoseconds: u128) -> String {
    format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

/// What all workers counted together.
pub(super) fn sum<T>(workers: &BTreeMap<usize, Arc<T>>, of: impl Fn(&T) -> u64) -> u64 {
    workers.values().map(|worker| of(worker)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::with_capacity(0);
        text.sample("x", &[("a", "1\"\n\\"), ("b", "ü")], 7);
        assert_eq!(text.0, "x{a=\"1\\\"\\n\\\\\",b=\"ü\"} 7\n");
    }
}
