//! Answers to the imports of WASI 0.2 that are each stage's own, and to those that
//! say the same to every stage.

use super::bindings::named_imports as own;
use crate::host::kept::HEAD;
use crate::host::next::{self, CallContext, NextFuture};
use crate::host::scope::Scope;
use crate::host::state::{InstanceState, Pulse};
use crate::host::stdio::LineLog;
use crate::host::{calls, egress};
use std::sync::Arc;
use wasmtime::component::{Access, HasSelf, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::cli::{
    exit, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode as SocketCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, SinkOutputStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, FutureIncomingResponse, OutgoingRequest, RequestOptions,
};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpCtxView, WasiHttpHooks};

impl own::wasi::cli::environment::Host for InstanceState {
    fn get_environment(&mut self, scope: Scope) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(scope.environment.clone())
    }

    fn get_arguments(&mut self, scope: Scope) -> wasmtime::Result<Vec<String>> {
        Ok(vec![scope.id.component.to_string()])
    }

    fn initial_cwd(&mut self, _scope: Scope) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl own::wasi::cli::stdin::Host for InstanceState {
    fn get_stdin(&mut self, _scope: Scope) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.table.push(stream)?)
    }
}

/// What is printed goes to the stage's log with the grant, and nowhere without.
fn output(scope: Scope, name: &'static str) -> DynOutputStream {
    match scope.stdio {
        true => Box::new(LineLog::new(scope, name)),
        false => Box::new(SinkOutputStream),
    }
}

impl own::wasi::cli::stdout::Host for InstanceState {
    fn get_stdout(&mut self, scope: Scope) -> wasmtime::Result<Resource<DynOutputStream>> {
        Ok(self.table.push(output(scope, "stdout"))?)
    }
}

impl own::wasi::cli::stderr::Host for InstanceState {
    fn get_stderr(&mut self, scope: Scope) -> wasmtime::Result<Resource<DynOutputStream>> {
        Ok(self.table.push(output(scope, "stderr"))?)
    }
}

impl own::wasi::clocks::wall_clock::Host for InstanceState {
    fn now(&mut self, scope: Scope) -> wasmtime::Result<wall_clock::Datetime> {
        let wall_clock::Datetime { seconds, nanoseconds } = wall_clock::Host::now(&mut self.clocks())?;
        let nanoseconds = scope.clocks.round_nanoseconds(nanoseconds);
        Ok(wall_clock::Datetime { seconds, nanoseconds })
    }

    fn resolution(&mut self, scope: Scope) -> wasmtime::Result<wall_clock::Datetime> {
        let own = wall_clock::Host::resolution(&mut self.clocks())?;
        let nanoseconds = scope.clocks.resolution(own.nanoseconds.into());
        Ok(wall_clock::Datetime { seconds: own.seconds, nanoseconds: nanoseconds as u32 })
    }
}

impl own::wasi::clocks::monotonic_clock::Host for InstanceState {
    fn now(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        Ok(scope.clocks.round(monotonic_clock::Host::now(&mut self.clocks())?))
    }

    fn resolution(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        Ok(scope.clocks.resolution(monotonic_clock::Host::resolution(&mut self.clocks())?))
    }

    fn subscribe_instant(&mut self, scope: Scope, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        monotonic_clock::Host::subscribe_instant(&mut self.clocks(), scope.clocks.round_up(when))
    }

    fn subscribe_duration(&mut self, scope: Scope, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        monotonic_clock::Host::subscribe_duration(&mut self.clocks(), scope.clocks.round_up(when))
    }
}

impl own::wasi::filesystem::preopens::Host for InstanceState {
    fn get_directories(&mut self, scope: Scope) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let ctx = &mut scope.filesystem.clone();
        preopens::Host::get_directories(&mut WasiFilesystemCtxView { ctx, table: &mut self.table })
    }
}

/// What a socket is made under stays with it: the scope's addresses.
fn made<T>(result: SocketResult<Resource<T>>) -> wasmtime::Result<Result<Resource<T>, SocketCode>> {
    result.map(Ok).or_else(|error| error.downcast().map(Err))
}

impl own::wasi::sockets::tcp_create_socket::Host for InstanceState {
    fn create_tcp_socket(
        &mut self,
        scope: Scope,
        family: IpAddressFamily,
    ) -> wasmtime::Result<Result<Resource<TcpSocket>, SocketCode>> {
        let ctx = &mut scope.sockets.clone();
        let mut view = WasiSocketsCtxView { ctx, table: &mut self.table };
        made(tcp_create_socket::Host::create_tcp_socket(&mut view, family))
    }
}

impl own::wasi::sockets::udp_create_socket::Host for InstanceState {
    async fn create_udp_socket(
        &mut self,
        scope: Scope,
        family: IpAddressFamily,
    ) -> wasmtime::Result<Result<Resource<UdpSocket>, SocketCode>> {
        let ctx = &mut scope.sockets.clone();
        let mut view = WasiSocketsCtxView { ctx, table: &mut self.table };
        made(udp_create_socket::Host::create_udp_socket(&mut view, family).await)
    }
}

impl own::wasi::http::outgoing_handler::Host for InstanceState {}

impl own::wasi::http::outgoing_handler::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    fn handle(
        mut store: Access<'_, InstanceState, Self>,
        scope: Scope,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<FutureIncomingResponse>, ErrorCode>> {
        use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host;
        let context = next::context(&mut store)?;
        let pulse = store.get().pulse();
        // The head of what comes back.
        store.get().keep(HEAD)?;
        let mut hooks = Outgoing { scope, context, pulse };
        let WasiHttpCtxView { table, ctx, .. } = store.get().http();
        let result = WasiHttpCtxView { hooks: &mut hooks, table, ctx }.handle(request, options);
        result.map(Ok).or_else(|error| error.downcast().map(Err))
    }
}

/// Sends a stage's own request.
struct Outgoing {
    scope: Scope,
    /// The call that it comes from.
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
    // The connection gets its field in `egress`.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _result: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sending {
        let scope = Scope::clone(&self.scope);
        let callee = request.uri().authority().and_then(calls::callee).map(str::to_owned);
        let answer: NextFuture = match callee {
            Some(callee) => {
                let (context, pulse) = (self.context.take(), Arc::clone(&self.pulse));
                calls::start(&scope, &callee, request, options, context, pulse)
            }
            None => Box::pin(async move { Ok(egress::send(&scope, request, options).await?) }),
        };
        Box::new(async move {
            let response = answer.await.map_err(|error| error.code)?;
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }
}

/// The error of a guest that ended itself. It ends the instance, and nothing else.
#[derive(Debug, thiserror::Error)]
#[error("called `wasi:cli/exit` with {0}")]
struct Exited(String);

impl exit::Host for InstanceState {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(Exited(if status.is_ok() { "success" } else { "failure" }.to_owned()).into())
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(Exited(format!("the code {code}")).into())
    }
}

impl terminal_stdin::Host for InstanceState {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for InstanceState {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for InstanceState {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_input::Host for InstanceState {}
impl terminal_output::Host for InstanceState {}

impl terminal_input::HostTerminalInput for InstanceState {
    fn drop(&mut self, terminal: Resource<terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_output::HostTerminalOutput for InstanceState {
    fn drop(&mut self, terminal: Resource<terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}
