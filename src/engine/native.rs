//! A service of the program that embeds the gateway, as the end of a pipeline.
//!
//! The last segment calls it as it would call another one. The deadline holds for it,
//! too: past it, what it does is dropped. Its response's body is bounded by the hops
//! before it, or, where all of them were passed over, here.

use super::body::ResponseBody;
use super::hop::{Answer, ChainRequest};
use super::outcome::Failure;
use super::worker::{Worker, ticks};
use crate::host::{CallContext, Next};
use crate::plan::{Applied, PipelineLimits};
use http::header::TRAILER;
use http_body_util::BodyExt as _;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::timeout;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// A native service.
pub struct Native {
    service: Next,
    limits: PipelineLimits,
}

impl Native {
    /// `service` at the end of a pipeline with these limits.
    pub fn new(service: Next, limits: PipelineLimits) -> Arc<Self> {
        Arc::new(Self { service, limits })
    }

    /// What the last segment imports as its next stage.
    pub(super) fn as_next(self: &Arc<Self>) -> Next {
        let native = Arc::clone(self);
        Arc::new(move |head, body, context| {
            let worker = Worker::current();
            let deadline = context.as_ref().map(|context| context.deadline);
            let left = worker.zip(deadline).map_or(native.limits.deadline, |(worker, at)| worker.until(at));
            let answer = (native.service)(head, body, context);
            Box::pin(
                async move { timeout(left, answer).await.unwrap_or(Err(ErrorCode::HttpResponseTimeout)) },
            )
        })
    }

    /// Calls it when the segments before it were passed over.
    ///
    /// # Errors
    /// Its own, and [`Failure::Deadline`].
    pub(super) async fn handle(&self, worker: &Rc<Worker>, request: Box<ChainRequest>) -> Answer {
        let ChainRequest { head, body, deadline, origin, depth, .. } = *request;
        let deadline = deadline.unwrap_or_else(|| worker.tick() + ticks(self.limits.deadline));
        let context = CallContext::new(deadline, origin, depth, Applied::ALL);
        let answer = (self.service)(head, body.boxed_unsync(), Some(context));
        let response = timeout(worker.until(deadline), answer).await.map_err(|_| Failure::Deadline)?;
        let response = response.map_err(Failure::Guest)?;
        let trailers = response.headers().contains_key(TRAILER);
        Ok(response.map(|body| ResponseBody::native(body, trailers, self.limits.body_idle_timeout)))
    }
}
