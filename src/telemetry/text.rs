//! The lines of Prometheus's text format, version 0.0.4, and of OpenMetrics 1.0.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use super::calendar::since_epoch;
use super::histogram::{Exemplar, Snapshot};

/// Which of the two formats a scraper wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's own.
    Prometheus,
    /// OpenMetrics, which has exemplars.
    OpenMetrics,
}

impl Format {
    /// What the value of an `Accept` field asks for: OpenMetrics where it is named, as Prometheus does that wants it.
    pub fn wanted(accept: &str) -> Self {
        let is_open =
            |part: &str| part.split(';').next().is_some_and(|it| it.trim() == "application/openmetrics-text");
        match accept.split(',').any(is_open) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The text being written.
pub(super) struct Text {
    text: String,
    format: Format,
}

#[derive(Clone, Copy)]
pub(super) enum MetricType {
    Counter,
    Gauge,
    Histogram,
}

impl Text {
    /// Room for so many bytes.
    pub(super) fn with_capacity(bytes: usize, format: Format) -> Self {
        Self { text: String::with_capacity(bytes), format }
    }

    /// What was written, to its end.
    pub(super) fn into_string(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// Begins a metric. `help` has neither line feeds nor backslashes.
    pub(super) fn family(&mut self, name: &str, kind: MetricType, help: &str) {
        let kind = match kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
        };
        // There, a counter's samples have the suffix, and its family has not.
        let name = match self.format {
            Format::OpenMetrics if kind == "counter" => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        // Writing to a string cannot fail; so everywhere here.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.begin(name, labels, value);
        self.text.push('\n');
    }

    fn begin(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = write!(self.text, " {value}");
    }

    /// A bucket, with the exemplar that it has, if the format has any.
    fn bucket(&mut self, name: &str, labels: &[(&str, &str)], count: u64, exemplar: Option<&Exemplar>) {
        self.begin(name, labels, count);
        if let (Some(Exemplar { trace, value, at }), Format::OpenMetrics) = (exemplar, self.format) {
            let (value, at) = (seconds(value.as_nanos()), seconds(since_epoch(*at).as_nanos()));
            let _ = write!(self.text, " # {{trace_id=\"{trace}\"}} {value} {at}");
        }
        self.text.push('\n');
    }

    /// The samples of one histogram of the family `name`.
    pub(super) fn histogram<const N: usize>(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        snapshot: &Snapshot<N>,
    ) {
        self.histogram_with(name, labels, snapshot, &[]);
    }

    /// The same with an exemplar for each bucket that has one.
    pub(super) fn histogram_with<const N: usize>(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        snapshot: &Snapshot<N>,
        exemplars: &[Option<Exemplar>],
    ) {
        let exemplar = |at: usize| exemplars.get(at).and_then(Option::as_ref);
        let bucket = format!("{name}_bucket");
        let (mut sum, all) = (0, snapshot.count());
        for (at, ((_, end), count)) in snapshot.ends.iter().zip(snapshot.buckets).enumerate() {
            sum += count;
            self.bucket(&bucket, &[labels, &[("le", end)]].concat(), sum, exemplar(at));
        }
        self.bucket(&bucket, &[labels, &[("le", "+Inf")]].concat(), all, exemplar(N));
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
        let mut text = Text::with_capacity(0, Format::Prometheus);
        text.sample("x", &[("a", "1\"\n\\"), ("b", "ü")], 7);
        assert_eq!(text.text, "x{a=\"1\\\"\\n\\\\\",b=\"ü\"} 7\n");
    }
}
