//! What goes through streams and futures, from one memory into another, or to and from the host.
//!
//! A read and a write that meet are over at once. What the host reads or writes of a stage that did not wait for it is
//! done when a stage waits for somebody outside, or after its call ([`settle`]); it learns of that when it next asks
//! ([`look`]).

use super::abi::{Bytes, Code};
use super::call::memory;
use super::disagreement::Disagreement;
use super::flow::Written;
use super::handles::Use;
use super::pipes::{Buffer, Consumer, Event, Kind, Outcome, PipeId, Producer, Reader, Side, Writer};
use super::source::Produced;
use super::state::State;
use super::value::Value;
use crate::host::OUTGOING_CHUNK;
use http::HeaderMap;
use std::mem;
use wasmtime::{AsContextMut as _, Result, StoreContextMut, bail};
use wasmtime_wasi_http::{Error, FieldMap};

type Store<'c> = StoreContextMut<'c, State>;

/// Reads the value of a future that a stage writes.
fn lift(store: Store<'_>, kind: Kind, from: Buffer) -> Result<Box<Value>> {
    let (bytes, state) = memory(store, from.stage)?;
    if !from.at.is_multiple_of(8) {
        bail!("write pointer not aligned");
    }
    bytes.get(from.at, kind.size())?;
    let value = match (bytes.byte(from.at)?, kind) {
        (0, Kind::Receipt) => Value::Receipt(Ok(())),
        (0, Kind::Trailers) if bytes.some(from.at + 8)? => {
            let handle = bytes.word(from.at + 12)?;
            Value::Trailers(Ok(Some(state.stages[from.stage].handles.take::<FieldMap>(handle)?)))
        }
        (0, Kind::Trailers) => Value::Trailers(Ok(None)),
        (1, Kind::Receipt) => Value::Receipt(Err(Code::lift(&bytes, from.at + 8)?)),
        (1, Kind::Trailers) => Value::Trailers(Err(Code::lift(&bytes, from.at + 8)?)),
        (_, Kind::Bytes | Kind::Units) => return Err(Disagreement("a stream has no one value").into()),
        _ => bail!("unexpected discriminant"),
    };
    state.keep(value.size())?;
    Ok(Box::new(value))
}

/// Writes the value of a future that a stage reads; its text is what is pending then.
fn lower(store: Store<'_>, to: Buffer, value: Value) -> Result<()> {
    let (mut bytes, state) = memory(store, to.stage)?;
    check_place(&bytes, to)?;
    let code = match value {
        Value::Receipt(Ok(())) => return bytes.put(to.at, &[0]),
        Value::Trailers(Ok(trailers)) => {
            bytes.put(to.at, &[0])?;
            bytes.put(to.at + 8, &[u8::from(trailers.is_some())])?;
            let Some(trailers) = trailers else { return Ok(()) };
            let handle = state.push(to.stage, trailers)?;
            return bytes.put_word(to.at + 12, handle);
        }
        Value::Receipt(Err(code)) | Value::Trailers(Err(code)) => code,
    };
    state.keep(code.size())?;
    bytes.put(to.at, &[1])?;
    code.lower(&mut bytes, to.at + 8, &mut state.stages[to.stage].pending)
}

fn check_place(bytes: &Bytes<'_>, to: Buffer) -> Result<()> {
    if !to.at.is_multiple_of(8) {
        bail!("read pointer not aligned");
    }
    bytes.get(to.at, 40).map(drop)
}

/// Copies `count` items from one stage to another, or within one. The host has at most one chunk of them meanwhile.
fn copy(mut store: Store<'_>, kind: Kind, (from, to): (Buffer, Buffer), count: u32) -> Result<()> {
    let count = count as usize * kind.size();
    if count == 0 {
        return Ok(());
    }
    memory(store.as_context_mut(), to.stage)?.0.get(to.at, count)?;
    let (bytes, _) = memory(store.as_context_mut(), from.stage)?;
    bytes.get(from.at, count)?;
    if from.stage == to.stage {
        bytes.0.copy_within(from.at..from.at + count, to.at);
        return Ok(());
    }
    for start in (0..count).step_by(OUTGOING_CHUNK) {
        let length = OUTGOING_CHUNK.min(count - start);
        let (bytes, _) = memory(store.as_context_mut(), from.stage)?;
        let chunk = bytes.get(from.at + start, length)?.to_vec();
        let (mut bytes, _) = memory(store.as_context_mut(), to.stage)?;
        bytes.put(to.at + start, &chunk)?;
    }
    Ok(())
}

