//! The life of a request, from its head to its answer.

use super::client_cert::identify;
use super::headers::{clean_request, clean_response, clean_trailers};
use super::hosts::Hosts;
use super::kinds::Kinds;
use super::mirror::mirror;
use super::normalize::{Head, HeadRules, normalize};
use super::provenance::{Arrival, add_via, client, tell};
use super::record::{Details, Record, Recorder};
use super::request_id::RequestId;
use super::respond::{Refusal, Upstream, refuse};
use super::trace::trace;
use crate::engine::{
    Arriving, BodyError, ChainRequest, Failure, RequestBody, RequestLimit, ResponseBody, UploadPace,
    UpstreamFailure, Worker,
};
use crate::gateway::split::choose;
use crate::gateway::{Generation, Live, Match};
use crate::host::{Origin, RequestHead};
use crate::net::ConnInfo;
use crate::plan::{Pipeline, PipelineIndex, Route};
use bytes::Bytes;
use futures::FutureExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::future::ready;
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
    recorder: Recorder,
    hosts: Hosts,
}

impl Service {
    /// The service of `worker`, which serves what is live.
    pub fn new(live: Arc<Live>, worker: Rc<Worker>, recorder: Recorder) -> Rc<Self> {
        Rc::new(Self { live, worker, recorder, hosts: Hosts::default() })
    }

    /// One request of a connection. Whatever happens, there is an answer.
    pub fn serve(
        self: Rc<Self>,
        request: Request<Incoming>,
        conn: &Rc<ConnInfo>,
    ) -> impl Future<Output = Response<Answer>> + use<> {
        self.enter(request, conn, Entry::default())
    }

    /// One request, wherever it came from. Whatever happens, there is an answer.
    ///
    /// All that needs no wait is done at once, before there is a future: what a future holds is moved with it several times.
    pub fn enter<B: Into<Arriving>>(
        self: Rc<Self>,
        request: Request<B>,
        conn: &Rc<ConnInfo>,
        entry: Entry,
    ) -> impl Future<Output = Response<Answer>> + use<B> {
        let (parts, body) = request.into_parts();
        match self.begin(parts, body.into(), conn, entry) {
            Ok(begun) => self.walk(begun).left_future(),
            Err(response) => ready(response).right_future(),
        }
    }

    /// The way of a request to the beginning of its pipeline.
    #[expect(clippy::result_large_err, reason = "the request, which is there mostly, is larger")]
    fn begin(
        &self,
        parts: Parts,
        body: Arriving,
        conn: &Rc<ConnInfo>,
        entry: Entry,
    ) -> Result<Begun, Response<Answer>> {
        let id = RequestId::next();
        // One generation from here to the end of the response's body.
        let generation = self.live.load();
        // 1. Understand the head, in one normal form for the router and the stages.
        let (limits, http) = (&generation.plan.limits, &generation.plan.http);
        let hosts = &self.hosts;
        let rules = HeadRules { uri_size: limits.uri_size, header_count: limits.header_count, http, hosts };
        let kinds = Kinds::of(&parts.headers);
        let head = match normalize(&parts, kinds, conn.tls.as_ref(), &rules) {
            Ok(head) => head,
            Err(refusal) => return Err(refused(&refusal, self.recorder.begin(None, &parts.method), &id)),
        };
        if let Some(port) = conn.redirect {
            let refusal = Refusal::OnlyHttps { location: under_https(&head, port) };
            return Err(refused(&refusal, self.recorder.begin(None, &parts.method), &id));
        }
        // 2. Find the route, and the pipeline that it leads this request to.
        let client = client(&parts.headers, conn.peer.ip(), http);
        let details = self.recorder.details(&parts, &head, conn, client, &id);
        let (pipeline, route) = match way(&generation, &entry, &head, &parts.headers, &id) {
            Ok(way) => way,
            Err(refusal) => {
                let mut record = self.recorder.begin(None, &head.method);
                record.details = details;
                return Err(refused(&refusal, record, &id));
            }
        };
        let record = self.record(&generation, pipeline, route, &head, details);
        let second = route.and_then(|route| route.mirror);
        let origin = Arc::new(Origin { id: id.number(), extensions: entry.extensions });
        // 3. Take off what belongs to the connection, say where the request comes from, and bound the body.
        let mut headers = parts.headers;
        if kinds.has(Kinds::CONNECTION)
            && wants_upgrade(&headers)
            && generation.pipeline(pipeline).upstream().is_some()
        {
            return Err(refused(&Refusal::Upstream(Upstream::NoUpgrade), record, &id));
        }
        clean_request(&mut headers, kinds);
        identify(&mut headers, conn, kinds);
        let arrival = Arrival { version: parts.version, id: &id, kinds, conn };
        tell(&mut headers, &head, &arrival, client, http);
        if kinds.has(Kinds::TRACE) || http.make_traceparent {
            trace(&mut headers, http.make_traceparent);
        }
        let here = Here { generation, pipeline, id };
        let request = match bounded(body, &headers, here.plan()) {
            Ok(body) => chain_request(&head, headers, body, &here.generation, origin),
            Err(refusal) => return Err(refused(&refusal, record, &here.id)),
        };
        Ok(self.stages(here, head, second, request, record))
    }

