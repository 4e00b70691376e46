//! The account of one store: its bound, and the parts of it.

use wasmtime::component::ResourceTableError;

/// What a resource, a task, a stream or a future counts, beside what it holds.
pub const ENTRY: usize = 1 << 10;

/// The most resources, and the most handles, of one store, whatever its bound.
const MAX_HANDLES: usize = 100_000;

/// The most that a guest may pass in one call of the host, in bytes, unless fields are allowed more.
const MAX_CALL: usize = 1 << 20;

/// The error of a guest for which the host would keep more than it may.
#[derive(Debug, thiserror::Error)]
#[error("the host would keep more than {0} bytes for its instance (`limits.host-memory`)")]
pub struct HostMemoryExceeded(pub usize);

/// Whether `error` ended a guest for which the host kept too much.
pub fn exceeded(error: &wasmtime::Error) -> bool {
    // Wasmtime has no types for the last two.
    const TEXTS: [&str; 2] =
        ["store handle limit exceeded", "fuel allocated for hostcalls has been exhausted"];
    let told = |text: &str| TEXTS.iter().any(|known| text.contains(known));
    error.downcast_ref::<HostMemoryExceeded>().is_some()
        || matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full))
        || error.chain().any(|cause| told(&cause.to_string()))
}

/// Tasks, streams, futures and their ends that Wasmtime may have at once in a store that may have `bound` bytes.
pub fn concurrent_entries(bound: usize) -> usize {
    bound / 4 / ENTRY
}

/// Handles that the components of such a store may have at once.
pub fn handles(bound: usize) -> usize {
    (bound / ENTRY).min(MAX_HANDLES)
}

/// Bytes that a guest may pass in one call where fields may have `fields`.
pub fn call_bytes(fields: usize) -> usize {
    MAX_CALL.max(2 * fields)
}

/// The account of one store.
pub(in crate::host) struct Account {
    /// `limits.host-memory`.
    pub(super) bound: usize,
    /// What may have come since everything was counted.
    pub(super) since: usize,
    /// The most that a head of somebody else's may have.
    pub(super) head: usize,
    /// Texts of errors that may be kept as they are.
    pub(super) texts: usize,
}

impl Account {
    pub(in crate::host) fn new(bound: usize, head: usize) -> Self {
        Self { bound, since: 0, head, texts: 0 }
    }

    /// What there is for resources, and for what is in no table.
    pub(super) fn resources(&self) -> usize {
        self.bound / 2
    }

    /// Texts of errors that may be kept as they are, where one call passes up to `call` bytes.
    pub(super) fn texts(&self, call: usize) -> usize {
        self.bound / 4 / call
    }

    /// The resources that the store's table may hold.
    pub(in crate::host) fn entries(&self) -> usize {
        (self.resources() / ENTRY).min(MAX_HANDLES)
    }
}
