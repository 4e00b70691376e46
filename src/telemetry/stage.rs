//! What one worker counts of a stage, apart from its instances, and the text of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::histogram::{Exemplar, OF_STAGES, Snapshot};
use super::observed::{Observed, PLACES, Sums};
use super::series::Counts;
use super::text::{MetricType, Text, seconds, sum};

/// The counts of a stage, apart from those of its instances.
#[derive(Default)]
pub struct StageMetrics {
    /// Requests to which the stage does not apply.
    pub not_applied: AtomicU64,
    /// Requests that bypassed the stage since it failed.
    pub bypassed_failed: AtomicU64,
    /// Requests that bypassed the stage since its breaker was open.
    pub bypassed_open: AtomicU64,
    /// Requests that were refused since the stage's breaker was open.
    pub refused: AtomicU64,
    /// What is known of requests that were observed, once there was one.
    pub observed: OnceLock<Box<Observed>>,
}

/// Writes the counts of all stages.
pub(super) fn render(text: &mut Text, stages: &Counts<2, StageMetrics>) {
    write(text, stages.iter(), &COUNTERS, |workers, count| sum(workers, |of| count(of).load(Relaxed)));
    of_observed(text, stages);
}

/// Where something is counted.
type Place<T> = fn(&T) -> &AtomicU64;

/// A counter: its name, its meaning, and its samples: the label that distinguishes one from the others, and its place.
type Counter<T> = (&'static str, &'static str, &'static [(Option<(&'static str, &'static str)>, Place<T>)]);

const COUNTERS: [Counter<StageMetrics>; 3] = [
    (
        "linkspan_stage_not_applied_total",
        "Requests to which a stage with a condition did not apply.",
        &[(None, |of| &of.not_applied)],
    ),
    (
        "linkspan_stage_bypassed_total",
        "Requests that continued without a stage that failed or whose breaker was open.",
        &[
            (Some(("reason", "failed")), |of| &of.bypassed_failed),
            (Some(("reason", "breaker-open")), |of| &of.bypassed_open),
        ],
    ),
    (
        "linkspan_breaker_refusals_total",
        "Requests that were refused because the breaker of a stage was open.",
        &[(None, |of| &of.refused)],
    ),
];

const OBSERVED: [Counter<Sums>; 7] = [
    (
        "linkspan_stage_answered_total",
        "Observed requests that a stage answered without calling the next one.",
        &[(None, |of| &of.answered)],
    ),
    (
        "linkspan_stage_failed_total",
        "Observed requests to which a stage gave no response.",
        &[(None, |of| &of.failed)],
    ),
    (
        "linkspan_stage_broke_off_total",
        "Observed requests whose response did not come to its end.",
        &[(None, |of| &of.broke_off)],
    ),
    (
        "linkspan_stage_busy_requests_total",
        "Observed requests whose computation in a stage is known.",
        &[(None, |of| &of.busy_requests)],
    ),
    (
        "linkspan_stage_host_calls_total",
        "Calls of the host by a stage for observed requests, where they are known.",
        &[(None, |of| &of.host_calls)],
    ),
    (
        "linkspan_stage_outgoing_requests_total",
        "Requests of a stage's own for observed requests, where they are known.",
        &[(None, |of| &of.outgoing)],
    ),
    (
        "linkspan_stage_body_bytes_total",
        "Bytes of bodies at a stage, of observed requests.",
        &[
            (Some(("direction", "request")), |of| &of.request_bytes),
            (Some(("direction", "response")), |of| &of.response_bytes),
        ],
    ),
];

/// Writes `counters` of `stages`, each of which has its sum from `sum`.
fn write<'s, T>(
    text: &mut Text,
    stages: impl Iterator<Item = Stage<'s>> + Clone,
    counters: &[Counter<T>],
    sum: fn(&Workers, Place<T>) -> u64,
) {
    for (name, help, samples) in counters {
        text.family(name, MetricType::Counter, help);
        for ([pipeline, stage], workers) in stages.clone() {
            for (label, count) in *samples {
                let mut labels = labels(pipeline, stage).to_vec();
                labels.extend(*label);
                text.sample(name, &labels, sum(workers, *count));
            }
        }
    }
}

/// What all workers count of one stage, and its names.
type Workers = BTreeMap<usize, Arc<StageMetrics>>;
type Stage<'s> = (&'s [Arc<str>; 2], &'s Workers);