    /// The record of a request that leads to a pipeline.
    fn record(
        &self,
        generation: &Generation,
        pipeline: PipelineIndex,
        route: Option<&Route>,
        head: &Head,
        details: Option<Box<Details>>,
    ) -> Record {
        let name = &generation.plan.pipeline(pipeline).name;
        let mut record = self.recorder.begin(Some(name), &head.method);
        record.details = details.map(|mut details| {
            details.pipeline = Some(name.to_string());
            details.route = route.map(|route| format!("{}{}", route.host, route.path));
            details.generation = generation.number;
            details
        });
        record
    }

    /// A request whose copy is on its way, and whose stages are known.
    fn stages(
        &self,
        here: Here,
        head: Head,
        second: Option<PipelineIndex>,
        mut request: Box<ChainRequest>,
        mut record: Record,
    ) -> Begun {
        let limit = request.body.limit();
        if let Some(details) = &mut record.details {
            details.limit = Some(limit.clone());
        }
        if let Some(second) = second {
            let name = &here.generation.plan.pipeline(second).name;
            mirror(&self.worker, name, here.generation.pipeline(second), &mut request);
        }
        // 4. Find the stages that apply.
        let applied =
            here.generation.pipeline(here.pipeline).applied(&self.worker, &request.head, request.origin.id);
        request.applied = Some(applied);
        if let Some(details) = &mut record.details {
            details.skipped = here.plan().skipped(applied);
        }
        Begun { here, head, limit, record, request }
    }

    /// The way of a request through its pipeline, to the head of its response.
    ///
    /// Not an `async fn`, whose future would hold what it is given twice.
    fn walk(self: Rc<Self>, begun: Begun) -> impl Future<Output = Response<Answer>> {
        let Begun { here, head, limit, mut record, request } = begun;
        async move {
            // 5. Walk the chain, and say what became of it.
            match here.generation.pipeline(here.pipeline).handle(&self.worker, request).await {
                Ok(mut response) => {
                    clean_response(response.headers_mut());
                    if let Some(name) = &here.generation.plan.http.via {
                        add_via(response.headers_mut(), Version::HTTP_11, name);
                    }
                    record.answered(response.status().as_u16(), None);
                    response.map(|body| Answer::Chain { body, here, record })
                }
                Err(failure) => {
                    record.failed(&failure);
                    here.generation.broke_off();
                    let refusal = explain(&failure, &limit, here.plan(), &head, &here.id);
                    refused(&refusal, record, &here.id)
                }
            }
        }
    }
}

