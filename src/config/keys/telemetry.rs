//! Traces: which requests have one, what is in it, and where it goes.

use std::time::Duration;

use crate::config::declare::{boolean, count, keys, node, path, permission, ratio, size, text, time};
use crate::config::kinds::{Kind, TextForm};
use crate::config::ratio::Ratio;
use crate::config::syntax::Node;
use crate::config::typed::At;
use crate::config::units::{GIB, KIB, MIB, MINUTE, MS};

/// Most attributes of the gateway itself.
const MAX_RESOURCE: usize = 64;

keys! {
    /// [Traces](tracing.md): which requests have one, what is in it, and where it goes.
    Telemetry = "telemetry", "[telemetry]";

    /// The share of requests that are sampled. A request with the `traceparent` of a [trusted
    /// proxy](#http) is sampled if that says so, and not otherwise.
    sample: Ratio = ratio().default("0.01");
    /// The most requests that are sampled in a second, whoever asks for it.
    sample_max: u32 = count(0, 1_000_000).default("100");
    /// Whether a sampled request meets each stage in a store of its own, where its [own time](tracing.md#stages) is measured. Such
    /// requests then cost more, and each stage of a static link is compiled once more when it first gets one.
    stages: Option<bool> = boolean().optional("false", "`true` with an `endpoint` or an [admin listener](#admin)");
    /// Whether spans have the queries of requests. They may hold secrets.
    query: bool = permission();
    /// Spans of one trace. Further ones are dropped, and counted.
    spans: usize = count(1, 10_000).default("256");
    /// Longest text in a span. The rest is cut off.
    value_size: usize = size(64, 64 * KIB).default("1KiB");
    /// Spans that stages tell of by themselves ([`grant.otel`](tracing.md#spans-of-stages-own)) in one trace, which count among
    /// its `spans`. Further ones are dropped, and counted.
    stage_spans: usize = count(0, 1_000).default("64");
    /// Bytes of such a span: its name, its attributes and its events. What is beyond is dropped, and counted in it.
    stage_span_size: usize = size(KIB, MIB).default("16KiB");
    /// Series of metrics that one stage tells of by itself ([`grant.otel`](metrics.md#metrics-of-stages-own)). Further ones are
    /// dropped, and counted.
    stage_series: usize = count(0, 10_000).default("200");
    /// Bytes of each body in a trace for which an operator asks with its bodies ([`linkspan trace
    /// --body`](tracing.md#look-at-one-request)). Of what is beyond, the number is told.
    body_size: usize = size(1, MIB).default("16KiB");
    /// Bytes of traces that are kept for whoever looks at the running gateway, where there is an [admin listener](#admin): half
    /// of them for the latest, a quarter for the slowest, and a quarter for those that failed.
    recent: usize = size(0, GIB).default("4MiB");
    /// Where spans are sent by OTLP over HTTP: a collector's URL, to which `/v1/traces` is added if it does not end in it.
    endpoint: Option<At<String>> =
        text(TextForm::Url).optional("\"http://127.0.0.1:4318\"", "[`OTEL_EXPORTER_OTLP_ENDPOINT`](tracing.md#variables); without it, spans are not sent").restart();
    /// Fields of the requests to `endpoint`, such as `authorization`. A value is text, or a table with the single key
    /// `env` or `file`.
    headers: Option<Node> =
        node(Kind::Secrets).optional("{ authorization = { env = \"COLLECTORS_TOKEN\" } }", "`OTEL_EXPORTER_OTLP_HEADERS`").restart();
    /// PEM file with the authorities that must have issued the certificate of an `https` endpoint.
    roots: Option<At<String>> =
        path().optional("\"ca.pem\"", "`OTEL_EXPORTER_OTLP_CERTIFICATE`, or the web's authorities").restart();
    /// Attributes of the gateway, which all its spans have.
    resource: Option<Node> = node(Kind::Texts { form: TextForm::FieldValue, max: MAX_RESOURCE })
        .optional("{ \"service.name\" = \"edge\" }", "`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; the name `linkspan`").restart();
    /// The longest time that the endpoint has for an answer.
    timeout: Option<Duration> =
        time(MS, MINUTE).optional("\"10s\"", "`OTEL_EXPORTER_OTLP_TIMEOUT`, or 10 s").restart();
    /// Spans that wait to be sent. A request never waits for that: when the queue is full, spans are dropped and counted.
    queue: usize = count(16, 1_000_000).default("8192").restart();
}
