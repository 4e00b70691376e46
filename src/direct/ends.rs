//! The canonical functions of streams, futures and sets of them.
//!
//! A stage of this form does not wait in them: reads and writes are those that say `BLOCKED` instead. A component that imports
//! others is not on the list. A cancellation with `async` says `BLOCKED` where the host has the other end, which hears of it when
//! the stage next waits; one without is over at once.

use super::call::{Call, HostFunction, caller, calling, host_function, memory, place};
use super::handles::{Entry, Use, Waitable};
use super::pipes::{Buffer, Event, Kind, Outcome, PipeId, Reader, Side, Writer};
use super::state::State;
use super::transfer::{consume, deliver, look, look_at, meet_reader, meet_writer, produce};
use wasm_encoder::ValType::{I32, I64};
use wasmtime::component::ResourceTableError;
use wasmtime::{AsContextMut as _, Result, StoreContextMut, Trap, bail};

/// The functions of one kind of stream or future, whose reads and writes say how many items they have room for or not.
macro_rules! functions {
    ($kind:expr, $name:literal, [$($count:ident)?]) => {
        &[
            host_function!(
                concat!($name, ".new"), "", [] -> [I64], false,
                |call: Call<'_>, stage: i32| make(call, stage, $kind)
            ),
            host_function!(
                concat!($name, ".write"), "", [I32, I32 $(, { let $count = I32; $count })?] -> [I32], false,
                |call: Call<'_>, stage: i32, end: i32, at: i32 $(, $count: i32)?| {
                    let items = items([$($count)?]);
                    write(call, stage, $kind, (end, at, items))
                }
            ),
            host_function!(
                concat!($name, ".read"), "", [I32, I32 $(, { let $count = I32; $count })?] -> [I32], true,
                |call: Call<'_>, stage: i32, end: i32, at: i32 $(, $count: i32)?| {
                    let items = items([$($count)?]);
                    read(call, stage, $kind, (end, at, items))
                }
            ),
            host_function!(
                concat!($name, ".cancel-write"), "", [I32] -> [I32], false,
                |call: Call<'_>, stage: i32, end: i32| cancel(call, stage, ($kind, Side::Write), end, true)
            ),
            host_function!(
                concat!($name, ".cancel-read"), "", [I32] -> [I32], true,
                |call: Call<'_>, stage: i32, end: i32| cancel(call, stage, ($kind, Side::Read), end, true)
            ),
            host_function!(
                concat!($name, ".drop-writable"), "", [I32] -> [], false,
                |call: Call<'_>, stage: i32, end: i32| drop_end(call, stage, ($kind, Side::Write), end)
            ),
            host_function!(
                concat!($name, ".drop-readable"), "", [I32] -> [], false,
                |call: Call<'_>, stage: i32, end: i32| drop_end(call, stage, ($kind, Side::Read), end)
            ),
        ]
    };
}

/// Those that cancel and do not wait for the host.
macro_rules! cancellations {
    ($($kind:expr, $name:literal;)+) => {
        &[$(
            host_function!(
                concat!($name, ".cancel-write async"), "", [I32] -> [I32], false,
                |call: Call<'_>, stage: i32, end: i32| cancel(call, stage, ($kind, Side::Write), end, false)
            ),
            host_function!(
                concat!($name, ".cancel-read async"), "", [I32] -> [I32], true,
                |call: Call<'_>, stage: i32, end: i32| cancel(call, stage, ($kind, Side::Read), end, false)
            ),
        )+]
    };
}

/// Those of `stream<u8>`.
pub const STREAMS: &[HostFunction] = functions!(Kind::Bytes, "stream", [count]);
/// Those of `stream`, which has no items of any size.
pub const UNITS: &[HostFunction] = functions!(Kind::Units, "units", [count]);
/// Those of the future of a body's trailers.
pub const TRAILERS: &[HostFunction] = functions!(Kind::Trailers, "trailers", []);
/// Those of the future that says how a body was received.
pub const RECEIPTS: &[HostFunction] = functions!(Kind::Receipt, "receipt", []);

/// The cancellations of all of them that say `BLOCKED` where the host has the other end.
pub const CANCELLATIONS: &[HostFunction] = cancellations! {
    Kind::Bytes, "stream";
    Kind::Trailers, "trailers";
    Kind::Receipt, "receipt";
    Kind::Units, "units";
};

pub const SETS: &[HostFunction] = &[
    host_function!("waitable-set.new", "", [] -> [I32], false, make_set),
    host_function!("waitable-set.poll", "", [I32, I32] -> [I32], true, poll),
    host_function!("waitable-set.drop", "", [I32] -> [], false, drop_set),
    host_function!("waitable.join", "", [I32, I32] -> [], false, join),
];

