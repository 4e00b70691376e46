//! WASI 0.2, for components that import it beside 0.3 and for services of it.
//!
//! What a stage imports of it is answered beside the same of 0.3, in [`imports`](super::imports), from the same scopes and
//! under the same grants. What a libc imports merely by existing is there without a grant, and does nothing (see
//! [`catalog`](super::catalog)). Here is what only 0.2 has.

pub mod bindings;
pub mod codes;
pub(super) mod io;
pub(super) mod kept;
