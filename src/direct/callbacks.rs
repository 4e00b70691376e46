//! The canonical functions of tasks, and what the glue asks the host between a task's turns.

use super::abi::Code;
use super::answers::{land, lower_answer};
use super::border::reply;
use super::call::{After, Call, HOST, HostFunction, caller, calling, host_function, place};
use super::disagreement::Disagreement;
use super::ends::next_event;
use super::message::Response;
use super::state::State;
use super::subtasks::Status;
use super::tasks::{Doing, Turn};
use super::transfer::{look, settle};
use crate::host::next::next_poll;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Wake as _;
use wasm_encoder::ValType::{I32, I64};
use wasmtime::{AsContextMut as _, Linker, Result, StoreContextMut, Trap, bail};

/// Those that only a stage may import that is lifted asynchronously.
pub const FUNCTIONS: &[HostFunction] = &[
    host_function!("task.return", "", [I32, I32, I32, I64, I32, I32, I32, I32] -> [], After::Return, task_return),
    host_function!("task.cancel", "", [] -> [], false, task_cancel),
    host_function!("context.get", "", [] -> [I32], false, get_context),
    host_function!("context.set", "", [I32] -> [], false, set_context),
];

/// The event of a task that is to end early.
pub const CANCELLED: (i32, u32, u32) = (6, 0, 0);

/// Adds what the glue calls.
pub fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(HOST, "told", told)?;
    linker.func_wrap(HOST, "resume", resume)?;
    linker.func_wrap_async(HOST, "wait", |call: Call<'_>, (): ()| Box::new(wait(call)))?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "as the canonical ABI passes them")]
fn task_return(
    mut call: Call<'_>,
    stage: i32,
    case: i32,
    first: i32,
    second: i32,
    third: i64,
    fourth: i32,
    fifth: i32,
    sixth: i32,
    seventh: i32,
) -> Result<()> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    let subtask = state.tasks.check_open(index)?;
    let answer = match case {
        0 => Ok(state.stages[index].handles.take::<Response>(place(first))?),
        1 => {
            let wide = |part: i32| u64::from(part.cast_unsigned());
            let payload =
                [wide(second), third.cast_unsigned(), wide(fourth), wide(fifth), wide(sixth), wide(seventh)];
            let code = Code::lift_flat(&bytes, place(first), payload)?;
            state.keep(code.size())?;
            Err(code)
        }
        _ => bail!("unexpected discriminant"),
    };
    let Some(number) = subtask else { return state.tasks.give(index, answer) };
    // Its caller goes on meanwhile: what it gets is there as soon as it asks.
    let subtask = state.subtasks.get(number)?;
    let (to, at, caller) = (subtask.stage, subtask.at, subtask.caller);
    if !state.tasks.is_there(caller) {
        bail!("the task that called is over");
    }
    state.receiver = Some(to);
    let is_pending = lower_answer(call.as_context_mut(), to, answer, at)? != 0;
    let state = call.data_mut();
    state.receiver = None;
    state.tasks.settle(index)?;
    state.resolve(number, Status::Returned)?;
    if is_pending {
        state.tasks.lend(caller);
    }
    Ok(())
}

/// Only a task that called cancels one: linkspan does not.
fn task_cancel(mut call: Call<'_>, stage: i32) -> Result<()> {
    let (index, state) = caller(&mut call, stage)?;
    let subtask = state.tasks.give_up(index)?;
    state.resolve(subtask, Status::Cancelled)
}

/// Works whether or not the stage may leave, and whatever runs, as in wasmtime.
fn get_context(call: Call<'_>, _: i32) -> i32 {
    call.data().tasks.context
}

fn set_context(mut call: Call<'_>, _: i32, value: i32) {
    call.data_mut().tasks.context = value;
}

/// The function or the callback of the task of `stage` that runs returned `code`: what was worked on before goes on.
pub fn suspend(state: &mut State, stage: usize, code: i32) -> Result<()> {
    let code = place(code);
    let doing = match code & 0xf {
        0 => Doing::Exited,
        1 => Doing::Yields,
        2 => Doing::Waits(state.stages[stage].handles.set(code >> 4)?),
        _ => return Err(Trap::UnsupportedCallbackCode.into()),
    };
    let at = state.pipes.moment();
    state.origins.current = state.tasks.suspend(stage, doing, at)?;
    state.count_tasks();
    Ok(())
}

