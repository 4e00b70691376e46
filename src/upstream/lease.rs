//! The use of a connection by one request, and the way to one.

use super::body::{Payload, Upload};
use super::error::{Error, ErrorKind, chain};
use super::link::{Http2, Link};
use super::pool::{Connecting, ConnectionPool, Fault, Permit};
use super::timer::{Awaited, RequestTimer};
use http::{Request, Response};
use hyper::body::Incoming;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

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

impl<B: Payload> Drop for Lease<B> {
    fn drop(&mut self) {
        match self.link.take() {
            Some(Link::Http1(link)) => link.task.abort(),
            Some(Link::Http2(link)) => self.leave(&link),
            None => {}
        }
    }
}

impl<B: Payload> ConnectionPool<B> {
    /// A connection to the permit's server: one that is there, unless a `fresh` one is wanted, or a new one.
    pub(super) async fn lease(
        self: &Rc<Self>,
        permit: Permit<B>,
        fresh: bool,
        timer: &RequestTimer,
    ) -> Result<Lease<B>, Error> {
        let server = permit.server();
        loop {
            if !fresh && let Some(link) = self.idle(server) {
                return Ok(Lease::new(Link::Http1(link), permit));
            }
            if let Some(link) = self.shared(server) {
                return Ok(Lease::new(Link::Http2(link), permit));
            }
            timer.enter(Awaited::Connection, self.now());
            let connections = &self.servers[server];
            if connections.speaks_http2.get() == Some(false) {
                let link = timer.or_stopped(self.open(server)).await;
                let link = link.unwrap_or_else(|kind| Err(self.error_of(server, kind)))?;
                return Ok(Lease::new(link, permit));
            }
            // One connection for all who wait, if it turns out to be one for many.
            let others = connections.connecting.borrow_mut().as_mut().map(|waiting| {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                receiver
            });
            if let Some(others) = others {
                let made = timer.or_stopped(others).await.map_err(|kind| self.error_of(server, kind))?;
                // Who made it may have left.
                made.unwrap_or(Ok(()))?;
                continue;
            }
            *connections.connecting.borrow_mut() = Some(Vec::new());
            let making = Making(&connections.connecting);
            let link = timer.or_stopped(self.open(server)).await;
            let link = link.unwrap_or_else(|kind| Err(self.error_of(server, kind)));
            if let Ok(link) = &link {
                connections.speaks_http2.set(Some(matches!(link, Link::Http2(_))));
            }
            if let Ok(Link::Http2(link)) = &link {
                connections.http2.borrow_mut().push(Rc::clone(link));
            }
            // A time of one request's own says nothing to the others.
            let own = link.as_ref().err().filter(|error| {
                !matches!(error.kind, ErrorKind::Deadline | ErrorKind::TotalTimeout | ErrorKind::CutOff)
            });
            making.tell(own.map_or(Ok(()), |error| Err(error.clone())));
            return Ok(Lease::new(link?, permit));
        }
    }
}

/// Tells those who wait for a connection what became of it; that it came to nothing, if it is dropped.
struct Making<'a>(&'a Connecting);

impl Making<'_> {
    fn tell(self, result: Result<(), Error>) {
        for waiting in self.0.take().unwrap_or_default() {
            drop(waiting.send(result.clone()));
        }
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}
