//! HTTP/2: hyper's settings, and the bounds on everything that a client does beside sending requests.

pub mod frames;
pub(super) mod streams;

use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;

use crate::config::keys::GatewayLimits;

/// Unread request body that one HTTP/2 stream may have sent. Fixed, not adaptive: a bound that grows with the client's
/// distance is no bound.
pub const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all streams of a connection: four stalled ones before the others feel it.
pub const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Response bytes buffered for a stream whose client does not take them.
pub const SEND_BUFFER: usize = 64 * 1024;

/// A quiet HTTP/2 connection is asked whether it is still there (hyper also asks while requests run).
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Streams that a client may have reset before we have seen their requests; beyond, the connection ends (rapid reset,
/// CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Streams that we reset for a client's protocol errors before its connection ends.
const ERROR_RESETS: usize = 128;

/// How long an idle HTTP/2 connection has to end after GOAWAY.
pub(super) const GOAWAY_GRACE: Duration = Duration::from_secs(5);

pub(super) fn builder(limits: &GatewayLimits) -> Builder<LocalExecutor> {
    let mut builder = Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS);
    builder
}

/// Runs HTTP/2 streams on this thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExecutor;

impl<Fut: Future<Output = ()> + 'static> hyper::rt::Executor<Fut> for LocalExecutor {
    fn execute(&self, future: Fut) {
        tokio::task::spawn_local(future);
    }
}
