//! What a stage may import, and the implementations.
//!
//! [`imports`] has a file for each grant: every interface that linkspan offers, to whom it belongs (to all stages of a
//! chain, or to each stage), which grant it needs, and its implementation. The other files do the work behind the
//! implementations. `chain` calls this room to link a component, and Wasmtime on behalf of a guest.
//!
//! A host function never reaches the environment of the gateway, nor a file or an address without a grant: everything
//! that a stage may see was read or opened when the generation was made and is in its [`StageScope`].

pub mod bindings;
pub mod calls;
pub mod catalog;
mod context;
pub mod egress;
pub mod headers;
mod hooks;
pub mod imports;
pub mod kept;
pub mod next;
pub mod pulse;
pub mod rehearsal;
pub mod scope;
pub mod state;
mod traced;
pub mod wasi2;

pub use crate::telemetry::HostCall;
pub use crate::telemetry::own_metrics::OwnMetrics;
pub use catalog::{Offer, Reach, Without};
pub use context::{Behalf, CallContext, NoResponse, RequestName, RequestOrigin, Slot};
#[cfg(any(test, fuzzing))]
pub use headers::fuzzing;
pub use hooks::OUTGOING_CHUNK;
pub use imports::clocks;
pub use next::{Next, RequestHead};
pub use pulse::Pulse;
pub use rehearsal::{Act, Rehearsal};
pub use scope::{Counters, Scope, StageScope};
pub use state::{Budget, InstanceState};
pub use traced::traced;

use std::sync::Arc;
use wasmtime::component::{Component, Linker};

/// Adds everything on offer to `linker`, for a chain that was composed into `component`: the shared interfaces under
/// their own names, and for each import of a stage's own the scope that `lookup` gives for its name. `next` is what the
/// last stage's import of `wasi:http/handler` reaches, and `named` what further ones do, once `rehearsal` is over.
///
/// # Errors
/// What `lookup` answers, and Wasmtime's own linking errors.
pub fn add_to_linker(
    linker: &mut Linker<InstanceState>,
    component: &Component,
    lookup: catalog::Lookup<'_>,
    next: Option<Next>,
    named: &[(String, Next)],
    rehearsal: &Arc<Rehearsal>,
) -> wasmtime::Result<()> {
    imports::add_to_linker(linker, component, lookup)?;
    next::add_to_linker(linker, next, named, rehearsal)
}