/// A time: its name, its meaning, and its place.
type Time = (&'static str, &'static str, Place<Sums>);

const TIMES: [Time; 2] = [
    ("linkspan_stage_queue_seconds_total", "Time that observed requests waited for an instance.", |of| {
        &of.queued
    }),
    (
        "linkspan_stage_busy_seconds_total",
        "Computation of a stage for observed requests, where it is known.",
        |of| &of.busy,
    ),
];

/// Writes what was observed of stages of which anything was.
fn of_observed(text: &mut Text, stages: &Counts<2, StageMetrics>) {
    const OWN: &str = "linkspan_stage_own_duration_seconds";
    text.family(OWN, MetricType::Histogram, "A stage's own time for a request, of those that were observed.");
    let observed = |of: &StageMetrics| of.observed.get().is_some();
    let stages: Vec<_> =
        stages.iter().filter(|(_, workers)| workers.values().any(|of| observed(of))).collect();
    for ([pipeline, stage], workers) in &stages {
        let mut all = Snapshot::none(&OF_STAGES);
        let mut exemplars = [const { None }; PLACES];
        for observed in workers.values().filter_map(|of| of.observed.get()) {
            all += observed.own();
            for (latest, other) in exemplars.iter_mut().zip(observed.exemplars()) {
                let at = |exemplar: &Option<Exemplar>| exemplar.as_ref().map(|exemplar| exemplar.at);
                if at(latest) < at(&other) {
                    *latest = other;
                }
            }
        }
        text.histogram_with(OWN, &labels(pipeline, stage), &all, &exemplars);
    }
    write(text, stages.iter().copied(), &OBSERVED, sum_of);
    for (name, help, count) in TIMES {
        text.family(name, MetricType::Counter, help);
        for ([pipeline, stage], workers) in &stages {
            text.sample(name, &labels(pipeline, stage), seconds(u128::from(sum_of(workers, count))));
        }
    }
}

fn labels<'a>(pipeline: &'a str, stage: &'a str) -> [(&'a str, &'a str); 2] {
    [("linkspan_pipeline", pipeline), ("linkspan_stage", stage)]
}

fn sum_of(workers: &Workers, count: Place<Sums>) -> u64 {
    sum(workers, |of| of.observed.get().map_or(0, |observed| count(&observed.counts).load(Relaxed)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::telemetry::{CountedCalls, Format, Metrics, Outcome, Sight};

    #[test]
    fn exemplars_are_for_who_asks_for_them() {
        let metrics = Metrics::new();
        metrics.stage("edge", "1:never", 0);
        let took = |micros| Sight {
            queued: Duration::from_micros(1),
            own: Duration::from_micros(micros),
            down: Duration::ZERO,
            back: Duration::ZERO,
            whole: Duration::from_millis(1),
            busy: Some(Duration::from_micros(3)),
            calls: 0,
            host_calls: Some(CountedCalls::default()),
            response_bytes: 5,
            outcome: Outcome::Sent,
        };
        for (worker, trace) in [(0, "aa"), (1, "bb")] {
            let stage = metrics.stage("edge", "0:key-auth", worker);
            stage.observed.get_or_init(Box::default).count(&took(7), 2, trace.to_owned());
        }
        let text = metrics.render(Format::Prometheus);
        let bucket = "linkspan_stage_own_duration_seconds_bucket{linkspan_pipeline=\"edge\",\
                      linkspan_stage=\"0:key-auth\",le=\"0.00001\"} 2";
        assert!(text.contains(&format!("{bucket}\n")) && !text.contains("trace_id"), "{text}");
        assert!(
            !text.contains("own_duration_seconds_bucket{linkspan_pipeline=\"edge\",linkspan_stage=\"1:never")
        );
        let labels = "{linkspan_pipeline=\"edge\",linkspan_stage=\"0:key-auth\"}";
        for line in [
            format!("linkspan_stage_busy_seconds_total{labels} 0.000006000"),
            format!("linkspan_stage_answered_total{labels} 2"),
        ] {
            assert!(text.contains(&line), "{text}");
        }
        let open = metrics.render(Format::OpenMetrics);
        assert!(open.contains(&format!("{bucket} # {{trace_id=\"bb\"}} 0.000007000 1")), "{open}");
        assert!(
            open.ends_with("# EOF\n") && open.contains("# TYPE linkspan_stage_answered counter\n"),
            "{open}"
        );
    }
}
