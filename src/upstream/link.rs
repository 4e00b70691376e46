//! A connection to a server, and its use by one request.

use super::body::{Payload, Upload};
use super::connect::OpenGuard;
use super::error::{Error, ErrorKind, chain};
use super::pool::{ConnectionPool, Permit};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A connection of HTTP/1.1, for one request at a time.
pub(super) struct Http1<B: 'static> {
    pub sender: http1::SendRequest<Upload<B>>,
    /// Ends the connection at once, whatever is under way.
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
    /// How many the server allows at once, as far as is known.
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
    /// Whether one more request would not wait for another one's end, of `most` at once.
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

/// A connection in the hands of one request. Dropped, HTTP/1.1 closes it; [`Lease::finish`] gives it back.
pub(super) struct Lease<B: Payload> {
    link: Option<Link<B>>,
    permit: Permit<B>,
}

/// Why a request has no response, as far as its connection knows.
pub(super) struct NotSent {
    pub why: String,
    /// Nothing of the request went out.
    pub unsent: bool,
    /// The connection had requests before: the server may just have closed it.
    pub used: bool,
}

impl<B: Payload> Lease<B> {
    pub fn new(link: Link<B>, permit: Permit<B>) -> Self {
        if let Link::Http2(link) = &link {
            link.streams.set(link.streams.get() + 1);
        }
        Self { link: Some(link), permit }
    }

    pub fn is_http2(&self) -> bool {
        matches!(self.link, Some(Link::Http2(_)))
    }

    /// Sends the request.
    pub async fn send(&mut self, request: Request<Upload<B>>) -> Result<Response<Incoming>, NotSent> {
        let (sent, used) = match &mut self.link {
            Some(Link::Http1(link)) => {
                let used = std::mem::replace(&mut link.used, true);
                (link.sender.try_send_request(request).await, used)
            }
            Some(Link::Http2(link)) => {
                let mut sender = link.sender.clone();
                let used = link.proven.get();
                let sent = sender.try_send_request(request).await;
                link.proven.set(used || sent.is_ok());
                if sent.is_err() && sender.is_closed() {
                    link.draining.set(true);
                }
                (sent, used)
            }
            None => return Err(NotSent { why: String::new(), unsent: true, used: true }),
        };
        sent.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            if let (true, Some(Link::Http2(link))) = (unsent, &self.link) {
                link.draining.set(true);
            }
            NotSent { why: chain(error.error()), unsent, used }
        })
    }

    /// The exchange came to its end on the server's side: the connection is for the next one, as soon as the
    /// request's body has gone out, too.
    pub fn finish(mut self) {
        let pool = Rc::clone(self.permit.pool());
        let server = self.permit.server();
        match self.link.take() {
            Some(Link::Http1(link)) if link.sender.is_closed() => link.task.abort(),
            Some(Link::Http1(link)) if link.sender.is_ready() => pool.keep(server, link),
            Some(Link::Http1(mut link)) => {
                let limit = pool.limits().idle_timeout;
                tokio::task::spawn_local(async move {
                    match tokio::time::timeout(limit, link.sender.ready()).await {
                        Ok(Ok(())) => pool.keep(server, link),
                        _ => link.task.abort(),
                    }
                    drop(self);
                });
            }
            Some(Link::Http2(link)) => self.leave(&link),
            None => {}
        }
    }

    fn leave(&self, link: &Http2<B>) {
        link.streams.set(link.streams.get() - 1);
        link.idle_since.set(self.now());
    }

    /// The server's fault, for its health.
    pub fn failed(&self, why: &str) {
        self.permit.pool().failed(self.permit.server(), why, Fault::Broken);
    }

    pub fn now(&self) -> Instant {
        self.permit.pool().now()
    }

    pub fn names(&self) -> (Arc<str>, Arc<str>) {
        self.permit.pool().names(self.permit.server())
    }
}

/// What a server did wrong, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Connect,
    Timeout,
    Broken,
}

impl<B: Payload> Drop for Lease<B> {
    fn drop(&mut self) {
        match self.link.take() {
            Some(Link::Http1(link)) => link.task.abort(),
            Some(Link::Http2(link)) => self.leave(&link),
            None => {}
        }
    }
}

/// Runs a connection until it ends.
pub(super) fn drive(connection: impl Future<Output = ()> + 'static, open: OpenGuard) -> AbortHandle {
    let task = tokio::task::spawn_local(async move {
        connection.await;
        drop(open);
    });
    task.abort_handle()
}

/// What a failed attempt is to whoever asked.
pub(super) fn broken<B: Payload>(pool: &ConnectionPool<B>, server: usize, kind: ErrorKind) -> Error {
    let (upstream, name) = pool.names(server);
    Error { upstream, server: Some(name), kind }
}
