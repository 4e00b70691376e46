//! WASI 0.2, for components that import it beside 0.3 and for services of 0.2.
//!
//! The imports of 0.2 are implemented beside those of 0.3, in [`imports`](super::imports), with the same scopes and
//! under the same grants. Imports that exist merely because of a libc work without a grant and are empty (see
//! [`catalog`](super::catalog)). This folder has only what is particular to 0.2.

pub mod bindings;
pub mod codes;
pub(super) mod io;
