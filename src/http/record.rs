//! What is counted and logged of a request, from its head to the end of its answer.
//!
//! A record is written when it is dropped, which happens whatever becomes of the
//! request: the body's end, the client's departure, a stop.

use super::normalize::Head;
use super::request_id::RequestId;
use crate::engine::{Failure, RequestLimit};
use crate::net::ConnInfo;
use crate::telemetry::{AccessLog, Entry, InFlight, Metrics, PipelineMetrics};
use http::header::{REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, Method, Version};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The status of a request whose client left before there was one, as nginx has it.
const CLIENT_GONE: u16 = 499;

/// Where the requests of one worker are counted and logged.
pub struct Recorder {
    worker: usize,
    metrics: Arc<Metrics>,
    access: Option<Arc<AccessLog>>,
    /// The counters of pipelines that were met, by name.
    pipelines: RefCell<HashMap<String, Arc<PipelineMetrics>>>,
}

impl Recorder {
    /// The recorder of the worker with this number.
    pub fn new(worker: usize, metrics: Arc<Metrics>, access: Option<Arc<AccessLog>>) -> Self {
        Self { worker, metrics, access, pipelines: RefCell::default() }
    }

    /// Starts the record of a request to the pipeline called `name`, or to none.
    pub fn begin(&self, name: Option<&str>, method: &Method) -> Record {
        let metrics = name.map_or_else(|| self.metrics.unrouted(self.worker), |name| self.of(name));
        Record {
            in_flight: Some(metrics.begin(method)),
            start: Instant::now(),
            answered: false,
            status: CLIENT_GONE,
            reason: None,
            response_bytes: 0,
            details: None,
        }
    }

    /// What the access log wants to know of a request, if there is a log.
    pub fn details(
        &self,
        parts: &Parts,
        head: &Head,
        conn: &Rc<ConnInfo>,
        client: IpAddr,
        id: &RequestId,
    ) -> Option<Box<Details>> {
        let access = Arc::clone(self.access.as_ref()?);
        let own = |name: HeaderName| parts.headers.get(name).map(|value| value.as_bytes().to_vec());
        Some(Box::new(Details {
            access,
            time: SystemTime::now(),
            id: id.clone(),
            conn: Rc::clone(conn),
            client,
            version: parts.version,
            head: head.clone(),
            pipeline: None,
            route: None,
            skipped: None,
            generation: 0,
            limit: None,
            user_agent: own(USER_AGENT),
            referer: own(REFERER),
            to_head: None,
        }))
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

/// What the access log says of a request beside its outcome.
pub struct Details {
    access: Arc<AccessLog>,
    time: SystemTime,
    id: RequestId,
    conn: Rc<ConnInfo>,
    client: IpAddr,
    version: Version,
    head: Head,
    /// The pipeline that serves it.
    pub pipeline: Option<String>,
    /// The route that it took.
    pub route: Option<String>,
    /// The stages that do not apply to it.
    pub skipped: Option<String>,
    /// The generation that serves it.
    pub generation: u64,
    /// Counts the request's body.
    pub limit: Option<RequestLimit>,
    user_agent: Option<Vec<u8>>,
    referer: Option<Vec<u8>>,
    /// How long the response's head took.
    to_head: Option<Duration>,
}

/// One request's.
pub struct Record {
    in_flight: Option<InFlight>,
    start: Instant,
    answered: bool,
    status: u16,
    reason: Option<&'static str>,
    response_bytes: u64,
    /// For the access log.
    pub details: Option<Box<Details>>,
}

impl Record {
    /// The response's head is on its way.
    pub fn answered(&mut self, status: u16, reason: Option<&'static str>) {
        self.answered = true;
        // Nobody else asks for this time.
        if let Some(details) = &mut self.details {
            details.to_head = Some(self.start.elapsed());
        }
        self.status = status;
        self.reason = reason;
    }

    /// Counts a failure of the chain.
    pub fn failed(&self, failure: &Failure) {
        let Some(in_flight) = &self.in_flight else { return };
        let metrics = in_flight.metrics();
        match failure {
            Failure::Deadline => metrics.deadline(),
            Failure::Capacity | Failure::BreakerOpen => metrics.no_capacity(),
            Failure::Guest(_) => metrics.guest_error(),
            Failure::InvalidResponse(_) => metrics.invalid_response(),
            // Counted once for the instance, not for each request in it.
            Failure::Trap { .. } | Failure::Instantiate(_) => {}
            // Counted for its servers.
            Failure::Upstream(_) => {}
        }
    }

    /// Bytes of the response's body went out.
    pub fn sent(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
    }

    /// The response broke off.
    pub fn cut_short(&mut self) {
        self.reason = Some("cut-short");
        if let Some(in_flight) = &self.in_flight {
            in_flight.metrics().cut_short();
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.start.elapsed();
        if let Some(in_flight) = self.in_flight.take()
            && self.answered
        {
            in_flight.end(self.status, duration);
        }
        let Some(details) = &self.details else { return };
        let version = match details.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        details.access.record(&Entry {
            time: details.time,
            request_id: details.id.as_str(),
            peer: details.conn.peer,
            client: details.client,
            method: details.head.method.as_str(),
            scheme: details.head.scheme.as_str(),
            host: details.head.authority().as_str(),
            path: details.head.path(),
            query: details.head.path_and_query.query(),
            protocol: version,
            pipeline: details.pipeline.as_deref(),
            generation: details.generation,
            route: details.route.as_deref(),
            skipped: details.skipped.as_deref(),
            status: self.status,
            reason: self.reason.or((!self.answered).then_some("client-gone")),
            request_bytes: details.limit.as_ref().map_or(0, RequestLimit::bytes),
            response_bytes: self.response_bytes,
            duration,
            to_head: details.to_head,
            user_agent: details.user_agent.as_deref(),
            referer: details.referer.as_deref(),
        });
    }
}
