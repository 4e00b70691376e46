//! What is counted of one pipeline, stage or server, as JSON for the admin listener. The sums of all workers since the start
//! of the process, as in a scrape: who wants a rate takes the difference of two answers.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Metrics;
use super::histogram::{OF_STAGES, Snapshot};
use super::observed::Sums;
use super::pipeline::{Events, TRAP_KINDS};

type Buckets = Snapshot<{ OF_STAGES.len() }>;

/// The upper ends of all buckets, in seconds.
pub fn buckets() -> Vec<f64> {
    OF_STAGES.iter().map(|(end, _)| Duration::from_nanos(*end).as_secs_f64()).collect()
}

impl Metrics {
    /// What is counted of the pipeline called `name`.
    pub fn of_pipeline(&self, name: &str) -> Value {
        let workers = self.pipelines.find([name]);
        let (mut durations, mut refused, mut errors) = (Snapshot::none(&OF_STAGES), 0, 0);
        for worker in &workers {
            durations += worker.fine();
            for ((_, status), snapshot) in worker.durations() {
                match status {
                    500..=599 => errors += snapshot.count(),
                    400..=499 => refused += snapshot.count(),
                    _ => {}
                }
            }
        }
        let count = |place: fn(&Events) -> &AtomicU64| -> u64 {
            workers.iter().map(|worker| place(&worker.events).load(Relaxed)).sum()
        };
        let traps = TRAP_KINDS.iter().enumerate().map(|(at, kind)| {
            let traps = workers.iter().map(|worker| worker.traps[at].load(Relaxed));
            ((*kind).to_owned(), traps.sum::<u64>().into())
        });
        let gauge = |place: fn(&super::PipelineMetrics) -> &AtomicUsize| -> usize {
            workers.iter().map(|worker| place(worker).load(Relaxed)).sum()
        };
        json!({
            "requests": durations.count(),
            "refused": refused,
            "errors": errors,
            "active": workers.iter().flat_map(|worker| worker.active()).sum::<usize>(),
            "durations": counts(&durations),
            "duration-sum": sum(&durations),
            "traps": traps.collect::<Map<_, _>>(),
            "events": {
                "deadlines": count(|events| &events.deadlines),
                "no-capacity": count(|events| &events.no_capacity),
                "guest-errors": count(|events| &events.guest_errors),
                "invalid-responses": count(|events| &events.invalid_responses),
                "cut-short": count(|events| &events.cut_short),
                "abandoned": count(|events| &events.abandoned),
            },
            "instances": { "warm": gauge(|worker| &worker.warm), "made": count(|events| &events.made) },
        })
    }

    /// What is counted of `stage`, `0:key-auth`, of the pipeline called `name`.
    pub fn of_stage(&self, name: &str, stage: &str) -> Value {
        let workers = self.stages.find([name, stage]);
        let count = |place: fn(&super::StageMetrics) -> &AtomicU64| -> u64 {
            workers.iter().map(|worker| place(worker).load(Relaxed)).sum()
        };
        let observed: Vec<_> = workers.iter().filter_map(|worker| worker.observed.get()).collect();
        let seen = (!observed.is_empty()).then(|| {
            let mut own = Snapshot::none(&OF_STAGES);
            observed.iter().for_each(|of| own += of.own());
            let count = |place: fn(&Sums) -> &AtomicU64| -> u64 {
                observed.iter().map(|of| place(&of.counts).load(Relaxed)).sum()
            };
            let time = |place| Duration::from_nanos(count(place)).as_secs_f64();
            json!({
                "requests": own.count(),
                "own": counts(&own),
                "own-sum": sum(&own),
                "queued-sum": time(|sums| &sums.queued),
                "busy-sum": time(|sums| &sums.busy),
                "busy-requests": count(|sums| &sums.busy_requests),
                "host-calls": count(|sums| &sums.host_calls),
                "outgoing-requests": count(|sums| &sums.outgoing),
                "answered": count(|sums| &sums.answered),
                "failed": count(|sums| &sums.failed),
                "broke-off": count(|sums| &sums.broke_off),
            })
        });
        json!({
            "not-applied": count(|of| &of.not_applied),
            "bypassed": count(|of| &of.bypassed_failed) + count(|of| &of.bypassed_open),
            "refused": count(|of| &of.refused),
            "observed": seen,
        })
    }

    /// What is counted of `server` of the upstream called `name`.
    pub fn of_server(&self, name: &str, server: &str) -> Value {
        let sums = self.servers.find([name, server]).into_iter().map(|worker| worker.sums());
        let (requests, failures) =
            sums.fold((0, 0), |(requests, failures), (more, faults)| (requests + more, failures + faults));
        json!({ "requests": requests, "failures": failures })
    }
}

/// Of each bucket, then of what is beyond all of them.
fn counts(snapshot: &Buckets) -> Vec<u64> {
    snapshot.buckets.into_iter().chain([snapshot.beyond]).collect()
}

/// The sum of all durations, in seconds.
fn sum(snapshot: &Buckets) -> f64 {
    Duration::from_nanos(u64::try_from(snapshot.nanoseconds).unwrap_or(u64::MAX)).as_secs_f64()
}
