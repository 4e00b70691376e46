//! HTTP/1.1 and HTTP/1.0: hyper's settings, and the bytes that hyper gets to read.

pub(super) mod wire;

use std::sync::Arc;

use hyper::server::conn::http1::Builder;

use crate::config::keys::GatewayLimits;
use crate::net::conn::activity::{Activity, HeadTimer};

#[cfg(any(test, fuzzing))]
pub use wire::fuzzing;

/// The smallest size of HTTP/1.1's buffers: a small `header-size` does not make bodies slow.
pub const MIN_BUFFER: usize = 64 * 1024;

pub(super) fn builder(limits: &GatewayLimits, activity: &Arc<Activity>) -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(HeadTimer(Arc::clone(activity)))
        // The timer never fires: with it, hyper tells `HeadTimer` when hyper waits for a head.
        .header_read_timeout(limits.header_read_timeout)
        .max_headers(limits.header_count)
        .max_header_size(limits.header_size)
        .max_buf_size(limits.header_size.max(MIN_BUFFER))
        // `Transport` tells hyper that the client closed its side when that means that the client is gone.
        .half_close(false)
        .pipeline_flush(false);
    builder
}