fn check_stages(pipe: Kind, from: Buffer, to: Buffer) -> Result<()> {
    if from.stage == to.stage && !pipe.is_stream() {
        bail!("cannot read from and write to intra-component future/stream with non-numeric payload");
    }
    Ok(())
}

/// What `buffer` is after `count` bytes of it.
fn behind(buffer: Buffer, count: u32) -> Buffer {
    Buffer { at: buffer.at + count as usize, count: buffer.count - count, ..buffer }
}

/// A write meets a read that waits.
pub fn meet_reader(mut store: Store<'_>, id: PipeId, from: Buffer, to: Buffer) -> Result<Outcome> {
    let kind = store.data_mut().pipes.get(id)?.kind;
    check_stages(kind, from, to)?;
    if !kind.is_stream() {
        let value = lift(store.as_context_mut(), kind, from)?;
        check_place(&memory(store.as_context_mut(), to.stage)?.0, to)?;
        let pipe = store.data_mut().pipes.get(id)?;
        pipe.done = true;
        pipe.reader = Reader::Given(to, value);
        return Ok(Outcome::Completed(0));
    }
    let count = from.count.min(to.count);
    copy(store.as_context_mut(), kind, (from, to), count)?;
    let pipe = store.data_mut().pipes.get(id)?;
    let more = from.count < to.count || (count == 0 && to.count == 0);
    pipe.reader = if more { Reader::Waits(behind(to, count)) } else { Reader::Open };
    if from.count > 0 {
        let total = count + told(pipe.tail(Side::Read).event);
        store.data_mut().pipes.finish(id, Side::Read, Outcome::Completed(total))?;
    }
    if from.count == 0 || to.count > 0 {
        return Ok(Outcome::Completed(count));
    }
    store.data_mut().pipes.get(id)?.writer = Writer::Waits(from);
    Ok(Outcome::Blocked)
}

/// A read meets a write that waits.
pub fn meet_writer(mut store: Store<'_>, id: PipeId, from: Buffer, to: Buffer) -> Result<Outcome> {
    let kind = store.data_mut().pipes.get(id)?.kind;
    check_stages(kind, from, to)?;
    let count = from.count.min(to.count);
    if kind.is_stream() {
        copy(store.as_context_mut(), kind, (from, to), count)?;
    } else {
        store.data_mut().pipes.get(id)?.done = true;
        let value = lift(store.as_context_mut(), kind, from)?;
        lower(store.as_context_mut(), to, *value)?;
    }
    let pipe = store.data_mut().pipes.get(id)?;
    pipe.writer = if to.count < from.count { Writer::Waits(behind(from, count)) } else { Writer::Open };
    if from.count == 0 || to.count > 0 {
        let total = count + told(pipe.tail(Side::Write).event);
        let outcome = pipe.completed(total);
        store.data_mut().pipes.finish(id, Side::Write, outcome)?;
    }
    let pipe = store.data_mut().pipes.get(id)?;
    if from.count > 0 {
        return Ok(pipe.completed(count));
    }
    pipe.reader = Reader::Waits(to);
    Ok(Outcome::Blocked)
}

/// Bytes that an event told of before.
fn told(event: Option<Event>) -> u32 {
    match event {
        Some(Event { outcome: Outcome::Completed(count), .. }) => count,
        _ => 0,
    }
}

