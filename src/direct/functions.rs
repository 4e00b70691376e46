//! The functions that a stage may import, and those that the glue calls between stages.

use super::abi::Pending;
use super::answers::{lift_answer, lower_answer};
use super::call::{Call, HOST, HostFunction, memory, place};
use super::callbacks;
use super::calls;
use super::departure::{By, forward};
use super::disagreement::Disagreement;
use super::message::Request;
use super::state::State;
use super::{ends, fields, http, imports, made, options, shared, waiting};
use wasmtime::{AsContextMut as _, Linker, Result};

/// The list, but for `handle`.
pub fn list() -> Vec<&'static HostFunction> {
    let lists = [
        http::FUNCTIONS,
        imports::FUNCTIONS,
        waiting::FUNCTIONS,
        shared::FUNCTIONS,
        options::FUNCTIONS,
        fields::FUNCTIONS,
        made::FUNCTIONS,
        ends::STREAMS,
        ends::TRAILERS,
        ends::RECEIPTS,
        ends::SETS,
        callbacks::FUNCTIONS,
        calls::FUNCTIONS,
        ends::CANCELLATIONS,
        ends::UNITS,
    ];
    lists.into_iter().flatten().collect()
}

/// Whether a stage may have to wait for the function `name` of the list.
pub fn waits(name: &str) -> bool {
    waiting::FUNCTIONS.iter().chain(shared::FUNCTIONS).any(|function| function.name == name)
}

/// Adds the functions of the list, and those of the glue.
pub fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(HOST, "begin", begin)?;
    linker.func_wrap(HOST, "end", end)?;
    linker.func_wrap(HOST, "need", need)?;
    linker.func_wrap(HOST, "give", give)?;
    linker.func_wrap_async(HOST, "next", |call: Call<'_>, (stage, request, at): (i32, i32, i32)| {
        Box::new(forward(call, stage, request, at, By::Handler))
    })?;
    linker.func_wrap_async(
        HOST,
        "named",
        |call: Call<'_>, (stage, named, request, at): (i32, i32, i32, i32)| {
            Box::new(async move { forward(call, stage, request, at, By::named(named)?).await })
        },
    )?;
    callbacks::add_to_linker(linker)?;
    calls::add_to_linker(linker)?;
    list().into_iter().try_for_each(|function| (function.link)(linker, function.name))
}

/// The request goes from the stage `before`, or from the host, to the one after it.
fn begin(mut call: Call<'_>, before: i32, handle: i32) -> Result<i32> {
    let state = call.data_mut();
    let request = if before < 0 {
        state.incoming.take().ok_or(Disagreement("no request came in"))?
    } else {
        let index = state.caller(before)?;
        state.tasks.leave();
        state.stages[index].handles.take::<Request>(place(handle))?
    };
    let to = state.known(before + 1)?;
    state.begin_call(to, None)?;
    Ok(state.push(to, request)?.cast_signed())
}

/// The answer of the stage after `before` goes back to it, or to the host. Says whether something of it is pending.
fn end(mut call: Call<'_>, before: i32, result: i32, at: i32) -> Result<i32> {
    let from = call.data().known(before + 1)?;
    let answer = if call.data().tasks.are_of(from) {
        let answer = call.data_mut().take_answer()?;
        answer.ok_or(Disagreement("a task was not waited for"))?
    } else {
        lift_answer(call.as_context_mut(), from, place(result))?
    };
    let state = call.data_mut();
    // What comes is its post-return. wasmtime's adapters between two components that are lifted synchronously let one leave
    // its instance; the specification, a lift to the host and a call that nobody waits for do not.
    let to = usize::try_from(before).ok();
    if to.is_none_or(|to| state.tasks.are_of(to)) {
        state.stages[from].may_leave = false;
    }
    if to.is_none() {
        state.outgoing = Some(answer);
        return Ok(0);
    }
    let to = state.known(before)?;
    state.receiver = Some(to);
    let is_pending = lower_answer(call.as_context_mut(), to, answer, place(at))?;
    call.data_mut().receiver = None;
    Ok(is_pending)
}

/// What is to be allocated next for a stage: alignment and size; negative, if nothing is.
fn need(mut call: Call<'_>, stage: i32) -> Result<i64> {
    let index = call.data().known(stage)?;
    let stage = &mut call.data_mut().stages[index];
    match stage.pending.need() {
        Some((align, size)) => {
            stage.may_leave = false;
            Ok(i64::from(align) << 32 | i64::from(size))
        }
        None => {
            stage.may_leave = true;
            stage.pending = Pending::default();
            call.data_mut().tasks.take_back();
            Ok(-1)
        }
    }
}

fn give(mut call: Call<'_>, stage: i32, pointer: i32) -> Result<()> {
    let index = call.data().known(stage)?;
    let (mut bytes, state) = memory(&mut call, index)?;
    state.stages[index].pending.give(&mut bytes, place(pointer))
}
