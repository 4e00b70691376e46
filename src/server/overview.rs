//! The running gateway as JSON: what it is made of, and what is counted of it.
//!
//! Bounds: as many pipelines as are asked for, and all routes and upstreams up to [`MOST`] each, with the number of those that
//! are left out.

use crate::engine::{Fork, Onward};
use crate::gateway::{Generation, StageSight};
use crate::plan::{End, Grant, HostPattern, Link, Pipeline, PipelineIndex, Route, Stage};
use crate::telemetry::trace::Wanted;
use crate::telemetry::{Metrics, buckets, since_epoch};
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::SystemTime;

/// The most routes and upstreams that are shown, and pipelines that are prepared for one trace.
const MOST: usize = 500;

/// `live`, with `count` of its pipelines from the one at the place `from` on.
pub(super) fn of(live: &Generation, metrics: &Metrics, from: usize, count: usize) -> Value {
    let plan = &live.plan;
    let upstreams = live.upstreams();
    let places = (0..plan.pipelines.len()).skip(from).take(count).map(PipelineIndex);
    json!({
        "now": seconds(SystemTime::now()),
        "version": env!("CARGO_PKG_VERSION"),
        "generation": live.number,
        "built": seconds(live.built),
        "started": metrics.started().as_secs_f64(),
        "connections": metrics.open_connections(),
        "traces": {
            "sample": plan.telemetry.sample.as_f64(),
            "stages": plan.telemetry.stages,
            "sampled": metrics.traces().sampled(),
            "limited": metrics.traces().limited(),
        },
        "memory": resident(),
        "buckets": buckets(),
        "stage-buckets": buckets(),
        "total": plan.pipelines.len(),
        "from": from,
        "pipelines": places.map(|index| pipeline(live, index, metrics)).collect::<Vec<_>>(),
        "routes": plan.routes.iter().take(MOST).map(|it| route(live, it)).collect::<Vec<_>>(),
        "left-out": {
            "routes": plan.routes.len().saturating_sub(MOST),
            "upstreams": upstreams.len().saturating_sub(MOST),
        },
        "upstreams": upstreams.into_iter().take(MOST).map(|it| upstream(it, metrics)).collect::<Vec<_>>(),
    })
}

/// The pipelines which requests can reach that are `wanted`, as far as their routes tell, and what stages may call.
pub(super) fn reached(live: &Generation, wanted: &Wanted) -> Vec<PipelineIndex> {
    let reaches = |route: &&Route| {
        let is_on_way = |path: &String| route.matches_path(path) || route.path.starts_with(path.as_str());
        let host = wanted.host.as_deref();
        wanted.path.as_ref().is_none_or(is_on_way)
            && host.is_none_or(|host| route.host.matches(host))
            && wanted.method.as_ref().is_none_or(|method| route.matches_method(method))
    };
    let routes = live.plan.routes.iter().filter(reaches);
    let first: BTreeSet<_> =
        routes.flat_map(|route| route.split.iter().map(|split| split.pipeline)).collect();
    let mut found: Vec<_> = first.iter().copied().take(MOST).collect();
    let mut known = first;
    let mut at = 0;
    // Those that their stages call, and that these call. Of too many, those that have an observed request are prepared then.
    while let Some(&index) = found.get(at) {
        at += 1;
        for called in live.plan.pipeline(index).all_stages().flat_map(called) {
            if found.len() < MOST && known.insert(called) {
                found.push(called);
            }
        }
    }
    found
}

/// The pipelines that `stage` reaches: by their names, and behind its further imports of a handler.
fn called(stage: &Stage) -> impl Iterator<Item = PipelineIndex> {
    let calls = stage.grants.egress.calls.iter().map(|call| call.pipeline);
    calls.chain(stage.next.iter().map(|next| next.pipeline))
}

