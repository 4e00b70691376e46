//! The bounds of the front end.

use std::time::Duration;

/// The bounds of the front end. Times are of one connection; `connections` and `handshakes` are of the whole process.
#[derive(Clone, Debug)]
pub struct NetLimits {
    /// Open connections. At the limit each listening socket holds one more, accepted and unread; the rest wait in the
    /// kernel's backlog. Waiting is kinder to a client than a connection that closes at once.
    pub connections: usize,
    /// Open connections of one client (an IPv4 address, or the first 64 bits of an IPv6 address). One more is closed at once:
    /// waiting would keep others out.
    pub connections_per_address: usize,
    /// Requests of one connection. The last answer of HTTP/1.1 says `Connection: close`; HTTP/2 gets GOAWAY.
    pub requests_per_connection: u64,
    /// TLS handshakes past their `ClientHello`, so those that cost a signature. A silent client holds none.
    pub handshakes: usize,
    /// From `accept` to the end of the TLS handshake, waiting for a handshake slot included.
    pub handshake_timeout: Duration,
    /// From the first byte of a request's head to its last; for a connection's first request, from the connection's start.
    pub header_read_timeout: Duration,
    /// How long a connection may be open without a request; also how long one may refuse to take a byte that is to be
    /// written to it.
    pub idle_timeout: Duration,
    /// Bytes of a request's head (HTTP/1.1: request line and fields; HTTP/2: the list as RFC 9113 §6.5.2 counts it), and of
    /// its trailers. Beyond: 431.
    pub header_size: usize,
    /// Fields in a request's head. Beyond: 431.
    pub header_count: usize,
    /// Bytes of chunk extensions in one body of HTTP/1. Beyond: the body is malformed.
    pub chunk_extensions: usize,
    /// Concurrent streams of one HTTP/2 connection.
    pub streams: u32,
    /// HTTP/2: streams that a client resets in [`WINDOW`](super::conn::http2::frames::WINDOW), beyond those that were answered.
    pub stream_resets: u32,
    /// HTTP/2: frames that bring no request on, in [`WINDOW`](super::conn::http2::frames::WINDOW).
    pub control_frames: u32,
    /// Bytes a second that a client takes at least of a response's body while it has something to take; 0 for no bound.
    pub download_rate: u64,
    /// How long it may take nothing before that.
    pub download_grace: Duration,
    /// How long a stop waits for requests in flight before it cuts them.
    pub shutdown_timeout: Duration,
}

impl Default for NetLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1000,
            requests_per_connection: 1_000_000,
            handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            header_size: 64 * 1024,
            header_count: 100,
            chunk_extensions: 256,
            streams: 128,
            stream_resets: 200,
            control_frames: 1000,
            download_rate: 256,
            download_grace: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}
