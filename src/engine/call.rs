//! A pipeline as a stage of another one reaches it: by its name.
//!
//! The call enters the callee's first hop on the same thread, as a client's request
//! would: with the callee's own stages, limits, pools and queues. What travels along
//! is the id of the client's request, the time that is left for it, and how many
//! calls led here.

use super::body::RequestBody;
use super::crossing::crossing;
use super::hop::{ChainRequest, Onward};
use super::outcome::Failure;
use super::worker::{Worker, ticks};
use crate::host::{CallContext, Next, RequestHead};
use crate::plan::Pipeline;
use crate::telemetry::CallMetrics;
use http::Response;
use send_wrapper::SendWrapper;
use std::sync::Arc;
use std::time::Instant;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// A pipeline that stages of another one may call.
pub struct Callee {
    first: Onward,
    /// Bytes that a request's body may have.
    request_body: u64,
    /// The pipelines at both ends of the call.
    caller: Arc<str>,
    callee: Arc<str>,
    /// Calls in a row that there may be at most.
    most: usize,
}

impl Callee {
    /// The pipeline `callee`, which begins with `first`, for stages of the pipeline `caller`; at most `most` calls may
    /// lead to one place.
    pub fn new(first: Onward, callee: &Pipeline, caller: &str, most: usize) -> Arc<Self> {
        let (request_body, callee) = (callee.limits.request_body, Arc::from(&*callee.name));
        Arc::new(Self { first, request_body, caller: caller.into(), callee, most })
    }

    /// What a stage reaches.
    pub fn as_next(self: &Arc<Self>) -> Next {
        let callee = Arc::clone(self);
        Arc::new(move |head, body, context| {
            Box::pin(SendWrapper::new(Arc::clone(&callee).call(head, body, context)))
        })
    }

    async fn call(
        self: Arc<Self>,
        mut head: RequestHead,
        body: WasiBody,
        context: Option<Arc<CallContext>>,
    ) -> Result<Response<WasiBody>, ErrorCode> {
        let worker = Worker::current().ok_or(ErrorCode::InternalError(None))?;
        let mut counted =
            Counted { metrics: worker.calls(&self.caller, &self.callee), start: Some(Instant::now()) };
        let depth = context.as_ref().map_or(0, |context| context.depth) + 1;
        let origin = context.as_ref().map(|context| Arc::clone(&context.origin)).unwrap_or_default();
        let id = origin.id;
        // What a caller wants of a transport holds for this one; the callee has nothing of it.
        let patience = head.options.take().and_then(|options| options.first_byte_timeout);
        let patience = patience.map(|patience| worker.tick() + ticks(patience));
        let left = context.map(|context| context.deadline);
        let deadline = left.into_iter().chain(patience).min();
        let body = RequestBody::arriving(body, self.request_body, |_| ());
        let limit = body.limit();
        let answer = match depth > self.most {
            true => Err(Failure::Guest(ErrorCode::LoopDetected)),
            false => {
                let request =
                    ChainRequest { deadline, depth, nested: true, ..ChainRequest::new(head, body, origin) };
                self.first.handle(&worker, Box::new(request)).await
            }
        };
        answer
            .map(|response| response.map(|body| crossing(body, None)))
            .inspect(|_| counted.answered())
            .map_err(|failure| {
                let (caller, pipeline) = (&*self.caller, &*self.callee);
                let request_id = format!("{id:016x}");
                match depth > self.most {
                    true => tracing::warn!(
                        request_id,
                        caller,
                        pipeline,
                        depth,
                        "a call was refused: it is beyond `limits.call-depth`",
                    ),
                    false => tracing::warn!(
                        request_id, caller, pipeline, reason = %failure, "a called pipeline gave no response",
                    ),
                }
                match failure {
                    _ if limit.is_exceeded() => ErrorCode::HttpRequestBodySize(None),
                    Failure::Trap { .. } | Failure::Instantiate(_) => {
                        ErrorCode::InternalError(Some("the called pipeline failed".to_owned()))
                    }
                    failure => failure.into_code(),
                }
            })
    }
}

/// One call: without an answer, whatever the reason, it failed.
struct Counted {
    metrics: Arc<CallMetrics>,
    start: Option<Instant>,
}

impl Counted {
    fn answered(&mut self) {
        if let Some(start) = self.start.take() {
            self.metrics.answered(start.elapsed());
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.start.is_some() {
            self.metrics.failed();
        }
    }
}
