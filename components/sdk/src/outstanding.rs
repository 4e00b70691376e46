//! Writes that were started and whose reader has not come yet.
//!
//! A sync-lifted function returns its answer and is gone: no task is left that
//! could wait for the reader of a body or of trailers. The canonical ABI does
//! not need one. A write in progress belongs to the component instance; the
//! reader takes the bytes from its memory whenever it comes. What remains to be
//! done is to keep those bytes where they are, and to drop the writing end once
//! the write is over, which [`reclaim`] does when the instance is next entered.
//!
//! Bounds: [`MAX_OUTSTANDING`] writes per instance. Beyond it the answer fails
//! with `internal-error`; nothing that a client still reads is cut short. In
//! practice an instance has two, those of its last answer.
//!
//! A reader sees the end of such a stream only when the instance is entered
//! again, so a body written here always announces its `content-length`. And the
//! host has to keep the instance until the body was read, as linkspan does;
//! one that recycles an instance as soon as its tasks are over (`wasmtime
//! serve`, each 128 requests) cuts the body short. So the sync form writes
//! bodies where that is the exception, for refusals; what always answers with
//! a body of its own is better async.

use crate::bindings::wasi::http::types::Trailers;
use crate::bindings::{wit_future::FuturePayload, wit_stream::StreamPayload};
use crate::error::{Error, internal};
use std::borrow::Cow;
use std::cell::RefCell;
use wit_bindgen::{FutureReader, StreamReader};

/// Writes that one instance may have unread at once.
const MAX_OUTSTANDING: usize = 256;

/// What the canonical ABI answers to an operation that has to wait.
const BLOCKED: u32 = u32::MAX;

/// No event is pending in a waitable set.
const EVENT_NONE: u32 = 0;

/// `ok(_)`, and `ok(none)`, in the canonical ABI: both discriminants are 0, and
/// no payload is read. Larger than any `result<_, error-code>`.
#[repr(align(8))]
struct Zeros([u8; 128]);
static OK: Zeros = Zeros([0; 128]);

#[derive(Default)]
struct Outstanding {
    /// The instance's waitable set, made at the first write that waits.
    set: Option<u32>,
    writes: Vec<Write>,
}

struct Write {
    handle: u32,
    drop_writable: unsafe extern "C" fn(u32),
    /// Held for the reader, never touched again.
    _bytes: Cow<'static, [u8]>,
}

thread_local! {
    // A component instance has one thread; this is its own state.
    static OUTSTANDING: RefCell<Outstanding> = const {
        RefCell::new(Outstanding { set: None, writes: Vec::new() })
    };
}

/// A `future` that is already resolved to `ok(_)` or `ok(none)`, whoever reads
/// it and whenever; `resolve` makes it so once its reader has been handed on.
pub(crate) struct Resolve {
    handle: u32,
    start_write: unsafe extern "C" fn(u32, *const u8) -> u32,
    drop_writable: unsafe extern "C" fn(u32),
}

/// The trailers of a body that has none.
pub(crate) fn no_trailers() -> (Resolve, FutureReader<Result<Option<Trailers>, Error>>) {
    ok_future()
}

/// The report that a body was received well.
pub(crate) fn received() -> (Resolve, FutureReader<Result<(), Error>>) {
    ok_future()
}

fn ok_future<T: FuturePayload>() -> (Resolve, FutureReader<T>) {
    let vtable = T::VTABLE;
    debug_assert!(vtable.layout.size() <= OK.0.len());
    // SAFETY: `new` makes a pair of handles, the reader's in the low half; the
    // reader is given to the one owner of that handle.
    let (pair, reader) = unsafe {
        let pair = (vtable.new)();
        (pair, FutureReader::new(pair as u32, vtable))
    };
    let resolve = Resolve {
        handle: (pair >> 32) as u32,
        start_write: vtable.start_write,
        drop_writable: vtable.drop_writable,
    };
    (resolve, reader)
}

