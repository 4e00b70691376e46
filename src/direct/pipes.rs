//! Streams and futures: where each end is, and what waits in it.
//!
//! A *pipe* is one of them. Its ends are with stages, as handles, or with the host, which reads and writes bodies,
//! trailers and receipts. Stages have no way to a pipe but by a handle of their own. What can happen to it is what
//! wasmtime lets happen (`concurrent/futures_and_streams.rs`), with the same codes and traps.

use super::disagreement::Disagreement;
use super::flow::{Behind, Pieces};
use super::receipt::{Receipt, Teller};
use super::source::{Source, Trailers};
use super::value::Value;
use std::mem;
use std::task::Waker;
use wasmtime::component::ResourceTableError;
use wasmtime::{Result, bail};

/// What goes through a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `stream<u8>`
    Bytes,
    /// `stream`, whose items are nothing: tasks of a stage wake each other by it.
    Units,
    /// `future<result<option<trailers>, error-code>>`
    Trailers,
    /// `future<result<_, error-code>>`
    Receipt,
}

/// An end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Read,
    Write,
}

/// What a stage is told of a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Blocked,
    Completed(u32),
    Dropped(u32),
    Cancelled(u32),
}

impl Outcome {
    /// As the canonical ABI packs it.
    pub fn code(self) -> u32 {
        match self {
            Self::Blocked => u32::MAX,
            Self::Completed(count) => count << 4,
            Self::Dropped(count) => count << 4 | 1,
            Self::Cancelled(count) => count << 4 | 2,
        }
    }
}

/// The place of a pipe.
pub type PipeId = usize;

/// When something came, among all that comes in a store: turns are taken in that order.
pub type Moment = u64;

/// Memory of a stage that a read or a write names, and the handle that it used.
#[derive(Clone, Copy)]
pub struct Buffer {
    pub stage: usize,
    pub handle: u32,
    pub at: usize,
    pub count: u32,
}

pub enum Writer {
    Open,
    Waits(Buffer),
    Gone,
    Host(Producer),
}

pub enum Reader {
    Open,
    Waits(Buffer),
    /// It waited, and this is for it: it is written into its stage's memory when that next asks.
    Given(Buffer, Box<Value>),
    Gone,
    Host(Consumer),
}

/// What the host writes.
pub enum Producer {
    /// No bytes.
    Empty,
    Source(Source),
    Trailers(Trailers),
    Receipt(Receipt),
}

/// What the host does with what a stage writes.
pub enum Consumer {
    Pieces(Pieces),
    Behind(Behind),
    /// The receipt of a body that no stage may ask for has no teller.
    Teller(Option<Teller>),
}

/// What a stage is to learn of an end.
#[derive(Clone, Copy)]
pub struct Event {
    pub outcome: Outcome,
    /// Whether a read or a write ends with it.
    pub ends: bool,
}

/// An end, as sets see it.
#[derive(Default)]
pub struct Tail {
    pub event: Option<Event>,
    /// When there was something to learn in its set.
    pub at: Moment,
    /// The set that it is in.
    pub set: Option<u32>,
    /// The handle of it, if a stage has it.
    pub handle: Option<u32>,
    /// What is under way with it is to end early, of which the host has not heard yet.
    pub ends_early: bool,
}

pub struct Pipe {
    pub kind: Kind,
    pub writer: Writer,
    pub reader: Reader,
    /// The value of a future went through.
    pub done: bool,
    tails: [Tail; 2],
}

impl Consumer {
    /// Whether a piece waits for its reader.
    pub fn has_waiting(&self) -> bool {
        matches!(self, Self::Pieces(pieces) if pieces.has_waiting())
    }
}

impl Kind {
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Bytes | Self::Units)
    }

    /// Bytes of one item.
    pub fn size(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Units => 0,
            Self::Trailers | Self::Receipt => 40,
        }
    }
}

impl Pipe {
    /// What it keeps beside itself, in bytes.
    pub fn size(&self) -> usize {
        let produced = match &self.writer {
            Writer::Host(Producer::Receipt(receipt)) => receipt.size(),
            Writer::Host(Producer::Trailers(trailers)) => trailers.size(),
            _ => 0,
        };
        let given = match &self.reader {
            Reader::Given(_, value) => value.size(),
            _ => 0,
        };
        produced + given
    }

    pub fn tail(&mut self, side: Side) -> &mut Tail {
        &mut self.tails[side as usize]
    }

