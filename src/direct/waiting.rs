//! The functions of the host that a stage may have to wait for, besides the next stage: requests of its own, and timers.
//!
//! A stage that is lifted synchronously waits on its fiber; one that is lifted asynchronously calls them so, too, and gets a
//! subtask where there is something to wait for.

use super::call::{After, Call, HOST, HostFunction, caller, host_function};
use super::calls::{begin, send};
use super::departure::{By, awaited, forward};
use super::flights::Landed;
use super::signature;
use super::state::State;
use crate::host::{HostCall, Scope, clocks};
use std::sync::Arc;
use wasm_encoder::ValType::{I32, I64};
use wasmtime::{Linker, Result};

/// What a name on the list ends with where the function is lowered asynchronously.
pub const ASYNC: &str = " async";

const WAIT_FOR: &str = "async (how-long: u64)";
const WAIT_UNTIL: &str = "async (when: u64)";

pub const FUNCTIONS: &[HostFunction] = &[
    HostFunction {
        name: "wasi:http/client#send",
        ty: signature::HANDLE,
        params: &[I32, I32],
        results: &[],
        after: After::Fill,
        link: |linker, name| {
            let linked = linker.func_wrap_async(HOST, name, |call: Call<'_>, (stage, request, at)| {
                Box::new(async move { forward(call, stage, request, at, By::Client).await.map(drop) })
            });
            linked.map(drop)
        },
    },
    host_function!(
        "wasi:http/client#send async", signature::HANDLE, [I32, I32] -> [I32], true,
        |call: Call<'_>, stage: i32, request: i32, at: i32| send(call, stage, request, at, By::Client)
    ),
    timer("wasi:clocks/monotonic-clock#wait-for", WAIT_FOR, |linker, name| {
        link_timer(linker, name, duration)
    }),
    timer("wasi:clocks/monotonic-clock#wait-until", WAIT_UNTIL, |linker, name| {
        link_timer(linker, name, instant)
    }),
    host_function!(
        "wasi:clocks/monotonic-clock#wait-for async", WAIT_FOR, [I64] -> [I32], false,
        |call: Call<'_>, stage: i32, how_long: i64| begin_timer(call, stage, how_long, duration)
    ),
    host_function!(
        "wasi:clocks/monotonic-clock#wait-until async", WAIT_UNTIL, [I64] -> [I32], false,
        |call: Call<'_>, stage: i32, when: i64| begin_timer(call, stage, when, instant)
    ),
];

const fn timer(
    name: &'static str,
    ty: &'static str,
    link: fn(&mut Linker<State>, &str) -> Result<()>,
) -> HostFunction {
    HostFunction { name, ty, params: &[I64], results: &[], after: After::Nothing, link }
}

/// How long a wait is, in nanoseconds, of which a stage says how long it is, or when it ends.
type Length = fn(&mut State, &Scope, u64) -> Result<u64>;

fn duration(_: &mut State, scope: &Scope, how_long: u64) -> Result<u64> {
    Ok(clocks::wait_for(scope, how_long))
}

fn instant(state: &mut State, scope: &Scope, when: u64) -> Result<u64> {
    clocks::wait_until(&mut state.host, scope, when)
}

/// The same for a stage that calls.
fn length(call: &mut Call<'_>, stage: i32, time: i64, length: Length) -> Result<(usize, u64)> {
    let (index, state) = caller(call, stage)?;
    state.origins.count(HostCall::Timer);
    let scope = Arc::clone(&state.stages[index].scope);
    Ok((index, length(state, &scope, time.cast_unsigned())?))
}

fn link_timer(linker: &mut Linker<State>, name: &str, of: Length) -> Result<()> {
    let linked = linker.func_wrap_async(HOST, name, move |mut call: Call<'_>, (stage, time): (i32, i64)| {
        Box::new(async move {
            let (_, length) = length(&mut call, stage, time, of)?;
            awaited(&mut call, clocks::sleep(length)).await
        })
    });
    linked.map(drop)
}

fn begin_timer(mut call: Call<'_>, stage: i32, time: i64, of: Length) -> Result<i32> {
    let (index, length) = length(&mut call, stage, time, of)?;
    call.data_mut().pipes.reserve(1)?;
    let timer = async move {
        clocks::sleep(length).await;
        Landed::Time
    };
    begin(call, index, Box::pin(timer), 0)
}
