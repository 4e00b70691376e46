//! What is counted, as text for Prometheus.
//!
//! The metrics of HTTP have the names and labels of OpenTelemetry's semantic conventions in Prometheus's spelling;
//! other names start with `linkspan_`, or are common to all processes. docs/metrics.md describes each metric.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::calendar::since_epoch;
use super::calls::CallMetrics;
use super::histogram::Snapshot;
use super::metrics::{BreakerState, Metrics, RELOAD_RESULTS, ReloadResult};
use super::pipeline::{Events, METHODS, OTHER, PipelineMetrics, TRAP_KINDS};
use super::series::Counts;
use super::text::{Format, MetricType, Text, seconds, sum};
use super::trace::DropReason;
use super::{stage, upstream};

impl Metrics {
    /// All of it as text for a scraper. Its order depends on names only.
    pub fn render(&self, format: Format) -> String {
        let pipelines = self.pipelines.all();
        let mut text = Text::with_capacity(4096 + pipelines.len() * 2048, format);
        durations(&mut text, &pipelines);
        active(&mut text, &pipelines);
        events(&mut text, &pipelines);
        stage::render(&mut text, &self.stages.all());
        breakers(&mut text, self);
        upstream::render(&mut text, &self.servers.all());
        if let Some(stores) = self.stores.get() {
            stores.render(&mut text);
        }
        calls(&mut text, &self.calls.all());
        gateway(&mut text, self);
        access_log(&mut text, self);
        log(&mut text);
        traces(&mut text, self);
        process(&mut text, self);
        if let Some(own) = self.own_metrics.get() {
            own.render(&mut text);
        }
        text.into_string()
    }
}

fn durations(text: &mut Text, pipelines: &Counts<1, PipelineMetrics>) {
    const NAME: &str = "http_server_request_duration_seconds";
    text.family(NAME, MetricType::Histogram, "Time from a request's head to the end of its response's body.");
    for ([pipeline], workers) in pipelines {
        let mut sums: BTreeMap<(usize, u16), Snapshot> = BTreeMap::new();
        for (series, snapshot) in workers.values().flat_map(|worker| worker.durations()) {
            *sums.entry(series).or_default() += snapshot;
        }
        for ((method, status), snapshot) in sums {
            let status = if status == 0 { OTHER.to_owned() } else { status.to_string() };
            let labels = [
                ("http_request_method", METHODS[method]),
                ("http_response_status_code", &status),
                ("linkspan_pipeline", pipeline),
            ];
            text.histogram(NAME, &labels, &snapshot);
        }
    }
}

fn calls(text: &mut Text, edges: &Counts<2, CallMetrics>) {
    const NAME: &str = "linkspan_call_duration_seconds";
    text.family(
        NAME,
        MetricType::Histogram,
        "Time from a call of one pipeline by another to the head of the answer.",
    );
    for ([caller, callee], workers) in edges {
        let mut sum = Snapshot::default();
        workers.values().for_each(|worker| sum += worker.durations());
        text.histogram(NAME, &[("linkspan_caller", caller), ("linkspan_pipeline", callee)], &sum);
    }
    const FAILED: &str = "linkspan_calls_failed_total";
    text.family(FAILED, MetricType::Counter, "Calls of a pipeline by another that got no response.");
    for ([caller, callee], workers) in edges {
        let failed = sum(workers, CallMetrics::failures);
        text.sample(FAILED, &[("linkspan_caller", caller), ("linkspan_pipeline", callee)], failed);
    }
}

fn active(text: &mut Text, pipelines: &Counts<1, PipelineMetrics>) {
    const NAME: &str = "http_server_active_requests";
    text.family(NAME, MetricType::Gauge, "Requests whose response has not ended.");
    for ([pipeline], workers) in pipelines {
        let mut sums = [0_usize; METHODS.len()];
        let mut used = [false; METHODS.len()];
        for worker in workers.values() {
            for (sum, more) in sums.iter_mut().zip(worker.active()) {
                *sum += more;
            }
            for ((method, _), _) in worker.durations() {
                used[method] = true;
            }
        }
        for ((method, sum), used) in METHODS.iter().zip(sums).zip(used) {
            // A method that was never used has no series; one that was goes back to 0.
            if sum > 0 || used {
                text.sample(NAME, &[("http_request_method", method), ("linkspan_pipeline", pipeline)], sum);
            }
        }
    }
}

