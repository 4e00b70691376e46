//! Bounds: of the process, of a pipeline, of a stage.

use std::time::Duration;

use crate::config::declare::{count, keys, size, time};
use crate::config::units::{DAY, GIB, HOUR, KIB, MIB, MINUTE, MONTH, MS};

keys! {
    /// Bounds of the whole process.
    GatewayLimits = "limits", "[limits]";

    /// Open connections. Further connections wait in the kernel's backlog.
    connections: usize = count(1, 1_000_000).default("10000").restart();
    /// Open connections of one client: an IPv4 address, or the first 64 bits of an IPv6 address. One more is closed at
    /// once. With `proxy-protocol`, the address is the one that the proxy gives. Behind other load balancers, all
    /// connections have the load balancer's address, so the limit must be as high as `connections`.
    connections_per_address: usize = count(1, 1_000_000).default("1000").restart();
    /// Requests of one connection. The last answer over HTTP/1.1 says `Connection: close`; HTTP/2 gets GOAWAY.
    requests_per_connection: u64 = count(1, 1_000_000_000).default("1000000").restart();
    /// TLS handshakes under way at once, from the client's first message on. Others wait for their turn.
    handshakes: usize = count(1, 100_000).default("256").restart();
    /// From the connection to the end of the TLS handshake, including the wait for a turn. Then the connection closes.
    handshake_timeout: Duration = time(MS, MINUTE).default("10s").restart();
    /// From the first byte of a request's head to its last; for the first request of a connection, from the
    /// connection's start (after TLS). With HTTP/2: how long a new connection may stay silent. Then the connection
    /// closes.
    header_read_timeout: Duration = time(MS, HOUR).default("10s").restart();
    /// How long a connection may have no request, or its client may take nothing that is written. Then the connection
    /// closes.
    idle_timeout: Duration = time(MS, HOUR).default("75s").restart();
    /// HTTP/1: how long a request continues after its client has sent it completely and has ended its side of the
    /// connection, from then or from the last byte that was sent. A client that still waits and a client that is gone
    /// look the same until something is written to them.
    half_close_timeout: Duration = time(Duration::ZERO, HOUR).default("5s").restart();
    /// Head of a request: request line and fields of HTTP/1.1, the header list of HTTP/2. A larger head gets 431. The
    /// fields of a message that a stage makes may have four times as much.
    header_size: usize = size(8 * KIB, MIB).default("64KiB").restart();
    /// Fields of a request. More get 431.
    header_count: usize = count(1, 1000).default("100").restart();
    /// Target of a request, and at most `header-size`. A longer target gets 414.
    uri_size: usize = size(64, 64 * KIB).default("8KiB");
    /// HTTP/1: all chunk extensions in the body of a request together. With more, the [body is
    /// malformed](http.md#framing-http11).
    chunk_extensions: usize = size(0, 16 * KIB).default("256B").restart();
    /// HTTP/2 streams at once on one connection.
    streams: u32 = count(1, 10_000).default("128").restart();
    /// HTTP/2: streams of one connection that its client resets in 10 s; an answered stream makes up for a reset one.
    /// One more reset ends the connection.
    stream_resets: u32 = count(1, 1_000_000).default("200").restart();
    /// HTTP/2: frames of one connection in 10 s that advance no request: PING, SETTINGS, PRIORITY, WINDOW_UPDATE,
    /// CONTINUATION, empty DATA, unknown types, and heads until they are answered. Progress makes up for them: two for
    /// each frame of a response, and one for each KiB of a body in either direction. One more frame ends the
    /// connection.
    control_frames: u32 = count(16, 1_000_000).default("1000").restart();
    /// Bytes per second of a response's body that a client must take at least, while there is something to take. See
    /// below. `"0B"`: no bound.
    download_rate: u64 = size(0, MIB).default("256B").restart();
    /// How long a client may take nothing before `download-rate` holds.
    download_grace: Duration = time(MS, HOUR).default("60s").restart();
    /// How long requests may take to finish after SIGTERM or SIGINT. Then they are cut.
    shutdown_timeout: Duration = time(Duration::ZERO, HOUR).default("30s").restart();
    /// Instances of all pipelines and workers together. Address space for them is reserved at the start. When all are
    /// in use, requests wait as for an instance of their pipeline.
    instances: usize = count(1, 100_000).default("4000");
    /// Nested [calls](calls.md) of pipelines by pipelines. One more gets `loop-detected`.
    call_depth: usize = count(1, 1000).default("8");
    /// Keys that the rate limiter of one stage remembers, rounded up to a multiple of 16.
    rate_limit_keys: usize = count(1, 16_777_216).default("65536");
}

