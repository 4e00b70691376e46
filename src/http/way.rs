//! The destination of a request: a pipeline, https, or none.

use super::normalize::NormalHead;
use super::request_id::RequestId;
use super::respond::Refusal;
use crate::gateway::split::choose;
use crate::gateway::{Generation, Match};
use crate::net::ConnInfo;
use crate::plan::{PipelineIndex, Route};
use http::header::{CONNECTION, UPGRADE};
use http::{Extensions, HeaderMap, HeaderValue};
use std::sync::Arc;

/// The pipeline of a request, and the route that leads there, if one does.
pub(super) fn way<'g>(
    generation: &'g Generation,
    entry: &EmbeddedCall,
    head: &NormalHead,
    headers: &HeaderMap,
    conn: &ConnInfo,
    id: &RequestId,
) -> Result<(PipelineIndex, Option<&'g Route>), Refusal> {
    if let Some(port) = conn.redirect {
        return Err(Refusal::OnlyHttps { location: under_https(head, port) });
    }
    if let Some(name) = &entry.pipeline {
        // A reload may have removed the pipeline.
        return Ok((generation.plan.find_pipeline(name).ok_or(Refusal::NoRoute)?, None));
    }
    match generation.router.route(head.host(), head.path(), &head.method) {
        Match::Route(route) => {
            let route = &generation.plan.routes[route];
            Ok((choose(&generation.plan, route, headers, id.number()), Some(route)))
        }
        Match::OtherMethods(allow) => Err(Refusal::MethodNotAllowed { allow }),
        Match::None => Err(Refusal::NoRoute),
    }
}

/// Where a request of an embedding program goes.
#[derive(Default)]
pub struct EmbeddedCall {
    /// The pipeline's name; without one, the routes decide.
    pub pipeline: Option<Arc<str>>,
    /// Values that travel with the request, for native services.
    pub extensions: Extensions,
}

/// The same target over TLS, at a port.
fn under_https(head: &NormalHead, port: u16) -> String {
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    format!("https://{}{port}{}", head.host(), head.path_and_query)
}

/// Whether the client asks for another protocol (RFC 9110 §7.8) that it needs: a client that merely offers HTTP/2 gets
/// an ordinary response.
pub(super) fn wants_upgrade(headers: &HeaderMap) -> bool {
    let tokens = |name| {
        headers.get_all(name).iter().flat_map(|value: &HeaderValue| value.as_bytes().split(|it| *it == b','))
    };
    let asks = tokens(CONNECTION).any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    asks && tokens(UPGRADE).any(|token| !token.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}