    /// Whether what a stage does at this end is in the host's hands: where the host has given its value, it is not any more.
    pub fn waits_for_host(&self, side: Side) -> bool {
        match side {
            Side::Read => matches!((&self.writer, &self.reader), (Writer::Host(_), Reader::Waits(_))),
            Side::Write => matches!((&self.writer, &self.reader), (Writer::Waits(_), Reader::Host(_))),
        }
    }

    /// The outcome of a read or write of `count`.
    pub fn completed(&self, count: u32) -> Outcome {
        Outcome::Completed(if self.kind.is_stream() { count } else { 0 })
    }

    /// The other end is gone. What was told before stays told.
    fn tell_dropped(&mut self, side: Side, ends: bool, at: Moment) {
        let is_stream = self.kind.is_stream();
        let tail = self.tail(side);
        let event = match tail.event {
            Some(event) if !is_stream => event,
            Some(Event { outcome, ends: before }) => {
                let (Outcome::Completed(count) | Outcome::Dropped(count) | Outcome::Cancelled(count)) =
                    outcome
                else {
                    return;
                };
                Event { outcome: Outcome::Dropped(count), ends: before || ends }
            }
            None => Event { outcome: Outcome::Dropped(0), ends },
        };
        tail.tell(event, at);
    }
}

impl Tail {
    /// There is something to learn: since then, if there was nothing before.
    fn tell(&mut self, event: Event, at: Moment) {
        if self.event.replace(event).is_none() {
            self.at = at;
        }
    }
}

/// The pipes and sets of a store.
pub struct Pipes {
    slots: Vec<Option<Pipe>>,
    free: Vec<PipeId>,
    /// Sets that were ever made, and those that are there.
    named: u32,
    sets: usize,
    /// Pipes that the host reads and whose writer may have something for it.
    pub due: Vec<PipeId>,
    /// Entries of tasks.
    pub tasks: usize,
    /// The last moment.
    now: Moment,
    /// The most entries, of which a pipe has three.
    most: usize,
    /// Whom those wake outside of the store who read or write here.
    pub waker: Waker,
}

