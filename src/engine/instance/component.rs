//! The component form: an instance of one component, composed of a segment's stages, in a store of its own.

use super::calls::Calls;
use super::{End, Instance, Job};
use crate::chain::{Guests, Segment};
use crate::direct::Trap;
use crate::engine::exchange::{Exchange, Owner as _, Phase, Reply, ResponseBody};
use crate::engine::guests::call_guests;
use crate::engine::incoming;
use crate::engine::outcome::{Failure, reason};
use crate::engine::request::ChainRequest;
use crate::host::kept::HEAD;
use crate::host::wasi2::codes::of_0_3;
use crate::host::{InstanceState, Pulse, RequestHead};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error, FieldMap};

/// A store, and in it, while it lives, guests.
pub(super) struct Component(Store<InstanceState>);

impl Component {
    /// An empty store for `segment`.
    pub fn new(segment: &Segment, pulse: Arc<Pulse>) -> Self {
        Self(segment.store(pulse))
    }

    /// Makes the guests, and runs the store's event loop while `instance` serves.
    pub async fn live(&mut self, instance: &Rc<Instance>) -> End {
        let guests = match instance.segment.instantiate(&mut self.0).await {
            Ok(guests) => guests,
            Err(error) => return End::NotMade(error),
        };
        let served =
            self.0.run_concurrent(async |store| instance.serve(&Running { store, guests: &guests }).await);
        match served.await {
            Ok(Ok(())) => End::Done,
            Ok(Err(trap)) => End::Trapped(trap),
            Err(error) => End::Trapped(error.into()),
        }
    }
}

/// Guests, while their store's event loop runs.
struct Running<'a> {
    store: &'a Accessor<InstanceState>,
    guests: &'a Guests,
}

impl Calls for Running<'_> {
    async fn call(&self, instance: &Rc<Instance>, job: Job) -> Result<(), Trap> {
        match self.guests {
            Guests::Handler(service) => call_handler(instance, self.store, service, job).await?,
            Guests::Incoming(service) => call_incoming(instance, self.store, service, job).await?,
        }
        Ok(())
    }

    fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.store.poll_no_interesting_tasks(cx)
    }
}

/// A call of a service of WASI 0.2, which may go on after its response.
async fn call_incoming(
    instance: &Rc<Instance>,
    store: &Accessor<InstanceState>,
    service: &Proxy,
    job: Job,
) -> wasmtime::Result<()> {
    let Job { request, exchange, context, .. } = job;
    let behalf = request.behalf_in(context.as_ref());
    let ChainRequest { head, body, .. } = *request;
    let (asker, asked) = (Rc::clone(instance), Rc::clone(&exchange));
    let answer = move |said: incoming::ServiceResponse| match said {
        _ if asked.phase() == Phase::Expired => Rc::clone(&asker).on_end(&asked),
        Ok(response) => {
            let trailers = response.headers().contains_key(http::header::TRAILER);
            let (sent, _) = oneshot::channel();
            let body = |body| ResponseBody::new(body, trailers, Rc::clone(&asked), Some(sent));
            asked.answer(response.map(body));
        }
        Err(code) => {
            asked.fail(Failure::Guest(of_0_3(code)));
            Rc::clone(&asker).on_end(&asked);
        }
    };
    incoming::call(store, service, (head, body), (behalf, context), answer).await?;
    instance.on_return();
    if exchange.phase() == Phase::Calling {
        let reason = "the service returned without setting its `response-outparam`";
        exchange.fail(Failure::InvalidResponse(reason.to_owned()));
    }
    match exchange.phase() {
        Phase::Streaming => instance.on_room(),
        _ => Rc::clone(instance).on_end(&exchange),
    }
    Ok(())
}

/// A call of a handler, to its response's head.
async fn call_handler(
    instance: &Rc<Instance>,
    store: &Accessor<InstanceState>,
    service: &Service,
    job: Job,
) -> wasmtime::Result<()> {
    let Job { request, exchange, context, .. } = job;
    let handle = service.wasi_http_handler().func_handle();
    let behalf = request.behalf_in(context.as_ref());
    let (result,) = call_guests(store, handle, behalf, context, |store| {
        let ChainRequest { head, body, .. } = *request;
        store.get().keep(HEAD)?;
        let http = store.get().http();
        let fields = FieldMap::new_immutable(http.hooks, head.headers);
        let RequestHead { method, scheme, authority, path_with_query, options, .. } = head;
        let (request, _) = Request::new(method, scheme, authority, path_with_query, fields, options, body);
        Ok((http.table.push(request)?,))
    })
    .await?;
    let reply = match result {
        Ok(response) => store.with(|mut store| {
            let response: Response = store.get().table.delete(response)?;
            wasmtime::error::Ok(response_of(response, &mut store, &exchange))
        })?,
        Err(code) => Err(Failure::Guest(code)),
    };
    instance.on_reply(&exchange, reply);
    Ok(())
}

/// The response as it leaves the store.
fn response_of(
    response: Response,
    store: impl wasmtime::AsContextMut<Data = InstanceState>,
    exchange: &Rc<Exchange>,
) -> Reply {
    let (sent, was_sent) = oneshot::channel();
    let result = async { was_sent.await.unwrap_or(Err(Error::ConnectionTerminated)) };
    let response =
        response.into_http(store, result).map_err(|error| Failure::InvalidResponse(reason(&error)))?;
    let trailers = response.headers().contains_key(http::header::TRAILER);
    Ok(response.map(|body| ResponseBody::new(body, trailers, Rc::clone(exchange), Some(sent))))
}
