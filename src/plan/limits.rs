//! Bounds, all with a unit. Defaults and ranges are those of the key tables in `config::keys`; a `Default` here is
//! what an empty table in the file gives.

use std::time::Duration;

use crate::config::{Fields, keys};

/// `[limits]`: bounds of the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Open connections.
    pub connections: usize,
    /// Open connections of one client.
    pub connections_per_address: usize,
    /// Requests of one connection.
    pub requests_per_connection: usize,
    /// TLS handshakes under way at once.
    pub handshakes: usize,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// HTTP/1: longest time to receive a request's head.
    pub header_read_timeout: Duration,
    /// How long a kept-alive connection may stay without a request.
    pub idle_timeout: Duration,
    /// Bytes of a request's head: HTTP/1's buffer, HTTP/2's maximal header list.
    pub header_size: usize,
    /// Header fields of a request.
    pub header_count: usize,
    /// Bytes of a request's target.
    pub uri_size: usize,
    /// HTTP/1: bytes of chunk extensions in one body.
    pub chunk_extensions: usize,
    /// HTTP/2 streams at once on one connection.
    pub streams: usize,
    /// HTTP/2 streams of one connection that are reset in 10 s beyond those that were answered.
    pub stream_resets: usize,
    /// HTTP/2 frames of one connection in 10 s that bring no request on.
    pub control_frames: usize,
    /// Bytes a second that a client takes at least of a response's body; 0 for no bound.
    pub download_rate: u64,
    /// How long it may take nothing before that.
    pub download_grace: Duration,
    /// How long requests may take to finish after SIGTERM.
    pub shutdown_timeout: Duration,
    /// Instances of all pipelines and workers together.
    pub instances: usize,
    /// Pipelines that call each other in a row.
    pub call_depth: usize,
    /// Keys that one stage's rate limiter remembers.
    pub rate_limit_keys: usize,
}

impl GatewayLimits {
    pub(super) fn lower(fields: &Fields) -> GatewayLimits {
        GatewayLimits {
            connections: fields.count("connections"),
            connections_per_address: fields.count("connections-per-address"),
            requests_per_connection: fields.count("requests-per-connection"),
            handshakes: fields.count("handshakes"),
            handshake_timeout: fields.duration("handshake-timeout"),
            header_read_timeout: fields.duration("header-read-timeout"),
            idle_timeout: fields.duration("idle-timeout"),
            header_size: fields.memory_size("header-size"),
            header_count: fields.count("header-count"),
            uri_size: fields.memory_size("uri-size"),
            chunk_extensions: fields.memory_size("chunk-extensions"),
            streams: fields.count("streams"),
            stream_resets: fields.count("stream-resets"),
            control_frames: fields.count("control-frames"),
            download_rate: fields.size("download-rate"),
            download_grace: fields.duration("download-grace"),
            shutdown_timeout: fields.duration("shutdown-timeout"),
            instances: fields.count("instances"),
            call_depth: fields.count("call-depth"),
            rate_limit_keys: fields.count("rate-limit-keys"),
        }
    }
}

impl Default for GatewayLimits {
    fn default() -> GatewayLimits {
        GatewayLimits::lower(&Fields::defaults(&keys::LIMITS))
    }
}

/// `[pipelines.<name>.limits]`: bounds of one pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineLimits {
    /// From the request's head to the response's head.
    pub deadline: Duration,
    /// Longest pause in a body, in either direction.
    pub body_idle_timeout: Duration,
    /// From the response's head to the end of its body.
    pub total: Duration,
    /// Bytes a second that a client sends at least of a request's body while it is waited for; 0 for no bound.
    pub upload_rate: u64,
    /// How long it may send nothing before that.
    pub upload_grace: Duration,
    /// Longest computation of a guest without waiting.
    pub cpu: Duration,
    /// How long work left behind may go on after the response.
    pub linger: Duration,
    /// Bytes of a request's body; beyond them the answer is 413.
    pub request_body: u64,
    /// Instances per worker.
    pub instances: usize,
    /// Requests at once in one instance, for async guests.
    pub concurrency: usize,
    /// Requests after which an instance is replaced.
    pub reuse: usize,
    /// How long an instance may stay without a request.
    pub instance_idle_timeout: Duration,
    /// Requests waiting for an instance, per worker.
    pub queue: usize,
    /// How long a request may wait for an instance.
    pub queue_timeout: Duration,
}

impl PipelineLimits {
    pub(super) fn lower(fields: &Fields) -> PipelineLimits {
        PipelineLimits {
            deadline: fields.duration("deadline"),
            body_idle_timeout: fields.duration("body-idle-timeout"),
            total: fields.duration("total"),
            upload_rate: fields.size("upload-rate"),
            upload_grace: fields.duration("upload-grace"),
            cpu: fields.duration("cpu"),
            linger: fields.duration("linger"),
            request_body: fields.size("request-body"),
            instances: fields.count("instances"),
            concurrency: fields.count("concurrency"),
            reuse: fields.count("reuse"),
            instance_idle_timeout: fields.duration("instance-idle-timeout"),
            queue: fields.count("queue"),
            queue_timeout: fields.duration("queue-timeout"),
        }
    }
}

impl Default for PipelineLimits {
    fn default() -> PipelineLimits {
        PipelineLimits::lower(&Fields::defaults(&keys::PIPELINE_LIMITS))
    }
}

/// `limits` of a stage: bounds of one instance of it, and of its own requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageLimits {
    /// Bytes of each linear memory.
    pub memory: usize,
    /// Elements of each table.
    pub table_elements: usize,
    /// Requests of its own at once, over all instances.
    pub egress_requests: usize,
    /// Connections for them.
    pub egress_connections: usize,
    /// Longest time to connect for one of them, TLS included.
    pub egress_connect_timeout: Duration,
    /// From sending one of them to its response's head.
    pub egress_timeout: Duration,
}

impl StageLimits {
    pub(super) fn lower(fields: &Fields) -> StageLimits {
        StageLimits {
            memory: fields.memory_size("memory"),
            table_elements: fields.count("table-elements"),
            egress_requests: fields.count("egress-requests"),
            egress_connections: fields.count("egress-connections"),
            egress_connect_timeout: fields.duration("egress-connect-timeout"),
            egress_timeout: fields.duration("egress-timeout"),
        }
    }
}

impl Default for StageLimits {
    fn default() -> StageLimits {
        StageLimits::lower(&Fields::defaults(&keys::STAGE_LIMITS))
    }
}
