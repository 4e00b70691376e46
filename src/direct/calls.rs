//! The canonical functions of subtasks, and what the glue asks the host around a call that a task does not wait for.

use super::answers::{land, lower_answer, receive};
use super::call::{After, Call, HOST, HostFunction, caller, host_function, memory, place};
use super::callbacks::suspend;
use super::departure::{self, By};
use super::flights::Away;
use super::handles::Entry;
use super::message::Request;
use super::origins::SubtaskId;
use super::state::State;
use super::subtasks::{Callee, Status};
use super::transfer::look;
use std::task::{Context, Poll};
use wasm_encoder::ValType::I32;
use wasmtime::{AsContextMut as _, Linker, Result, Trap};

/// Those of a stage that is lifted asynchronously, and passes requests on.
pub const FUNCTIONS: &[HostFunction] = &[
    host_function!("subtask.drop", "", [I32] -> [], false, drop_subtask),
    host_function!(
        "subtask.cancel", "", [I32] -> [I32], After::Cancel { waits: true },
        |call: Call<'_>, stage: i32, handle: i32| cancel(call, stage, handle, true)
    ),
    host_function!(
        "subtask.cancel async", "", [I32] -> [I32], After::Cancel { waits: false },
        |call: Call<'_>, stage: i32, handle: i32| cancel(call, stage, handle, false)
    ),
];

/// What a cancellation says that has to wait: for its caller, and, as no caller ever sees it, for the glue.
const BLOCKED: i32 = -1;
pub const WAITS: i32 = -2;

/// Adds what the glue calls.
pub fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(HOST, "start", start)?;
    linker.func_wrap(HOST, "started", started)?;
    linker.func_wrap(HOST, "send", |call: Call<'_>, stage: i32, request: i32, at: i32| {
        send(call, stage, request, at, By::Handler)
    })?;
    let named = |call: Call<'_>, stage: i32, named: i32, request: i32, at: i32| {
        send(call, stage, request, at, By::named(named)?)
    };
    linker.func_wrap(HOST, "send-named", named)?;
    linker.func_wrap(HOST, "cancelled", cancelled)?;
    Ok(())
}

/// The request goes from a task of the stage `before` to the stage after it, which is a task as well. Says the request's
/// handle there, and which subtask it is.
fn start(mut call: Call<'_>, before: i32, handle: i32, at: i32) -> Result<(i32, i32)> {
    let (index, state) = caller(&mut call, before)?;
    // Before it looks at the request, as in wasmtime.
    state.tasks.leave();
    let task = state.tasks.runs(index)?;
    let request = state.stages[index].handles.take::<Request>(place(handle))?;
    let to = state.known(before + 1)?;
    let subtask = state.subtasks.begin((index, task), place(at), Callee::Task(0));
    state.begin_call(to, Some(subtask))?;
    Ok((state.push(to, request)?.cast_signed(), subtask.cast_signed()))
}

/// The function of the stage `stage` returned `code` to the task whose subtask its call is. Says what that gets.
fn started(mut call: Call<'_>, stage: i32, code: i32, subtask: i32) -> Result<i32> {
    let state = call.data_mut();
    let index = state.known(stage)?;
    suspend(state, index, code)?;
    let number = place(subtask);
    if state.subtasks.get(number)?.resolved {
        state.subtasks.remove(number);
        return Ok(Status::Returned.pack(0));
    }
    give_handle(state, number)
}

/// The stage goes on before its call has returned.
fn give_handle(state: &mut State, number: SubtaskId) -> Result<i32> {
    let most = state.host.handles();
    let subtask = state.subtasks.get(number)?;
    state.receiver = Some(subtask.stage);
    let handle = state.stages[subtask.stage].handles.insert(Entry::Subtask(number), most)?;
    subtask.handle = Some(handle);
    state.receiver = None;
    Ok(Status::Started.pack(handle))
}

/// A request goes from a task of a stage out of the store.
pub fn send(mut call: Call<'_>, stage: i32, handle: i32, at: i32, by: By) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    state.tasks.runs(index)?;
    state.pipes.reserve(1)?;
    let request = state.stages[index].handles.take::<Request>(place(handle))?;
    memory(&mut call, index)?.0.place(place(at), 40, 8)?;
    match departure::send(&mut call, index, *request, by)? {
        Ok(away) => begin(call, index, away, at),
        Err(code) => {
            lower_answer(call.as_context_mut(), index, Err(code), place(at))?;
            Ok(Status::Returned.pack(0))
        }
    }
}

