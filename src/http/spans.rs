//! The span of a request, with the names of OpenTelemetry's semantic conventions for HTTP servers.
//!
//! Nothing that is a secret goes into a span: no field but `User-Agent`, no body, and the query only where the
//! configuration says so.

use super::normalize::NormalHead;
use super::record::From;
use crate::plan::Route;
use crate::telemetry::trace::{OpenSpan, Trace, method_name, version_name};
use http::header::USER_AGENT;
use http::uri::Scheme;
use http::{HeaderMap, Method, Version};
use std::sync::Arc;

/// The span of a request with this head, if `trace` is recorded.
pub fn request_span(
    trace: &Arc<Trace>,
    head: &NormalHead,
    (headers, version): (&HeaderMap, Version),
    from: &From<'_>,
) -> Option<OpenSpan> {
    let mut span = trace.open_root(method_name(&head.method).to_owned())?;
    span.set_method(&head.method);
    span.set("url.scheme", head.scheme.as_str().to_owned());
    span.set("url.path", head.path().to_owned());
    if let Some(query) = head.path_and_query.query().filter(|_| span.shows_queries()) {
        span.set("url.query", query.to_owned());
    }
    let own_port = if head.scheme == Scheme::HTTPS { 443 } else { 80 };
    span.set("server.address", head.host().trim_matches(['[', ']']).to_owned());
    span.set("server.port", head.authority().port_u16().unwrap_or(own_port));
    span.set("network.protocol.version", version_name(version));
    // A program that embeds the gateway has no address.
    if !from.client.is_unspecified() {
        span.set("client.address", from.client.to_string());
        span.set("network.peer.address", from.conn.peer.ip().to_canonical().to_string());
        span.set("network.peer.port", from.conn.peer.port());
    }
    if let Some(agent) = headers.get(USER_AGENT) {
        span.set("user_agent.original", String::from_utf8_lossy(agent.as_bytes()).into_owned());
    }
    span.asked(&head.method, Some(&head.path_and_query), headers);
    span.set("linkspan.request_id", from.id.as_str().to_owned());
    span.set("linkspan.generation", from.generation);
    Some(span)
}

/// Notes the pipeline and the route of a request.
pub fn routed(span: &mut OpenSpan, method: &Method, pipeline: &str, route: Option<&Route>) {
    span.set("linkspan.pipeline", pipeline.to_owned());
    if let Some(route) = route {
        span.set("http.route", route.path.clone());
        span.rename(format!("{} {}", method_name(method), route.path));
    }
}
