//! The canonical functions of tasks, and what the glue asks the host between a task's turns.

use super::abi::Code;
use super::call::{Call, HOST, HostFunction, caller, calling, host_function, place};
use super::disagreement::Disagreement;
use super::ends::next_event;
use super::message::Response;
use super::state::State;
use super::tasks::Doing;
use super::transfer::{look, settle};
use std::future::poll_fn;
use std::sync::Arc;
use wasm_encoder::ValType::{I32, I64};
use wasmtime::{AsContextMut as _, Linker, Result, StoreContextMut, Trap, bail};

/// Those that only a stage may import that is lifted asynchronously.
pub const FUNCTIONS: &[HostFunction] = &[
    host_function!("task.return", "", [I32, I32, I32, I64, I32, I32, I32, I32] -> [], false, task_return),
    host_function!("task.cancel", "", [] -> [], false, task_cancel),
    host_function!("context.get", "", [] -> [I32], false, get_context),
    host_function!("context.set", "", [I32] -> [], false, set_context),
];

/// Adds what the glue calls.
pub fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(HOST, "told", told)?;
    linker.func_wrap(HOST, "resume", resume)?;
    linker.func_wrap_async(HOST, "wait", |call: Call<'_>, (stage,): (i32,)| Box::new(wait(call, stage)))?;
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
    state.tasks.check_open()?;
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
    state.tasks.give(answer)
}

/// Nobody cancels a task: its callers are lifted synchronously, and linkspan does not.
fn task_cancel(mut call: Call<'_>, stage: i32) -> Result<()> {
    caller(&mut call, stage)?;
    Err(Trap::TaskCancelNotCancelled.into())
}

/// Works whether or not the stage may leave, as in wasmtime.
fn get_context(mut call: Call<'_>, _: i32) -> Result<i32> {
    Ok(*call.data_mut().tasks.context()?)
}

fn set_context(mut call: Call<'_>, _: i32, value: i32) -> Result<()> {
    *call.data_mut().tasks.context()? = value;
    Ok(())
}

/// The function or the callback of the task that runs returned `code`. Says whether the call that began last is still
/// without its answer; negative, if an answer is to leave the store before there are more turns.
fn told(mut call: Call<'_>, stage: i32, code: i32) -> Result<i32> {
    let state = call.data_mut();
    let index = state.known(stage)?;
    let code = place(code);
    let doing = match code & 0xf {
        0 => Doing::Exited,
        1 => Doing::Yields,
        2 => Doing::Waits(state.stages[index].handles.set(code >> 4)?),
        _ => return Err(Trap::UnsupportedCallbackCode.into()),
    };
    state.request = state.tasks.suspend(doing)?;
    state.count_tasks();
    if state.tasks.is_late() {
        return Ok(-1);
    }
    Ok(i32::from(!state.tasks.is_answered()))
}

/// The host reads and writes what it can, and the stage's ends learn of it.
fn refresh(mut store: StoreContextMut<'_, State>, stage: usize) -> Result<()> {
    if let Err((blamed, error)) = settle(store.as_context_mut()) {
        store.data_mut().blamed = blamed;
        return Err(error);
    }
    look(store, stage)
}

/// Chooses a task for the next turn: its event, for its callback, or a negative kind of event if there is none. What the
/// event tells of may have to be allocated first.
fn resume(mut call: Call<'_>, stage: i32) -> Result<(i32, i32, i32)> {
    let index = call.data().known(stage)?;
    refresh(call.as_context_mut(), index)?;
    let state = call.data_mut();
    let yields = std::mem::take(&mut state.tasks.may_yield);
    let event = match state.tasks.ready(&state.pipes) {
        Some((task, set)) => {
            state.request = state.tasks.resume(task, state.request)?;
            match next_event(call.as_context_mut(), index, set)? {
                (0, ..) => return Err(Disagreement("an event is gone").into()),
                event => event,
            }
        }
        None => match state.tasks.yielding().filter(|_| yields) {
            Some(task) => {
                state.request = state.tasks.resume(task, state.request)?;
                (0, 0, 0)
            }
            None => return Ok((-1, 0, 0)),
        },
    };
    call.data_mut().stages[index].may_leave = true;
    let (kind, handle, code) = event;
    Ok((kind, handle.cast_signed(), code.cast_signed()))
}

/// Waits, on the fiber of the call that waits for its answer, until a task can have a turn.
async fn wait(mut call: Call<'_>, stage: i32) -> Result<()> {
    let index = call.data().known(stage)?;
    loop {
        refresh(call.as_context_mut(), index)?;
        let state = call.data_mut();
        if state.tasks.ready(&state.pipes).is_some() {
            return Ok(());
        }
        if state.tasks.yielding().is_some() {
            state.tasks.may_yield = true;
            tokio::task::yield_now().await;
            return Ok(());
        }
        let bell = Arc::clone(state.bell()?);
        poll_fn(|cx| bell.poll_rung(cx)).await;
    }
}
