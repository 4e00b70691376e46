//! Connections to a server.

use super::body::{Payload, Upload};
use hyper::client::conn::{http1, http2};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A connection of HTTP/1.1, for one request at a time.
pub(super) struct Http1<B: 'static> {
    pub sender: http1::SendRequest<Upload<B>>,
    /// Ends the connection at once, whatever is in progress.
    pub task: AbortHandle,
    pub address: SocketAddr,
    /// It had a request before.
    pub used: bool,
}

/// A connection of HTTP/2, for many.
pub(super) struct Http2<B: 'static> {
    pub sender: http2::SendRequest<Upload<B>>,
    pub address: SocketAddr,
    pub streams: Cell<usize>,
    /// The number of streams that the server allows at once, as far as known.
    pub allowed: Rc<Cell<usize>>,
    /// It takes no more requests.
    pub draining: Cell<bool>,
    /// A request had a response over it.
    pub proven: Cell<bool>,
    /// When its last request ended.
    pub idle_since: Cell<Instant>,
    pub task: AbortHandle,
}

impl<B: Payload> Http2<B> {
    /// Whether a further request would not wait for another one's end, with at most `most` at once.
    pub fn has_room(&self, most: usize) -> bool {
        self.streams.get() < most.min(self.allowed.get()).max(1)
    }
}

impl<B> Drop for Http2<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A new connection.
pub(super) enum Link<B: 'static> {
    Http1(Http1<B>),
    Http2(Rc<Http2<B>>),
}
