//! `linkspan check --against URL`: what a reload would change in a running gateway.
//!
//! The admin listener's `/generations` lists the live segments, each with its identity. A segment of the checked
//! configuration with the same identity would be taken over as it runs; the others would be made, and live segments
//! without a counterpart would be retired.

use super::failed::Failed;
use crate::gateway::Generation;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// The longest answer that is read, in bytes, and the longest wait for any of it.
const MAX_ANSWER: u64 = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// What a reload would do, in a line for each segment and upstream.
///
/// # Errors
/// If the running gateway can't be asked.
pub(super) fn compare(generation: &Generation, url: &str, token: Option<&str>) -> Result<String, Failed> {
    let live = segments(&ask(url, token)?)?;
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

/// Gets `/generations` from the admin listener at `url`, `http://HOST:PORT`.
fn ask(url: &str, token: Option<&str>) -> Result<serde_json::Value, Failed> {
    let failed = |error: &dyn std::fmt::Display| Failed::system(format!("cannot ask `{url}`: {error}"));
    let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let address = authority
        .to_socket_addrs()
        .map_err(|error| failed(&error))?
        .next()
        .ok_or_else(|| failed(&"it has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| failed(&error))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| failed(&error))?;
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    // HTTP/1.0: the answer ends with the connection, and has no chunks.
    let request = format!("GET /generations HTTP/1.0\r\nhost: {authority}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| failed(&error))?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(|error| failed(&error))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| failed(&"the answer is not HTTP"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(failed(&format!("it answered {status}")));
    }
    serde_json::from_str(body).map_err(|error| failed(&error))
}
