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

/// A connection that one request uses. If it is dropped, HTTP/1.1 closes the connection; [`Lease::finish`] gives it
/// back.
pub(super) struct Lease<B: Payload> {
    link: Option<Link<B>>,
    permit: Permit<B>,
}

/// Why a request has no response, as far as its connection can tell.
pub(super) struct NotSent {
    pub why: String,
    /// Nothing of the request was sent.
    pub unsent: bool,
    /// The connection had requests before, so the server may just have closed it.
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

    /// The exchange has ended on the server's side: the next request gets the connection as soon as the request's body
    /// was sent as well.
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

    /// Reports a fault of the server, for its health.
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
    /// A connection for the permit: an existing one, unless a `fresh` one is wanted, or a new one.
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
            // One connection for all that wait, if it turns out to be HTTP/2.
            let others = connections.connecting.borrow_mut().as_mut().map(|waiting| {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                receiver
            });
            if let Some(others) = others {
                let made = timer.or_stopped(others).await.map_err(|kind| self.error_of(server, kind))?;
                // The request that made the connection may be gone.
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
            // A bound of one request's own time does not concern the others.
            let own = link.as_ref().err().filter(|error| {
                !matches!(error.kind, ErrorKind::Deadline | ErrorKind::TotalTimeout | ErrorKind::CutOff)
            });
            making.tell(own.map_or(Ok(()), |error| Err(error.clone())));
            return Ok(Lease::new(link?, permit));
        }
    }
}

/// Tells the requests that wait for a connection whether it was made; if dropped, that it was not.
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
