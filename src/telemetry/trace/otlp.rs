//! The messages of the OpenTelemetry Protocol that carry spans, as far as they are used here: `opentelemetry.proto.*.v1`,
//! whose field numbers never change (OTLP 1.x is stable).
//!
//! They are declared here because the crate with the generated ones, `opentelemetry-proto`, brings OpenTelemetry's SDK,
//! its random numbers and nine further crates along. A test compares them with bytes of the generated ones.

use prost::{Enumeration, Message, Oneof};

/// `collector.trace.v1.ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportRequest {
    /// Spans, by whose they are.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// `collector.trace.v1.ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    /// What was not taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `collector.trace.v1.ExportTracePartialSuccess`.
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// How many spans were not taken.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// `trace.v1.ResourceSpans`.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    /// Whose spans they are.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// Spans, by what made them.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// `resource.v1.Resource`.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// What is known of it.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// `trace.v1.ScopeSpans`.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    /// What made the spans.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// The spans.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// `common.v1.InstrumentationScope`.
#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// `trace.v1.Span`.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// As in `tracestate`.
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// 8 bytes, or none.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// What is done.
    #[prost(string, tag = "5")]
    pub name: String,
    /// Whose side of a request it is.
    #[prost(enumeration = "SpanKind", tag = "6")]
    pub kind: i32,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// Likewise.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// What is known of it.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes are missing.
    #[prost(uint32, tag = "10")]
    pub dropped_attributes_count: u32,
    /// What happened in it.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
    /// How many events are missing.
    #[prost(uint32, tag = "12")]
    pub dropped_events_count: u32,
    /// How many links are missing.
    #[prost(uint32, tag = "14")]
    pub dropped_links_count: u32,
    /// How it ended.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
    /// The flags of `traceparent`, and `SpanFlags`.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

/// `trace.v1.Span.SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum SpanKind {
    /// It is not known.
    Unspecified = 0,
    /// Work inside.
    Internal = 1,
    /// Whoever answers.
    Server = 2,
    /// Whoever asks.
    Client = 3,
    /// Whoever leaves work to others.
    Producer = 4,
    /// Whoever takes that up.
    Consumer = 5,
}

/// `trace.v1.Span.Event`.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// What happened.
    #[prost(string, tag = "2")]
    pub name: String,
    /// More about it.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
}

/// `trace.v1.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// Why it failed.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Whether it failed.
    #[prost(enumeration = "StatusCode", tag = "3")]
    pub code: i32,
}

/// `trace.v1.Status.StatusCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum StatusCode {
    /// Nothing is said.
    Unset = 0,
    /// It succeeded.
    Ok = 1,
    /// It failed.
    Error = 2,
}

/// `common.v1.KeyValue`.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// The name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// `common.v1.AnyValue`.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// The value of its kind.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4")]
    pub value: Option<Kind>,
}

/// `common.v1.AnyValue.value`.
#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    /// Text.
    #[prost(string, tag = "1")]
    Text(String),
    /// `true` or `false`.
    #[prost(bool, tag = "2")]
    Boolean(bool),
    /// A whole number.
    #[prost(int64, tag = "3")]
    Number(i64),
    /// A number.
    #[prost(double, tag = "4")]
    Double(f64),
}