/// A counter of [`Events`]: its name, its meaning, its place.
type Event = (&'static str, &'static str, fn(&Events) -> &AtomicU64);

const EVENTS: [Event; 7] = [
    ("linkspan_deadline_refusals_total", "Requests without a response head in time.", |events| {
        &events.deadlines
    }),
    ("linkspan_capacity_refusals_total", "Requests for which no instance had room.", |events| {
        &events.no_capacity
    }),
    ("linkspan_guest_errors_total", "Requests that the handler answered with an error.", |events| {
        &events.guest_errors
    }),
    ("linkspan_invalid_responses_total", "Responses of the handler that could not be sent.", |events| {
        &events.invalid_responses
    }),
    ("linkspan_responses_cut_short_total", "Responses that broke off after their head.", |events| {
        &events.cut_short
    }),
    (
        "linkspan_requests_abandoned_total",
        "Requests whose client left before their end or that of the answer.",
        |events| &events.abandoned,
    ),
    ("linkspan_instances_made_total", "Instances made.", |events| &events.made),
];

fn events(text: &mut Text, pipelines: &Counts<1, PipelineMetrics>) {
    for (name, help, counter) in EVENTS {
        text.family(name, MetricType::Counter, help);
        for ([pipeline], workers) in pipelines {
            let sum = sum(workers, |worker| counter(&worker.events).load(Relaxed));
            text.sample(name, &[("linkspan_pipeline", pipeline)], sum);
        }
    }
    text.family("linkspan_traps_total", MetricType::Counter, "Instances that ended early, by cause.");
    for ([pipeline], workers) in pipelines {
        for (at, kind) in TRAP_KINDS.iter().enumerate() {
            let sum = sum(workers, |worker| worker.traps[at].load(Relaxed));
            text.sample("linkspan_traps_total", &[("kind", kind), ("linkspan_pipeline", pipeline)], sum);
        }
    }
    text.family("linkspan_instances_warm", MetricType::Gauge, "Instances that exist now.");
    for ([pipeline], workers) in pipelines {
        let sum = sum(workers, |worker| worker.warm.load(Relaxed) as u64);
        text.sample("linkspan_instances_warm", &[("linkspan_pipeline", pipeline)], sum);
    }
    const KEPT: &str = "linkspan_instance_host_memory_peak_bytes";
    text.family(KEPT, MetricType::Gauge, "The largest host memory that was measured for one instance.");
    for ([pipeline], workers) in pipelines {
        let most = workers.values().map(|worker| worker.most_kept.load(Relaxed)).max().unwrap_or(0);
        text.sample(KEPT, &[("linkspan_pipeline", pipeline)], most);
    }
}

fn breakers(text: &mut Text, metrics: &Metrics) {
    let breakers = metrics.breakers();
    let mut family = |name: &str, kind: MetricType, help: &str, value: fn(&BreakerState) -> u64| {
        text.family(name, kind, help);
        for breaker in &breakers {
            let labels = [("linkspan_pipeline", &*breaker.pipeline), ("linkspan_stage", &*breaker.stage)];
            text.sample(name, &labels, value(breaker));
        }
    };
    let help = "Whether the breaker of a stage is open.";
    family("linkspan_breaker_open", MetricType::Gauge, help, |breaker| u64::from(breaker.open));
    let help = "Times that the breaker of a stage opened.";
    family("linkspan_breaker_opened_total", MetricType::Counter, help, |breaker| breaker.opened);
}

