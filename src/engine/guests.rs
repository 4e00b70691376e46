//! Calling a function of guests.

use crate::chain::guests_run;
use crate::host::{Behalf, CallContext, InstanceState, kept};
use std::sync::Arc;
use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor, ComponentNamedList, Lift, Lower, TypedFunc};

/// Ticks of the epoch until a guest that begins with a request is interrupted, if it computes for so long: it has one
/// whole, since a tick that is due any time meets most of those that compute for microseconds.
pub(super) const FIRST_TURN: u64 = 2;

/// Calls a function of guests with `parameters`, on `behalf` of a request; what comes out of it has `context`.
///
/// # Errors
/// A trap, which is the end of the instance.
pub(super) async fn call_guests<P, R>(
    store: &Accessor<InstanceState>,
    function: TypedFunc<P, R>,
    behalf: Behalf,
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
        guests_run();
        let call = function.start_call_concurrent(&mut store, parameters)?;
        let task = call.task();
        store.get().begin_call(task, behalf, context);
        wasmtime::error::Ok((call, task))
    })?;
    let results = function.finish_call_concurrent(store, call).await?;
    store.with(|mut store| {
        store.get().end_call(task);
        kept::after_call(store.as_context_mut());
    });
    Ok(results)
}
