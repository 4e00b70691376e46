//! Counts and log lines of a request, from its head to the end of its response.
//!
//! A record is written when it is dropped, however the request ends: at the body's end, when the client leaves, at a
//! stop.

use super::normalize::NormalHead;
use super::request_id::RequestId;
use super::respond::Refusal;
use crate::engine::{Failure, UploadState};
use crate::host::RequestOrigin;
use crate::net::{ConnInfo, Protocol, Rejection};
use crate::plan::TelemetryPlan;
use crate::telemetry::trace::{Asked as AskedTrace, OpenSpan, SpanId, Trace, TraceContext, TraceId, Tracer};
use crate::telemetry::{AccessEntry, AccessLog, InFlight, Metrics, PipelineMetrics};
use http::header::{HOST, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, Method, Uri, Version};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The status of a request whose client left before there was a status, as in nginx.
const CLIENT_GONE: u16 = 499;

/// Why a response broke off.
const CUT_SHORT: &str = "cut-short";

/// Where the requests of one worker are counted and logged.
pub struct Recorder {
    worker: usize,
    metrics: Arc<Metrics>,
    access: Option<Arc<AccessLog>>,
    tracer: Option<Arc<Tracer>>,
    /// The counters of pipelines that had requests, by name.
    pipelines: RefCell<HashMap<String, Arc<PipelineMetrics>>>,
}

impl Recorder {
    /// The recorder of the worker with this number.
    pub fn new(worker: usize, metrics: Arc<Metrics>, access: Option<Arc<AccessLog>>) -> Self {
        Self { worker, metrics, access, tracer: None, pipelines: RefCell::default() }
    }

    /// The same, with traces by `tracer`.
    #[must_use]
    pub fn with_tracer(self, tracer: Arc<Tracer>) -> Self {
        Self { tracer: Some(tracer), ..self }
    }

    /// The trace of a request that came with `context`, if it has one; only the word of a `trusted` sender counts.
    pub fn trace(
        &self,
        plan: &TelemetryPlan,
        (id, head): (&RequestId, Option<&NormalHead>),
        context: Option<TraceContext>,
        trusted: bool,
    ) -> Option<Arc<Trace>> {
        let asked =
            head.map(|head| AskedTrace { method: &head.method, host: head.host(), path: head.path() });
        self.tracer.as_ref()?.begin(plan, (id.number(), asked), context, trusted)
    }

    /// Starts the record of a request to the pipeline called `name`, or to none.
    pub fn begin(&self, name: Option<&str>, method: &Method) -> Record {
        let metrics = name.map_or_else(|| self.metrics.unrouted(self.worker), |name| self.of(name));
        Record {
            in_flight: Some(metrics.begin(method)),
            start: Instant::now(),
            answered: false,
            over: false,
            left: false,
            status: CLIENT_GONE,
            reason: None,
            detail: None,
            response_bytes: 0,
            details: None,
            span: None,
        }
    }

    /// The fields of the access log that concern a request, if there is a log. Without `head`, the request has no
    /// normal form, and is logged as it was sent.
    pub fn details(
        &self,
        parts: &Parts,
        head: Option<&NormalHead>,
        from: &From<'_>,
        trace: Option<&Trace>,
    ) -> Option<Box<Details>> {
        let access = Arc::clone(self.access.as_ref()?);
        let own = |name: HeaderName| parts.headers.get(name).map(|value| value.as_bytes().to_vec());
        let asked = head.map_or_else(|| Asked::as_sent(parts, from.conn), |head| Asked::Normal(head.clone()));
        Some(Box::new(Details {
            access,
            time: SystemTime::now(),
            id: from.id.clone(),
            conn: Rc::clone(from.conn),
            client: from.client,
            version: parts.version,
            asked,
            trace: trace.map(|trace| (trace.id(), trace.root())),
            pipeline: None,
            route: None,
            not_applied: None,
            origin: None,
            generation: from.generation,
            limit: None,
            user_agent: own(USER_AGENT),
            referer: own(REFERER),
            to_head: None,
        }))
    }