fn traces(text: &mut Text, metrics: &Metrics) {
    let traces = metrics.traces();
    for (name, help, value) in [
        ("linkspan_traces_sampled_total", "Requests that were sampled.", traces.sampled()),
        (
            "linkspan_traces_limited_total",
            "Requests that were not sampled since as many had been in the same second.",
            traces.limited(),
        ),
        ("linkspan_spans_exported_total", "Spans that the receiver took.", traces.exported()),
        ("linkspan_span_exports_failed_total", "Attempts to send spans that failed.", traces.failures()),
    ] {
        text.single(name, MetricType::Counter, help, value);
    }
    const DROPPED: &str = "linkspan_spans_dropped_total";
    text.family(DROPPED, MetricType::Counter, "Spans that were dropped, by reason.");
    for reason in DropReason::ALL {
        text.sample(DROPPED, &[("reason", reason.name())], traces.dropped(reason));
    }
}

fn gateway(text: &mut Text, metrics: &Metrics) {
    if let Some(open) = metrics.open_connections() {
        text.single(
            "linkspan_connections_open",
            MetricType::Gauge,
            "Client connections that are open.",
            open,
        );
    }
    if let Some(lost) = metrics.lost_handshakes() {
        const NAME: &str = "linkspan_tls_handshakes_lost_total";
        text.family(NAME, MetricType::Counter, "TLS handshakes that failed, by reason.");
        for (reason, count) in lost {
            text.sample(NAME, &[("reason", reason)], count);
        }
    }
    let generation = metrics.generation.load(Relaxed);
    text.single("linkspan_generation", MetricType::Gauge, "Number of the live generation.", generation);
    let retiring = metrics.retiring.load(Relaxed);
    let help = "Replaced generations that still have requests.";
    text.single("linkspan_generations_retiring", MetricType::Gauge, help, retiring);
    let cut = metrics.streams_cut.load(Relaxed);
    let help = "Requests cut because their generation had to end.";
    text.single("linkspan_retirement_streams_cut_total", MetricType::Counter, help, cut);

    text.family("linkspan_reloads_total", MetricType::Counter, "Reloads and rollbacks, by result.");
    for (result, count) in RELOAD_RESULTS.iter().zip(&metrics.reloads) {
        text.sample("linkspan_reloads_total", &[("result", result)], count.load(Relaxed));
    }
    if let Some(last) = metrics.last_reload() {
        let good = u8::from(last.result != ReloadResult::Rejected);
        let help = "Whether the last reload succeeded.";
        text.single("linkspan_last_reload_successful", MetricType::Gauge, help, good);
        let at = seconds(since_epoch(last.at).as_nanos());
        let help = "When the last reload ended, in seconds since 1970.";
        text.single("linkspan_last_reload_timestamp_seconds", MetricType::Gauge, help, at);
        let took = seconds(last.took.as_nanos());
        text.single(
            "linkspan_last_reload_duration_seconds",
            MetricType::Gauge,
            "How long the last reload took.",
            took,
        );
    }
}

fn access_log(text: &mut Text, metrics: &Metrics) {
    let access = metrics.access_log();
    text.family(
        "linkspan_access_log_lines_total",
        MetricType::Counter,
        "Lines of the access log, by result.",
    );
    for (result, count) in
        [("dropped", access.dropped()), ("failed", access.failed()), ("written", access.written())]
    {
        text.sample("linkspan_access_log_lines_total", &[("result", result)], count);
    }
}

fn log(text: &mut Text) {
    const NAME: &str = "linkspan_log_lines_total";
    let Some(counters) = crate::telemetry::log::counters() else { return };
    text.family(NAME, MetricType::Counter, "Lines of the log, by result.");
    for (result, count) in counters.results() {
        text.sample(NAME, &[("result", result)], count);
    }
}

