//! What a stage may import, and what answers it.
//!
//! [`catalog`] lists every interface that linkspan offers, whose it is (one for all
//! stages of a chain, or each stage's own) and which grant it needs. The other
//! files answer the calls. Called by `chain`, which links a component against the
//! catalog, and by Wasmtime, on behalf of a guest.
//!
//! A host function never reaches the environment of the gateway, nor a file or an
//! address that is not granted: what a stage may see was read or opened when the
//! generation was made and is in its [`StageScope`].

/// Links each interface to the scope that `lookup` gives for a component's import of it.
macro_rules! each_stage {
    (($linker:ident, $component:ident, $lookup:ident); $($interface:path),+ $(,)?) => {$({
        use $interface as interface;
        interface::add_to_linker::<_, HasSelf<InstanceState>>(
            $linker, $component, |name| $lookup(name), |state| state,
        )?;
    })+};
}

pub mod bindings;
mod calls;
pub mod catalog;
mod clocks;
mod egress;
mod headers;
mod imports;
pub mod kept;
pub mod limiter;
pub mod next;
pub mod rehearsal;
pub mod scope;
pub mod state;
mod stdio;
pub mod wasi2;

pub use catalog::{Grant, Offer, Reach, Without};
#[cfg(any(test, fuzzing))]
pub use headers::fuzzing;
pub use limiter::{KeyBound, Limiter, Limiters};
pub use next::{CallContext, Next, RequestHead, RequestOrigin};
pub use rehearsal::{Act, Rehearsal};
pub use scope::{Scope, StageScope};
pub use state::{Budget, InstanceState, Pulse};

use std::sync::Arc;
use wasmtime::component::{Component, HasSelf, Linker};

/// Interfaces of a stage's own that shared ones name for their types. A composition
/// then imports them under their own names as well, with whatever functions its
/// components use of them; nobody's call goes there.
const FOR_THEIR_TYPES: &[(&str, &[&str])] = &[
    ("wasi:clocks/system-clock@0.3.0", &["now", "get-resolution"]),
    ("wasi:clocks/wall-clock@0.2.0", &["now", "resolution"]),
    ("wasi:clocks/monotonic-clock@0.2.0", &["now", "resolution", "subscribe-instant", "subscribe-duration"]),
];

/// Adds everything in the catalog to `linker`, for a chain that was composed into
/// `component`: the shared interfaces under their own names, and for each import
/// of a stage's own the scope that `lookup` gives for its name. `next` is what the
/// last stage's import of `wasi:http/handler` reaches, and `named` what further ones do, once `rehearsal` is over.
///
/// # Errors
/// What `lookup` answers, and Wasmtime's own linking errors.
pub fn add_to_linker(
    linker: &mut Linker<InstanceState>,
    component: &Component,
    lookup: &dyn Fn(&str) -> wasmtime::Result<Scope>,
    next: Option<Next>,
    named: &[(String, Next)],
    rehearsal: &Arc<Rehearsal>,
) -> wasmtime::Result<()> {
    use bindings::named_imports as own;
    use wasmtime_wasi::p3::bindings as wasi;
    use wasmtime_wasi_http::p3::bindings::http;

    http::types::add_to_linker::<_, wasmtime_wasi_http::WasiHttp>(linker, InstanceState::http)?;
    kept::types::add_to_linker(linker)?;
    let clocks = InstanceState::clocks;
    wasi::clocks::types::add_to_linker::<_, wasmtime_wasi::clocks::WasiClocks>(linker, clocks)?;
    let random = InstanceState::random;
    wasi::random::random::add_to_linker::<_, wasmtime_wasi::random::WasiRandom>(linker, random)?;
    wasi::random::insecure::add_to_linker::<_, wasmtime_wasi::random::WasiRandom>(linker, random)?;
    wasi::random::insecure_seed::add_to_linker::<_, wasmtime_wasi::random::WasiRandom>(linker, random)?;
    wasi::cli::types::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)?;
    let filesystem = InstanceState::filesystem;
    wasi::filesystem::types::add_to_linker::<_, wasmtime_wasi::filesystem::WasiFilesystem>(
        linker, filesystem,
    )?;
    let sockets = InstanceState::sockets;
    wasi::sockets::types::add_to_linker::<_, wasmtime_wasi::sockets::WasiSockets>(linker, sockets)?;

    for (name, functions) in FOR_THEIR_TYPES {
        let mut instance = linker.instance(name)?;
        for function in *functions {
            instance.func_new(function, |_, _, _, _| {
                Err(wasmtime::format_err!("an import that is for its types was called"))
            })?;
        }
    }

    headers::add_to_linker(linker)?;
    next::add_to_linker(linker, next, named, rehearsal)?;

    each_stage!(
        (linker, component, lookup);
        own::wasi::http::client,
        own::wasi::cli::environment,
        own::wasi::cli::stdin,
        own::wasi::cli::stdout,
        own::wasi::cli::stderr,
        own::wasi::clocks::monotonic_clock,
        own::wasi::clocks::system_clock,
        own::wasi::filesystem::preopens,
        own::wasi::config::store,
        own::wasi::logging::logging,
        own::linkspan::gateway::rate_limiter,
    );
    wasi2::add_to_linker(linker, component, lookup)
}