    /// Counts and logs a request that never reached a service; nothing is known of its target.
    pub fn rejected(&self, from: &From<'_>, rejection: Rejection, reason: &'static str) {
        let status = rejection.status.as_u16();
        self.metrics.unrouted(self.worker).rejected(status);
        let Some(access) = &self.access else { return };
        let conn = from.conn;
        access.record(&AccessEntry {
            time: SystemTime::now(),
            request_id: from.id.as_str(),
            trace_id: None,
            span_id: None,
            peer: conn.peer,
            client: from.client,
            listener: &conn.listener,
            method: None,
            scheme: scheme(conn),
            host: None,
            path: None,
            query: None,
            protocol: match conn.protocol {
                Protocol::Http1 => "HTTP/1.1",
                Protocol::Http2 => "HTTP/2.0",
            },
            pipeline: None,
            generation: from.generation,
            route: None,
            not_applied: None,
            bypassed: None,
            status,
            reason: Some(reason),
            detail: Some(rejection.reason),
            request_bytes: 0,
            response_bytes: 0,
            duration: Duration::ZERO,
            to_head: None,
            user_agent: None,
            referer: None,
        });
    }

    fn of(&self, name: &str) -> Arc<PipelineMetrics> {
        if let Some(known) = self.pipelines.borrow().get(name) {
            return Arc::clone(known);
        }
        let metrics = self.metrics.pipeline(name, self.worker);
        self.pipelines.borrow_mut().insert(name.to_owned(), Arc::clone(&metrics));
        metrics
    }
}

/// The origin of a request, and its name.
#[derive(Clone, Copy)]
pub struct From<'a> {
    /// Its connection.
    pub conn: &'a Rc<ConnInfo>,
    /// The client, as far as known.
    pub client: IpAddr,
    /// The gateway's id for the request.
    pub id: &'a RequestId,
    /// The number of the generation that serves the request.
    pub generation: u64,
}

/// The target of a request.
enum Asked {
    /// In its normal form.
    Normal(NormalHead),
    /// As it was sent, since it has no normal form.
    AsSent { method: Method, scheme: &'static str, host: Option<String>, uri: Uri },
}

impl Asked {
    fn as_sent(parts: &Parts, conn: &ConnInfo) -> Self {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let host = match (parts.uri.authority(), parts.headers.get(HOST)) {
            (Some(authority), _) => Some(authority.as_str().to_owned()),
            (None, host) => host.map(|host| lossy(host.as_bytes())),
        };
        // User info may be a secret.
        let host = host.map(|host| host.rsplit_once('@').map_or(host.clone(), |(_, host)| host.to_owned()));
        Self::AsSent { method: parts.method.clone(), scheme: scheme(conn), host, uri: parts.uri.clone() }
    }

    fn method(&self) -> &str {
        match self {
            Self::Normal(head) => head.method.as_str(),
            Self::AsSent { method, .. } => method.as_str(),
        }
    }

    fn scheme(&self) -> &str {
        match self {
            Self::Normal(head) => head.scheme.as_str(),
            Self::AsSent { scheme, .. } => scheme,
        }
    }

    fn host(&self) -> Option<&str> {
        match self {
            Self::Normal(head) => Some(head.authority().as_str()),
            Self::AsSent { host, .. } => host.as_deref(),
        }
    }

    fn path_and_query(&self) -> (&str, Option<&str>) {
        match self {
            Self::Normal(head) => (head.path(), head.path_and_query.query()),
            Self::AsSent { uri, .. } => (uri.path(), uri.query()),
        }
    }
}

/// The connection's.
fn scheme(conn: &ConnInfo) -> &'static str {
    if conn.tls.is_some() { "https" } else { "http" }
}

/// The fields of the access log apart from a request's outcome.
pub struct Details {
    access: Arc<AccessLog>,
    time: SystemTime,
    id: RequestId,
    conn: Rc<ConnInfo>,
    client: IpAddr,
    version: Version,
    asked: Asked,
    /// The trace of the request, if it has one, and its span, if that is recorded.
    pub trace: Option<(TraceId, Option<SpanId>)>,
    /// The pipeline that serves it.
    pub pipeline: Option<String>,
    /// The route that it took.
    pub route: Option<String>,
    /// The stages that do not apply to it.
    pub not_applied: Option<String>,
    /// The stages that the request continued without.
    pub origin: Option<Arc<RequestOrigin>>,
    generation: u64,
    /// The counter of the request's body.
    pub limit: Option<UploadState>,
    user_agent: Option<Vec<u8>>,
    referer: Option<Vec<u8>>,
    /// How long it took until the response's head was there.
    to_head: Option<Duration>,
}

