//! Traces: which requests have one, and where it goes.

use std::fmt;
use std::time::Duration;

use http::HeaderName;
use rustls::pki_types::CertificateDer;

use super::{ConfigValue, Server};
use crate::config::Fault;
pub use crate::config::Ratio;

/// `[telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPlan {
    /// The share of requests that are sampled.
    pub sample: Ratio,
    /// The most requests that are sampled in a second.
    pub sample_max: u32,
    /// Whether a sampled request meets each stage in a store of its own.
    pub stages: bool,
    /// Whether spans have queries.
    pub query: bool,
    /// Spans of one trace.
    pub spans: usize,
    /// Bytes of a text in a span.
    pub value_size: usize,
    /// Spans of stages' own in one trace.
    pub stage_spans: usize,
    /// Bytes of one of them.
    pub stage_span_size: usize,
    /// Series of metrics of one stage's own.
    pub stage_series: usize,
    /// Bytes of a body that are shown to an operator who asks for it.
    pub body_size: usize,
    /// Bytes of traces that are kept for the admin listener; 0 without one.
    pub recent: usize,
    /// Where spans are sent, if they are.
    pub export: Option<ExportPlan>,
}

/// Where and how spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPlan {
    /// The receiver.
    pub endpoint: Endpoint,
    /// Fields of the requests; each value is one that a field can have.
    pub headers: Vec<(HeaderName, ConfigValue)>,
    /// The authorities of an https endpoint; `None` are the web's.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// Attributes of the gateway; each name is there once, `service.name` among them.
    pub resource: Vec<(String, String)>,
    /// The longest time to an answer.
    pub timeout: Duration,
    /// Spans that wait to be sent.
    pub queue: usize,
}

/// The receiver of spans: a server, and the path there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The server.
    pub server: Server,
    /// The path, from its slash on.
    pub path: String,
}

/// The path at which a receiver takes spans, below the URL of the receiver (OTLP 1.x, "OTLP/HTTP request").
const TRACES: &str = "/v1/traces";

impl Endpoint {
    /// Reads the URL of a receiver, below which its path for spans lies.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut endpoint = Self::exact(text)?;
        let base = endpoint.path.trim_end_matches('/');
        endpoint.path = if base.ends_with(TRACES) { base.to_owned() } else { format!("{base}{TRACES}") };
        Ok(endpoint)
    }

    /// Reads a URL that is used as it is.
    pub fn exact(text: &str) -> Result<Self, Fault> {
        let fault = |label: &str, help: &str| Fault::new(format!("invalid endpoint `{text}`"), label, help);
        let shape = "write scheme://host[:port][/path], such as \"http://127.0.0.1:4318\"";
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(fault("the scheme is missing", shape));
        };
        if text.contains(['?', '#', '@']) {
            let help = "put credentials into `headers`, where they can come from a variable or a file";
            return Err(fault("more than an origin and a path", help));
        }
        let slash = rest.find('/').unwrap_or(rest.len());
        let (origin, path) = rest.split_at(slash);
        let server = Server::parse(&format!("{scheme}://{origin}"))
            .map_err(|_| fault("not the scheme, host and port of a server", shape))?;
        let path = if path.is_empty() { "/" } else { path };
        if path.parse::<http::uri::PathAndQuery>().is_err() {
            return Err(fault("no path of a URL", shape));
        }
        Ok(Self { server, path: path.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.server, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (text, below, exact) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/"),
            ("https://Otel.example.com/", "https://otel.example.com/v1/traces", "https://otel.example.com/"),
            ("http://a/otlp", "http://a/otlp/v1/traces", "http://a/otlp"),
            ("http://a/otlp/v1/traces", "http://a/otlp/v1/traces", "http://a/otlp/v1/traces"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), below);
            assert_eq!(Endpoint::exact(text).unwrap().to_string(), exact);
        }
        for text in ["", "a:4318", "grpc://a", "http://a/?b", "http://u:p@a", "http://a/#b", "http://a/ b"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
