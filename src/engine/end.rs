//! An end of a pipeline that is no segment: a service of the program that embeds the gateway, or servers elsewhere.
//!
//! `upstream` has the guarantees about connections and retries, and `embed` the runtime of a native service. The
//! deadline applies here as in a segment: after it, work under way is dropped. The previous segment bounds a response's
//! body; without one, the bound is here.

use super::crossing::crossing;
use super::exchange::{Reply, ResponseBody};
use super::outcome::Failure;
use super::request::{ChainRequest, CutOff};
use super::worker::Worker;
use crate::host::{CallContext, Next};
use crate::plan::PipelineLimits;
use crate::upstream::{self, Outgoing, Upstream};
use futures::future::OptionFuture;
use http::Response;
use http::header::TRAILER;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::{Instant, timeout};
use wasmtime_wasi_http::WasiBody;

/// The end of a pipeline.
pub struct End {
    kind: EndKind,
    limits: PipelineLimits,
}

enum EndKind {
    Native(Next),
    Upstream(Arc<Upstream>),
}

impl End {
    /// A native service, at the end of a pipeline with these limits.
    pub fn native(service: Next, limits: PipelineLimits) -> Arc<Self> {
        Arc::new(Self { kind: EndKind::Native(service), limits })
    }

    /// Servers, at the end of a pipeline with these limits.
    pub fn upstream(upstream: Arc<Upstream>, limits: PipelineLimits) -> Arc<Self> {
        Arc::new(Self { kind: EndKind::Upstream(upstream), limits })
    }

    /// The servers, if these are it.
    pub fn servers(&self) -> Option<&Arc<Upstream>> {
        match &self.kind {
            EndKind::Native(_) => None,
            EndKind::Upstream(upstream) => Some(upstream),
        }
    }

    /// Bytes that the body of a request may have which begins here.
    pub(super) fn request_body(&self) -> u64 {
        self.limits.request_body
    }

    /// Sends a request there.
    ///
    /// # Errors
    /// [`Failure::Guest`] of a native service, [`Failure::Upstream`] of servers, and [`Failure::Deadline`].
    pub(super) async fn handle(&self, worker: &Rc<Worker>, mut request: Box<ChainRequest>) -> Reply {
        let due = request.due(worker.tick(), self.limits.deadline);
        // The call whose response this becomes, and whose segment bounds the pauses of the body then.
        let reader = request.caller.clone().filter(|caller| caller.depth == request.depth);
        let alone = reader.is_none().then(|| (self.limits.body_idle_timeout, request.cut_off.clone()));
        let response = match &self.kind {
            EndKind::Native(service) => call(service, worker, request, due, reader).await?,
            EndKind::Upstream(upstream) => send(upstream, worker, request, due, reader).await?,
        };
        let trailers = response.headers().contains_key(TRAILER);
        Ok(response.map(|body| ResponseBody::of_end(body, trailers, alone)))
    }
}

async fn call(
    service: &Next,
    worker: &Worker,
    request: Box<ChainRequest>,
    due: u64,
    reader: Option<Arc<CallContext>>,
) -> Result<Response<WasiBody>, Failure> {
    let context = request.caller.clone().unwrap_or_else(|| request.context(due, None));
    let ChainRequest { head, body, cut_off, .. } = *request;
    let answer = service(head, body.into_boxed(), Some(context));
    let answer = timeout(worker.until(due), answer);
    let cut = OptionFuture::from(cut_off.as_ref().map(CutOff::until_cut));
    let answer = tokio::select! {
        biased;
        answer = answer => answer.map_err(|_| Failure::Deadline)?,
        Some(()) = cut => return Err(Failure::Deadline),
    };
    let response = answer.map_err(|error| Failure::Guest(error.code))?;
    Ok(match reader {
        Some(_) => response.map(|body| crossing(body, reader)),
        None => response,
    })
}

async fn send(
    upstream: &Arc<Upstream>,
    worker: &Worker,
    request: Box<ChainRequest>,
    due: u64,
    reader: Option<Arc<CallContext>>,
) -> Result<Response<WasiBody>, Failure> {
    let place = request.behalf().place();
    let ChainRequest { head, body, cut_off, .. } = *request;
    let outgoing = Outgoing {
        method: head.method,
        authority: head.authority,
        path: head.path_with_query,
        headers: head.headers,
        body,
        until: Instant::now() + worker.until(due),
        cut: cut_off.map(|cut_off| cut_off.flag()),
        place,
    };
    let answer = worker.upstream(upstream).handle(outgoing).await;
    let response = answer.map_err(|error| match error.kind {
        upstream::ErrorKind::Deadline => Failure::Deadline,
        _ => Failure::Upstream(error),
    })?;
    Ok(response.map(|body| crossing(body, reader)))
}
