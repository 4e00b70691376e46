//! The life of a request, from its head to its answer.

use super::answer::{AnswerBody, Here, is_over, refused};
use super::client_cert::identify;
use super::failure::explain;
use super::finish::finish;
use super::headers::{
    clean_request, clean_request_trailers, clean_response, clean_trailers, take_disguised_off,
};
use super::hosts::Hosts;
use super::kinds::Kinds;
use super::mirror::mirror;
use super::normalize::{HeadRules, NormalHead, normalize};
use super::provenance::{Arrival, add_via, client, tell};
use super::record::{Details, From, Record, Recorder};
use super::request_id::RequestId;
use super::respond::{Refusal, Upstream};
use super::spans::{request_span, routed};
use super::trace::came;
use super::way::{EmbeddedCall, wants_upgrade, way};
use crate::engine::{Arriving, ChainRequest, RequestBody, UploadPace, UploadState, Worker};
use crate::gateway::{Generation, Live};
use crate::host::{RequestHead, RequestOrigin};
use crate::net::{ConnInfo, Rejection};
use crate::plan::{PipelineIndex, Plan, Route};
use crate::telemetry::trace::{OpenSpan, Trace};
use futures::FutureExt as _;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Answers the requests of one worker.
pub struct Service {
    live: Arc<Live>,
    worker: Rc<Worker>,
    recorder: Recorder,
    hosts: Hosts,
}

impl Service {
    /// The service of `worker`, which serves the live generation.
    pub fn new(live: Arc<Live>, worker: Rc<Worker>, recorder: Recorder) -> Rc<Self> {
        Rc::new(Self { live, worker, recorder, hosts: Hosts::default() })
    }

    /// Serves one request of a connection. There is a response in every case.
    pub fn serve(
        self: Rc<Self>,
        request: Request<Incoming>,
        conn: &Rc<ConnInfo>,
    ) -> impl Future<Output = Response<AnswerBody>> + use<> {
        self.enter(request, conn, EmbeddedCall::default())
    }

    /// Serves one request, whatever its origin. There is a response in every case.
    ///
    /// Everything that needs no wait is done before there is a future: values in a future are moved with it several
    /// times.
    pub fn enter<B: Into<Arriving>>(
        self: Rc<Self>,
        request: Request<B>,
        conn: &Rc<ConnInfo>,
        entry: EmbeddedCall,
    ) -> impl Future<Output = Response<AnswerBody>> + use<B> {
        let (parts, body) = request.into_parts();
        match self.begin(parts, body.into(), conn, entry) {
            Ok(begun) => self.walk(begun).left_future(),
            Err(response) => ready(response).right_future(),
        }
    }

    /// Records a request that HTTP's own rules refused, and that was answered already.
    pub fn rejected(&self, conn: &Rc<ConnInfo>, rejection: Rejection) {
        let generation = self.live.load();
        let client = conn.peer.ip().to_canonical();
        let from = From { conn, client, id: &RequestId::next(), generation: generation.number };
        let refusal = match rejection.status {
            StatusCode::URI_TOO_LONG => Refusal::UriTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Refusal::HeadersTooLarge,
            StatusCode::SERVICE_UNAVAILABLE => Refusal::NoCapacity { retry_after: Duration::ZERO },
            _ => Refusal::BadRequest(rejection.reason),
        };
        self.recorder.rejected(&from, rejection, refusal.kind());
    }

    /// The way of a request to the beginning of its pipeline.
    #[expect(clippy::result_large_err, reason = "the request, which is there mostly, is larger")]
    fn begin(
        &self,
        mut parts: Parts,
        body: Arriving,
        conn: &Rc<ConnInfo>,
        entry: EmbeddedCall,
    ) -> Result<Begun, Response<AnswerBody>> {
        let id = RequestId::next();
        // The generation stays the same from here to the end of the response's body.
        let generation = self.live.load();
        let (limits, http) = (&generation.plan.limits, &generation.plan.http);
        // 1. Normalise the head: the router and the stages see one form.
        let kinds = Kinds::of(&parts.headers);
        let rules = HeadRules {
            uri_size: limits.uri_size,
            header_count: limits.header_count,
            http,
            hosts: &self.hosts,
        };
        let head = normalize(&parts, kinds, conn.tls.as_ref(), &rules);
        let client = client(&parts.headers, conn.peer.ip(), http);
        let from = From { conn, client, id: &id, generation: generation.number };
        let (trace, span) = self.trace(&mut parts, head.as_ref().ok(), kinds, &from, &generation.plan);
        let details = self.recorder.details(&parts, head.as_ref().ok(), &from, trace.as_deref());
        if kinds.has(Kinds::DISGUISED) {
            take_disguised_off(&mut parts.headers, http.keep_underscores);
        }
        // 2. Find the route, and the pipeline that it leads to.
        let way = head.and_then(|head| {
            let (pipeline, route) = way(&generation, &entry, &head, &parts.headers, conn, &id)?;
            Ok((head, pipeline, route))
        });
        let (head, pipeline, route) = match way {
            Ok(way) => way,
            Err(refusal) => {
                let mut record = self.recorder.begin(None, &parts.method);
                (record.details, record.span) = (details, span);
                return Err(refused(&refusal, record, &id));
            }
        };
        let record = self.record(&generation, pipeline, route, &head, (details, span));
        let second = route.and_then(|route| route.mirror);
        let origin = RequestOrigin::traced(id.number(), entry.extensions, trace);
        // 3. Remove the fields of the connection, add the request's origin, and bound the body.
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
        let name = origin.name(origin.span());
        let here = Here { generation, pipeline, id, name };
        let request = match bounded(body, &headers, &here) {
            Ok(body) => chain_request(&head, headers, body, &here.generation, origin),
            Err(refusal) => return Err(refused(&refusal, record, &here.id)),
        };
        Ok(self.stages(here, head, second, request, record))
    }