/// The host reads what a stage writes.
pub fn consume(mut store: Store<'_>, id: PipeId, from: Buffer) -> Result<Outcome> {
    let pipe = store.data_mut().pipes.get(id)?;
    pipe.writer = Writer::Open;
    let kind = pipe.kind;
    let Reader::Host(consumer) = mem::replace(&mut pipe.reader, Reader::Gone) else {
        return Err(Disagreement("the host reads no more").into());
    };
    if let Consumer::Pieces(mut pieces) = consumer {
        let (bytes, state) = memory(store, from.stage)?;
        let written = pieces.write(bytes.get(from.at, from.count as usize)?);
        let pipe = state.pipes.get(id)?;
        let outcome = match written {
            Written::Taken(count) => Outcome::Completed(count),
            Written::Waits => Outcome::Blocked,
            Written::Dropped => return Ok(Outcome::Dropped(0)),
        };
        if outcome == Outcome::Blocked {
            pipe.writer = Writer::Waits(from);
        }
        pipe.reader = Reader::Host(Consumer::Pieces(pieces));
        return Ok(outcome);
    }
    pipe.done = true;
    let value = lift(store.as_context_mut(), kind, from)?;
    match (consumer, *value) {
        (Consumer::Behind(behind), Value::Trailers(trailers)) => {
            behind.put(trailers.map(|trailers| trailers.map(|trailers| *trailers)));
        }
        (Consumer::Teller(teller), Value::Receipt(mut told)) => {
            if let Some(teller) = teller {
                if let Err(code) = &mut told {
                    store.data().cut(code);
                }
                teller.tell(told);
            }
        }
        _ => return Err(Disagreement("the host reads another value").into()),
    }
    Ok(Outcome::Completed(0))
}

/// The host writes what a stage reads: bytes that are there at once, and anything else when a stage next waits.
pub fn produce(mut store: Store<'_>, id: PipeId, to: Buffer) -> Result<Outcome> {
    let pipes = &mut store.data_mut().pipes;
    let waker = pipes.waker.clone();
    let pipe = pipes.get(id)?;
    pipe.reader = Reader::Open;
    let bytes = match &mut pipe.writer {
        Writer::Host(Producer::Source(source)) => match source.produce(to.count as usize, &waker) {
            Produced::Bytes(bytes) => Some(bytes),
            Produced::Nothing => None,
            Produced::End => {
                pipe.writer = Writer::Gone;
                return Ok(Outcome::Dropped(0));
            }
        },
        Writer::Host(Producer::Empty) => {
            pipe.writer = Writer::Gone;
            return Ok(Outcome::Dropped(0));
        }
        _ => None,
    };
    let Some(bytes) = bytes else {
        pipe.reader = Reader::Waits(to);
        pipes.due.push(id);
        return Ok(Outcome::Blocked);
    };
    if !bytes.is_empty() {
        memory(store, to.stage)?.0.put(to.at, &bytes)?;
    }
    Ok(Outcome::Completed(u32::try_from(bytes.len()).unwrap_or(u32::MAX)))
}

/// The value of a future that the host has for a stage, once it is there.
fn value_of(state: &mut State, id: PipeId) -> Result<Option<Value>> {
    let waker = state.pipes.waker.clone();
    let pipe = state.pipes.get(id)?;
    let value = match &pipe.writer {
        Writer::Host(Producer::Receipt(receipt)) => receipt.take(&waker).map(Value::Receipt),
        Writer::Host(Producer::Trailers(trailers)) => {
            let behind = trailers.take(&waker);
            behind.map(|behind| trailers_of(state, behind))
        }
        _ => None,
    };
    if value.is_some() {
        state.pipes.get(id)?.done = true;
    }
    Ok(value)
}

/// The host writes for a stage that waits, if there is something.
fn give(mut store: Store<'_>, id: PipeId, to: Buffer) -> Result<()> {
    if store.data_mut().pipes.get(id)?.kind.is_stream() {
        let outcome = produce(store.as_context_mut(), id, to)?;
        if outcome != Outcome::Blocked {
            store.data_mut().pipes.finish(id, Side::Read, outcome)?;
        }
        return Ok(());
    }
    match value_of(store.data_mut(), id)? {
        Some(value) => store.data_mut().pipes.get(id)?.reader = Reader::Given(to, Box::new(value)),
        None => store.data_mut().pipes.due.push(id),
    }
    Ok(())
}

fn trailers_of(state: &mut State, behind: std::result::Result<Option<HeaderMap>, Error>) -> Value {
    let hooks = state.host.http().hooks;
    let trailers = behind.map(|trailers| trailers.map(|map| Box::new(FieldMap::new_immutable(hooks, map))));
    Value::Trailers(trailers.map_err(Code::from))
}

