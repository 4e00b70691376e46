//! Async-lifted middleware becomes sync-lifted, without a change to its own code.
//!
//! Bindings generators lift `handle` asynchronously, with a callback, and lower the next stage's `handle`
//! asynchronously. Composed, such a hop costs several times what it costs lifted and lowered synchronously. The
//! canonical ABI makes this a property of the component, not of the core module in it: so the component can be wired
//! differently when it is loaded. Its own modules stay as they are, byte for byte.
//!
//! | the guest calls or exports | and meets instead |
//! | --- | --- |
//! | the next stage, lowered asynchronously | a function that calls it synchronously and says that it has returned |
//! | `task.return` | a function that lays the answer out in the guest's memory, texts copied |
//! | `handle`, lifted asynchronously | a sync lift, whose function runs entry and callback, with `waitable-set.wait` where the guest waits, until the guest has answered |
//! | `future.new`, `stream.new` and what ends their writing | the same, counted |
//! | `context.get`, `context.set` | variables, since one task runs at a time |
//!
//! The *next stage* is here the function that the component calls, as its [`Seam`] names it, and `handle` the one that
//! it exports.
//!
//! # Why it is sound
//!
//! *The guest sees a host that it may meet anyway.* An async-lowered call may return at
//! once; a callback comes with an event whenever the host likes; a task has its own context. None of what it observes
//! is excluded by the canonical ABI.
//!
//! *Nobody waits for the guest while it is held in the next stage's call.* It could be
//! waited for only through a future or stream whose writing end it has, or by something that runs beside the call. So
//! if it made any end since the request came in, or has one open from before, the next stage is called asynchronously
//! as ever, and the glue waits with the guest's own waitable set. A guest that waits for anything else than the next
//! stage, bodies and trailers (a timer, another request) is left as it is, since it may race that against the next
//! stage: so it is if it lowers any other function asynchronously, or one that takes or returns streams or futures of
//! its own.
//!
//! *Nobody waits for the guest after its answer.* Ends that it made must be written to by
//! then: a write that was started is the host's, and is read from the guest's memory whenever a reader comes. What the
//! guest does after that (it drops the end, it frees memory) is done when the instance is next entered, with its own
//! context. A guest with an end still open (it writes a body, or trailers that it does not know yet) traps with a
//! reason; whether a guest could is known in advance ([`Relifted::proven`]), and such are not rewritten unless it is
//! asked for.
//!
//! *What is not known is left alone*: several lifts, but for functions that are not `async`, several memories,
//! compositions, strings that are not UTF-8, functions of the component model that this page does not list. The result
//! is validated.
//!
//! Bounds: an instance keeps at most 64 tasks that were left behind, and some hundred bytes of the guest's memory, plus
//! the longest error text that it ever answered with.
//!
//! Called by whoever loads components; it never judges what a pipeline wants.

mod analyse;
mod glue;
mod rewrite;
mod seam;
#[cfg(test)]
mod tests;

pub use glue::{MAX_LEFT, TRAP_PREFIX};
pub use seam::Seam;

use crate::NotRewritable;
use crate::nesting::validate;

/// A component that was rewritten.
#[derive(Clone, Debug)]
pub struct Relifted {
    /// The component.
    pub bytes: Vec<u8>,
    /// Whether it can't trap for being rewritten: it makes no future and no stream.
    pub proven: bool,
}

/// Rewrites the component in `bytes`, which has one export, an async function that takes one handle.
///
/// # Errors
/// [`NotRewritable`], if it must stay as it is.
pub fn relift(bytes: &[u8], seam: &Seam) -> Result<Relifted, NotRewritable> {
    let wiring = analyse::analyse(bytes, seam)?;
    let rewritten = rewrite::rewrite(bytes, &wiring)?;
    validate(&rewritten).map_err(|error| NotRewritable::new(format!("it can't be rewritten: {error}")))?;
    Ok(Relifted { bytes: rewritten, proven: wiring.watched.iter().all(|(_, kind)| !kind.wraps()) })
}