keys! {
    /// Bounds of one pipeline.
    PipelineLimits = "pipeline-limits", "the limits of a pipeline";

    /// From the head of the request to the head of the response. Then 504.
    deadline: Duration = time(MS, HOUR).default("30s");
    /// From the head of the response to the end of its body, if components make the body. Then the response is cut.
    total: Duration = time(MS, MONTH).default("24h");
    /// Longest pause between two pieces of a response's body, whether the stages produce nothing or the client takes
    /// nothing. Then the response is cut. Before the response's head, `deadline` is the bound.
    body_idle_timeout: Duration = time(MS, HOUR).default("60s");
    /// Bytes per second of a request's body that a client must send at least while a stage waits for them, counted like
    /// [`download-rate`](#limits). A slower client gets 408, or, if the response has begun, a cut response. `"0B"`: no
    /// bound, for requests that stay open with nothing to send.
    upload_rate: u64 = size(0, MIB).default("256B");
    /// How long a client may send nothing before `upload-rate` holds.
    upload_grace: Duration = time(MS, HOUR).default("60s");
    /// Longest computation without waiting, counted in steps of 2 ms. Then the instance ends, and the request gets
    /// 500.
    cpu: Duration = time(MS, MINUTE).default("1s");
    /// How long work may continue after the last response of an instance, and after a client left or a request's body
    /// broke off. Then the instance ends.
    linger: Duration = time(Duration::ZERO, HOUR).default("2s");
    /// Body of a request. A larger body gets 413, or, if the response has begun, a cut response.
    request_body: u64 = size(0, 1024 * GIB).default("64MiB");
    /// Instances per worker of each [segment](#links), and of each combination of its stages that
    /// [conditions](#conditions) need.
    instances: usize = count(1, 1000).default("64");
    /// Requests at once in one instance, including requests whose bodies still stream. If any component of the segment
    /// is lifted sync, only one request at a time may wait for its response's head.
    concurrency: usize = count(1, 1000).default("32");
    /// Requests after which an instance is replaced.
    reuse: usize = count(1, 1_000_000).default("10000");
    /// Requests that go one at a time through stages whose [lift is rewritten on trial](lift.md), on all workers
    /// together, before others may be in them as well.
    lift_trial: u32 = count(0, 1_000_000).default("32");
    /// How long an instance may stay without a request.
    instance_idle_timeout: Duration = time(MS, DAY).default("60s");
    /// Requests that wait for an instance of a segment, per worker. One more gets 503. A request with a place among an
    /// instance's `concurrency` that waits only until another one's guest stops computing does not count.
    queue: usize = count(0, 100_000).default("256");
    /// How long a request may wait for an instance. Then 503.
    queue_timeout: Duration = time(MS, HOUR).default("5s");
}

keys! {
    /// Bounds of a stage: of one instance, and of the stage's own requests.
    StageLimits = "stage-limits", "the limits of a stage";

    /// Each linear memory of one instance.
    memory: usize = size(64 * KIB, 4 * GIB).default("64MiB");
    /// Elements of each table of one instance.
    table_elements: usize = count(1, 10_000_000).default("20000");
    /// Memory of the host for one instance, beside its linear memories, [below](#host-memory). An instance that exceeds
    /// it ends.
    host_memory: usize = size(MIB, 4 * GIB).default("32MiB");
    /// From the head of a request at the stage to the head of its response, including the time that the stage waits for
    /// the next one. Then the stage has failed. The pipeline's `deadline` holds as well. Only for a dynamic stage.
    deadline: Option<Duration> = time(MS, HOUR).optional("\"2s\"", "the pipeline's");
    /// Like the pipeline's key. Only for a dynamic stage.
    cpu: Option<Duration> = time(MS, MINUTE).optional("\"200ms\"", "the pipeline's");
    /// Like the pipeline's key. Only for a dynamic stage.
    concurrency: Option<usize> = count(1, 1000).optional("8", "the pipeline's");
    /// The stage's own requests under way at once, up to their response's head, over all instances. One more gets
    /// `connection-limit-reached`.
    egress_requests: usize = count(1, 100_000).default("256");
    /// Connections for the stage's own requests, each held to the end of its response's body. A request waits while
    /// none is free.
    egress_connections: usize = count(1, 100_000).default("64");
    /// Look-up, connecting and TLS handshake of such a connection; then `connection-timeout`.
    egress_connect_timeout: Duration = time(MS, MINUTE).default("10s");
    /// From sending such a request to its response's head, including the wait for a connection; then
    /// `HTTP-response-timeout`.
    egress_timeout: Duration = time(MS, HOUR).default("30s");
}