/// The state of one request.
pub struct Record {
    in_flight: Option<InFlight>,
    start: Instant,
    answered: bool,
    /// The whole response was sent, or it was cut.
    over: bool,
    /// The client left before the response's end, or before the end of its request.
    left: bool,
    status: u16,
    reason: Option<&'static str>,
    detail: Option<&'static str>,
    response_bytes: u64,
    /// For the access log.
    pub details: Option<Box<Details>>,
    /// The request's span, if its trace is recorded.
    pub span: Option<OpenSpan>,
}

impl Record {
    /// The response's head is on its way.
    pub fn answered(&mut self, status: u16, reason: Option<&'static str>) {
        self.answered = true;
        // No other part needs this time.
        if let Some(details) = &mut self.details {
            details.to_head = Some(self.start.elapsed());
        }
        self.status = status;
        self.reason = reason;
    }

    /// Notes that the gateway answers with `refusal`.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.answered(refusal.status().as_u16(), Some(refusal.kind()));
        self.detail = refusal.detail();
    }

    /// Counts a failure of the chain.
    pub fn failed(&self, failure: &Failure) {
        let Some(in_flight) = &self.in_flight else { return };
        let metrics = in_flight.metrics();
        match failure {
            Failure::Deadline => metrics.deadline(),
            Failure::Capacity => metrics.no_capacity(),
            Failure::Guest(_) => metrics.guest_error(),
            Failure::InvalidResponse(_) => metrics.invalid_response(),
            // Counted once for the instance, not for each request in it.
            Failure::Trap { .. } | Failure::Instantiate(_) => {}
            // Counted for the upstream's servers, and for the stage.
            Failure::Upstream(_) | Failure::BreakerOpen => {}
            // Caused by the client.
            Failure::OfAPart => {}
        }
    }

    /// Notes that the whole response was sent.
    pub fn over(&mut self) {
        self.over = true;
    }

    /// Notes that the client left, or reset its request.
    pub fn left(&mut self) {
        self.left = true;
    }

    /// Notes that bytes of the response's body were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
    }

    /// Notes that the response broke off.
    pub fn cut_short(&mut self) {
        self.over = true;
        self.reason = Some(CUT_SHORT);
        if let Some(in_flight) = &self.in_flight {
            in_flight.metrics().cut_short();
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.start.elapsed();
        let left = self.left || !self.over;
        if let Some(in_flight) = self.in_flight.take()
            && self.answered
        {
            if left {
                in_flight.metrics().abandoned();
            }
            in_flight.end(self.status, duration);
        }
        if let Some(span) = &mut self.span {
            ended(span, self.status, self.reason, left);
        }
        let Some(details) = &self.details else { return };
        let version = match details.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        let (path, query) = details.asked.path_and_query();
        details.access.record(&AccessEntry {
            time: details.time,
            request_id: details.id.as_str(),
            trace_id: details.trace.map(|(trace, _)| trace),
            span_id: details.trace.and_then(|(_, span)| span),
            peer: details.conn.peer,
            client: details.client,
            listener: &details.conn.listener,
            method: Some(details.asked.method()),
            scheme: details.asked.scheme(),
            host: details.asked.host(),
            path: Some(path),
            query,
            protocol: version,
            pipeline: details.pipeline.as_deref(),
            generation: details.generation,
            route: details.route.as_deref(),
            not_applied: details.not_applied.as_deref(),
            bypassed: details.origin.as_ref().and_then(|origin| origin.bypassed()).as_deref(),
            status: self.status,
            reason: self.reason.or(left.then_some("client-gone")),
            detail: self.detail,
            request_bytes: details.limit.as_ref().map_or(0, UploadState::bytes),
            response_bytes: self.response_bytes,
            duration,
            to_head: details.to_head,
            user_agent: details.user_agent.as_deref(),
            referer: details.referer.as_deref(),
        });
    }
}

/// Notes how a request ended: with which status, why the gateway answered by itself or broke off, and whether the client
/// left.
fn ended(span: &mut OpenSpan, status: u16, reason: Option<&'static str>, left: bool) {
    let cut_short = reason == Some(CUT_SHORT);
    span.set("http.response.status_code", status);
    if let Some(reason) = reason {
        span.set("linkspan.reason", reason);
    }
    if status >= 500 || cut_short {
        match reason {
            Some(reason) => span.set("error.type", reason),
            None => span.set("error.type", status.to_string()),
        }
        // The attributes say why.
        span.fail("");
    } else if left {
        // No fault of the server (semantic conventions, "HTTP server spans", status).
        span.set("error.type", "client-gone");
    }
}