/// The host reads what waits for it, as it does whenever stages wait.
///
/// # Errors
/// A stage whose value breaks a rule, and which one.
pub fn settle(mut store: Store<'_>) -> std::result::Result<(), (Option<usize>, wasmtime::Error)> {
    for id in mem::take(&mut store.data_mut().pipes.due) {
        let pipe = store.data_mut().pipes.get(id).map_err(|error| (None, error))?;
        match (&pipe.writer, &pipe.reader) {
            (&Writer::Waits(from), Reader::Host(consumer)) if !consumer.has_waiting() => {
                take(store.as_context_mut(), id, from).map_err(|error| (Some(from.stage), error))?;
            }
            (Writer::Host(_), &Reader::Waits(to)) => {
                give(store.as_context_mut(), id, to).map_err(|error| (Some(to.stage), error))?;
            }
            (Writer::Host(_), Reader::Host(_)) => {
                forward(store.data_mut(), id).map_err(|error| (None, error))?;
            }
            _ => {}
        }
        end_early(store.as_context_mut(), id).map_err(|error| (None, error))?;
    }
    Ok(())
}

/// What is still in the host's hands ends, if it is to end early.
fn end_early(mut store: Store<'_>, id: PipeId) -> Result<()> {
    for side in [Side::Write, Side::Read] {
        let Some(pipe) = store.data_mut().pipes.find(id) else { return Ok(()) };
        if !mem::take(&mut pipe.tail(side).ends_early) || !pipe.waits_for_host(side) {
            continue;
        }
        let outcome = match side {
            // A piece that waits for its reader is taken back.
            Side::Write => look_at(store.as_context_mut(), id, true)?,
            Side::Read => {
                pipe.reader = Reader::Open;
                Outcome::Cancelled(0)
            }
        };
        store.data_mut().pipes.finish(id, side, outcome)?;
    }
    Ok(())
}

/// The host reads what a stage has waited with.
fn take(mut store: Store<'_>, id: PipeId, from: Buffer) -> Result<()> {
    let outcome = consume(store.as_context_mut(), id, from)?;
    if outcome != Outcome::Blocked {
        store.data_mut().pipes.finish(id, Side::Write, outcome)?;
    }
    Ok(())
}

/// What the host wrote goes to the host.
fn forward(state: &mut State, id: PipeId) -> Result<()> {
    let waker = state.pipes.waker.clone();
    let pipe = state.pipes.get(id)?;
    let writer = mem::replace(&mut pipe.writer, Writer::Gone);
    let reader = mem::replace(&mut pipe.reader, Reader::Gone);
    match (writer, reader) {
        (Writer::Host(Producer::Trailers(trailers)), Reader::Host(Consumer::Behind(behind))) => {
            match trailers.take(&waker) {
                Some(value) => match trailers_of(state, value) {
                    Value::Trailers(value) => behind.put(value.map(|it| it.map(|it| *it))),
                    Value::Receipt(_) => {}
                },
                None => return wait(state, id, Producer::Trailers(trailers), Consumer::Behind(behind)),
            }
        }
        (Writer::Host(Producer::Receipt(receipt)), Reader::Host(Consumer::Teller(teller))) => {
            match (receipt.take(&waker), teller) {
                (Some(told), Some(teller)) => teller.tell(told),
                (Some(_), None) => {}
                (None, teller) => {
                    return wait(state, id, Producer::Receipt(receipt), Consumer::Teller(teller));
                }
            }
        }
        // A stream of the host that nobody reads here is a body of no bytes.
        _ => {}
    }
    state.pipes.end(id);
    Ok(())
}

fn wait(state: &mut State, id: PipeId, producer: Producer, consumer: Consumer) -> Result<()> {
    let pipe = state.pipes.get(id)?;
    (pipe.writer, pipe.reader) = (Writer::Host(producer), Reader::Host(consumer));
    state.pipes.due.push(id);
    Ok(())
}