impl Pipes {
    pub fn new(most: usize, waker: Waker) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            named: 0,
            sets: 0,
            due: Vec::new(),
            tasks: 0,
            now: 0,
            most,
            waker,
        }
    }

    fn taken(&self) -> usize {
        (self.slots.len() - self.free.len()) * 3 + self.sets + self.tasks
    }

    /// Whether half of the entries are taken: by what calls left behind, if none is under way.
    pub fn are_worn(&self) -> bool {
        self.taken() >= self.most / 2
    }

    /// Checks that there is room for so many entries.
    pub fn reserve(&self, entries: usize) -> Result<()> {
        if self.taken() + entries > self.most {
            return Err(ResourceTableError::Full.into());
        }
        Ok(())
    }

    pub fn make(&mut self, kind: Kind, writer: Writer) -> Result<PipeId> {
        self.reserve(3)?;
        let pipe = Pipe { kind, writer, reader: Reader::Open, done: false, tails: Default::default() };
        Ok(match self.free.pop() {
            Some(id) => {
                self.slots[id] = Some(pipe);
                id
            }
            None => {
                self.slots.push(Some(pipe));
                self.slots.len() - 1
            }
        })
    }

    pub fn get(&mut self, id: PipeId) -> Result<&mut Pipe> {
        self.find(id).ok_or_else(|| Disagreement("a handle names no stream or future").into())
    }

    pub fn find(&mut self, id: PipeId) -> Option<&mut Pipe> {
        self.slots.get_mut(id).and_then(Option::as_mut)
    }

    fn delete(&mut self, id: PipeId) {
        if let Some(slot) = self.slots.get_mut(id) {
            *slot = None;
            self.free.push(id);
            self.due.retain(|due| *due != id);
        }
    }

    /// What a stage does at this end is to end early: the host hears of it when a stage next waits.
    pub fn end_early(&mut self, id: PipeId, side: Side) {
        let Some(pipe) = self.find(id) else { return };
        pipe.tail(side).ends_early = true;
        if !self.due.contains(&id) {
            self.due.push(id);
        }
        self.waker.wake_by_ref();
    }

    /// Something comes: later than all before.
    pub fn moment(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    /// An operation of a stage at this end is over.
    pub fn finish(&mut self, id: PipeId, side: Side, outcome: Outcome) -> Result<()> {
        let at = self.moment();
        self.get(id)?.tail(side).tell(Event { outcome, ends: true }, at);
        Ok(())
    }

    /// An end comes into a set, or out of all.
    pub fn join(&mut self, id: PipeId, side: Side, set: Option<u32>) -> Result<()> {
        let at = self.moment();
        let tail = self.get(id)?.tail(side);
        (tail.set, tail.at) = (set, at);
        Ok(())
    }

    /// Everything that there is.
    pub fn all(&self) -> impl Iterator<Item = &Pipe> {
        self.slots.iter().flatten()
    }

    /// The same, to change it.
    pub fn each(&mut self) -> impl Iterator<Item = (PipeId, &mut Pipe)> {
        self.slots.iter_mut().enumerate().filter_map(|(id, slot)| Some((id, slot.as_mut()?)))
    }

    /// The reading end goes.
    pub fn drop_reader(&mut self, id: PipeId) -> Result<()> {
        let at = self.moment();
        let pipe = self.get(id)?;
        *pipe.tail(Side::Read) = Tail::default();
        pipe.reader = Reader::Gone;
        match mem::replace(&mut pipe.writer, Writer::Open) {
            Writer::Waits(_) => pipe.tell_dropped(Side::Write, true, at),
            Writer::Open => pipe.tell_dropped(Side::Write, false, at),
            Writer::Gone | Writer::Host(_) => self.delete(id),
        }
        Ok(())
    }

    /// The writing end of a stage goes, which has nothing to write under way. `told`: it was told that nobody reads it.
    pub fn drop_writer(&mut self, id: PipeId, told: bool) -> Result<()> {
        let at = self.moment();
        let pipe = self.get(id)?;
        if !pipe.kind.is_stream() && !told && !pipe.done {
            bail!("cannot drop future write end without first writing a value");
        }
        *pipe.tail(Side::Write) = Tail::default();
        pipe.writer = Writer::Gone;
        match mem::replace(&mut pipe.reader, Reader::Open) {
            Reader::Waits(_) => pipe.tell_dropped(Side::Read, true, at),
            Reader::Open => pipe.tell_dropped(Side::Read, false, at),
            Reader::Gone | Reader::Host(_) => self.delete(id),
            given @ Reader::Given(..) => pipe.reader = given,
        }
        Ok(())
    }

    /// The host reads what comes, from when a stage next waits.
    pub fn consume(&mut self, id: PipeId, consumer: Consumer) -> Result<()> {
        let pipe = self.get(id)?;
        match pipe.writer {
            Writer::Gone => return self.drop_reader(id),
            Writer::Open => pipe.reader = Reader::Host(consumer),
            Writer::Waits(_) | Writer::Host(_) => {
                pipe.reader = Reader::Host(consumer);
                self.due.push(id);
            }
        }
        Ok(())
    }

    /// The host was the reader of what the host wrote, and both are through.
    pub fn end(&mut self, id: PipeId) {
        self.delete(id);
    }

    /// The body that a stream is, if it is one of the host's that nobody has to read here; the stream is closed then.
    pub fn unwrap(&mut self, id: PipeId) -> Result<Option<Source>> {
        let pipe = self.get(id)?;
        match mem::replace(&mut pipe.writer, Writer::Gone) {
            Writer::Host(Producer::Source(source)) => {
                self.drop_reader(id)?;
                Ok(Some(source))
            }
            writer => {
                pipe.writer = writer;
                Ok(None)
            }
        }
    }

    /// The number of a new set.
    pub fn make_set(&mut self) -> Result<u32> {
        self.reserve(1)?;
        self.sets += 1;
        self.named = self.named.wrapping_add(1);
        Ok(self.named)
    }

    pub fn drop_set(&mut self, set: u32) -> Result<()> {
        let is_in = |tail: &Tail| tail.set == Some(set);
        if self.all().any(|pipe| pipe.tails.iter().any(is_in)) {
            // As wasmtime's table says it.
            return Err(ResourceTableError::HasChildren.into());
        }
        self.sets = self.sets.saturating_sub(1);
        Ok(())
    }

    /// The sets that have something to tell, and since when.
    pub fn ready(&self) -> impl Iterator<Item = (u32, Moment)> {
        self.all()
            .flat_map(|pipe| &pipe.tails)
            .filter(|tail| tail.event.is_some())
            .filter_map(|tail| Some((tail.set?, tail.at)))
    }

    /// What there is in a set: the pipe, its end, the handle, and what to tell.
    pub fn take_event(&mut self, set: u32) -> Option<(PipeId, Side, u32, Event)> {
        self.each().find_map(|(id, pipe)| {
            [Side::Write, Side::Read].into_iter().find_map(|side| {
                let tail = pipe.tail(side);
                let event = tail.event.filter(|_| tail.set == Some(set))?;
                tail.event = None;
                Some((id, side, tail.handle.unwrap_or(0), event))
            })
        })
    }
}