/// The same, where the call that is waited for may have its answer now. Says whether it is still without it; negative, if an
/// answer is to leave the store before there are more turns.
fn told(mut call: Call<'_>, stage: i32, code: i32) -> Result<i32> {
    let state = call.data_mut();
    let index = state.known(stage)?;
    suspend(state, index, code)?;
    if state.tasks.is_late() {
        return Ok(-1);
    }
    Ok(i32::from(!state.tasks.is_answered()))
}

/// The host reads and writes what it can, and the stages that have tasks learn of it.
fn refresh(mut store: StoreContextMut<'_, State>) -> Result<()> {
    let settled = settle(store.as_context_mut()).and_then(|()| land(store.as_context_mut()));
    settled.and_then(|()| look(store.as_context_mut(), None)).map_err(|broke| store.data_mut().blame(broke))
}

/// There is no turn to be had, or first something to be allocated.
const NONE: i32 = -1;
pub const FILL: i32 = -2;

/// Chooses a task for the next turn: its stage, and its event, for its callback. A negative kind of event says that there is
/// none, or that what the host has for the stage is to be allocated first.
fn resume(mut call: Call<'_>) -> Result<(i32, i32, i32, i32)> {
    refresh(call.as_context_mut())?;
    let state = call.data_mut();
    let glue_number = |stage: usize| i32::try_from(stage).unwrap_or(i32::MAX);
    if let Some(stage) = state.unfilled() {
        return Ok((glue_number(stage), FILL, 0, 0));
    }
    let yields = std::mem::take(&mut state.tasks.may_yield);
    let outer = state.origins.current;
    let (stage, event) = match state.tasks.ready(state.ready()) {
        Some((task, turn)) => {
            let (stage, origin, _) = state.tasks.resume(task, outer)?;
            state.origins.current = origin;
            let event = match turn {
                Turn::Cancelled => CANCELLED,
                Turn::Event(set) => next_event(call.as_context_mut(), stage, set)?,
            };
            if event.0 == 0 {
                return Err(Disagreement("an event is gone").into());
            }
            (stage, event)
        }
        None => match state.tasks.yielding().filter(|_| yields) {
            Some(task) => {
                let (stage, origin, is_cancelled) = state.tasks.resume(task, outer)?;
                state.origins.current = origin;
                (stage, if is_cancelled { CANCELLED } else { (0, 0, 0) })
            }
            None => return Ok((0, NONE, 0, 0)),
        },
    };
    call.data_mut().stages[stage].may_leave = true;
    let (kind, handle, code) = event;
    Ok((glue_number(stage), kind, handle.cast_signed(), code.cast_signed()))
}

/// Waits, on the fiber of whoever waits inside, until a task can have a turn. Others need not wait for what came meanwhile.
async fn wait(mut call: Call<'_>) -> Result<()> {
    loop {
        tell_early(call.as_context_mut())?;
        tell_late(call.as_context_mut())?;
        refresh(call.as_context_mut())?;
        let state = call.data_mut();
        if state.unfilled().is_some() || state.tasks.ready(state.ready()).is_some() {
            return Ok(());
        }
        if state.cancels.is_some_and(|subtask| state.subtasks.is_resolved(subtask)) {
            return Ok(());
        }
        if state.tasks.yielding().is_some() {
            state.tasks.may_yield = true;
            next_poll(true).await;
            return Ok(());
        }
        let bell = Arc::clone(state.bell()?);
        poll_fn(|cx| bell.poll_rung(cx)).await;
    }
}

/// Hands over the answer of the call that enters, if a stage waits on its fiber behind it.
fn tell_early(mut store: StoreContextMut<'_, State>) -> Result<()> {
    let Some((answer, origin)) = store.data_mut().tasks.take_early() else { return Ok(()) };
    store.data_mut().origins.end(origin);
    let reply = reply(answer, store.as_context_mut());
    store.data().early.put(reply);
    // What is written behind it can be read now.
    store.data().bell()?.wake_by_ref();
    Ok(())
}

/// Hands over the answers that somebody outside waits for.
pub fn tell_late(mut store: StoreContextMut<'_, State>) -> Result<()> {
    while let Some((answer, later, origin)) = store.data_mut().tasks.take_late() {
        store.data_mut().origins.end(origin);
        store.data_mut().count_tasks();
        // Nobody may wait for it any more.
        let _ = later.send(reply(answer, store.as_context_mut()));
        // Its body can be read now.
        store.data().bell()?.wake_by_ref();
    }
    Ok(())
}