/// A request at the beginning of its pipeline.
struct Begun {
    here: Here,
    head: Head,
    limit: RequestLimit,
    record: Record,
    request: Box<ChainRequest>,
}

/// Where a request is: what its answer keeps to the end of its body.
pub struct Here {
    generation: Arc<Generation>,
    pipeline: PipelineIndex,
    id: RequestId,
}

impl Here {
    fn plan(&self) -> &Pipeline {
        self.generation.plan.pipeline(self.pipeline)
    }
}

/// How a request comes in that no connection of ours brought.
#[derive(Default)]
pub struct Entry {
    /// The pipeline, by name; without one, the routes decide.
    pub pipeline: Option<Arc<str>>,
    /// What goes along with it, for native services.
    pub extensions: Extensions,
}

/// The pipeline of a request, and the route that leads there, if one does.
fn way<'g>(
    generation: &'g Generation,
    entry: &Entry,
    head: &Head,
    headers: &HeaderMap,
    id: &RequestId,
) -> Result<(PipelineIndex, Option<&'g Route>), Refusal> {
    if let Some(name) = &entry.pipeline {
        // A reload may have removed it.
        return Ok((generation.plan.find_pipeline(name).ok_or(Refusal::NoRoute)?, None));
    }
    match generation.router.route(head.host(), head.path(), &head.method) {
        Match::Route(route) => {
            let route = &generation.plan.routes[route];
            Ok((choose(&generation.plan, route, headers, id.number()), Some(route)))
        }
        Match::OtherMethods(allow) => Err(Refusal::MethodNotAllowed { allow }),
        Match::None => Err(Refusal::NoRoute),
    }
}

fn refused(refusal: &Refusal, mut record: Record, id: &RequestId) -> Response<Answer> {
    record.answered(refusal.status().as_u16(), Some(refusal.kind()));
    refuse(refusal, id.as_str()).map(|body| Answer::Gateway { body: Full::new(body), record })
}

/// Whether the client asks for another protocol (RFC 9110 §7.8) and could not do without: who offers HTTP/2 in passing
/// gets a plain answer.
fn wants_upgrade(headers: &HeaderMap) -> bool {
    let tokens = |name| {
        headers.get_all(name).iter().flat_map(|value: &HeaderValue| value.as_bytes().split(|it| *it == b','))
    };
    let asks = tokens(CONNECTION).any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    asks && tokens(UPGRADE).any(|token| !token.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

/// The same target over TLS, at a port.
fn under_https(head: &Head, port: u16) -> String {
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    format!("https://{}{port}{}", head.host(), head.path_and_query)
}

/// The body with the pipeline's bound, which a declared length may break at once.
fn bounded(body: Arriving, headers: &HeaderMap, plan: &Pipeline) -> Result<RequestBody, Refusal> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > plan.limits.request_body) {
        return Err(Refusal::PayloadTooLarge);
    }
    let pace = UploadPace { rate: plan.limits.upload_rate, grace: plan.limits.upload_grace };
    Ok(RequestBody::arriving(body, plan.limits.request_body, clean_trailers).at_pace(pace))
}

/// The request as the first stage sees it: with scheme and authority, which guests
/// count on, whatever form it came in.
fn chain_request(
    head: &Head,
    headers: HeaderMap,
    body: RequestBody,
    generation: &Generation,
    origin: Arc<Origin>,
) -> Box<ChainRequest> {
    let head = RequestHead {
        method: head.method.clone(),
        scheme: Some(head.scheme.clone()),
        authority: Some(head.authority().clone()),
        path_with_query: Some(head.path_and_query.clone()),
        headers,
        options: None,
    };
    let cut_off = Some(generation.cut_off.clone());
    Box::new(ChainRequest { cut_off, ..ChainRequest::new(head, body, origin) })
}

