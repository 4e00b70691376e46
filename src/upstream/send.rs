//! One request through an upstream, in as many attempts as are allowed.

use super::body::{Payload, Slot};
use super::download::Download;
use super::error::{Error, ErrorKind};
use super::fields::{Length, UnsentHead, is_idempotent, settle_response};
use super::pool::{ConnectionPool, Fault};
use super::timer::{Awaited, RequestTimer};
use crate::plan::Server;
use crate::telemetry::trace::{Destination, OpenSpan, Place};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Body as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::time::Instant;

/// A request for an upstream.
pub struct Outgoing<B> {
    /// The method.
    pub method: Method,
    /// The host of the request, if it names one.
    pub authority: Option<Authority>,
    /// Its path and query; without, `/`.
    pub path: Option<PathAndQuery>,
    /// The fields; those of a connection are removed.
    pub headers: HeaderMap,
    /// Its body.
    pub body: B,
    /// When the response's head must be there.
    pub until: Instant,
    /// Set, from any thread, when the request has to end.
    pub cut: Option<Arc<AtomicBool>>,
    /// Where it hangs in a trace that is recorded.
    pub place: Option<Place>,
}

/// An attempt that gave no response.
struct Failed {
    error: Error,
    server: Option<usize>,
    /// Nothing of the request was sent.
    unsent: bool,
    /// The attempt used a kept connection that had just ended.
    stale: bool,
}

/// A request that may need more than one attempt.
struct Work<'a, B: Payload> {
    pool: &'a Rc<ConnectionPool<B>>,
    head: UnsentHead,
    length: Length,
    slot: Rc<Slot<B>>,
    timer: Rc<RequestTimer>,
    place: Option<Place>,
}

impl<B: Payload> ConnectionPool<B> {
    /// Sends `request` to one of the servers, and to another one if the first fails before the request can have had an
    /// effect.
    ///
    /// # Errors
    /// [`Error`], at the latest a tick after the first of the request's times is over.
    pub async fn handle(self: &Rc<Self>, request: Outgoing<B>) -> Result<Response<Download<B>>, Error> {
        let Outgoing { method, authority, path, headers, body, until, cut, place } = request;
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut head = UnsentHead { method, authority, path, headers };
        let length =
            head.settle(body.is_end_stream(), body.size_hint().exact()).map_err(|kind| self.error(kind))?;
        let timer = RequestTimer::new(self.now(), until, cut);
        self.watch(&timer);
        self.earn();
        let slot = Slot::new(body, length, Rc::clone(&timer.upload));
        Work { pool: self, head, length, slot, timer, place }.run().await
    }
}

