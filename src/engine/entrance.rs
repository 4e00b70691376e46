//! The way out of a store: the one maker of the [`Next`] that a segment's guests call.
//!
//! A request that leaves its store becomes a [`ChainRequest`] here, on the same thread, and the result returns in the
//! guests' terms: a response whose body reports to the call, or an error code, with the reason beside it for the host.

use super::body::{RequestBody, UploadState};
use super::onward::Onward;
use super::outcome::Failure;
use super::request::ChainRequest;
use super::worker::Worker;
use crate::host::next::NextFuture;
use crate::host::{CallContext, Next, NoResponse, RequestHead, RequestName, traced};
use crate::plan::{Applied, Pipeline};
use crate::telemetry::trace::{OpenSpan, SpanKind};
use crate::telemetry::{CallMetrics, apart};
use http::Response;
use send_wrapper::SendWrapper;
use std::sync::Arc;
use std::time::Instant;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// What the segment before `onward` imports as its next stage.
pub fn next_stage(onward: &Onward) -> Next {
    Entrance { onward: onward.clone(), whose: Whose::Same }.open()
}

/// What a stage of another pipeline imports under a name: the pipeline that begins with `onward`, with its own bound on
/// the body.
pub fn named(onward: &Onward) -> Next {
    let request_body = onward.request_body();
    Entrance { onward: onward.clone(), whose: Whose::Other { request_body } }.open()
}

/// What a stage of the pipeline `caller` reaches by a request to the name of the pipeline `callee`, which begins with
/// `onward`; at most `most` calls may lead to one place.
pub fn called(onward: &Onward, callee: &Pipeline, caller: &str, most: usize) -> Next {
    let (request_body, callee) = (callee.limits.request_body, Arc::from(&*callee.name));
    let callee = Callee { request_body, caller: caller.into(), callee, most };
    Entrance { onward: onward.clone(), whose: Whose::Called(callee) }.open()
}

struct Entrance {
    onward: Onward,
    whose: Whose,
}

/// Whose segments the request enters.
enum Whose {
    /// Those of its own pipeline, of which it is known which apply.
    Same,
    /// Those of another one, from its beginning.
    Other { request_body: u64 },
    /// The same, as a client would, with a call more on the way.
    Called(Callee),
}

/// A pipeline that stages of another one may call by its name. What travels along is the id of the client's request, the
/// time that is left for it, and how many calls led here.
struct Callee {
    /// Bytes that a request's body may have.
    request_body: u64,
    /// The pipelines at both ends of the call.
    caller: Arc<str>,
    callee: Arc<str>,
    /// Calls in a row that there may be at most.
    most: usize,
}

impl Entrance {
    fn open(self) -> Next {
        let entrance = Arc::new(self);
        Arc::new(move |head, body, context| -> NextFuture {
            let observed = context.as_ref().is_some_and(|context| context.is_observed());
            let entered = Arc::clone(&entrance).enter(head, body, context);
            match observed {
                false => Box::pin(SendWrapper::new(entered)),
                true => Box::pin(SendWrapper::new(apart(entered))),
            }
        })
    }

    async fn enter(
        self: Arc<Self>,
        head: RequestHead,
        body: WasiBody,
        context: Option<Arc<CallContext>>,
    ) -> Result<Response<WasiBody>, NoResponse> {
        let worker = Worker::current().ok_or(ErrorCode::InternalError(None))?;
        let body = match &self.whose {
            Whose::Same if context.as_ref().is_some_and(|context| context.is_observed()) => {
                RequestBody::counted(body)
            }
            Whose::Same => RequestBody::passed_on(body),
            Whose::Other { request_body } | Whose::Called(Callee { request_body, .. }) => {
                RequestBody::arriving(body, *request_body, |_| ())
            }
        };
        let limit = body.limit();
        let mut request = Box::new(ChainRequest::out_of_store(head, body, context.clone()));
        let counted = match &self.whose {
            Whose::Same => {
                // What a guest calls from work that it left behind could be for any request.
                request.applied = Some(context.as_ref().map_or(Applied::ALL, |context| context.applied));
                None
            }
            Whose::Other { .. } => None,
            Whose::Called(callee) => Some(callee.enter(&worker, &mut request)?),
        };
        let name = request.origin.name(request.span);
        let mut span = self.open_span(&mut request);
        let reader = context.filter(|_| counted.is_none());
        match self.onward.handle(&worker, request).await {
            Ok(response) => {
                if let Some(counted) = counted {
                    counted.answered();
                }
                if let Some(span) = &mut span {
                    span.set_answer(response.status(), None);
                }
                Ok(response.map(|body| traced(body.into_store(reader), span)))
            }
            Err(failure) => {
                if let Some(span) = &mut span {
                    span.set_error("no-response", &failure);
                }
                Err(self.failed(name, failure, &limit))
            }
        }
    }