/// What a failure means to the client; the log gets the reason.
fn explain(failure: &Failure, limit: &RequestLimit, plan: &Pipeline, head: &Head, id: &RequestId) -> Refusal {
    let too_large = limit.is_exceeded();
    let refusal = match failure {
        _ if too_large => Refusal::PayloadTooLarge,
        _ if limit.is_too_slow() => Refusal::RequestTimeout,
        // The client's doing, whatever the stage made of it.
        Failure::Guest(_) if limit.is_malformed() => Refusal::BadRequest("The request's body is malformed."),
        Failure::Guest(ErrorCode::HttpRequestBodySize(_)) => Refusal::PayloadTooLarge,
        Failure::Trap { .. } | Failure::Instantiate(_) => Refusal::GuestTrap,
        Failure::Guest(ErrorCode::HttpResponseTimeout) => Refusal::Deadline,
        Failure::Guest(ErrorCode::ConnectionLimitReached) => Refusal::NoCapacity { retry_after: RETRY_AFTER },
        Failure::Guest(_) => Refusal::GuestError,
        Failure::InvalidResponse(_) => Refusal::BadGateway,
        Failure::Deadline => Refusal::Deadline,
        Failure::Capacity | Failure::BreakerOpen => Refusal::NoCapacity { retry_after: RETRY_AFTER },
        Failure::Upstream(error) => of_upstream(&error.kind),
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

/// What a client is told of an upstream that gave no response.
fn of_upstream(kind: &UpstreamFailure) -> Refusal {
    Refusal::Upstream(match kind {
        UpstreamFailure::Down => Upstream::Down { retry_after: RETRY_AFTER },
        UpstreamFailure::Busy => Upstream::Busy { retry_after: RETRY_AFTER },
        UpstreamFailure::Unreachable(_) => Upstream::Unreachable,
        UpstreamFailure::Broken(_) => Upstream::Broken,
        UpstreamFailure::ConnectTimeout
        | UpstreamFailure::ResponseTimeout
        | UpstreamFailure::TotalTimeout => Upstream::Timeout,
        UpstreamFailure::Deadline | UpstreamFailure::CutOff => return Refusal::Deadline,
        UpstreamFailure::Request(_) => return Refusal::BadRequest("The request's body broke off."),
        UpstreamFailure::Unsendable(_) => return Refusal::BadGateway,
    })
}

/// The body of an answer.
pub enum Answer {
    /// The gateway's own, short.
    Gateway {
        /// The bytes.
        body: Full<Bytes>,
        /// Written when the body is gone.
        record: Record,
    },
    /// The chain's, streamed.
    Chain {
        /// The bytes.
        body: ResponseBody,
        /// Kept to the end of the body, as is said by `gateway`.
        here: Here,
        /// Written when the body is gone.
        record: Record,
    },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (mut frame, record) = match self.get_mut() {
            Self::Gateway { body, record } => {
                (Pin::new(body).poll_frame(cx).map_err(|never| match never {}), record)
            }
            Self::Chain { body, here, record } => (poll_chain(body, here, record, cx), record),
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut frame {
            if let Some(trailers) = frame.trailers_mut() {
                clean_trailers(trailers);
            } else if let Some(data) = frame.data_ref() {
                record.sent(data.len());
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Gateway { body, .. } => body.is_end_stream(),
            Self::Chain { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Gateway { body, .. } => body.size_hint(),
            Self::Chain { body, .. } => body.size_hint(),
        }
    }
}

fn poll_chain(
    body: &mut ResponseBody,
    here: &Here,
    record: &mut Record,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let frame = Pin::new(body).poll_frame(cx);
    if let Poll::Ready(Some(Err(error))) = &frame {
        record.cut_short();
        here.generation.broke_off();
        tracing::warn!(
            request_id = here.id.as_str(),
            pipeline = %here.generation.plan.pipeline(here.pipeline).name,
            reason = %error,
            "a response was cut short",
        );
    }
    frame
}
