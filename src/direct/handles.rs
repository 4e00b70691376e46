//! What a stage has handles of.
//!
//! Numbers are given out as wasmtime gives them: from 1 on, and the last one that was freed comes first.

use super::disagreement::Disagreement;
use super::message::{Options, Request, Response};
use super::origins::SubtaskId;
use super::pipes::{Kind, PipeId, Side};
use wasmtime::bail;
use wasmtime_wasi_http::FieldMap;

/// The most handles of one stage, as wasmtime has it.
const MAX_HANDLE: u32 = 1 << 28;

/// What a handle is of. Each is the stage's own: a borrow that is lent to the host ends with the call.
pub enum Entry {
    Request(Box<Request>),
    Response(Box<Response>),
    Fields(Box<FieldMap>),
    Options(Box<Options>),
    /// An end of a stream or a future.
    End(End),
    /// A set of what has events, by its number.
    Set(u32),
    /// A call that the stage made and did not wait for.
    Subtask(SubtaskId),
}

/// An end that a stage has.
#[derive(Clone, Copy)]
pub struct End {
    pub pipe: PipeId,
    pub kind: Kind,
    pub side: Side,
    pub state: Use,
}

/// What can be in a set.
pub enum Waitable<'h> {
    End(&'h mut End),
    Subtask(SubtaskId),
}

/// What a stage does with an end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Nothing. `done`: it was told that the other end is gone.
    Idle { done: bool },
    /// A read or a write.
    Busy,
}

/// Something that a handle can be of.
pub trait Resource: Sized {
    fn entry(self: Box<Self>) -> Entry;
    fn of(entry: Entry) -> Result<Box<Self>, Entry>;
    fn seen(entry: &mut Entry) -> Option<&mut Self>;
}

macro_rules! resource {
    ($($ty:ty: $case:ident),+) => {$(
        impl Resource for $ty {
            fn entry(self: Box<Self>) -> Entry {
                Entry::$case(self)
            }

            fn of(entry: Entry) -> Result<Box<Self>, Entry> {
                match entry {
                    Entry::$case(it) => Ok(it),
                    other => Err(other),
                }
            }

            fn seen(entry: &mut Entry) -> Option<&mut Self> {
                match entry {
                    Entry::$case(it) => Some(it),
                    _ => None,
                }
            }
        }
    )+};
}
resource!(Request: Request, Response: Response, FieldMap: Fields, Options: Options);

enum Slot {
    Free(u32),
    Taken(Entry),
}

/// One stage's handles.
#[derive(Default)]
pub struct Handles {
    slots: Vec<Slot>,
    /// The place that is given out next.
    next: u32,
    live: usize,
}

impl Handles {
    pub fn push<R: Resource>(&mut self, resource: Box<R>, most: usize) -> wasmtime::Result<u32> {
        self.insert(resource.entry(), most)
    }

    pub fn insert(&mut self, entry: Entry, most: usize) -> wasmtime::Result<u32> {
        if self.next + 1 >= MAX_HANDLE || self.live >= most {
            bail!("cannot allocate another handle: store handle limit exceeded");
        }
        let place = self.next;
        match self.slots.get_mut(place as usize) {
            Some(slot) => {
                let Slot::Free(next) = *slot else {
                    return Err(Disagreement("a free handle is taken").into());
                };
                self.next = next;
                *slot = Slot::Taken(entry);
            }
            None => {
                self.next = place + 1;
                self.slots.push(Slot::Taken(entry));
            }
        }
        self.live += 1;
        Ok(place + 1)
    }

    /// What `handle` is of, as its kind.
    pub fn get<R: Resource>(&mut self, handle: u32) -> wasmtime::Result<&mut R> {
        R::seen(self.entry(handle)?).ok_or_else(|| wrong_type(handle))
    }

