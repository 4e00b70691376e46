//! The next stage, if it is in another store: `wasi:http/handler`, imported by the last stage of a segment that the
//! host links to the next segment.
//!
//! The request leaves the store as the host sees it, with its body streaming, and the response returns the same way. A
//! body that the guest passed on untouched never enters the store.

use super::context::{Asking, Behalf, CallContext, NoResponse};
use super::kept::{HEAD, size_of_fields};
use super::pulse::Pulse;
use super::rehearsal::Rehearsal;
use super::state::InstanceState;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, GuestTaskId, Linker, Resource};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpView};

/// A request's head between two stores.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The scheme; a guest's own request need not have one.
    pub scheme: Option<Scheme>,
    /// The authority, likewise.
    pub authority: Option<Authority>,
    /// The path and query, likewise.
    pub path_with_query: Option<PathAndQuery>,
    /// The fields.
    pub headers: HeaderMap,
    /// The options that the guest set for a transport.
    pub options: Option<Arc<RequestOptions>>,
}

/// The number of calls of one request that may be answered at once, one after another. Then the store has a turn: it
/// must read what the guest wrote for those calls, which it does only while the guest waits.
const AT_ONCE: u32 = 16;

/// The answer of the next stage.
pub type NextFuture = Pin<Box<dyn Future<Output = Result<http::Response<WasiBody>, NoResponse>> + Send>>;

/// Calls the next stage, in whatever store it is. The context is that of the call from which this one comes; a guest's
/// left-over work has none.
pub type Next = Arc<dyn Fn(RequestHead, WasiBody, Option<Arc<CallContext>>) -> NextFuture + Send + Sync>;

/// Makes `next` what a component's import of `wasi:http/handler` reaches, and each of `named` what it reaches under
/// that name.
///
/// Without a `next`, the import exists and must not be called: a service may name the interface for its types.
pub fn add_to_linker(
    linker: &mut Linker<InstanceState>,
    next: Option<Next>,
    named: &[(String, Next)],
    rehearsal: &Arc<Rehearsal>,
) -> wasmtime::Result<()> {
    add(linker, "wasi:http/handler@0.3.0", next, rehearsal)?;
    named.iter().try_for_each(|(name, next)| add(linker, name, Some(Arc::clone(next)), rehearsal))
}

fn add(
    linker: &mut Linker<InstanceState>,
    name: &str,
    next: Option<Next>,
    rehearsal: &Arc<Rehearsal>,
) -> wasmtime::Result<()> {
    let rehearsal = Arc::clone(rehearsal);
    linker.instance(name)?.func_wrap_concurrent(
        "handle",
        move |store: &Accessor<InstanceState>, (request,): (Resource<Request>,)| {
            let (next, alone) = (next.clone(), rehearsal.is_alone());
            Box::pin(async move {
                let Some(next) = next else {
                    wasmtime::bail!("called the next stage, and there is none");
                };
                if alone {
                    wasmtime::bail!("called the next stage before there was a request");
                }
                Ok((carry(store, request, Ok(&next), Callee::NextStage).await?,))
            })
        },
    )
}

/// What a call out of a store reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// A handler that the stage imports: what comes after it.
    NextStage,
    /// A pipeline that it calls by its name, as a client.
    Pipeline,
}

/// Takes a request out of the store to `next`, or nowhere, and its response back.
pub(super) async fn carry(
    store: &Accessor<InstanceState>,
    request: Resource<Request>,
    next: Result<&Next, ErrorCode>,
    callee: Callee,
) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
    let (sent, was_sent) = oneshot::channel();
    let left = store.with(|mut store| {
        let context = context(&mut store)?;
        let request = store.get().table.delete(request)?;
        let pulse = store.get().pulse();
        pulse.act();
        // Held until the request is answered.
        let kept = store.get().keep_outside(size_of_fields(&request.headers))?;
        wasmtime::error::Ok((leave(request, &mut store, was_sent), context, pulse, kept))
    })?;
    let ((head, body), context, pulse, _kept) = match left {
        (Ok(request), context, pulse, kept) => (request, context, pulse, kept),
        (Err(error), ..) => return error.downcast().map(Err),
    };
    // Only now: until the request is out, its resources are in the store.
    let next = match next {
        Ok(next) => next,
        Err(code) => return Ok(Err(code)),
    };
    let body = whole(body, Arc::clone(&pulse));
    let answer = ask(next, (head, body), context.as_ref(), callee, &pulse).await;
    give_turn(context.as_ref()).await;
    match answer {
        Ok(response) => store.with(|mut store| {
            let _ = sent.send(Ok(()));
            store.get().keep(HEAD)?;
            let http = store.get().http();
            let (response, _) = Response::from_http(http.hooks, response);
            Ok(Ok(http.table.push(response)?))
        }),
        Err(code) => Ok(Err(code)),
    }
}