/// The count that was given; a future has one item.
fn items<const N: usize>(given: [i32; N]) -> u32 {
    given.first().map_or(1, |count| place(*count))
}

fn make(mut call: Call<'_>, stage: i32, kind: Kind) -> Result<i64> {
    let (index, state) = caller(&mut call, stage)?;
    let pipe = state.pipes.make(kind, Writer::Open)?;
    let reader = state.push_end(index, pipe, Side::Read)?;
    let writer = state.push_end(index, pipe, Side::Write)?;
    Ok((u64::from(writer) << 32 | u64::from(reader)).cast_signed())
}

/// Begins an operation at an end that the stage has, with memory of its own.
fn begin(
    call: &mut Call<'_>,
    stage: i32,
    (kind, side): (Kind, Side),
    (handle, at, count): (i32, i32, u32),
) -> Result<(PipeId, Buffer)> {
    let (index, bytes, state) = calling(call, stage)?;
    if count >= 1 << 28 {
        bail!("stream read/write count too large");
    }
    let buffer = Buffer { stage: index, handle: place(handle), at: place(at) as usize, count };
    if count > 0 && kind.size() > 0 {
        bytes.get(buffer.at, kind.size() * count as usize)?;
    }
    let end = state.stages[index].handles.end(buffer.handle, kind)?;
    match end.state {
        Use::Idle { done: false } if end.side == side => end.state = Use::Busy,
        Use::Idle { .. } if end.side == side => {
            bail!("cannot read or write after being notified that the other end dropped");
        }
        _ => bail!("cannot have concurrent operations active on a future/stream"),
    }
    let id = end.pipe;
    if state.pipes.get(id)?.done {
        bail!("cannot use a future again after its value went through");
    }
    Ok((id, buffer))
}

/// The operation is over, unless it has to wait.
fn ended(state: &mut State, kind: Kind, buffer: Buffer, outcome: Outcome, done: bool) -> Result<i32> {
    if outcome != Outcome::Blocked {
        state.stages[buffer.stage].handles.end(buffer.handle, kind)?.state = Use::Idle { done };
    }
    Ok(outcome.code().cast_signed())
}

fn write(mut call: Call<'_>, stage: i32, kind: Kind, operand: (i32, i32, u32)) -> Result<i32> {
    let (id, from) = begin(&mut call, stage, (kind, Side::Write), operand)?;
    let pipe = call.data_mut().pipes.get(id)?;
    let outcome = match &mut pipe.reader {
        &mut Reader::Waits(to) => meet_reader(call.as_context_mut(), id, from, to)?,
        Reader::Host(_) => consume(call.as_context_mut(), id, from)?,
        Reader::Open | Reader::Given(..) => {
            pipe.writer = Writer::Waits(from);
            Outcome::Blocked
        }
        Reader::Gone => {
            pipe.done = !kind.is_stream();
            Outcome::Dropped(0)
        }
    };
    ended(call.data_mut(), kind, from, outcome, matches!(outcome, Outcome::Dropped(_)))
}

fn read(mut call: Call<'_>, stage: i32, kind: Kind, operand: (i32, i32, u32)) -> Result<i32> {
    let (id, to) = begin(&mut call, stage, (kind, Side::Read), operand)?;
    let pipe = call.data_mut().pipes.get(id)?;
    let outcome = match &mut pipe.writer {
        &mut Writer::Waits(from) => meet_writer(call.as_context_mut(), id, from, to)?,
        Writer::Host(_) => produce(call.as_context_mut(), id, to)?,
        Writer::Open => {
            pipe.reader = Reader::Waits(to);
            Outcome::Blocked
        }
        Writer::Gone => Outcome::Dropped(0),
    };
    let done = kind.is_stream() && matches!(outcome, Outcome::Dropped(_));
    ended(call.data_mut(), kind, to, outcome, done)
}

