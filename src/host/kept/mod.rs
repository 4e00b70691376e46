//! What the host keeps for a store's guests, in bytes: the account of `limits.host-memory`.
//!
//! A guest's linear memories have a bound of their own. Beside them, the host keeps for it fields, requests, responses,
//! streams, timers, and what it writes until somebody takes it. All of that counts here:
//!
//! - **Resources**, in the store's table: [`ENTRY`] bytes each, and what they hold. Fields are counted with their map
//!   and their text; those that share a map (unedited copies) count once. A resource that can't be looked into counts
//!   as the most that it may hold.
//! - **What is in no table** while a call of the host lasts: a request on its way to the next stage, a line of the log
//!   that is not complete. Each has an [`Outside`].
//! - **Tasks, streams, futures** are Wasmtime's, in a table of its own, which holds as many as fit into a quarter of
//!   the bound at [`ENTRY`] bytes each ([`concurrent_entries`]). Some of them stay for good, see `wear`.
//! - **Texts of errors** that a guest may still ask for have another quarter, see `types`.
//!
//! Nothing is subtracted when a resource is dropped. Each call of the host that may keep more adds an upper bound
//! ([`InstanceState::keep`](super::InstanceState::keep)); when the sum reaches a sixteenth of the bound, everything is
//! counted again, exactly. An edit of a field thus costs an addition, and no path on which something is dropped can be
//! forgotten. A guest can exceed its bound by that sixteenth, and by as much again in heads of clients, which count as
//! [`HEAD`] until then.

mod account;
mod count;
mod guest_made;
pub(super) mod heads;
mod keep;
pub(super) mod types;
mod wear;

pub(super) use account::Account;
pub use account::{ENTRY, HostMemoryExceeded, call_bytes, concurrent_entries, exceeded, handles};
pub use count::{HEAD, Seen, size_of_fields, size_of_line};
pub(super) use guest_made::GuestMade;
pub use heads::size_of_field;
pub use keep::{Outside, after_call};
pub use types::cut;
pub(super) use wear::Wear;
