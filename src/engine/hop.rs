//! A segment as seen from the one before it: the host's half of a dynamic link.
//!
//! A pipeline is a list of hops. The front end calls the first; a segment's last
//! stage calls the next through its import of `wasi:http/handler`. Each has its own
//! pool on the worker, so that what happens in one store ends that hop and nothing
//! else. All of it stays on one thread, although Wasmtime asks the futures of host
//! functions to be `Send`: what is not is wrapped so that another thread could only
//! panic.

use super::body::{BodyError, RequestBody, ResponseBody};
use super::breaker::{Attempt, Breaker};
use super::exchange::CutOff;
use super::native::Native;
use super::outcome::Failure;
use super::upstream::UpstreamEnd;
use super::worker::{Worker, ticks};
use crate::chain::Segment;
use crate::component::Digest;
use crate::host::next::NextFuture;
use crate::host::{CallContext, Next, Origin, RequestHead};
use crate::plan::{BreakerThen, OnFailure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use send_wrapper::SendWrapper;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, WasiBody};

/// Says in a response which stage was passed over; several have one field each.
pub const SKIPPED: HeaderName = HeaderName::from_static("linkspan-skipped");

/// What a pipeline does with a segment.
pub struct Hop {
    /// What makes it the same as another one.
    pub identity: Digest,
    /// The segment.
    pub segment: Arc<Segment>,
    /// The same without rewritten lifts that are a trial: serves from when one failed.
    pub fallback: Option<Arc<Segment>>,
    /// What happens to a request when it fails.
    pub on_failure: OnFailure,
    /// What takes it out of the way.
    pub breaker: Option<Breaker>,
    /// The rest of the pipeline.
    pub next: Option<Onward>,
    /// Tells pools that nobody will call any more: gone with the hop.
    pub in_use: Arc<()>,
}

/// What comes after a segment, or where a pipeline begins.
#[derive(Clone)]
pub enum Onward {
    /// Another one.
    Hop(Arc<Hop>),
    /// A service of the program that embeds the gateway.
    Native(Arc<Native>),
    /// Servers elsewhere.
    Upstream(Arc<UpstreamEnd>),
}

impl Onward {
    /// Sends `request` through it and what comes after it.
    ///
    /// # Errors
    /// [`Failure`], if there is no response.
    pub async fn handle(&self, worker: &Rc<Worker>, request: ChainRequest) -> Answer {
        match self {
            Self::Hop(hop) => hop.handle(worker, request).await,
            Self::Native(native) => native.handle(worker, request).await,
            Self::Upstream(upstream) => upstream.handle(worker, request).await,
        }
    }

    /// The segments from here on.
    pub fn hops(&self) -> impl Iterator<Item = &Arc<Hop>> {
        let first = match self {
            Self::Hop(hop) => Some(hop),
            Self::Native(_) | Self::Upstream(_) => None,
        };
        std::iter::successors(first, |hop| hop.next_hop())
    }

    /// The servers at its end, if there are any.
    pub fn upstream(&self) -> Option<&Arc<UpstreamEnd>> {
        match self {
            Self::Hop(hop) => hop.next.as_ref()?.upstream(),
            Self::Native(_) => None,
            Self::Upstream(upstream) => Some(upstream),
        }
    }

    /// What a stage of another pipeline imports by name: a pipeline from its beginning on, with its own bound on the
    /// body.
    pub fn as_pipeline(&self) -> Next {
        match self {
            Self::Hop(hop) => hop.as_pipeline(),
            Self::Native(native) => native.as_next(),
            Self::Upstream(upstream) => upstream.as_pipeline(),
        }
    }

    /// What the segment before it imports as its next stage.
    pub fn as_next(&self) -> Next {
        match self {
            Self::Hop(hop) => hop.as_next(),
            Self::Native(native) => native.as_next(),
            Self::Upstream(upstream) => upstream.as_next(),
        }
    }
}

/// A request as it enters a segment.
pub struct ChainRequest {
    /// Its head.
    pub head: RequestHead,
    /// Its body.
    pub body: RequestBody,
    /// The worker's tick at which an answer must be there, if someone waits for
    /// it until then.
    pub deadline: Option<u64>,
    /// What stays the same of it on its whole way.
    pub origin: Arc<Origin>,
    /// What may end it early; what comes out of it ends with it.
    pub cut_off: Option<CutOff>,
    /// How many calls by name led to it.
    pub depth: usize,
}

pub(super) type Answer = Result<Response<ResponseBody>, Failure>;

impl Hop {
    /// The segment that takes requests.
    fn current(&self) -> &Arc<Segment> {
        self.fallback.as_ref().filter(|_| self.segment.is_disproved()).unwrap_or(&self.segment)
    }

    /// Sends `request` through this segment and what comes after it.
    ///
    /// # Errors
    /// [`Failure`], if the segment failed and can't be passed over.
    pub async fn handle(&self, worker: &Rc<Worker>, request: ChainRequest) -> Answer {
        let attempt = match &self.breaker {
            None => None,
            Some(breaker) => match breaker.admit() {
                Some(attempt) => Some(attempt),
                None if breaker.spec.then == BreakerThen::Skip => {
                    return self.pass_over(worker, request).await;
                }
                None => return Err(Failure::BreakerOpen),
            },
        };
        self.attempt(worker, request, attempt).await
    }

