//! What a stage has handles of.
//!
//! Numbers are given out as wasmtime gives them: from 1 on, and the last one that was freed comes first.

use super::disagreement::Disagreement;
use super::message::{Request, Response};
use wasmtime::bail;
use wasmtime_wasi_http::FieldMap;

/// The most handles of one stage, as wasmtime has it.
const MAX_HANDLE: u32 = 1 << 28;

/// What a handle is of. Each is the stage's own: a borrow that is lent to the host ends with the call.
pub enum Entry {
    Request(Box<Request>),
    Response(Box<Response>),
    Fields(Box<FieldMap>),
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
resource!(Request: Request, Response: Response, FieldMap: Fields);

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
                *slot = Slot::Taken(resource.entry());
            }
            None => {
                self.next = place + 1;
                self.slots.push(Slot::Taken(resource.entry()));
            }
        }
        self.live += 1;
        Ok(place + 1)
    }

    /// What `handle` is of, as its kind.
    pub fn get<R: Resource>(&mut self, handle: u32) -> wasmtime::Result<&mut R> {
        match self.slot(handle)? {
            Slot::Taken(entry) => R::seen(entry).ok_or_else(|| wrong_type(handle)),
            Slot::Free(_) => bail!("unknown handle index {handle}"),
        }
    }

    /// Takes out what `handle` is of.
    pub fn take<R: Resource>(&mut self, handle: u32) -> wasmtime::Result<Box<R>> {
        self.get::<R>(handle)?;
        let next = self.next;
        let slot = std::mem::replace(self.slot(handle)?, Slot::Free(next));
        self.next = handle - 1;
        self.live -= 1;
        match slot {
            Slot::Taken(entry) => {
                R::of(entry).map_err(|_| Disagreement("a handle changed while it was taken").into())
            }
            Slot::Free(_) => Err(Disagreement("a handle was gone while it was taken").into()),
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