impl Resolve {
    /// Write the value. Call it after the reader has been handed on: a host
    /// that reads at once then takes it at once, and nothing is outstanding.
    ///
    /// # Errors
    /// `internal-error` if too many writes of this instance are unread.
    pub(crate) fn resolve(self) -> Result<(), Error> {
        // SAFETY: the handle is ours, unwritten, and `OK` lives for ever.
        let code = unsafe { (self.start_write)(self.handle, OK.0.as_ptr()) };
        keep(code, self.handle, self.drop_writable, Cow::Borrowed(&[]))
    }
}

/// A stream of `bytes`.
///
/// # Errors
/// `internal-error` if too many writes of this instance are unread.
pub(crate) fn stream(bytes: Cow<'static, [u8]>) -> Result<StreamReader<u8>, Error> {
    let vtable = u8::VTABLE;
    // SAFETY: `new` makes a pair of handles, the reader's in the low half, each
    // owned once; the bytes are kept in place by `keep`: a `Vec` is moved there
    // without moving what it points to.
    let (code, writer, reader) = unsafe {
        let pair = (vtable.new)();
        let writer = (pair >> 32) as u32;
        let reader = StreamReader::new(pair as u32, vtable);
        let code = (vtable.start_write)(writer, bytes.as_ptr(), bytes.len());
        (code, writer, reader)
    };
    keep(code, writer, vtable.drop_writable, bytes)?;
    Ok(reader)
}

fn keep(
    code: u32,
    handle: u32,
    drop_writable: unsafe extern "C" fn(u32),
    bytes: Cow<'static, [u8]>,
) -> Result<(), Error> {
    if code != BLOCKED {
        // SAFETY: the write is over, the handle is ours and not used again.
        unsafe { drop_writable(handle) };
        return Ok(());
    }
    if OUTSTANDING.with_borrow(|outstanding| outstanding.writes.len() >= MAX_OUTSTANDING) {
        // A task that sends many requests is not entered again in between.
        reclaim();
    }
    OUTSTANDING.with_borrow_mut(|outstanding| {
        // SAFETY: sets and handles are this instance's own.
        unsafe {
            let set = *outstanding.set.get_or_insert_with(|| waitable_set_new());
            waitable_join(handle, set);
        }
        outstanding.writes.push(Write { handle, drop_writable, _bytes: bytes });
        if outstanding.writes.len() > MAX_OUTSTANDING {
            return Err(internal("too many answers of this instance are unread"));
        }
        Ok(())
    })
}

/// Drop the writing ends of all writes that are over.
pub(crate) fn reclaim() {
    OUTSTANDING.with_borrow_mut(|outstanding| {
        let Some(set) = outstanding.set else { return };
        while !outstanding.writes.is_empty() {
            let mut event = [0; 2];
            // SAFETY: the set is ours, and `event` outlives the call.
            if unsafe { waitable_set_poll(set, &mut event) } == EVENT_NONE {
                return;
            }
            let done = outstanding.writes.iter().position(|w| w.handle == event[0]);
            if let Some(done) = done {
                let write = outstanding.writes.swap_remove(done);
                // SAFETY: the write is over, the handle is ours and not used again.
                unsafe { (write.drop_writable)(write.handle) };
            }
        }
    });
}

#[cfg(target_family = "wasm")]
#[link(wasm_import_module = "$root")]
unsafe extern "C" {
    #[link_name = "[waitable-set-new]"]
    fn waitable_set_new() -> u32;
    #[link_name = "[waitable-join]"]
    fn waitable_join(waitable: u32, set: u32);
    #[link_name = "[waitable-set-poll]"]
    fn waitable_set_poll(set: u32, event: *mut [u32; 2]) -> u32;
}

#[cfg(not(target_family = "wasm"))]
mod native {
    //! Nothing is ever written natively: there is no host to read it.
    pub(super) unsafe fn waitable_set_new() -> u32 {
        unreachable!()
    }
    pub(super) unsafe fn waitable_join(_: u32, _: u32) {
        unreachable!()
    }
    pub(super) unsafe fn waitable_set_poll(_: u32, _: &mut [u32; 2]) -> u32 {
        unreachable!()
    }
}
#[cfg(not(target_family = "wasm"))]
use native::{waitable_join, waitable_set_new, waitable_set_poll};