/// What the task of the stage at `index` that runs does not wait for, and gets at `at`.
pub fn begin(mut call: Call<'_>, index: usize, mut away: Away, at: i32) -> Result<i32> {
    // Until it is back, the bell rings for it.
    let waker = call.data().pipes.waker.clone();
    if let Poll::Ready(landed) = away.as_mut().poll(&mut Context::from_waker(&waker)) {
        receive(call.as_context_mut(), index, landed, place(at))?;
        return Ok(Status::Returned.pack(0));
    }
    let State { flights, subtasks, tasks, .. } = call.data_mut();
    let task = tasks.runs(index)?;
    let number = flights.add(away, |abort| subtasks.begin((index, task), place(at), Callee::Host(abort)));
    call.data_mut().count_tasks();
    // It has to be polled among the others once, to be looked after.
    waker.wake();
    give_handle(call.data_mut(), number)
}

fn drop_subtask(mut call: Call<'_>, stage: i32, handle: i32) -> Result<()> {
    let (index, state) = caller(&mut call, stage)?;
    let number = state.stages[index].handles.take_subtask(place(handle))?;
    let subtask = state.subtasks.get(number)?;
    if !subtask.resolved || subtask.event.is_some() {
        return Err(Trap::SubtaskDropNotResolved.into());
    }
    state.subtasks.remove(number);
    state.count_tasks();
    Ok(())
}

/// The call of a subtask is to end early. Says whether the next stage's callback is to be called first, with that event.
fn cancel(mut call: Call<'_>, stage: i32, handle: i32, waits: bool) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let number = state.stages[index].handles.subtask(place(handle))?;
    let subtask = state.subtasks.get(number)?;
    if waits && subtask.set.is_some() {
        return Err(Trap::WaitableSyncAndAsync.into());
    }
    match &subtask.callee {
        Callee::Host(_) if subtask.cancelled => Err(Trap::SubtaskCancelAfterTerminal.into()),
        Callee::Host(abort) => {
            subtask.cancelled = true;
            abort.abort();
            if waits && !subtask.resolved {
                break_off(call, number)?;
            }
            Ok(0)
        }
        Callee::Task(_) if subtask.resolved => Ok(0),
        &Callee::Task(task) => {
            let runs = state.tasks.cancel(task, state.origins.current)?;
            if runs {
                let to = state.known(stage + 1)?;
                state.stages[to].may_leave = true;
            }
            Ok(i32::from(runs))
        }
    }
}

/// A stage waits until the host has broken off what it did for it. Those that have something to do by then are first, as they
/// are in wasmtime.
fn break_off(mut call: Call<'_>, number: SubtaskId) -> Result<()> {
    look(call.as_context_mut(), None).map_err(|broke| call.data_mut().blame(broke))?;
    let state = call.data_mut();
    let turns = state.tasks.count_ready(&state.ready().map(|(set, _)| set).collect::<Vec<_>>());
    state.subtasks.get(number)?.turns = turns;
    land(call.as_context_mut()).map_err(|broke| call.data_mut().blame(broke))
}

/// What a stage gets that cancelled a subtask: how that ended, or that it has not.
fn cancelled(mut call: Call<'_>, stage: i32, handle: i32, waits: i32) -> Result<i32> {
    let state = call.data_mut();
    let index = state.known(stage)?;
    let number = state.stages[index].handles.subtask(place(handle))?;
    let subtask = state.subtasks.get(number)?;
    if waits != 0 && (!subtask.resolved || subtask.turns > 0) {
        subtask.turns = subtask.turns.saturating_sub(1);
        state.cancels = Some(number);
        return Ok(WAITS);
    }
    state.cancels = None;
    if waits != 0 {
        // What tasks have answered by then is out.
        state.tasks.leave();
    }
    let subtask = state.subtasks.get(number)?;
    if !subtask.resolved {
        return Ok(BLOCKED);
    }
    match subtask.event.take() {
        Some(status) => Ok(status.pack(0)),
        None => Err(Trap::SubtaskCancelAfterTerminal.into()),
    }
}
