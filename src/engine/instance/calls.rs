//! The way of one request into an instance's guests, and of its response out of them.

use super::{Instance, Job};
use crate::chain::Guests;
use crate::engine::exchange::{Exchange, Owner as _, Phase, Reply, ResponseBody};
use crate::engine::guests::call_guests;
use crate::engine::incoming;
use crate::engine::outcome::{Failure, reason};
use crate::engine::request::ChainRequest;
use crate::host::kept::HEAD;
use crate::host::wasi2::codes::of_0_3;
use crate::host::{InstanceState, RequestHead};
use std::rc::Rc;
use tokio::sync::oneshot;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error, FieldMap};

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
        let ChainRequest { head, body, origin, .. } = *request;
        let (instance, asked) = (Rc::clone(self), Rc::clone(&exchange));
        let answer = move |said: incoming::ServiceResponse| match said {
            _ if asked.phase() == Phase::Expired => Rc::clone(&instance).on_end(&asked),
            Ok(response) => {
                let trailers = response.headers().contains_key(http::header::TRAILER);
                let (sent, _) = oneshot::channel();
                let body = |body| ResponseBody::new(body, trailers, Rc::clone(&asked), sent);
                asked.answer(response.map(body));
            }
            Err(code) => {
                asked.fail(Failure::Guest(of_0_3(code)));
                Rc::clone(&instance).on_end(&asked);
            }
        };
        incoming::call(store, service, (head, body), (origin.id, context), answer).await?;
        self.on_return();
        if exchange.phase() == Phase::Calling {
            let reason = "the service returned without setting its `response-outparam`";
            exchange.fail(Failure::InvalidResponse(reason.to_owned()));
        }
        match exchange.phase() {
            Phase::Streaming => self.on_room(),
            _ => Rc::clone(self).on_end(&exchange),
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
        let number = request.origin.id;
        let (result,) = call_guests(store, handle, number, context, |store| {
            let ChainRequest { head, body, .. } = *request;
            store.get().keep(HEAD)?;
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
                wasmtime::error::Ok(Self::reply(response, &mut store, &exchange))
            })?,
            Err(code) => Err(Failure::Guest(code)),
        };
        self.on_return();
        match reply {
            Ok(_) if exchange.phase() == Phase::Expired => Rc::clone(self).on_end(&exchange),
            Ok(mut response) => {
                response.body_mut().settle();
                self.on_room();
                exchange.answer(response);
            }
            Err(failure) => {
                exchange.fail(failure);
                Rc::clone(self).on_end(&exchange);
            }
        }
        Ok(())
    }

    fn reply(
        response: Response,
        store: impl wasmtime::AsContextMut<Data = InstanceState>,
        exchange: &Rc<Exchange>,
    ) -> Reply {
        let (sent, was_sent) = oneshot::channel();
        let result = async { was_sent.await.unwrap_or(Err(Error::ConnectionTerminated)) };
        let response =
            response.into_http(store, result).map_err(|error| Failure::InvalidResponse(reason(&error)))?;
        let trailers = response.headers().contains_key(http::header::TRAILER);
        Ok(response.map(|body| ResponseBody::new(body, trailers, Rc::clone(exchange), sent)))
    }
}
