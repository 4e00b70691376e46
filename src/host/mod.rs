//! What a stage may import, and what answers it.
//!
//! [`catalog`] lists every interface that linkspan offers, whose it is (one for all
//! stages of a chain, or each stage's own) and which grant it needs. The other
//! files answer the calls. Called by `chain`, which links a component against the
//! catalog, and by Wasmtime, on behalf of a guest.
//!
//! A host function never reaches a file, a socket or the environment of the
//! gateway: what a stage may see was read when the plan was made and is in its
//! [`StageScope`].

pub mod bindings;
pub mod catalog;
mod egress;
mod imports;
pub mod limiter;
pub mod next;
pub mod scope;
pub mod state;
mod stdio;

pub use catalog::{Grant, Offer, Reach};
pub use limiter::{Limiter, Limiters};
pub use next::{CallContext, Next, Origin, RequestHead};
pub use scope::{Scope, StageScope};
pub use state::{Budget, InstanceState, Pulse};

use wasmtime::component::{Component, HasSelf, Linker};

/// Adds everything in the catalog to `linker`, for a chain that was composed into
/// `component`: the shared interfaces under their own names, and for each import
/// of a stage's own the scope that `lookup` gives for its name. `next` is what the
/// last stage's import of `wasi:http/handler` reaches, and `named` what further ones do.
///
/// # Errors
/// What `lookup` answers, and Wasmtime's own linking errors.
pub fn add_to_linker(
    linker: &mut Linker<InstanceState>,
    component: &Component,
    lookup: &dyn Fn(&str) -> wasmtime::Result<Scope>,
    next: Option<Next>,
    named: &[(String, Next)],
) -> wasmtime::Result<()> {
    use bindings::named_imports as own;
    use wasmtime_wasi::p3::bindings as wasi;
    use wasmtime_wasi_http::p3::bindings::http;

    http::types::add_to_linker::<_, wasmtime_wasi_http::WasiHttp>(linker, InstanceState::http)?;
    let clocks = InstanceState::clocks;
    wasi::clocks::types::add_to_linker::<_, wasmtime_wasi::clocks::WasiClocks>(linker, clocks)?;
    wasi::clocks::monotonic_clock::add_to_linker::<_, wasmtime_wasi::clocks::WasiClocks>(linker, clocks)?;
    wasi::clocks::system_clock::add_to_linker::<_, wasmtime_wasi::clocks::WasiClocks>(linker, clocks)?;
    let random = InstanceState::random;
    wasi::random::random::add_to_linker::<_, wasmtime_wasi::random::WasiRandom>(linker, random)?;
    wasi::random::insecure::add_to_linker::<_, wasmtime_wasi::random::WasiRandom>(linker, random)?;
    wasi::random::insecure_seed::add_to_linker::<_, wasmtime_wasi::random::WasiRandom>(linker, random)?;
    wasi::cli::types::add_to_linker::<_, HasSelf<InstanceState>>(linker, |state| state)?;

    next::add_to_linker(linker, next, named)?;

    macro_rules! each_stage {
        ($($interface:path),+ $(,)?) => {$({
            use $interface as interface;
            interface::add_to_linker::<_, HasSelf<InstanceState>>(
                linker, component, |name| lookup(name), |state| state,
            )?;
        })+};
    }
    each_stage!(
        own::wasi::http::client,
        own::wasi::cli::environment,
        own::wasi::cli::stdin,
        own::wasi::cli::stdout,
        own::wasi::cli::stderr,
        own::wasi::config::store,
        own::wasi::logging::logging,
        own::linkspan::gateway::rate_limiter,
    );
    Ok(())
}