    /// The span of a call, under which hangs what comes out of the request from here on, and which the callee is told of.
    fn open_span(&self, request: &mut ChainRequest) -> Option<OpenSpan> {
        let Whose::Called(callee) = &self.whose else { return None };
        let behalf = request.behalf();
        let mut span = behalf
            .place()
            .and_then(|place| place.open(SpanKind::Internal, format!("call {}", callee.callee)));
        if let Some(span) = &mut span {
            span.set_method(&request.head.method);
            span.set(
                "url.path",
                request.head.path_with_query.as_ref().map_or("/", |it| it.path()).to_owned(),
            );
            span.set("linkspan.caller", callee.caller.to_string());
            span.set("linkspan.pipeline", callee.callee.to_string());
            request.span = span.id();
        }
        if let Some(trace) = &behalf.origin.trace {
            trace.lead(&mut request.head.headers, request.span);
        }
        span
    }

    /// What the guest learns of a failure.
    fn failed(&self, name: RequestName, failure: Failure, limit: &UploadState) -> NoResponse {
        let (request_id, trace_id, span_id) = (name.request_id(), name.trace_id(), name.span_id());
        let cause = match &self.whose {
            // The stage at fault has its line already.
            Whose::Same | Whose::Other { .. } => Some(Arc::new(failure.clone()) as _),
            Whose::Called(Callee { caller, callee, .. }) => {
                tracing::warn!(
                    request_id, trace_id, span_id, %caller, pipeline = %callee, reason = %failure, "a called pipeline gave no response",
                );
                None
            }
        };
        match failure {
            _ if limit.is_exceeded() => ErrorCode::HttpRequestBodySize(None).into(),
            Failure::Trap { .. } | Failure::Instantiate(_) if cause.is_none() => {
                ErrorCode::InternalError(Some("the called pipeline failed".to_owned())).into()
            }
            failure => NoResponse { code: failure.into_code(), cause },
        }
    }
}

impl Callee {
    /// Makes `request` one that enters the pipeline as a client's would, if it may.
    fn enter(&self, worker: &Worker, request: &mut ChainRequest) -> Result<Counted, NoResponse> {
        let counted = Counted(Some((worker.calls(&self.caller, &self.callee), Instant::now())));
        request.depth += 1;
        // What a caller wants of a transport holds for this one; the callee has nothing of it.
        let patience = request.head.options.take().and_then(|options| options.first_byte_timeout);
        if let Some(patience) = patience {
            request.due(worker.tick(), patience);
        }
        if request.depth > self.most {
            let name = request.origin.name(request.span);
            let (request_id, trace_id, span_id) = (name.request_id(), name.trace_id(), name.span_id());
            let (caller, pipeline, depth) = (&*self.caller, &*self.callee, request.depth);
            let message = "a call was refused: `limits.call-depth` is reached";
            tracing::warn!(request_id, trace_id, span_id, caller, pipeline, depth, message);
            return Err(ErrorCode::LoopDetected.into());
        }
        Ok(counted)
    }
}

/// One call, since when: without an answer, whatever the reason, it failed.
struct Counted(Option<(Arc<CallMetrics>, Instant)>);

impl Counted {
    fn answered(mut self) {
        if let Some((metrics, start)) = self.0.take() {
            metrics.answered(start.elapsed());
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some((metrics, _)) = self.0.take() {
            metrics.failed();
        }
    }
}
