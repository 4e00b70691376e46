//! Servers elsewhere as the end of a pipeline.
//!
//! The last segment calls them as it would call another one; a pipeline without stages goes straight to them, and no
//! WebAssembly is in the way. What is promised of connections and retries is `upstream`'s; the deadline is that of the
//! call, and a body that comes here without a segment before it is bounded as one of a native service is.

use super::body::{RequestBody, ResponseBody};
use super::crossing::crossing;
use super::exchange::CutOff;
use super::hop::{Answer, ChainRequest};
use super::outcome::Failure;
use super::worker::{Worker, ticks};
use crate::host::{CallContext, Next, RequestHead};
use crate::plan::PipelineLimits;
use crate::upstream::{Download, Outgoing, Upstream};
use http::Response;
use http::header::TRAILER;
use send_wrapper::SendWrapper;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// An upstream, as the end of a pipeline.
pub struct UpstreamEnd {
    /// The servers.
    pub upstream: Arc<Upstream>,
    limits: PipelineLimits,
}

impl UpstreamEnd {
    /// `upstream` at the end of a pipeline with these limits.
    pub fn new(upstream: Arc<Upstream>, limits: PipelineLimits) -> Arc<Self> {
        Arc::new(Self { upstream, limits })
    }

    /// What the last segment imports as its next stage.
    pub(super) fn as_next(self: &Arc<Self>) -> Next {
        let end = Arc::clone(self);
        Arc::new(move |head, body, context| {
            let called = Arc::clone(&end).call(head, RequestBody::passed_on(body), context);
            Box::pin(SendWrapper::new(called))
        })
    }

    /// What a stage of another pipeline imports by name.
    pub(super) fn as_pipeline(self: &Arc<Self>) -> Next {
        let end = Arc::clone(self);
        Arc::new(move |head, body, context| {
            let body = RequestBody::arriving(body, end.limits.request_body, |_| ());
            Box::pin(SendWrapper::new(Arc::clone(&end).call(head, body, context)))
        })
    }

    async fn call(
        self: Arc<Self>,
        head: RequestHead,
        body: RequestBody,
        context: Option<Arc<CallContext>>,
    ) -> Result<Response<WasiBody>, ErrorCode> {
        let worker = Worker::current().ok_or(ErrorCode::InternalError(None))?;
        let limit = body.limit();
        let deadline = context.as_ref().map(|context| context.deadline);
        let id = context.as_ref().map_or(0, |context| context.origin.id);
        match self.send(&worker, head, body, deadline, None).await {
            Ok(response) => Ok(response.map(|body| crossing(body, context))),
            Err(failure) => {
                let request_id = format_args!("{id:016x}");
                tracing::warn!(%request_id, reason = %failure, "an upstream gave no response");
                if limit.is_exceeded() {
                    return Err(ErrorCode::HttpRequestBodySize(None));
                }
                if let Some(context) = &context {
                    context.note_failure(failure.clone());
                }
                Err(failure.into_code())
            }
        }
    }

    /// Sends a request there when there are no segments before it, or all of them were passed over.
    ///
    /// # Errors
    /// [`Failure::Upstream`] and [`Failure::Deadline`].
    pub(super) async fn handle(&self, worker: &Rc<Worker>, request: Box<ChainRequest>) -> Answer {
        let ChainRequest { head, body, deadline, cut_off, .. } = *request;
        let response = self.send(worker, head, body, deadline, cut_off).await?;
        let trailers = response.headers().contains_key(TRAILER);
        let patience = self.limits.body_idle_timeout;
        Ok(response.map(|body| ResponseBody::native(crossing(body, None), trailers, patience)))
    }

    async fn send(
        &self,
        worker: &Rc<Worker>,
        head: RequestHead,
        body: RequestBody,
        deadline: Option<u64>,
        cut_off: Option<CutOff>,
    ) -> Result<Response<Download<RequestBody>>, Failure> {
        let own = worker.tick() + ticks(self.limits.deadline);
        let left = worker.until(deadline.map_or(own, |outer| outer.min(own)));
        let outgoing = Outgoing {
            method: head.method,
            authority: head.authority,
            path: head.path_with_query,
            headers: head.headers,
            body,
            until: Instant::now() + left,
            cut: cut_off.map(|cut_off| cut_off.flag()),
        };
        worker.upstream(&self.upstream).handle(outgoing).await.map_err(|error| match error.kind {
            crate::upstream::Kind::Deadline => Failure::Deadline,
            _ => Failure::Upstream(error),
        })
    }
}