    /// Takes out what `handle` is of.
    pub fn take<R: Resource>(&mut self, handle: u32) -> wasmtime::Result<Box<R>> {
        self.get::<R>(handle)?;
        let entry = self.remove(handle)?;
        R::of(entry).map_err(|_| Disagreement("a handle changed while it was taken").into())
    }

    fn remove(&mut self, handle: u32) -> wasmtime::Result<Entry> {
        let next = self.next;
        let slot = std::mem::replace(self.slot(handle)?, Slot::Free(next));
        self.next = handle - 1;
        self.live -= 1;
        match slot {
            Slot::Taken(entry) => Ok(entry),
            Slot::Free(_) => Err(Disagreement("a handle was gone while it was taken").into()),
        }
    }

    /// The end that `handle` is of, of a stream or future of this kind.
    pub fn end(&mut self, handle: u32, kind: Kind) -> wasmtime::Result<&mut End> {
        match self.entry(handle)? {
            Entry::End(end) if end.kind == kind => Ok(end),
            _ => bail!("handle is not a stream or future of this type"),
        }
    }

    /// The end that `handle` is of, whatever goes through it.
    pub fn any_end(&mut self, handle: u32) -> wasmtime::Result<&mut End> {
        match self.waitable(handle)? {
            Waitable::End(end) => Ok(end),
            Waitable::Subtask(_) => bail!("handle is not a stream or future"),
        }
    }

    /// What `handle` is of, if that can be in a set.
    pub fn waitable(&mut self, handle: u32) -> wasmtime::Result<Waitable<'_>> {
        match self.entry(handle)? {
            Entry::End(end) => Ok(Waitable::End(end)),
            Entry::Subtask(number) => Ok(Waitable::Subtask(*number)),
            _ => bail!("handle is not a waitable"),
        }
    }

    /// The subtask that `handle` is of.
    pub fn subtask(&mut self, handle: u32) -> wasmtime::Result<SubtaskId> {
        match self.entry(handle)? {
            Entry::Subtask(number) => Ok(*number),
            _ => bail!("handle is not a subtask"),
        }
    }

    /// Takes it out.
    pub fn take_subtask(&mut self, handle: u32) -> wasmtime::Result<SubtaskId> {
        let number = self.subtask(handle)?;
        self.remove(handle)?;
        Ok(number)
    }

    /// Takes out an end of this side with which nothing is under way.
    pub fn take_end(&mut self, handle: u32, kind: Kind, side: Side) -> wasmtime::Result<End> {
        let end = *self.end(handle, kind)?;
        if end.side != side {
            bail!("handle is the other end of a stream or future");
        }
        if end.state == Use::Busy {
            bail!("cannot remove busy stream or future");
        }
        self.remove(handle)?;
        Ok(end)
    }

    /// The set that `handle` is of.
    pub fn set(&mut self, handle: u32) -> wasmtime::Result<u32> {
        match self.entry(handle)? {
            Entry::Set(set) => Ok(*set),
            _ => bail!("handle is not a waitable-set"),
        }
    }

    /// Takes it out.
    pub fn take_set(&mut self, handle: u32) -> wasmtime::Result<u32> {
        let set = self.set(handle)?;
        self.remove(handle)?;
        Ok(set)
    }

    fn entry(&mut self, handle: u32) -> wasmtime::Result<&mut Entry> {
        match self.slot(handle)? {
            Slot::Taken(entry) => Ok(entry),
            Slot::Free(_) => bail!("unknown handle index {handle}"),
        }
    }

    fn slot(&mut self, handle: u32) -> wasmtime::Result<&mut Slot> {
        let slot = handle.checked_sub(1).and_then(|place| self.slots.get_mut(place as usize));
        slot.ok_or_else(|| wasmtime::format_err!("unknown handle index {handle}"))
    }

    /// All that there is.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken(entry) => Some(entry),
            Slot::Free(_) => None,
        })
    }
}

fn wrong_type(handle: u32) -> wasmtime::Error {
    wasmtime::format_err!("handle index {handle} used with the wrong type")
}
