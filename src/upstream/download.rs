//! Responses' bodies on their way from a server.

use super::body::Payload;
use super::error::{BodyError, ErrorKind, chain};
use super::lease::Lease;
use super::timer::{Awaited, RequestTimer};
use crate::net::strip_hop_by_hop;
use crate::telemetry::trace::OpenSpan;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A response's body on its way from a server. If it is dropped before its end, its connection is closed.
pub struct Download<B: Payload> {
    body: Incoming,
    /// `None` once the body has ended or broken off.
    lease: Option<Lease<B>>,
    timer: Rc<RequestTimer>,
    /// The attempt's, to its end.
    span: Option<OpenSpan>,
}

impl<B: Payload> Download<B> {
    pub(super) fn new(
        body: Incoming,
        lease: Lease<B>,
        timer: Rc<RequestTimer>,
        span: Option<OpenSpan>,
    ) -> Self {
        let ended = body.is_end_stream();
        let mut download = Self { body, lease: Some(lease), timer, span };
        if ended {
            download.end();
        }
        download
    }

    fn end(&mut self) {
        self.span = None;
        if let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }

    /// The response broke off, by the server's fault or by ours.
    fn broken(&mut self, why: String, is_servers: bool) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(lease) = self.lease.take() else { return Poll::Ready(None) };
        if let Some(mut span) = self.span.take() {
            span.set_error("body", &why);
        }
        if is_servers {
            lease.failed(&why);
        }
        let (upstream, server) = lease.names();
        Poll::Ready(Some(Err(BodyError { upstream, server, why })))
    }
}

impl<B: Payload> Body for Download<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(lease) = &this.lease else { return Poll::Ready(None) };
        let now = lease.now();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => match this.timer.stopped() {
                Some(kind) => {
                    let is_servers = matches!(kind, ErrorKind::Broken(_)) && !this.timer.upload.waits.get();
                    this.broken(why(kind), is_servers)
                }
                None => {
                    this.timer.enter(Awaited::Body(true), now);
                    this.timer.watch(cx.waker());
                    Poll::Pending
                }
            },
            Poll::Ready(Some(Ok(mut frame))) => {
                this.timer.enter(Awaited::Body(false), now);
                // A reader that takes all of the time is stopped as well.
                if let Some(kind) = this.timer.stopped() {
                    return this.broken(why(kind), false);
                }
                let is_last = frame.trailers_mut().map(strip_hop_by_hop).is_some();
                if is_last || this.body.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let upload = this.timer.upload.failed.borrow().clone();
                match upload {
                    Some(why) => this.broken(format!("the request's body broke off: {why}"), false),
                    None => this.broken(chain(&error), true),
                }
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.lease {
            None => SizeHint::with_exact(0),
            Some(_) => self.body.size_hint(),
        }
    }
}

fn why(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::Broken(why) => why,
        ErrorKind::CutOff => "the configuration was replaced too long ago".to_owned(),
        _ => "it did not end within `limits.total-timeout`".to_owned(),
    }
}
