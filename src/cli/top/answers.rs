//! What the admin listener answers, as far as it is shown.
//!
//! Everything is optional, so that a gateway of another version can be looked at: what it does not say is not shown.

use super::label::Label;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The answer of `/overview`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Overview {
    /// Unix time, in seconds, as all times.
    pub(super) now: f64,
    pub(super) version: Label,
    pub(super) generation: u64,
    pub(super) started: f64,
    pub(super) ready: bool,
    /// Resident, in bytes.
    pub(super) memory: Option<u64>,
    pub(super) connections: Option<u64>,
    pub(super) traces: Sampling,
    /// Ends of the buckets of `durations`, in seconds.
    pub(super) buckets: Vec<f64>,
    /// Ends of the buckets of a stage's `own`.
    pub(super) stage_buckets: Vec<f64>,
    /// How many pipelines there are; `pipelines` begins with the one at `from`.
    pub(super) total: usize,
    pub(super) from: usize,
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) upstreams: Vec<Upstream>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Sampling {
    pub(super) stages: bool,
    pub(super) sampled: u64,
    pub(super) limited: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Pipeline {
    pub(super) name: Label,
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) refused: u64,
    pub(super) active: u64,
    pub(super) durations: Vec<u64>,
    pub(super) traps: BTreeMap<Label, u64>,
    pub(super) events: BTreeMap<Label, u64>,
    pub(super) instances: Instances,
    pub(super) end: End,
    pub(super) segments: Vec<Segment>,
    pub(super) stages: Vec<Stage>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Instances {
    pub(super) warm: u64,
    pub(super) made: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct End {
    pub(super) kind: Label,
    pub(super) name: Label,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Segment {
    /// Places in `stages`.
    pub(super) stages: Vec<usize>,
    pub(super) form: Label,
    /// Why it has not the direct form.
    pub(super) reason: Option<Label>,
    pub(super) link: Label,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Stage {
    pub(super) index: usize,
    pub(super) name: Label,
    pub(super) component: Label,
    pub(super) digest: Label,
    pub(super) lift: Label,
    /// Whether it has a condition.
    pub(super) when: bool,
    pub(super) on_failure: Option<Label>,
    pub(super) breaker: Option<Breaker>,
    pub(super) grants: Vec<Label>,
    pub(super) imports: Vec<Label>,
    pub(super) not_applied: u64,
    pub(super) bypassed: u64,
    pub(super) refused: u64,
    /// What sampled requests told of it.
    pub(super) observed: Option<Observed>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Breaker {
    pub(super) open: bool,
    pub(super) opened: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Observed {
    pub(super) requests: u64,
    pub(super) own: Vec<u64>,
    pub(super) own_sum: f64,
    pub(super) busy_sum: f64,
    pub(super) busy_requests: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) broke_off: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Upstream {
    pub(super) name: Label,
    pub(super) servers: Vec<Server>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Server {
    pub(super) server: Label,
    pub(super) up: bool,
    pub(super) failing: bool,
    pub(super) ejected: bool,
    pub(super) requests: u64,
    pub(super) failures: u64,
}

/// The answer of `/traces`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Traces {
    pub(super) traces: Vec<TraceHead>,
}

/// A trace in the list of traces.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct TraceHead {
    pub(super) id: Label,
    pub(super) name: Label,
    pub(super) start: f64,
    pub(super) duration: f64,
    pub(super) status: Option<u16>,
    pub(super) pipeline: Option<Label>,
    pub(super) error: Option<Label>,
    /// `recent`, `slow` or `failed`.
    pub(super) kept_as: Label,
}

/// The answer of `/traces/ID`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Trace {
    pub(super) id: Label,
    pub(super) name: Label,
    pub(super) duration: f64,
    pub(super) status: Option<u16>,
    pub(super) pipeline: Option<Label>,
    pub(super) error: Option<Label>,
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Span {
    pub(super) id: Label,
    pub(super) parent: Option<Label>,
    pub(super) kind: Label,
    pub(super) name: Label,
    /// Since the trace's start.
    pub(super) start: f64,
    pub(super) duration: f64,
    pub(super) error: Option<Label>,
    pub(super) attributes: BTreeMap<Label, serde_json::Value>,
    pub(super) events: Vec<Event>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Event {
    pub(super) at: f64,
    pub(super) name: Label,
    pub(super) attributes: BTreeMap<Label, serde_json::Value>,
}

/// The answer of `/generations`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Generations {
    pub(super) live: Live,
    pub(super) retiring: Vec<Retiring>,
    /// How many can be gone back to.
    pub(super) history: u64,
    pub(super) under_way: Option<UnderWay>,
    /// The oldest first.
    pub(super) reloads: Vec<Reload>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Live {
    pub(super) generation: u64,
    pub(super) built: f64,
    pub(super) compiled: u64,
    pub(super) reused: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Retiring {
    pub(super) generation: u64,
    pub(super) seconds: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct UnderWay {
    pub(super) trigger: Label,
    pub(super) seconds: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Reload {
    pub(super) trigger: Label,
    pub(super) at: f64,
    pub(super) milliseconds: u64,
    pub(super) generation: u64,
    /// `swapped`, `unchanged`, `no-history` or `refused`.
    pub(super) result: Label,
    details: serde_json::Value,
}

/// A mistake in a configuration that was refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Finding {
    pub(super) severity: Label,
    pub(super) file: Option<Label>,
    pub(super) line: Option<u64>,
    pub(super) message: Label,
    pub(super) label: Option<Label>,
    pub(super) help: Option<Label>,
}

impl Reload {
    /// What a refused configuration has wrong.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let findings = self.details.as_array().map(Vec::as_slice).unwrap_or_default();
        findings.iter().filter_map(|finding| Finding::deserialize(finding).ok()).collect()
    }

    /// How many segments were compiled, and taken over.
    pub(super) fn segments(&self) -> Option<(u64, u64)> {
        Some((self.details["compiled"].as_u64()?, self.details["reused"].as_u64()?))
    }
}

/// An attribute's value, as a terminal can show it.
pub(super) fn told(value: &serde_json::Value) -> Label {
    match value {
        serde_json::Value::String(text) => Label::new(text),
        value => Label::new(&value.to_string()),
    }
}

/// What the gateway was asked for.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Overview(Overview),
    Generations(Generations),
    Traces(Traces),
    Trace(Trace),
    /// The trace that was asked for is not kept any more.
    Forgotten,
}