/// Looks what came of the reads and writes that a stage began and that the host had to wait with; without a stage, of those
/// of all whose tasks may have a turn.
///
/// # Errors
/// A stage whose value breaks a rule, and which one.
pub fn look(
    mut store: Store<'_>,
    stage: Option<usize>,
) -> std::result::Result<(), (Option<usize>, wasmtime::Error)> {
    let State { pipes, tasks, .. } = store.data_mut();
    let is_of = |buffer: &Buffer| {
        let may_run = || tasks.are_of(buffer.stage) && tasks.may_run(buffer.stage);
        stage.map_or_else(may_run, |stage| stage == buffer.stage).then_some(buffer.stage)
    };
    let waiting: Vec<_> = pipes
        .each()
        .filter_map(|(id, pipe)| match (&pipe.writer, &pipe.reader) {
            (_, Reader::Given(to, _)) => Some((id, Side::Read, is_of(to)?)),
            (Writer::Waits(from), Reader::Host(Consumer::Pieces(pieces))) if pieces.has_waiting() => {
                Some((id, Side::Write, is_of(from)?))
            }
            _ => None,
        })
        .collect();
    for (id, side, stage) in waiting {
        let looked = look_at(store.as_context_mut(), id, false).and_then(|outcome| {
            if outcome != Outcome::Blocked {
                store.data_mut().pipes.finish(id, side, outcome)?;
            }
            Ok(())
        });
        looked.map_err(|error| (Some(stage), error))?;
    }
    Ok(())
}

/// Checks the places of values that stages did not ask for in the call that is over.
///
/// # Errors
/// A stage that named one which is none, and which one.
pub fn check(mut store: Store<'_>) -> std::result::Result<(), (Option<usize>, wasmtime::Error)> {
    let given = store.data().pipes.all().filter_map(|pipe| match &pipe.reader {
        Reader::Given(to, _) => Some(*to),
        _ => None,
    });
    for to in given.collect::<Vec<_>>() {
        memory(store.as_context_mut(), to.stage)
            .and_then(|(bytes, _)| check_place(&bytes, to))
            .map_err(|error| (Some(to.stage), error))?;
    }
    Ok(())
}

/// What came of a read or a write that began before. With `cancel`, it ends in any case.
pub fn look_at(mut store: Store<'_>, id: PipeId, cancel: bool) -> Result<Outcome> {
    let pipe = store.data_mut().pipes.get(id)?;
    match (&mut pipe.writer, &mut pipe.reader) {
        (_, Reader::Given(..)) => {
            if let Reader::Given(to, value) = mem::replace(&mut pipe.reader, Reader::Open) {
                lower(store, to, *value)?;
            }
            Ok(Outcome::Completed(0))
        }
        (Writer::Host(_), &mut Reader::Waits(to)) if pipe.kind.is_stream() => produce(store, id, to),
        (Writer::Host(_), &mut Reader::Waits(to)) => match value_of(store.data_mut(), id)? {
            Some(value) => {
                store.data_mut().pipes.get(id)?.reader = Reader::Open;
                lower(store, to, value)?;
                Ok(Outcome::Completed(0))
            }
            None => Ok(Outcome::Blocked),
        },
        (&mut Writer::Waits(from), Reader::Host(Consumer::Pieces(pieces))) => {
            if !pieces.has_waiting() {
                return consume(store, id, from);
            }
            let outcome = match pieces.look(cancel) {
                Some(Written::Taken(count)) => Outcome::Completed(count),
                Some(Written::Dropped) => Outcome::Dropped(0),
                Some(Written::Waits) => Outcome::Cancelled(0),
                None => return Ok(Outcome::Blocked),
            };
            pipe.writer = Writer::Open;
            if outcome == Outcome::Dropped(0) {
                pipe.reader = Reader::Gone;
            }
            Ok(outcome)
        }
        (&mut Writer::Waits(from), Reader::Host(_)) => consume(store, id, from),
        _ => Ok(Outcome::Blocked),
    }
}

/// Tells a stage what came of an operation at an end, which it may use again.
pub fn deliver(state: &mut State, stage: usize, id: PipeId, side: Side, event: Event) -> Result<()> {
    let pipe = state.pipes.get(id)?;
    let Some(handle) = pipe.tail(side).handle.filter(|_| event.ends) else { return Ok(()) };
    match side {
        _ if !pipe.kind.is_stream() => {}
        Side::Read => pipe.reader = Reader::Open,
        Side::Write if matches!(pipe.writer, Writer::Waits(_)) => pipe.writer = Writer::Open,
        Side::Write => {}
    }
    let done = matches!(event.outcome, Outcome::Dropped(_));
    state.stages[stage].handles.any_end(handle)?.state = Use::Idle { done };
    Ok(())
}
