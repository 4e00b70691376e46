//! The canonical functions of tasks, streams, futures and sets, distinguished once.

use crate::NotRewritable;
use wasmparser::{CanonicalFunction as Canonical, CanonicalOption, ValType};

/// An operation of a canonical function on tasks, or on what tasks wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `task.cancel`
    TaskCancel,
    /// `context.get` of a slot.
    ContextGet(u32),
    /// `context.set` of a slot.
    ContextSet(u32),
    /// `thread.yield`
    Yield,
    /// `backpressure.inc`
    BackpressureInc,
    /// `backpressure.dec`
    BackpressureDec,
    /// `subtask.drop`
    SubtaskDrop,
    /// `subtask.cancel`
    SubtaskCancel,
    /// `stream.new`
    StreamNew,
    /// `stream.read`
    StreamRead,
    /// `stream.write`
    StreamWrite,
    /// `stream.cancel-read`
    StreamCancelRead,
    /// `stream.cancel-write`
    StreamCancelWrite,
    /// `stream.drop-readable`
    StreamDropReadable,
    /// `stream.drop-writable`
    StreamDropWritable,
    /// `future.new`
    FutureNew,
    /// `future.read`
    FutureRead,
    /// `future.write`
    FutureWrite,
    /// `future.cancel-read`
    FutureCancelRead,
    /// `future.cancel-write`
    FutureCancelWrite,
    /// `future.drop-readable`
    FutureDropReadable,
    /// `future.drop-writable`
    FutureDropWritable,
    /// `error-context.new`
    ErrorContextNew,
    /// `error-context.debug-message`
    ErrorContextDebugMessage,
    /// `error-context.drop`
    ErrorContextDrop,
    /// `waitable-set.new`
    WaitableSetNew,
    /// `waitable-set.wait`
    WaitableSetWait,
    /// `waitable-set.poll`
    WaitableSetPoll,
    /// `waitable-set.drop`
    WaitableSetDrop,
    /// `waitable.join`
    WaitableJoin,
}

/// An operation as written: with the index of its type and its options, whose indices are still those of a component.
pub struct Written<'o> {
    pub operation: Operation,
    pub ty: Option<u32>,
    pub options: &'o [CanonicalOption],
    pub memory: Option<u32>,
    pub asynchronous: bool,
    pub cancellable: bool,
}

/// Reads `function`, which works on tasks, streams or futures.
///
/// # Errors
/// [`NotRewritable`] for any other function.
pub fn read(function: &Canonical) -> Result<Written<'_>, NotRewritable> {
    use Operation as O;
    let plain = |operation| Written {
        operation,
        ty: None,
        options: &[],
        memory: None,
        asynchronous: false,
        cancellable: false,
    };
    let of = |operation, ty: &u32| Written { ty: Some(*ty), ..plain(operation) };
    let cancels = |operation, ty: &u32, async_: &bool| Written { asynchronous: *async_, ..of(operation, ty) };
    fn with<'o>(written: Written<'_>, options: &'o [CanonicalOption]) -> Written<'o> {
        let Written { operation, ty, memory, asynchronous, cancellable, .. } = written;
        Written { operation, ty, options, memory, asynchronous, cancellable }
    }
    Ok(match function {
        Canonical::TaskCancel => plain(O::TaskCancel),
        Canonical::ContextGet { ty: ValType::I32, slot } => plain(O::ContextGet(*slot)),
        Canonical::ContextSet { ty: ValType::I32, slot } => plain(O::ContextSet(*slot)),
        Canonical::ThreadYield { cancellable } => Written { cancellable: *cancellable, ..plain(O::Yield) },
        Canonical::BackpressureInc => plain(O::BackpressureInc),
        Canonical::BackpressureDec => plain(O::BackpressureDec),
        Canonical::SubtaskDrop => plain(O::SubtaskDrop),
        Canonical::SubtaskCancel { async_ } => Written { asynchronous: *async_, ..plain(O::SubtaskCancel) },
        Canonical::StreamNew { ty } => of(O::StreamNew, ty),
        Canonical::StreamRead { ty, options } => with(of(O::StreamRead, ty), options),
        Canonical::StreamWrite { ty, options } => with(of(O::StreamWrite, ty), options),
        Canonical::StreamCancelRead { ty, async_ } => cancels(O::StreamCancelRead, ty, async_),
        Canonical::StreamCancelWrite { ty, async_ } => cancels(O::StreamCancelWrite, ty, async_),
        Canonical::StreamDropReadable { ty } => of(O::StreamDropReadable, ty),
        Canonical::StreamDropWritable { ty } => of(O::StreamDropWritable, ty),
        Canonical::FutureNew { ty } => of(O::FutureNew, ty),
        Canonical::FutureRead { ty, options } => with(of(O::FutureRead, ty), options),
        Canonical::FutureWrite { ty, options } => with(of(O::FutureWrite, ty), options),
        Canonical::FutureCancelRead { ty, async_ } => cancels(O::FutureCancelRead, ty, async_),
        Canonical::FutureCancelWrite { ty, async_ } => cancels(O::FutureCancelWrite, ty, async_),
        Canonical::FutureDropReadable { ty } => of(O::FutureDropReadable, ty),
        Canonical::FutureDropWritable { ty } => of(O::FutureDropWritable, ty),
        Canonical::ErrorContextNew { options } => with(plain(O::ErrorContextNew), options),
        Canonical::ErrorContextDebugMessage { options } => with(plain(O::ErrorContextDebugMessage), options),
        Canonical::ErrorContextDrop => plain(O::ErrorContextDrop),
        Canonical::WaitableSetNew => plain(O::WaitableSetNew),
        Canonical::WaitableSetWait { cancellable, memory } => {
            Written { cancellable: *cancellable, memory: Some(*memory), ..plain(O::WaitableSetWait) }
        }
        Canonical::WaitableSetPoll { cancellable, memory } => {
            Written { cancellable: *cancellable, memory: Some(*memory), ..plain(O::WaitableSetPoll) }
        }
        Canonical::WaitableSetDrop => plain(O::WaitableSetDrop),
        Canonical::WaitableJoin => plain(O::WaitableJoin),
        unknown => return Err(NotRewritable::unknown(unknown)),
    })
}
