//! The life of a request, from its head to its answer.

use super::headers::{clean_request, clean_response, clean_trailers};
use super::normalize::{Head, HeadLimits, normalize};
use super::request_id::RequestId;
use super::respond::{Refusal, refuse};
use crate::engine::{BodyError, ChainRequest, Failure, RequestBody, RequestLimit, ResponseBody, Worker};
use crate::gateway::{Generation, Live, Match};
use crate::host::RequestHead;
use crate::net::ConnInfo;
use crate::plan::{Pipeline, PipelineIndex};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// What a client that finds no room is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Answers the requests of one worker.
pub struct Service {
    live: Arc<Live>,
    worker: Rc<Worker>,
}

impl Service {
    /// The service of `worker`, which serves what is live.
    pub fn new(live: Arc<Live>, worker: Rc<Worker>) -> Rc<Self> {
        Rc::new(Self { live, worker })
    }

    /// One request. Whatever happens, there is an answer.
    pub async fn serve(self: Rc<Self>, request: Request<Incoming>, conn: Rc<ConnInfo>) -> Response<Answer> {
        let id = RequestId::next();
        // One generation from here to the end of the response's body.
        let generation = self.live.load();
        match self.answer(request, &conn, &generation, &id).await {
            Ok(response) => response,
            Err(refusal) => {
                let response = refuse(&refusal, id.as_str());
                response.map(|body| Answer::Gateway(Full::new(body)))
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        conn: &ConnInfo,
        generation: &Arc<Generation>,
        id: &RequestId,
    ) -> Result<Response<Answer>, Refusal> {
        // 1. Understand the head, in one normal form for the router and the stages.
        let (parts, body) = request.into_parts();
        let limits = &generation.plan.limits;
        let limits = HeadLimits { uri_size: limits.uri_size, header_count: limits.header_count };
        let head = normalize(&parts, conn.tls.is_some(), &limits)?;

        // 2. Find the pipeline.
        let pipeline = match generation.router.route(head.host(), head.path(), &head.method) {
            Match::Pipeline(pipeline) => pipeline,
            Match::OtherMethods(allow) => return Err(Refusal::MethodNotAllowed { allow }),
            Match::None => return Err(Refusal::NoRoute),
        };

        // 3. Take off what belongs to the connection, and bound the body.
        let mut headers = parts.headers;
        clean_request(&mut headers);
        let plan = generation.plan.pipeline(pipeline);
        let (body, limit) = bounded(body, &headers, plan)?;

        // 4. Walk the chain.
        let request = chain_request(&head, headers, body);
        let outcome = generation.pipeline(pipeline).handle(&self.worker, request).await;

        // 5. Say what became of it.
        match outcome {
            Ok(mut response) => {
                clean_response(response.headers_mut());
                let generation = Arc::clone(generation);
                Ok(response.map(|body| Answer::chain(body, generation, pipeline, id.clone())))
            }
            Err(failure) => Err(explain(&failure, &limit, plan, &head, id)),
        }
    }
}

/// The body with the pipeline's bound, which a declared length may break at once.
fn bounded(
    body: Incoming,
    headers: &HeaderMap,
    plan: &Pipeline,
) -> Result<(RequestBody, RequestLimit), Refusal> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > plan.limits.request_body) {
        return Err(Refusal::PayloadTooLarge);
    }
    Ok(RequestBody::incoming(body, plan.limits.request_body, clean_trailers))
}

/// The request as the first stage sees it: with scheme and authority, which guests
/// count on, whatever form it came in.
fn chain_request(head: &Head, headers: HeaderMap, body: RequestBody) -> ChainRequest {
    let head = RequestHead {
        method: head.method.clone(),
        scheme: Some(head.scheme.clone()),
        authority: Some(head.authority.clone()),
        path_with_query: Some(head.path_and_query.clone()),
        headers,
        options: None,
    };
    ChainRequest { head, body, deadline: None }
}

/// What a failure means to the client; the log gets the reason.
fn explain(failure: &Failure, limit: &RequestLimit, plan: &Pipeline, head: &Head, id: &RequestId) -> Refusal {
    let too_large = limit.is_exceeded();
    let refusal = match failure {
        _ if too_large => Refusal::PayloadTooLarge,
        Failure::Guest(ErrorCode::HttpRequestBodySize(_)) => Refusal::PayloadTooLarge,
        Failure::Trap { .. } | Failure::Instantiate(_) => Refusal::GuestTrap,
        Failure::Guest(ErrorCode::HttpResponseTimeout) => Refusal::Deadline,
        Failure::Guest(ErrorCode::ConnectionLimitReached) => {
            Refusal::NoCapacity { retry_after: RETRY_AFTER }
        }
        Failure::Guest(_) => Refusal::GuestError,
        Failure::InvalidResponse(_) => Refusal::BadGateway,
        Failure::Deadline => Refusal::Deadline,
        Failure::Capacity | Failure::BreakerOpen => Refusal::NoCapacity { retry_after: RETRY_AFTER },
    };
    let stage = match failure {
        Failure::Trap { stage, .. } => stage.as_deref(),
        _ => None,
    };
    tracing::warn!(
        request_id = id.as_str(),
        pipeline = %plan.name,
        stage,
        method = %head.method,
        path = head.path(),
        status = refusal.status().as_u16(),
        reason = %failure,
        "the chain gave no response",
    );
    refusal
}

/// The body of an answer.
pub enum Answer {
    /// The gateway's own, short.
    Gateway(Full<Bytes>),
    /// The chain's, streamed.
    Chain {
        /// The bytes.
        body: ResponseBody,
        /// Kept to the end of the body, as is said by `gateway`.
        generation: Arc<Generation>,
        /// For the log, if the body breaks off.
        pipeline: PipelineIndex,
        /// Likewise.
        id: RequestId,
    },
}

impl Answer {
    fn chain(body: ResponseBody, generation: Arc<Generation>, pipeline: PipelineIndex, id: RequestId) -> Self {
        Self::Chain { body, generation, pipeline, id }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Gateway(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Chain { body, generation, pipeline, id } => {
                let mut frame = Pin::new(body).poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &mut frame
                    && let Some(trailers) = frame.trailers_mut()
                {
                    clean_trailers(trailers);
                }
                if let Poll::Ready(Some(Err(error))) = &frame {
                    tracing::warn!(
                        request_id = id.as_str(),
                        pipeline = %generation.plan.pipeline(*pipeline).name,
                        reason = %error,
                        "a response was cut short",
                    );
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Gateway(body) => body.is_end_stream(),
            Self::Chain { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Gateway(body) => body.size_hint(),
            Self::Chain { body, .. } => body.size_hint(),
        }
    }
}
