//! Requests on their way out of a store: to what comes after the last stage, or, as a stage's own, to a pipeline by its name
//! or into the network.

use super::abi::Code;
use super::answers::{arrive, lower_answer};
use super::call::{Call, caller, place};
use super::disagreement::Disagreement;
use super::flights::{Away, Landed};
use super::message::{Body, Request, Sent};
use super::state::State;
use super::transfer::settle;
use crate::host::kept::{Outside, size_of_fields};
use crate::host::next::{Callee, ask, give_turn, whole};
use crate::host::{Behalf, CallContext, HostCall, Next, Pulse, RequestHead, Scope, calls, egress};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use wasmtime::{AsContextMut as _, Result, bail};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// By which function a stage sends a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// `wasi:http/handler#handle`.
    Handler,
    /// The same, imported under a name of the stage's own.
    Named(usize),
    /// `wasi:http/client#send`.
    Client,
}

impl By {
    /// The handler with this number among those of the stage's own names.
    pub fn named(number: i32) -> Result<Self> {
        let number =
            usize::try_from(number).map_err(|_| Disagreement("the glue names a handler that is none"))?;
        Ok(Self::Named(number))
    }
}

/// Where a request goes.
enum Target {
    /// To another segment.
    Segment(Next, Callee),
    /// Into the network, from the stage with this scope, on behalf of this request.
    Network(Scope, Option<Behalf>),
}

/// A request that has left the store, and what is known of its call.
struct Departed {
    target: Target,
    head: RequestHead,
    body: WasiBody,
    context: Option<Arc<CallContext>>,
    pulse: Arc<Pulse>,
    /// Who is to tell that its body was sent.
    sent: Option<Sent>,
    /// Counted until it is answered.
    _kept: Outside,
}

impl Departed {
    async fn answer(self) -> Landed {
        let Self { target, head, body, context, pulse, sent, _kept } = self;
        let answer = match target {
            Target::Segment(next, callee) => ask(&next, (head, body), context.as_ref(), callee, &pulse).await,
            Target::Network(scope, behalf) => {
                let options = head.options.as_deref().copied();
                match egress::outgoing(head, body) {
                    Ok(request) => egress::send(&scope, behalf.as_ref(), request, options).await,
                    Err(code) => Err(code),
                }
            }
        };
        Landed::Answer(answer, sent)
    }
}

/// Where a stage's own request goes.
fn own_target(state: &State, stage: usize, request: &mut Request) -> std::result::Result<Target, ErrorCode> {
    let scope = &state.stages[stage].scope;
    let Request { scheme, authority, path_with_query, .. } = request;
    match authority.as_ref().and_then(|authority| Some((calls::callee(authority)?, authority))) {
        Some((callee, authority)) => {
            let next =
                calls::target(scope, state.origins.behalf(), callee, authority, (scheme, path_with_query))?;
            Ok(Target::Segment(Arc::clone(next), Callee::Pipeline))
        }
        None => Ok(Target::Network(Arc::clone(scope), state.origins.behalf().cloned())),
    }
}

/// Takes a request out of the store, or says what its sender gets instead.
fn depart(
    call: &mut Call<'_>,
    stage: usize,
    mut request: Request,
    by: By,
) -> Result<std::result::Result<Departed, Code>> {
    let state = call.data_mut();
    let target = match by {
        By::Client => {
            state.origins.count(HostCall::Request);
            own_target(state, stage, &mut request)
        }
        By::Handler | By::Named(_) => {
            let next = match by {
                By::Named(named) => state.named.get(stage).and_then(|named_by| named_by.get(named)),
                _ => state.next.as_ref(),
            };
            let Some(next) = next.cloned() else { bail!("called the next stage, and there is none") };
            if state.rehearsal.is_alone() {
                bail!("called the next stage before there was a request");
            }
            Ok(Target::Segment(next, Callee::NextStage))
        }
    };
    let (context, pulse) = (state.origins.context(), state.host.pulse());
    pulse.act();
    let size = size_of_fields(&request.headers);
    state.keep(size)?;
    let kept = state.host.outside(size);
    let is_made = matches!(request.body, Body::Stage { .. });
    // What the network is asked for is checked with the rest of its URI.
    let authority = match &target {
        Ok(Target::Network(..)) => request.authority.take(),
        _ => None,
    };
    let (mut head, (mut body, sent)) = match request.leave(&mut *call)? {
        Ok(request) => request,
        Err(code) => return Ok(Err(code.into())),
    };
    // Only now: until the request is out, its body is in the store.
    let target = match target {
        Ok(target) => target,
        Err(code) => return Ok(Err(code.into())),
    };
    match &target {
        Target::Segment(..) if is_made => body = whole(body, Arc::clone(&pulse)),
        Target::Segment(..) => {}
        Target::Network(..) => head.authority = authority,
    }
    Ok(Ok(Departed { target, head, body, context, pulse, sent, _kept: kept }))
}

/// Takes a request out of the store, for a task that does not wait for its answer, or says what it gets instead.
pub fn send(
    call: &mut Call<'_>,
    stage: usize,
    request: Request,
    by: By,
) -> Result<std::result::Result<Away, Code>> {
    Ok(depart(call, stage, request, by)?.map(|departed| -> Away {
        Box::pin(async move {
            let context = departed.context.clone();
            let is_inside = matches!(departed.target, Target::Segment(..));
            let landed = departed.answer().await;
            if is_inside {
                give_turn(context.as_ref()).await;
            }
            landed
        })
    }))
}

/// Sends a request out of the store for a stage, which waits for the answer and gets it at `at`. Says whether something of it
/// is pending.
pub async fn forward(mut call: Call<'_>, stage: i32, request: i32, at: i32, by: By) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let request = state.stages[index].handles.take::<Request>(place(request))?;
    let answer = match depart(&mut call, index, *request, by)? {
        Ok(departed) => match awaited(&mut call, departed.answer()).await? {
            Landed::Answer(answer, sent) => arrive(call.data_mut(), answer, sent)?,
            Landed::Time => bail!("a request has no answer"),
        },
        Err(code) => Err(code),
    };
    lower_answer(call.as_context_mut(), index, answer, place(at))
}

/// What a stage waits for on its fiber. If that is not there yet, what the stage has written is read.
pub async fn awaited<T>(call: &mut Call<'_>, waited: impl Future<Output = T>) -> Result<T> {
    let mut waited = pin!(waited);
    match poll_fn(|cx| Poll::Ready(waited.as_mut().poll(cx))).await {
        Poll::Ready(there) => Ok(there),
        Poll::Pending => {
            settle(call.as_context_mut()).map_err(|(_, error)| error)?;
            Ok(waited.await)
        }
    }
}