fn process(text: &mut Text, metrics: &Metrics) {
    let version = env!("CARGO_PKG_VERSION");
    text.family("linkspan_build_info", MetricType::Gauge, "Always 1; the labels say what is running.");
    text.sample("linkspan_build_info", &[("version", version)], 1);
    let started = seconds(metrics.started().as_nanos());
    text.single(
        "process_start_time_seconds",
        MetricType::Gauge,
        "When the process started, in seconds since 1970.",
        started,
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::telemetry::TrapKind;

    fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
        text.lines().filter(|line| line.starts_with(start)).collect()
    }

    #[test]
    fn workers_are_added_up() {
        let metrics = Metrics::new();
        for (worker, millis) in [(0, 3), (1, 30), (1, 60_000)] {
            let pipeline = metrics.pipeline("edge", worker);
            pipeline.begin(&Method::GET).end(200, Duration::from_millis(millis));
            pipeline.trap(TrapKind::Cpu);
            pipeline.set_warm(0, 3);
            pipeline.set_warm(0, 2);
            pipeline.set_warm(3, 2);
        }
        let waiting = metrics.pipeline("edge", 7).begin(&Method::POST);
        let text = metrics.render(Format::Prometheus);
        let labels =
            "http_request_method=\"GET\",http_response_status_code=\"200\",linkspan_pipeline=\"edge\"";
        let name = "http_server_request_duration_seconds";
        let count = |le: &str| format!("{name}_bucket{{{labels},le=\"{le}\"}}");
        for (le, expected) in [("0.005", 1), ("0.025", 1), ("0.05", 2), ("10", 2), ("+Inf", 3)] {
            assert_eq!(lines(&text, &count(le)), [format!("{} {expected}", count(le))]);
        }
        let sum = format!("{name}_sum{{{labels}}} 60.033000000");
        assert_eq!(lines(&text, &format!("{name}_sum")), [sum]);
        assert_eq!(lines(&text, &format!("{name}_count")), [format!("{name}_count{{{labels}}} 3")]);
        let traps = "linkspan_traps_total{kind=\"cpu\",linkspan_pipeline=\"edge\"} 3";
        assert_eq!(lines(&text, "linkspan_traps_total{kind=\"cpu\""), [traps]);
        assert_eq!(
            lines(&text, "linkspan_instances_warm{"),
            ["linkspan_instances_warm{linkspan_pipeline=\"edge\"} 12"]
        );
        let active = lines(&text, "http_server_active_requests{");
        assert_eq!(
            active,
            [
                "http_server_active_requests{http_request_method=\"GET\",linkspan_pipeline=\"edge\"} 0",
                "http_server_active_requests{http_request_method=\"POST\",linkspan_pipeline=\"edge\"} 1",
            ]
        );
        drop(waiting);
    }

    /// Every line is a comment or a sample, every metric is announced once, its samples stand together.
    #[test]
    fn the_text_is_what_a_scraper_expects() {
        let metrics = Metrics::new();
        metrics.set_connections(|| 5);
        metrics.set_generation(3);
        metrics.reload(ReloadResult::Rejected, Duration::from_millis(1500));
        for name in ["b", "a"] {
            metrics.pipeline(name, 0).begin(&Method::GET).end(204, Duration::from_micros(1));
        }
        let text = metrics.render(Format::Prometheus);
        assert!(text.ends_with('\n') && !text.contains("\n\n"));
        let mut seen: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(announced) = line.strip_prefix("# TYPE ") {
                let (name, _) = announced.split_once(' ').unwrap();
                assert!(!seen.contains(&name), "{name} twice");
                seen.push(name);
            } else if !line.starts_with("# HELP ") {
                let name = line.split(['{', ' ']).next().unwrap();
                let current = *seen.last().unwrap();
                let rest = name.strip_prefix(current).unwrap_or_else(|| panic!("{name} under {current}"));
                assert!(matches!(rest, "" | "_bucket" | "_sum" | "_count"), "{name} under {current}");
                assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert_eq!(text, metrics.render(Format::Prometheus));
        assert_eq!(lines(&text, "linkspan_connections_open"), ["linkspan_connections_open 5"]);
        assert_eq!(lines(&text, "linkspan_generation "), ["linkspan_generation 3"]);
        assert_eq!(lines(&text, "linkspan_last_reload_successful"), ["linkspan_last_reload_successful 0"]);
        let took = "linkspan_last_reload_duration_seconds 1.500000000";
        assert_eq!(lines(&text, "linkspan_last_reload_duration"), [took]);
        assert!(text.find("pipeline=\"a\"").unwrap() < text.find("pipeline=\"b\"").unwrap());
    }
}
