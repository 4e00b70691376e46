//! `linkspan check --against URL`: what a reload would change in a running gateway.
//!
//! The admin listener's `/generations` lists the live segments, each with its identity. A segment of the checked
//! configuration with the same identity would be taken over as it runs; the others would be made, and live segments
//! without a counterpart would be retired.

use super::admin::{self, AdminClient};
use super::failed::Failed;
use crate::gateway::Generation;
use std::collections::BTreeMap;

/// What a reload would do, in a line for each segment and upstream.
///
/// # Errors
/// If the running gateway can't be asked.
pub(super) fn compare(generation: &Generation, url: &str, token: Option<&str>) -> Result<String, Failed> {
    let client = AdminClient::new(url, token)?;
    let live = admin::run(client.get("/generations"))?;
    let live = segments(&live.map_err(|error| Failed::system(format!("cannot ask `{url}`: {error}")))?)?;
    let mut lines = Vec::new();
    let mut kept = Vec::new();
    let segments = generation.hops().map(|hop| {
        let stages: Vec<_> = hop.segment.scopes.iter().map(|scope| scope.id.to_string()).collect();
        (hop.identity.to_string(), stages.join(" → "))
    });
    let upstreams = generation.upstreams().into_iter();
    let upstreams = upstreams.map(|it| (it.identity.clone(), format!("upstream {}", it.name())));
    for (identity, name) in segments.chain(upstreams) {
        let what = if live.contains_key(&identity) { "carried over" } else { "made      " };
        lines.push(format!("{what}  {name}"));
        kept.push(identity);
    }
    let retired = live.iter().filter(|(identity, _)| !kept.contains(identity));
    lines.extend(retired.map(|(_, stages)| format!("retired     {stages}")));
    Ok(lines.join("\n") + "\n")
}

/// The live segments and upstreams by identity.
fn segments(answer: &serde_json::Value) -> Result<BTreeMap<String, String>, Failed> {
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let pipelines = answer.pointer("/live/pipelines").ok_or_else(|| {
        Failed::system("the answer has no live pipelines: is this the admin listener of a linkspan gateway?")
    })?;
    let mut segments = BTreeMap::new();
    for segment in list(pipelines).iter().flat_map(|pipeline| list(&pipeline["segments"])) {
        let stages: Vec<_> =
            list(&segment["stages"]).iter().filter_map(|stage| stage.as_str().map(str::to_owned)).collect();
        let identity = segment["identity"].as_str().unwrap_or_default().to_owned();
        segments.insert(identity, stages.join(" → "));
    }
    for upstream in list(&answer["live"]["upstreams"]) {
        let identity = upstream["identity"].as_str().unwrap_or_default().to_owned();
        let name = upstream["name"].as_str().unwrap_or_default();
        segments.insert(identity, format!("upstream {name}"));
    }
    Ok(segments)
}
