//! WASI 0.2, for components that import it beside 0.3 and for services of it.
//!
//! [`imports`] answers what is each stage's own, from the same [`Scope`]s and under
//! the same grants as 0.3. What is one for all stages of a store is
//! wasmtime-wasi's: types whose resources a stage can only get through imports of
//! its own. What a libc imports merely by existing is here without a grant, and
//! does nothing (see the catalog).

pub mod bindings;
pub mod codes;
mod imports;
mod io;
mod kept;

use super::Scope;
use super::state::InstanceState;
use bindings::named_imports as own;
use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::filesystem::WasiFilesystem;
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::WasiSockets;
use wasmtime_wasi_http::WasiHttp;
use wasmtime_wasi_http::p2::bindings::http;

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Adds all of WASI 0.2 that is on offer to `linker`; see [`super::add_to_linker`].
///
/// # Errors
/// What `lookup` answers, and Wasmtime's own linking errors.
pub(super) fn add_to_linker(
    linker: &mut Linker<InstanceState>,
    component: &Component,
    lookup: &dyn Fn(&str) -> wasmtime::Result<Scope>,
) -> wasmtime::Result<()> {
    wasi::io::error::add_to_linker::<_, HasTable>(linker, |state| &mut state.table)?;
    wasi::io::poll::add_to_linker::<_, io::HasIo>(linker, io::Io::of)?;
    wasi::io::streams::add_to_linker::<_, io::HasIo>(linker, io::Io::of)?;
    add_cli_to_linker(linker)?;
    let random = InstanceState::random;
    wasi::random::random::add_to_linker::<_, WasiRandom>(linker, random)?;
    wasi::random::insecure::add_to_linker::<_, WasiRandom>(linker, random)?;
    wasi::random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, random)?;
    wasi::filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, InstanceState::filesystem)?;
    let sockets = InstanceState::sockets;
    let options = wasi::sockets::network::LinkOptions::default();
    wasi::sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, sockets)?;
    wasi::sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    wasi::sockets::tcp::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    wasi::sockets::udp::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    wasi::sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, sockets)?;
    let options = http::types::LinkOptions::default();
    http::types::add_to_linker::<_, WasiHttp>(linker, &options, InstanceState::http)?;
    kept::add_to_linker(linker)?;

    each_stage!(
        (linker, component, lookup);
        own::wasi::cli::environment,
        own::wasi::cli::stdin,
        own::wasi::cli::stdout,
        own::wasi::cli::stderr,
        own::wasi::clocks::monotonic_clock,
        own::wasi::clocks::wall_clock,
        own::wasi::filesystem::preopens,
        own::wasi::sockets::tcp_create_socket,
        own::wasi::sockets::udp_create_socket,
        own::wasi::http::outgoing_handler,
    );
    Ok(())
}

/// What of `wasi:cli` says the same to every stage.
fn add_cli_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    macro_rules! shared {
        ($($interface:ident),+ $(,)?) => {$(
            wasi::cli::$interface::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)?;
        )+};
    }
    shared!(exit, terminal_input, terminal_output, terminal_stdin, terminal_stdout, terminal_stderr);
    Ok(())
}
