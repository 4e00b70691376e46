//! OpenTelemetry's semantic conventions for HTTP, as far as several spans share them.

use std::fmt::Display;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Version};

use super::id::SpanId;
use super::recording::{OpenSpan, Trace};
use super::span::SpanKind;

/// The methods that the conventions know.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// A place in a trace that is recorded: a span, under which others can be opened.
#[derive(Clone, Debug)]
pub struct Place {
    trace: Arc<Trace>,
    span: SpanId,
}

/// The server of a request that goes out.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Its name or address.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
}

impl Place {
    /// The place of `span` in `trace`.
    pub fn new(trace: Arc<Trace>, span: SpanId) -> Self {
        Self { trace, span }
    }

    /// Opens a span here.
    pub fn open(&self, kind: SpanKind, name: String) -> Option<OpenSpan> {
        self.trace.open(self.span, kind, name)
    }

    /// Opens the span of a request that goes out from here.
    pub fn send(&self, method: &Method) -> Option<OpenSpan> {
        let mut span = self.open(SpanKind::Client, method_name(method).to_owned())?;
        span.set_method(method);
        Some(span)
    }

    /// Tells whoever gets a request with these fields that `span` sends it; without one, this place.
    pub fn tell(&self, headers: &mut HeaderMap, span: Option<&OpenSpan>) {
        self.trace.tell(headers, span.and_then(OpenSpan::id).unwrap_or(self.span));
    }
}

impl OpenSpan {
    /// Notes the method of a request.
    pub fn set_method(&mut self, method: &Method) {
        if METHODS.contains(&method.as_str()) {
            self.set("http.request.method", method.as_str().to_owned());
        } else {
            self.set("http.request.method", "_OTHER");
            self.set("http.request.method_original", method.as_str().to_owned());
        }
    }

    /// Notes where a request goes; the query only where the configuration says so.
    pub fn set_destination(&mut self, to: Destination<'_>, target: &PathAndQuery) {
        let Destination { scheme, host, port } = to;
        let bare = host.trim_matches(['[', ']']);
        let shown = if self.shows_queries() { target.as_str() } else { target.path() };
        let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
        let full = match (scheme, port) {
            ("http", 80) | ("https", 443) => format!("{scheme}://{host}{shown}"),
            _ => format!("{scheme}://{host}:{port}{shown}"),
        };
        self.set("server.address", bare.to_owned());
        self.set("server.port", port);
        self.set("url.full", full);
    }

    /// Notes the answer to a request that went out.
    pub fn set_answer(&mut self, status: StatusCode, version: Option<Version>) {
        self.set("http.response.status_code", status.as_u16());
        if let Some(version) = version {
            self.set("network.protocol.version", version_name(version));
        }
        // For a client, 4xx is an error, too.
        if status.is_client_error() || status.is_server_error() {
            self.set("error.type", status.as_str().to_owned());
            self.fail("");
        }
    }

    /// Notes that there is no answer, or that it broke off: of what kind the error is, and why.
    pub fn set_error(&mut self, kind: impl Into<String>, why: &dyn Display) {
        self.set("error.type", kind.into());
        self.fail(why.to_string());
    }
}

/// What a span is called by its method: names are few.
pub fn method_name(method: &Method) -> &str {
    if METHODS.contains(&method.as_str()) { method.as_str() } else { "HTTP" }
}

/// The version of HTTP, as the conventions write it.
pub fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
