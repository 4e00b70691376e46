//! Rewrites components: the parts of a component around its core modules change, and the modules stay as they are, byte
//! for byte.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`relift`](mod@relift) | an export that is lifted asynchronously becomes one that is lifted synchronously |
//! | [`detach`](mod@detach) | synchronous operations take a stream, future or subtask out of its waitable set first |
//! | [`candidate`] | imports and exports of a release candidate of WASI 0.3.0 are named after the release |
//! | [`flatten`](mod@flatten) | a component is evaluated to its core modules, and to what each of their imports finally is |
//! | [`nesting`] | validates, and bounds what its readers have to follow |
//! | [`interface`] | names of interfaces, compared as the component model links them |
//!
//! The crate knows components, and nothing of HTTP, of hosts or of engines: the caller says which function stands where
//! ([`relift::Seam`]).
//!
//! # What it promises
//!
//! - A core module of the guest is copied. New parts stand beside it: small core modules whose names begin with
//!   `linkspan`, canonical functions, instances and aliases.
//! - A result is valid, or there is none: it is validated before it is returned.
//! - A component that is not understood is left alone: [`NotRewritable`] says why, in words that follow its name.
//! - The same bytes in, the same bytes out.
//!
//! # What bounds it
//!
//! Time and memory grow with the size of the component, for which the caller has a bound. Components and types may be
//! nested [`nesting::MAX_NESTING`] deep. Each module says what a rewritten component needs when it runs.
//!
//! # What bad input gets
//!
//! An error, and no panic: every entry validates first. Truncated bytes are distinguished from invalid ones
//! ([`nesting::Malformed`]).

#![forbid(unsafe_code)]

pub mod candidate;
pub mod detach;
pub mod flatten;
pub mod interface;
mod layout;
mod module;
mod moved;
pub mod nesting;
mod not_rewritable;
mod outline;
pub mod relift;
mod section;

pub use interface::Interface;
pub use not_rewritable::NotRewritable;