    /// The trace of a request, and its span if that is recorded. Fields of a context that is not valid are removed.
    fn trace(
        &self,
        parts: &mut Parts,
        head: Option<&NormalHead>,
        kinds: Kinds,
        from: &From<'_>,
        plan: &Plan,
    ) -> (Option<Arc<Trace>>, Option<OpenSpan>) {
        let context = if kinds.has(Kinds::TRACE) { came(&mut parts.headers) } else { None };
        let makes = plan.http.make_traceparent && context.is_none();
        let peer = from.conn.peer.ip();
        // A program that embeds the gateway speaks for its own clients.
        let trusted = || peer.is_unspecified() || plan.http.trusts(peer);
        let trusted = context.is_some() && trusted();
        let mut trace = self.recorder.trace(&plan.telemetry, (from.id, head), context, trusted);
        if makes {
            trace.get_or_insert_with(Trace::made).introduce(&mut parts.headers);
        }
        let (Some(recorded), Some(head)) = (&trace, head) else { return (trace, None) };
        let about = (&parts.headers, parts.version);
        let span = request_span(recorded, head, about, from);
        (trace, span)
    }

    /// The record of a request that leads to a pipeline.
    fn record(
        &self,
        generation: &Generation,
        pipeline: PipelineIndex,
        route: Option<&Route>,
        head: &NormalHead,
        (details, mut span): (Option<Box<Details>>, Option<OpenSpan>),
    ) -> Record {
        let name = &generation.plan.pipeline(pipeline).name;
        let mut record = self.recorder.begin(Some(name), &head.method);
        if let Some(span) = &mut span {
            routed(span, &head.method, name, route);
        }
        record.span = span;
        record.details = details.map(|mut details| {
            details.pipeline = Some(name.to_string());
            details.route = route.map(|route| format!("{}{}", route.host, route.path));
            details
        });
        record
    }

    /// A request whose copy is on its way, and whose stages are known.
    fn stages(
        &self,
        here: Here,
        head: NormalHead,
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
            details.not_applied = here.plan().not_applied(applied);
            details.origin = Some(Arc::clone(&request.origin));
        }
        Begun { here, head, limit, record, request }
    }

    /// The way of a request through its pipeline, to the head of its response.
    ///
    /// Not an `async fn`, whose future would hold its arguments twice.
    fn walk(self: Rc<Self>, begun: Begun) -> impl Future<Output = Response<AnswerBody>> {
        let Begun { here, head, limit, mut record, request } = begun;
        async move {
            // 5. Walk the chain, and report the outcome.
            let pipeline = here.generation.pipeline(here.pipeline);
            let response = pipeline.handle(&self.worker, request).await;
            match response.and_then(|response| finish(response, &head.method, &limit)) {
                Ok(mut response) => {
                    clean_response(response.headers_mut());
                    if let Some(name) = &here.generation.plan.http.via {
                        add_via(response.headers_mut(), Version::HTTP_11, name);
                    }
                    record.answered(response.status().as_u16(), None);
                    if let Some(span) = &record.span {
                        span.answered(response.status().as_u16(), response.headers());
                    }
                    if response.body().as_ref().is_none_or(is_over) {
                        record.over();
                    }
                    response.map(|body| AnswerBody::Chain { body, here, upload: limit, record })
                }
                Err(failure) => {
                    record.failed(&failure);
                    if limit.has_left() {
                        record.left();
                    }
                    here.generation.broke_off();
                    let refusal = explain(&failure, &limit, here.plan(), &head, here.name);
                    refused(&refusal, record, &here.id)
                }
            }
        }
    }
}

/// A request at the beginning of its pipeline.
struct Begun {
    here: Here,
    head: NormalHead,
    limit: UploadState,
    record: Record,
    request: Box<ChainRequest>,
}

/// The body with the pipeline's bound; a declared length may exceed it at once.
fn bounded(body: Arriving, headers: &HeaderMap, here: &Here) -> Result<RequestBody, Refusal> {
    let (plan, keep) = (here.plan(), here.generation.plan.http.keep_underscores);
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > plan.limits.request_body) {
        return Err(Refusal::PayloadTooLarge);
    }
    let pace = UploadPace { rate: plan.limits.upload_rate, grace: plan.limits.upload_grace };
    let clean = if keep { clean_trailers } else { clean_request_trailers };
    Ok(RequestBody::arriving(body, plan.limits.request_body, clean).at_pace(pace))
}

/// The request as the first stage sees it: with scheme and authority, on which guests rely, whatever form the request
/// had.
fn chain_request(
    head: &NormalHead,
    headers: HeaderMap,
    body: RequestBody,
    generation: &Generation,
    origin: Arc<RequestOrigin>,
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
