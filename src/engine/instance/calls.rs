//! The way of one request into an instance's guests, and of its response out of them.

use super::{Instance, Job};
use crate::chain::Guests;
use crate::engine::body::ResponseBody;
use crate::engine::exchange::{Exchange, Phase, Reply};
use crate::engine::hop::ChainRequest;
use crate::engine::incoming;
use crate::engine::outcome::{Failure, reason};
use crate::host::wasi2::codes::of_0_3;
use crate::host::{CallContext, InstanceState, RequestHead};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor, ComponentNamedList, Lift, Lower, TypedFunc};
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error, FieldMap};

/// Ticks of the epoch until a guest that begins with a request is interrupted, if it computes for so long: it has one
/// whole, since a tick that is due any time meets most of those that compute for microseconds.
const FIRST_TURN: u64 = 2;

/// Calls a function of guests with `parameters`, from which what it calls comes, with `context`.
///
/// # Errors
/// A trap, which is the end of the instance.
pub(in crate::engine) async fn call_guests<P, R>(
    store: &Accessor<InstanceState>,
    function: TypedFunc<P, R>,
    context: Option<Arc<CallContext>>,
    parameters: impl FnOnce(&mut Access<'_, InstanceState>) -> wasmtime::Result<P>,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let (call, task) = store.with(|mut store| {
        let parameters = parameters(&mut store)?;
        store.as_context_mut().set_epoch_deadline(FIRST_TURN);
        let call = function.start_call_concurrent(&mut store, parameters)?;
        let task = context.map(|context| {
            let task = call.task();
            store.get().begin_call(task, context);
            task
        });
        wasmtime::error::Ok((call, task))
    })?;
    let results = function.finish_call_concurrent(store, call).await?;
    if let Some(task) = task {
        store.with(|mut store| store.get().end_call(task));
    }
    Ok(results)
}

impl Instance {
    /// One call of the chain. An error is a trap, which is the end of the instance.
    pub(super) async fn call(
        self: &Rc<Self>,
        store: &Accessor<InstanceState>,
        guests: &Guests,
        job: Job,
    ) -> wasmtime::Result<()> {
        match guests {
            Guests::Handler(service) => self.call_handler(store, service, job).await,
            Guests::Incoming(service) => self.call_incoming(store, service, job).await,
        }
    }

    /// A call of a service of WASI 0.2, which may go on after its response.
    async fn call_incoming(
        self: &Rc<Self>,
        store: &Accessor<InstanceState>,
        service: &Proxy,
        job: Job,
    ) -> wasmtime::Result<()> {
        let Job { request, exchange, context, .. } = job;
        let ChainRequest { head, body, .. } = *request;
        let (instance, asked) = (Rc::clone(self), Rc::clone(&exchange));
        let answer = move |said: incoming::Answer| match said {
            _ if asked.phase() == Phase::Expired => instance.on_end(&asked),
            Ok(response) => {
                let trailers = response.headers().contains_key(http::header::TRAILER);
                let (sent, _) = oneshot::channel();
                let body =
                    |body| ResponseBody::new(body, trailers, Rc::clone(&instance), Rc::clone(&asked), sent);
                asked.answer(response.map(body), instance.tick());
            }
            Err(code) => {
                asked.fail(Failure::Guest(of_0_3(code)));
                instance.on_end(&asked);
            }
        };
        incoming::call(store, service, head, body, context, answer).await?;
        self.calls.set(self.calls.get() - 1);
        if exchange.phase() == Phase::Calling {
            let reason = "the service returned without setting its `response-outparam`";
            exchange.fail(Failure::InvalidResponse(reason.to_owned()));
        }
        match exchange.phase() {
            Phase::Streaming => self.on_room(),
            _ => self.on_end(&exchange),
        }
        Ok(())
    }

    /// A call of a handler, to its response's head.
    async fn call_handler(
        self: &Rc<Self>,
        store: &Accessor<InstanceState>,
        service: &Service,
        job: Job,
    ) -> wasmtime::Result<()> {
        let Job { request, exchange, context, .. } = job;
        let handle = service.wasi_http_handler().func_handle();
        let (result,) = call_guests(store, handle, context, |store| {
            let ChainRequest { head, body, .. } = *request;
            let http = store.get().http();
            let fields = FieldMap::new_immutable(http.hooks, head.headers);
            let RequestHead { method, scheme, authority, path_with_query, options, .. } = head;
            let (request, _) =
                Request::new(method, scheme, authority, path_with_query, fields, options, body);
            Ok((http.table.push(request)?,))
        })
        .await?;
        let reply = match result {
            Ok(response) => store.with(|mut store| {
                let response: Response = store.get().table.delete(response)?;
                wasmtime::error::Ok(self.reply(response, &mut store, &exchange))
            })?,
            Err(code) => Err(Failure::Guest(code)),
        };
        self.calls.set(self.calls.get() - 1);
        match reply {
            Ok(_) if exchange.phase() == Phase::Expired => self.on_end(&exchange),
            Ok(mut response) => {
                response.body_mut().settle();
                self.on_room();
                exchange.answer(response, self.tick());
            }
            Err(failure) => {
                exchange.fail(failure);
                self.on_end(&exchange);
            }
        }
        Ok(())
    }

    fn reply(
        self: &Rc<Self>,
        response: Response,
        store: impl wasmtime::AsContextMut<Data = InstanceState>,
        exchange: &Rc<Exchange>,
    ) -> Reply {
        let (sent, was_sent) = oneshot::channel();
        let result = async { was_sent.await.unwrap_or(Err(Error::ConnectionTerminated)) };
        let response =
            response.into_http(store, result).map_err(|error| Failure::InvalidResponse(reason(&error)))?;
        let trailers = response.headers().contains_key(http::header::TRAILER);
        Ok(response.map(|body| ResponseBody::new(body, trailers, Rc::clone(self), Rc::clone(exchange), sent)))
    }
}