/// Asks `next` for a response to a request that has left its store, for the call with `context` in the store of
/// `pulse`. The error is what the caller gets instead of a response.
pub async fn ask(
    next: &Next,
    (head, body): (RequestHead, WasiBody),
    context: Option<&Arc<CallContext>>,
    callee: Callee,
    pulse: &Pulse,
) -> Result<http::Response<WasiBody>, ErrorCode> {
    let reader = context.filter(|_| callee == Callee::NextStage);
    let asking = reader.map(|context| Asking::begin(context));
    let answer = next(head, body, context.cloned());
    let answer = match context {
        Some(context) => context.unless_over(answer).await,
        None => answer.await,
    };
    drop(asking);
    // The guest waited, also where that took no turn of its task.
    pulse.on_pending();
    answer.map_err(|NoResponse { code, cause }| {
        if let Some((context, cause)) = reader.zip(cause) {
            context.fail(cause);
        }
        code
    })
}

/// Gives the store its turn after an answer to a call with `context`, if it is due.
pub async fn give_turn(context: Option<&Arc<CallContext>>) {
    if context.is_some_and(|context| context.count_answer() % AT_ONCE != AT_ONCE - 1) {
        return;
    }
    next_poll(true).await;
}

/// Ready when it is polled again, for which it sees if it `wakes`. Not tokio's `yield_now`, which comes after the event loop: who
/// reads what guests write waits for few turns.
pub async fn next_poll(wakes: bool) {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        if wakes {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

/// `body`, from the store of `pulse`, which ends with an error if its guests broke off.
pub fn whole(body: WasiBody, pulse: Arc<Pulse>) -> WasiBody {
    match body.is_end_stream() {
        true => body,
        false => Whole { body, read: 0, pulse }.boxed_unsync(),
    }
}

/// Whether a body that has ended announced more than it had. wasmtime-wasi-http loses that error if nobody had taken the
/// guest's last piece when the guest was done.
pub fn is_short(ended: &impl Body) -> bool {
    ended.size_hint().lower() > 0
}

/// A body from a store. It ends with an error once the guests broke off, and before its announced length;
/// wasmtime-wasi-http would end it as if it were complete.
struct Whole {
    body: WasiBody,
    /// Bytes that were read of it.
    read: u64,
    pulse: Arc<Pulse>,
}

impl Body for Whole {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.read += data.len() as u64;
        }
        Poll::Ready(match frame {
            None if self.pulse.broke_off() => Some(Err(WasiError::ConnectionTerminated)),
            Some(Ok(frame)) if frame.is_data() => Some(Ok(frame)),
            // Trailers are the end, too.
            None | Some(Ok(_)) if is_short(&self.body) => {
                Some(Err(WasiError::HttpRequestBodySize(Some(self.read))))
            }
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !is_short(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The context of the call that the running guest works on.
pub(super) fn context(
    store: &mut wasmtime::component::Access<'_, InstanceState>,
) -> wasmtime::Result<Option<Arc<CallContext>>> {
    Ok(root(store)?.and_then(|task| store.get().call_of(task)))
}

/// The same if somebody looks at the stage, and also while the body of its response is under way.
pub(super) fn observed(
    store: &mut wasmtime::component::Access<'_, InstanceState>,
) -> wasmtime::Result<Option<Arc<CallContext>>> {
    Ok(root(store)?.and_then(|task| store.get().observed_call(task)))
}

/// The request on whose behalf the running guest works.
pub(super) fn behalf(
    store: &mut wasmtime::component::Access<'_, InstanceState>,
) -> wasmtime::Result<Option<Behalf>> {
    Ok(root(store)?.and_then(|task| store.get().behalf_of(task)))
}

/// The most callers that are looked at: far more than stages in a row.
const CALLERS: usize = 1024;

/// The oldest task of the stack, which is the one that the host started.
///
/// Wasmtime (48) has a caller's number in a table, which the next task gets as soon as the caller is over. What a stage calls that
/// has answered, and whose caller is gone, can so be its own caller: that stack has no end, and nobody's task is found.
fn root(store: &mut wasmtime::component::Access<'_, InstanceState>) -> wasmtime::Result<Option<GuestTaskId>> {
    use wasmtime::AsContextMut as _;
    Ok(store.as_context_mut().async_call_stack()?.take(CALLERS).last())
}

/// A request that has left its store, or the error that its sender gets.
pub type Left = Result<(RequestHead, WasiBody), wasmtime_wasi::TrappableError<ErrorCode>>;

/// Checks that a request may leave its store for `authority`, by the same rule as for requests from outside: no user
/// information (RFC 9110 §4.2.4).
///
/// # Errors
/// The error that its sender gets.
pub fn may_leave(authority: Option<&Authority>) -> Result<(), ErrorCode> {
    match authority.is_some_and(|authority| authority.as_str().contains('@')) {
        true => Err(ErrorCode::HttpRequestUriInvalid),
        false => Ok(()),
    }
}

/// Takes a request out of the store.
pub fn leave<T: WasiHttpView + 'static>(
    mut request: Request,
    store: impl wasmtime::AsContextMut<Data = T>,
    was_sent: oneshot::Receiver<Result<(), WasiError>>,
) -> Left {
    may_leave(request.authority.as_ref())?;
    let mut head = RequestHead {
        method: request.method.clone(),
        scheme: request.scheme.take(),
        authority: request.authority.take(),
        path_with_query: request.path_with_query.take(),
        headers: HeaderMap::new(),
        options: request.options.clone(),
    };
    // `into_http` makes a URI, and would refuse a request without its parts. Between stages, a request may lack them.
    request.scheme = Some(Scheme::HTTP);
    request.authority = Some(Authority::from_static("stage"));
    request.path_with_query = Some(PathAndQuery::from_static("/"));
    let result = async { was_sent.await.unwrap_or(Err(WasiError::ConnectionTerminated)) };
    let (request, _) = request.into_http(store, result)?;
    let (parts, body) = request.into_parts();
    head.headers = parts.headers;
    Ok((head, body))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use futures::executor::block_on;

    struct Announced {
        length: u64,
        frames: Vec<Frame<Bytes>>,
    }

    impl Body for Announced {
        type Data = Bytes;
        type Error = WasiError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
            let frame = (!self.frames.is_empty()).then(|| self.frames.remove(0));
            self.length -= frame.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
            Poll::Ready(frame.map(Ok))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.length)
        }
    }

    /// A body of `text`, and perhaps trailers, that announces `length` bytes.
    pub fn announced(length: u64, text: &'static str, trailers: bool) -> WasiBody {
        let data = (!text.is_empty()).then(|| Frame::data(Bytes::from_static(text.as_bytes())));
        let trailers = trailers.then(|| Frame::trailers(HeaderMap::new()));
        Announced { length, frames: data.into_iter().chain(trailers).collect() }.boxed_unsync()
    }

    #[test]
    fn a_request_body_that_ends_before_its_announced_length_ends_with_an_error() {
        for (length, text, trailers) in
            [(3, "abc", false), (3, "abc", true), (4, "abc", false), (4, "abc", true), (4, "", false)]
        {
            let read = block_on(whole(announced(length, text, trailers), Arc::default()).collect());
            let bytes = text.len() as u64;
            let short = matches!(read, Err(WasiError::HttpRequestBodySize(Some(read))) if read == bytes);
            assert_eq!(
                (read.is_ok(), short),
                (bytes == length, bytes < length),
                "{length} {text} {trailers}"
            );
        }
    }
}
