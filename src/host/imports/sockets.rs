//! `sockets`: a socket of 0.2 belongs to a stage by the function that makes it; the rest is shared. A stage that makes
//! sockets of 0.3 has a store of its own.

use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::host::wasi2::bindings::named_imports as own;
use crate::telemetry::HostCall;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{
    instance_network, ip_name_lookup, network, tcp, tcp_create_socket, udp, udp_create_socket,
};
use wasmtime_wasi::p2::{SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::p3::bindings::sockets::types;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView};

offers! {
    shared "wasi:sockets/types" "0.3" (types as WasiSockets, InstanceState::sockets) needs Sockets;
    own "wasi:sockets/tcp-create-socket" "0.2" (own::wasi::sockets::tcp_create_socket) inert_without Sockets;
    own "wasi:sockets/udp-create-socket" "0.2" (own::wasi::sockets::udp_create_socket) inert_without Sockets;
    shared "wasi:sockets/network" "0.2" (|linker| {
        let options = network::LinkOptions::default();
        network::add_to_linker::<_, WasiSockets>(linker, &options, InstanceState::sockets)
    }) inert_without Sockets;
    shared "wasi:sockets/instance-network" "0.2"
        (instance_network as WasiSockets, InstanceState::sockets) inert_without Sockets;
    shared "wasi:sockets/tcp" "0.2" (tcp as WasiSockets, counted) inert_without Sockets;
    shared "wasi:sockets/udp" "0.2" (udp as WasiSockets, counted) inert_without Sockets;
    // Never gives an address: rules name addresses, and a look-up tells a server the name.
    shared "wasi:sockets/ip-name-lookup" "0.2"
        (ip_name_lookup as WasiSockets, InstanceState::sockets) inert_without Sockets;
}

/// The sockets of a store, for a function of theirs.
fn counted(state: &mut InstanceState) -> WasiSocketsCtxView<'_> {
    state.count_call(HostCall::Sockets);
    state.sockets()
}

/// The scope under which a socket is made stays with it, and with the scope the addresses.
fn made<T>(result: SocketResult<Resource<T>>) -> wasmtime::Result<Result<Resource<T>, ErrorCode>> {
    result.map(Ok).or_else(|error| error.downcast().map(Err))
}

impl own::wasi::sockets::tcp_create_socket::Host for InstanceState {
    fn create_tcp_socket(
        &mut self,
        scope: Scope,
        family: IpAddressFamily,
    ) -> wasmtime::Result<Result<Resource<TcpSocket>, ErrorCode>> {
        self.count_call(HostCall::Sockets);
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
    ) -> wasmtime::Result<Result<Resource<UdpSocket>, ErrorCode>> {
        self.count_call(HostCall::Sockets);
        let ctx = &mut scope.sockets.clone();
        let mut view = WasiSocketsCtxView { ctx, table: &mut self.table };
        made(udp_create_socket::Host::create_udp_socket(&mut view, family).await)
    }
}
