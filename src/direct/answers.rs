//! Answers out of a stage's memory and into another one's.

use super::abi::Code;
use super::border::arrive;
use super::call::memory;
use super::message::{Answer, Response};
use super::state::State;
use super::subtasks::Status;
use wasmtime::{AsContextMut as _, Result, StoreContextMut, bail};

/// What the stage returned that is lifted synchronously.
pub fn lift_answer(store: StoreContextMut<'_, State>, stage: usize, result: u32) -> Result<Answer> {
    let (bytes, state) = memory(store, stage)?;
    let result = bytes.place(result, 40, 8)?;
    match bytes.byte(result)? {
        0 => Ok(Ok(state.stages[stage].handles.take::<Response>(bytes.word(result + 8)?)?)),
        1 => Ok(Err(Code::lift(&bytes, result + 8)?)),
        _ => bail!("unexpected discriminant"),
    }
}

/// Writes an answer to `at` in a stage's memory. Says whether something of it is pending.
pub fn lower_answer(store: StoreContextMut<'_, State>, stage: usize, answer: Answer, at: u32) -> Result<i32> {
    let (mut bytes, state) = memory(store, stage)?;
    let at = bytes.place(at, 40, 8)?;
    match answer {
        Ok(response) => {
            let handle = state.push(stage, response)?;
            bytes.put(at, &[0])?;
            bytes.put_word(at + 8, handle)?;
            Ok(0)
        }
        Err(code) => {
            state.keep(code.size())?;
            bytes.put(at, &[1])?;
            let pending = &mut state.stages[stage].pending;
            code.lower(&mut bytes, at + 8, pending)?;
            Ok(i32::from(!pending.is_empty()))
        }
    }
}

/// What came back for tasks goes to their stages.
///
/// # Errors
/// A stage that has no place for it, and which one.
pub fn land(
    mut store: StoreContextMut<'_, State>,
) -> std::result::Result<(), (Option<usize>, wasmtime::Error)> {
    let waker = store.data().pipes.waker.clone();
    while let Some((number, landed)) = store.data_mut().flights.take(&waker) {
        // One that was cancelled may be gone.
        let Some(subtask) = store.data_mut().subtasks.find(number).filter(|subtask| !subtask.resolved) else {
            continue;
        };
        let (stage, at) = (subtask.stage, subtask.at);
        let blame = |error| (Some(stage), error);
        let status = match landed {
            Err(_) => Status::Cancelled,
            Ok(landed) => {
                let answer = arrive(store.data_mut(), landed).map_err(blame)?;
                lower_answer(store.as_context_mut(), stage, answer, at).map_err(blame)?;
                Status::Returned
            }
        };
        store.data_mut().subtasks.resolve(number, status).map_err(blame)?;
    }
    Ok(())
}
