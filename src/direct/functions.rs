//! The functions that a stage may import, and those that the glue calls between stages.

use super::abi::{Code, Pending};
use super::border::onward;
use super::call::{Call, HOST, HostFunction, caller, memory, place};
use super::callbacks;
use super::disagreement::Disagreement;
use super::message::{Answer, Request, Response};
use super::state::State;
use super::{ends, fields, http, imports, made};
use wasmtime::{Linker, Result, bail};

/// The list, but for `handle`.
pub fn list() -> Vec<&'static HostFunction> {
    let lists = [
        http::FUNCTIONS,
        imports::FUNCTIONS,
        fields::FUNCTIONS,
        made::FUNCTIONS,
        ends::STREAMS,
        ends::TRAILERS,
        ends::RECEIPTS,
        ends::SETS,
        callbacks::FUNCTIONS,
    ];
    lists.into_iter().flatten().collect()
}

/// Adds the functions of the list, and those of the glue.
pub fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(HOST, "begin", begin)?;
    linker.func_wrap(HOST, "end", end)?;
    linker.func_wrap(HOST, "need", need)?;
    linker.func_wrap(HOST, "give", give)?;
    linker.func_wrap_async(HOST, "next", |mut call: Call<'_>, (stage, request, at): (i32, i32, i32)| {
        Box::new(async move {
            let (index, state) = caller(&mut call, stage)?;
            let request = state.stages[index].handles.take::<Request>(place(request))?;
            let answer = onward(&mut call, request).await?;
            lower_answer(&mut call, index, answer, place(at))
        })
    })?;
    callbacks::add_to_linker(linker)?;
    list().into_iter().try_for_each(|function| (function.link)(linker, function.name))
}

/// The request goes from the stage `before`, or from the host, to the one after it.
fn begin(mut call: Call<'_>, before: i32, handle: i32) -> Result<i32> {
    let state = call.data_mut();
    let request = if before < 0 {
        state.incoming.take().ok_or(Disagreement("no request came in"))?
    } else {
        let index = state.caller(before)?;
        state.stages[index].handles.take::<Request>(place(handle))?
    };
    let to = state.known(before + 1)?;
    state.begin_call(to)?;
    Ok(state.push(to, request)?.cast_signed())
}

/// The answer of the stage after `before` goes back to it, or to the host. Says whether something of it is pending.
fn end(mut call: Call<'_>, before: i32, result: i32, at: i32) -> Result<i32> {
    let from = call.data().known(before + 1)?;
    let answer = if call.data().tasks.are_of(from) {
        let answer = call.data_mut().take_answer()?;
        answer.ok_or(Disagreement("a task was not waited for"))?
    } else {
        lift_answer(&mut call, from, place(result))?
    };
    if before < 0 {
        // What comes is its post-return. wasmtime's adapters between components let one leave its instance; the
        // specification, and a lift to the host, do not.
        let state = call.data_mut();
        state.stages[from].may_leave = false;
        state.outgoing = Some(answer);
        return Ok(0);
    }
    let state = call.data_mut();
    let to = state.known(before)?;
    state.receiver = Some(to);
    let is_pending = lower_answer(&mut call, to, answer, place(at))?;
    call.data_mut().receiver = None;
    Ok(is_pending)
}

/// What the stage returned that is lifted synchronously.
fn lift_answer(call: &mut Call<'_>, stage: usize, result: u32) -> Result<Answer> {
    let (bytes, state) = memory(call, stage)?;
    let result = bytes.place(result, 40, 8)?;
    match bytes.byte(result)? {
        0 => Ok(Ok(state.stages[stage].handles.take::<Response>(bytes.word(result + 8)?)?)),
        1 => Ok(Err(Code::lift(&bytes, result + 8)?)),
        _ => bail!("unexpected discriminant"),
    }
}

fn lower_answer(call: &mut Call<'_>, stage: usize, answer: Answer, at: u32) -> Result<i32> {
    let (mut bytes, state) = memory(call, stage)?;
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
            let mut pending = Pending::default();
            code.lower(&mut bytes, at + 8, &mut pending)?;
            let is_pending = !pending.is_empty();
            state.stages[stage].pending = pending;
            Ok(i32::from(is_pending))
        }
    }
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
            Ok(-1)
        }
    }
}

fn give(mut call: Call<'_>, stage: i32, pointer: i32) -> Result<()> {
    let index = call.data().known(stage)?;
    let (mut bytes, state) = memory(&mut call, index)?;
    state.stages[index].pending.give(&mut bytes, place(pointer))
}