fn cancel(
    mut call: Call<'_>,
    stage: i32,
    (kind, side): (Kind, Side),
    handle: i32,
    waits: bool,
) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let end = *state.stages[index].handles.end(place(handle), kind)?;
    if end.state != Use::Busy || end.side != side {
        bail!("stream or future read or write cancelled when none is pending");
    }
    let id = end.pipe;
    let pipe = state.pipes.get(id)?;
    let is_with_host = pipe.waits_for_host(side);
    let tail = pipe.tail(side);
    if waits && tail.set.is_some() {
        bail!("waitable cannot be used synchronously while added to a waitable set");
    }
    if tail.event.is_none() && is_with_host {
        if !waits {
            state.pipes.end_early(id, side);
            return Ok(Outcome::Blocked.code().cast_signed());
        }
        // In wasmtime, it waits for the host's word: what tasks have answered is out then.
        state.tasks.leave();
    }
    let outcome = match tail.event.take() {
        Some(event) => {
            deliver(state, index, id, side, event)?;
            match (event.outcome, kind) {
                (Outcome::Completed(count), kind) if kind.is_stream() => Outcome::Cancelled(count),
                // As wasmtime (48) has it, though the specification does not.
                (Outcome::Cancelled(_), _) => bail!("stream or future read or write cancelled twice"),
                (outcome, _) => outcome,
            }
        }
        None => match look_at(call.as_context_mut(), id, true)? {
            Outcome::Blocked => Outcome::Cancelled(0),
            outcome => {
                let event = Event { outcome, ends: true };
                deliver(call.data_mut(), index, id, side, event)?;
                outcome
            }
        },
    };
    let state = call.data_mut();
    let pipe = state.pipes.get(id)?;
    match side {
        Side::Write if matches!(pipe.writer, Writer::Waits(_)) => pipe.writer = Writer::Open,
        Side::Read if matches!(pipe.reader, Reader::Waits(_)) => pipe.reader = Reader::Open,
        _ => {}
    }
    pipe.tail(side).ends_early = false;
    let end = state.stages[index].handles.end(place(handle), kind)?;
    if end.state == Use::Busy {
        end.state = Use::Idle { done: false };
    }
    Ok(outcome.code().cast_signed())
}

fn drop_end(mut call: Call<'_>, stage: i32, (kind, side): (Kind, Side), handle: i32) -> Result<()> {
    let (index, state) = caller(&mut call, stage)?;
    let end = state.stages[index].handles.take_end(place(handle), kind, side)?;
    match side {
        Side::Read => state.pipes.drop_reader(end.pipe),
        Side::Write => state.pipes.drop_writer(end.pipe, end.state == Use::Idle { done: true }),
    }
}

fn make_set(mut call: Call<'_>, stage: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let set = state.pipes.make_set()?;
    let most = state.host.handles();
    Ok(state.stages[index].handles.insert(Entry::Set(set), most)?.cast_signed())
}

fn drop_set(mut call: Call<'_>, stage: i32, handle: i32) -> Result<()> {
    let (index, state) = caller(&mut call, stage)?;
    let set = state.stages[index].handles.take_set(place(handle))?;
    if state.tasks.wait_for(set) {
        return Err(Trap::WaitableSetDropHasWaiters.into());
    }
    if state.subtasks.are_in(set) {
        // As wasmtime's table says it.
        return Err(ResourceTableError::HasChildren.into());
    }
    state.pipes.drop_set(set)
}

/// Puts an end or a subtask into a set, or takes it out of the one that it is in.
fn join(mut call: Call<'_>, stage: i32, handle: i32, set: i32) -> Result<()> {
    let (index, state) = caller(&mut call, stage)?;
    let handles = &mut state.stages[index].handles;
    handles.waitable(place(handle))?;
    let set = if set == 0 { None } else { Some(handles.set(place(set))?) };
    match handles.waitable(place(handle))? {
        Waitable::End(end) => state.pipes.join(end.pipe, end.side, set),
        Waitable::Subtask(number) => {
            let subtask = state.subtasks.get(number)?;
            (subtask.set, subtask.told_at) = (set, state.pipes.moment());
            Ok(())
        }
    }
}

/// What a set has to tell: the kind of event, and where the guest wants it the handle and the code.
fn poll(mut call: Call<'_>, stage: i32, set: i32, at: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let set = state.stages[index].handles.set(place(set))?;
    look(call.as_context_mut(), Some(index)).map_err(|(_, error)| error)?;
    let (ordinal, handle, code) = next_event(call.as_context_mut(), index, set)?;
    let (mut bytes, _) = memory(&mut call, index)?;
    let at = bytes.place(place(at), 8, 4)?;
    bytes.put_word(at, handle)?;
    bytes.put_word(at + 4, code)?;
    Ok(ordinal)
}

/// The next event of a set, as a stage is told it: its kind, which is 0 for none, the handle and the code.
pub fn next_event(mut store: StoreContextMut<'_, State>, stage: usize, set: u32) -> Result<(i32, u32, u32)> {
    let state = store.data_mut();
    if let Some((handle, status)) = state.subtasks.take_event(set) {
        return Ok((1, handle, status as u32));
    }
    let Some((id, side, handle, event)) = state.pipes.take_event(set) else { return Ok((0, 0, 0)) };
    deliver(state, stage, id, side, event)?;
    let ordinal = match (state.pipes.get(id)?.kind, side) {
        (Kind::Bytes | Kind::Units, Side::Read) => 2,
        (Kind::Bytes | Kind::Units, Side::Write) => 3,
        (_, Side::Read) => 4,
        (_, Side::Write) => 5,
    };
    Ok((ordinal, handle, event.outcome.code()))
}