impl<B: Payload> Work<'_, B> {
    async fn run(self) -> Result<Response<Download<B>>, Error> {
        let (mut retries, mut avoid, mut fresh) = (0, None, false);
        let mut attempt = 0;
        loop {
            let failed = match self.traced(attempt, avoid, fresh).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            attempt += 1;
            // A connection that the server had already closed: no server has seen the request.
            if failed.stale && failed.unsent && !fresh {
                fresh = true;
                continue;
            }
            if !self.may_repeat(&failed)
                || retries >= self.pool.core().plan.retry.attempts
                || !self.pool.spend()
            {
                return Err(failed.error);
            }
            retries += 1;
            (avoid, fresh) = (failed.server, failed.stale);
            if let Some(server) = failed.server {
                self.pool.metrics(server).retried();
            }
            tracing::debug!(reason = %failed.error, "a request is sent again");
        }
    }

    /// Whether another attempt can't have an effect twice, and may succeed.
    fn may_repeat(&self, failed: &Failed) -> bool {
        let servers = matches!(
            failed.error.kind,
            ErrorKind::Unreachable(_) | ErrorKind::ConnectTimeout | ErrorKind::Broken(_)
        );
        let whole = !self.timer.upload.touched.get();
        servers && whole && (failed.unsent || is_idempotent(&self.head.method))
    }

    /// An attempt, with its span if the request's trace is recorded; `number` counts from 0.
    async fn traced(
        &self,
        number: u64,
        avoid: Option<usize>,
        fresh: bool,
    ) -> Result<Response<Download<B>>, Failed> {
        let mut span = self.place.as_ref().and_then(|place| place.send(&self.head.method));
        if let Some(span) = span.as_mut().filter(|_| number > 0) {
            span.set("http.request.resend_count", number);
        }
        let result = self.attempt(avoid, fresh, &mut span).await;
        if let (Err(failed), Some(span)) = (&result, &mut span) {
            span.set_error(failed.error.kind.name(), &failed.error);
        }
        result
    }

    /// The request's head for a server, with its place in the trace.
    fn told(&self, server: &Server, span: &mut Option<OpenSpan>) -> UnsentHead {
        let mut head = self.head.clone();
        if let Some(place) = &self.place {
            place.tell(&mut head.headers, span.as_ref());
        }
        if let Some(span) = span {
            let host = server.host.to_string();
            let scheme = if server.tls { "https" } else { "http" };
            span.set_destination(Destination { scheme, host: &host, port: server.port }, &head.path);
            span.set("linkspan.upstream", self.pool.core().plan.name.to_string());
        }
        head
    }

    async fn attempt(
        &self,
        avoid: Option<usize>,
        fresh: bool,
        span: &mut Option<OpenSpan>,
    ) -> Result<Response<Download<B>>, Failed> {
        let (pool, timer) = (self.pool, &self.timer);
        let none = |error| Failed { error, server: None, unsent: true, stale: false };
        let permit = pool.permit(timer, avoid).await.map_err(none)?;
        let server = permit.server();
        let fail = |kind, unsent, stale| Failed {
            error: pool.error_of(server, kind),
            server: Some(server),
            unsent,
            stale,
        };
        let mut lease = pool.lease(permit, fresh, timer).await.map_err(|error| {
            if matches!(error.kind, ErrorKind::Unreachable(_) | ErrorKind::ConnectTimeout) {
                pool.failed(server, &error.to_string(), Fault::Connect);
            }
            fail(error.kind, true, false)
        })?;
        let version = if lease.is_http2() { Version::HTTP_2 } else { Version::HTTP_11 };
        let plan = &pool.core().plan;
        let request = self
            .told(&plan.servers[server], span)
            .request(&plan.servers[server], &plan.host, version, self.length, self.slot.upload())
            .map_err(|kind| fail(kind, true, false))?;
        timer.enter(Awaited::Head, pool.now());
        let sent = match timer.or_stopped(lease.send(request)).await {
            Ok(sent) => sent,
            Err(kind) => {
                if kind == ErrorKind::ResponseTimeout {
                    pool.failed(server, &fail(kind.clone(), false, false).error.to_string(), Fault::Timeout);
                }
                return Err(fail(kind, false, false));
            }
        };
        let response = sent.map_err(|not| {
            if let Some(why) = timer.upload.failed.borrow().clone() {
                return fail(ErrorKind::Request(why), false, false);
            }
            // The end of a kept connection is no fault of the server.
            if !not.used {
                pool.failed(server, &not.why, Fault::Broken);
            }
            fail(ErrorKind::Broken(not.why), not.unsent, not.used)
        })?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Nobody asked for another protocol, and what follows is not HTTP.
            pool.failed(server, "101 without a request for it", Fault::Broken);
            return Err(fail(ErrorKind::Broken("101 without a request for it".to_owned()), false, false));
        }
        let (mut parts, body) = response.into_parts();
        if let Some(span) = span {
            span.set_answer(parts.status, Some(version));
        }
        let exact = body.size_hint().exact();
        if let Err(why) = settle_response(&self.head.method, parts.status, &mut parts.headers, exact) {
            pool.failed(server, why, Fault::Broken);
            return Err(fail(ErrorKind::Broken(why.to_owned()), false, false));
        }
        pool.succeeded(server);
        timer.enter(Awaited::Body(false), pool.now());
        Ok(Response::from_parts(parts, Download::new(body, lease, Rc::clone(timer), span.take())))
    }
}
