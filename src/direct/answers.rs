//! Answers out of a stage's memory and into another one's.

use super::abi::Code;
use super::call::memory;
use super::flights::Landed;
use super::message::{Answer, Response, Sent};
use super::state::State;
use super::subtasks::Status;
use crate::host::kept::HEAD;
use wasmtime::{AsContextMut as _, Result, StoreContextMut, bail};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

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

/// What came back goes into the store.
pub fn arrive(
    state: &mut State,
    answer: std::result::Result<http::Response<WasiBody>, ErrorCode>,
    sent: Option<Sent>,
) -> Result<Answer> {
    match answer {
        Ok(response) => {
            if let Some(sent) = sent {
                // A stage that does not ask is fine.
                let _ = sent.send(Ok(()));
            }
            state.keep(HEAD)?;
            Ok(Ok(Response::enter(response, state)))
        }
        Err(code) => Ok(Err(code.into())),
    }
}

/// What came back goes to a stage, to `at`.
pub fn receive(mut store: StoreContextMut<'_, State>, stage: usize, landed: Landed, at: u32) -> Result<()> {
    match landed {
        Landed::Answer(answer, sent) => {
            let answer = arrive(store.data_mut(), answer, sent)?;
            lower_answer(store, stage, answer, at).map(drop)
        }
        Landed::Time => Ok(()),
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
                receive(store.as_context_mut(), stage, landed, at).map_err(blame)?;
                Status::Returned
            }
        };
        store.data_mut().resolve(number, status).map_err(blame)?;
    }
    Ok(())
}