    async fn attempt(
        &self,
        worker: &Rc<Worker>,
        mut request: ChainRequest,
        attempt: Option<Attempt<'_>>,
    ) -> Answer {
        let pool = worker.pool(self.current(), &self.in_use);
        let own = pool.tick() + ticks(self.segment.limits.deadline);
        let deadline = request.deadline.map_or(own, |outer| outer.min(own));
        let (origin, depth) = (request.origin, request.depth);
        let context = self.segment.links_on.then(|| CallContext::new(deadline, Arc::clone(&origin), depth));
        // Kept only where it may be needed a second time.
        let spare = (self.on_failure == OnFailure::Skip).then(|| (request.head.clone(), request.body.lend()));
        let cut_off = request.cut_off;
        let answer =
            pool.handle(request.head, request.body, deadline, cut_off.clone(), context.clone()).await;
        let failure = match answer {
            Ok(response) => {
                if let Some(attempt) = attempt {
                    attempt.succeed();
                }
                return Ok(response);
            }
            Err(failure) => failure,
        };
        // Once the next stage was called, an error may be that one's, and calling
        // it again could do its work twice.
        if let Some(context) = context.filter(|context| context.was_passed_on()) {
            // A stage that hands on the next one's error did not fail itself.
            return Err(match failure {
                Failure::Guest(_) => context.take_failure().unwrap_or(failure),
                own => own,
            });
        }
        if let Some(attempt) = attempt {
            attempt.fail();
        }
        let Some((head, lent)) = spare else { return Err(failure) };
        let Some(body) = lent.reclaim() else { return Err(failure) };
        tracing::warn!(stage = self.name(), reason = %failure, "a stage failed and was passed over");
        // What the stage used up is gone for the others.
        let request = ChainRequest { head, body, deadline: Some(deadline), cut_off, origin, depth };
        self.pass_over(worker, request).await
    }

    /// The rest of the pipeline without this segment.
    async fn pass_over(&self, worker: &Rc<Worker>, request: ChainRequest) -> Answer {
        let mut response = match &self.next {
            // Boxed: a future can't contain itself.
            Some(next) => Box::pin(next.handle(worker, request)).await?,
            None => return Err(Failure::BreakerOpen),
        };
        if let Ok(name) = HeaderValue::try_from(self.name()) {
            response.headers_mut().append(SKIPPED, name);
        }
        Ok(response)
    }

    /// The stage of a segment that has one, which all with a policy of their own do.
    fn name(&self) -> String {
        self.segment.scopes.first().map_or_else(String::new, |scope| scope.id.to_string())
    }

    /// The segment after this one, if it is one.
    pub fn next_hop(&self) -> Option<&Arc<Hop>> {
        match &self.next {
            Some(Onward::Hop(next)) => Some(next),
            Some(Onward::Native(_) | Onward::Upstream(_)) | None => None,
        }
    }

    /// What the segment before this one imports as its next stage.
    pub fn as_next(self: &Arc<Self>) -> Next {
        let hop = Arc::clone(self);
        Arc::new(move |head, body, context| hop.call(head, RequestBody::passed_on(body), context))
    }

    /// What a stage of another pipeline imports by name: this pipeline, from its first
    /// segment on, with its own bound on the body.
    pub fn as_pipeline(self: &Arc<Self>) -> Next {
        let hop = Arc::clone(self);
        Arc::new(move |head, body, context| {
            let limit = hop.segment.limits.request_body;
            hop.call(head, RequestBody::arriving(body, limit, |_| ()), context)
        })
    }

    fn call(
        self: &Arc<Self>,
        head: RequestHead,
        body: RequestBody,
        context: Option<Arc<CallContext>>,
    ) -> NextFuture {
        let hop = Arc::clone(self);
        Box::pin(SendWrapper::new(async move {
            let worker = Worker::current().ok_or(ErrorCode::InternalError(None))?;
            let deadline = context.as_ref().map(|context| context.deadline);
            let origin = context.as_ref().map(|context| Arc::clone(&context.origin)).unwrap_or_default();
            let depth = context.as_ref().map_or(0, |context| context.depth);
            let (id, limit) = (origin.id, body.limit());
            let request = ChainRequest { head, body, deadline, cut_off: None, origin, depth };
            let answer = hop.handle(&worker, request).await;
            let response = answer.map_err(|failure| {
                let request_id = format_args!("{id:016x}");
                tracing::warn!(%request_id, stage = hop.name(), reason = %failure, "a stage gave no response");
                if limit.is_exceeded() {
                    return ErrorCode::HttpRequestBodySize(None);
                }
                if let Some(context) = context {
                    context.note_failure(failure.clone());
                }
                failure.into_code()
            })?;
            Ok(crossing(response))
        }))
    }
}

/// A response's body on its way into another store of the same worker.
struct Crossing(SendWrapper<ResponseBody>);

/// `response`, for another store of the same worker.
pub(super) fn crossing(response: Response<ResponseBody>) -> Response<WasiBody> {
    response.map(|body| Crossing(SendWrapper::new(body)).boxed_unsync())
}

impl Body for Crossing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut *self.0).poll_frame(cx).map_err(|error| match error {
            BodyError::Cut(why) => Error::InternalError(Some(why.to_owned())),
            BodyError::Chain(error) => error,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