fn pipeline(live: &Generation, index: PipelineIndex, metrics: &Metrics) -> Value {
    let (pipeline, first) = (live.plan.pipeline(index), live.pipeline(index));
    let mut shown = metrics.of_pipeline(&pipeline.name);
    shown["name"] = json!(pipeline.name.to_string());
    shown["end"] = end(pipeline, live);
    shown["segments"] = first.forks().map(|fork| segment(fork, pipeline)).collect();
    let stages = pipeline.all_stages().zip(live.stages(index));
    shown["stages"] =
        stages.map(|(stage, sight)| self::stage(pipeline, stage, sight, first, metrics)).collect();
    shown
}

fn end(pipeline: &Pipeline, live: &Generation) -> Value {
    let (kind, name) = match &pipeline.end {
        End::Component(stage) => ("component", stage.id.component.to_string()),
        End::Upstream(index) => ("upstream", live.plan.upstream(*index).name.to_string()),
        End::Native(name) => ("native", name.to_string()),
    };
    json!({ "kind": kind, "name": name })
}

fn segment(fork: &Fork, pipeline: &Pipeline) -> Value {
    let segment = &fork.whole().segment;
    let stages: Vec<_> = segment.scopes.iter().map(|scope| scope.id.index).collect();
    let is_dynamic = |stage: &Stage| stages.contains(&stage.id.index) && stage.link == Link::Dynamic;
    json!({
        "stages": stages,
        "form": if segment.form.direct().is_some() { "direct" } else { "component" },
        "reason": segment.form.reason(),
        "link": if pipeline.all_stages().any(is_dynamic) { Link::Dynamic } else { Link::Static }.word(),
    })
}

fn stage(pipeline: &Pipeline, stage: &Stage, sight: &StageSight, first: &Onward, metrics: &Metrics) -> Value {
    let name = stage.id.label();
    let breaker = first
        .hops()
        .filter(|hop| hop.stages().eq([&stage.id]))
        .find_map(|hop| hop.breaker_state())
        .map(|breaker| json!({ "open": breaker.open, "opened": breaker.opened }));
    let grants = Grant::ALL.iter().filter(|grant| grant.is_in(&stage.grants)).map(|grant| grant.key());
    let mut shown = metrics.of_stage(&pipeline.name, &name);
    shown["index"] = stage.id.index.into();
    shown["name"] = name.into();
    shown["component"] = stage.id.component.to_string().into();
    shown["digest"] = format!("sha256:{}", sight.digest).into();
    shown["lift"] = sight.lift.as_str().into();
    shown["imports"] = json!(*sight.imports);
    shown["when"] = stage.when.is_some().into();
    shown["on-failure"] = stage.on_failure.word().into();
    shown["breaker"] = breaker.unwrap_or_default();
    shown["grants"] = grants.collect();
    shown
}

fn route(live: &Generation, route: &Route) -> Value {
    let all: u32 = route.split.iter().map(|split| split.weight).sum();
    let target = |split: &crate::plan::Split| {
        let share = f64::from(split.weight) / f64::from(all.max(1));
        json!({ "pipeline": live.plan.pipeline(split.pipeline).name.to_string(), "share": share })
    };
    let hosts: Vec<_> =
        (route.host != HostPattern::Any).then(|| route.host.to_string()).into_iter().collect();
    let methods = route.methods.iter().flatten().map(ToString::to_string);
    json!({
        "path": route.path,
        "hosts": hosts,
        "methods": methods.collect::<Vec<_>>(),
        "targets": route.split.iter().map(target).collect::<Vec<_>>(),
        "mirror": route.mirror.map(|index| live.plan.pipeline(index).name.to_string()),
    })
}

fn upstream(upstream: &Upstream, metrics: &Metrics) -> Value {
    let servers = upstream.report().map(|server| {
        let mut shown = metrics.of_server(upstream.name(), &server.server);
        shown["server"] = (*server.server).into();
        shown["up"] = server.up.into();
        shown["failing"] = server.failing.into();
        shown["ejected"] = server.ejected.into();
        shown
    });
    json!({ "name": upstream.name(), "servers": servers.collect::<Vec<_>>() })
}

fn seconds(time: SystemTime) -> f64 {
    since_epoch(time).as_secs_f64()
}

/// Bytes of memory that the process has, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
