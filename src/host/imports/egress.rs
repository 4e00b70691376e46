//! `egress` and `calls`: requests of a stage's own, into the network and to pipelines.

use crate::host::bindings::named_imports as own3;
use crate::host::context::{Behalf, CallContext};
use crate::host::kept::{HEAD, size_of_fields};
use crate::host::next::{self, NextFuture};
use crate::host::pulse::Pulse;
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::host::wasi2::bindings::named_imports as own2;
use crate::host::{calls, egress};
use crate::telemetry::HostCall;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::component::{Access, Accessor, HasSelf, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode as ErrorCodeOf02, FutureIncomingResponse, OutgoingRequest, RequestOptions,
};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpCtxView, WasiHttpHooks};

offers! {
    own "wasi:http/client" "0.3" (own3::wasi::http::client) needs Egress;
    own "wasi:http/outgoing-handler" "0.2" (own2::wasi::http::outgoing_handler) inert_without Egress;
}

impl own3::wasi::http::client::Host for InstanceState {}

impl own3::wasi::http::client::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    async fn send(
        store: &Accessor<InstanceState, Self>,
        scope: Scope,
        request: Resource<Request>,
    ) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
        let (behalf, callee) = store.with(|mut store| {
            store.get().count_call(HostCall::Request);
            let behalf = next::behalf(&mut store)?;
            let request = store.get().table.get(&request)?;
            let callee = request.authority.as_ref().and_then(calls::callee).map(str::to_owned);
            wasmtime::error::Ok((behalf, callee))
        })?;
        if let Some(callee) = callee {
            return calls::send(store, &scope, request, &callee).await;
        }
        // Tells the guest whether its request was sent.
        let (sent, was_sent) = oneshot::channel();
        let result = async { was_sent.await.unwrap_or(Err(Error::ConnectionTerminated)) };
        let request = store.with(|mut store| {
            let request = store.get().table.delete(request)?;
            store.get().pulse.act();
            // Kept until the request is answered.
            let kept = store.get().keep_outside(size_of_fields(&request.headers))?;
            wasmtime::error::Ok((request.into_http(&mut store, result), kept))
        })?;
        let (request, options, _kept) = match request {
            (Ok((request, options)), kept) => (request, options, kept),
            (Err(error), _) => return error.downcast().map(Err),
        };
        let outcome = egress::send(&scope, behalf.as_ref(), request, options.as_deref().copied()).await;
        store.with(|mut store| match outcome {
            Ok(response) => {
                let _ = sent.send(Ok(()));
                store.get().keep(HEAD)?;
                let http = store.get().http();
                let (response, _) = Response::from_http(http.hooks, response);
                Ok(Ok(http.table.push(response)?))
            }
            Err(code) => Ok(Err(code)),
        })
    }
}

impl own2::wasi::http::outgoing_handler::Host for InstanceState {}

impl own2::wasi::http::outgoing_handler::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    fn handle(
        mut store: Access<'_, InstanceState, Self>,
        scope: Scope,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<FutureIncomingResponse>, ErrorCodeOf02>> {
        use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host;
        let context = next::context(&mut store)?;
        let behalf = next::behalf(&mut store)?;
        let pulse = store.get().pulse();
        store.get().count_call(HostCall::Request);
        pulse.act();
        // The head of the response.
        store.get().keep(HEAD)?;
        let mut hooks = Outgoing { scope, behalf, context, pulse };
        let WasiHttpCtxView { table, ctx, .. } = store.get().http();
        let result = WasiHttpCtxView { hooks: &mut hooks, table, ctx }.handle(request, options);
        result.map(Ok).or_else(|error| error.downcast().map(Err))
    }
}

/// Sends a stage's own request.
struct Outgoing {
    scope: Scope,
    /// The request that the stage works on.
    behalf: Option<Behalf>,
    /// The call from which the request comes.
    context: Option<Arc<CallContext>>,
    pulse: Arc<Pulse>,
}

type Sending = Box<
    dyn Future<
            Output = wasmtime_wasi_http::Result<(
                http::Response<WasiBody>,
                Box<dyn Future<Output = Result<(), Error>> + Send>,
            )>,
        > + Send,
>;

impl WasiHttpHooks for Outgoing {
    // `egress` sets the field of the connection.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _result: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sending {
        let (scope, behalf) = (Scope::clone(&self.scope), self.behalf.take());
        let callee = request.uri().authority().and_then(calls::callee).map(str::to_owned);
        let answer: NextFuture = match callee {
            Some(callee) => {
                let (context, pulse) = (self.context.take(), Arc::clone(&self.pulse));
                calls::start(&scope, &callee, request, options, context, pulse)
            }
            None => {
                Box::pin(async move { Ok(egress::send(&scope, behalf.as_ref(), request, options).await?) })
            }
        };
        Box::new(async move {
            let response = answer.await.map_err(|error| error.code)?;
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }
}
