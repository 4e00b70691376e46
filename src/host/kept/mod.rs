//! What the host keeps for a store's guests, in bytes: the account of `limits.host-memory`.
//!
//! A guest's linear memories have a bound of their own. Beside them, the host keeps for it fields, requests, responses,
//! streams, clocks to wait for, and what it writes until somebody takes it. All of that counts here:
//!
//! - **Resources**, in the store's table: [`ENTRY`] bytes each, and what they hold. Fields are counted with their map and
//!   their text; those that share a map (copies that nobody edited) count once. What can't be looked into counts as
//!   the most that it may hold.
//! - **What is in no table** while a call of the host lasts: a request on its way to the next stage, a line of the log that
//!   is not complete. Each has an [`Outside`].
//! - **Tasks, streams, futures** are Wasmtime's, in a table of its own, which holds as many as fit into a quarter of the
//!   bound at [`ENTRY`] bytes each ([`concurrent_entries`]). Some of them stay for good, see `wear`.
//! - **Texts of errors** that a guest may still ask for have another quarter, see `types`.
//!
//! Nothing is subtracted when something goes. Each call of the host that may make more adds an upper bound of it
//! ([`InstanceState::keep`]); when these come to a sixteenth of the bound, everything is counted anew, exactly. An edit of a
//! field costs an addition that way, and a guest can't hide behind a path on which nobody subtracts. It can have at
//! most that sixteenth too much, and as much again of what comes from clients and counts as [`HEAD`] until then.

pub(super) mod heads;
pub(super) mod types;
mod wear;

use super::state::{InstanceState, OUTGOING_CHUNK, Pulse};
use http::HeaderMap;
use std::any::{Any, TypeId};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wasmtime::component::{ResourceTable, ResourceTableError};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::body::HostFutureTrailers;
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingRequest, HostIncomingResponse, HostOutgoingRequest,
    HostOutgoingResponse,
};
use wasmtime_wasi_http::p3::{Request, Response};
pub(super) use wear::Wear;
pub use wear::after_call;

/// What a resource, a task, a stream or a future counts, beside what it holds.
const ENTRY: usize = 1 << 10;

/// What a head that comes in counts until it is looked at: most are far smaller.
pub const HEAD: usize = 8 << 10;

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
pub(super) struct Account {
    /// `limits.host-memory`.
    bound: usize,
    /// What may have come since everything was counted.
    since: usize,
    /// The most that a head of somebody else's may have.
    head: usize,
    /// Texts of errors that may be kept as they are.
    texts: usize,
}

impl Account {
    pub(super) fn new(bound: usize, head: usize) -> Self {
        Self { bound, since: 0, head, texts: 0 }
    }

    /// What there is for resources, and for what is in no table.
    fn resources(&self) -> usize {
        self.bound / 2
    }

    /// Texts of errors that may be kept as they are, where one call passes up to `call` bytes.
    fn texts(&self, call: usize) -> usize {
        self.bound / 4 / call
    }

    /// The resources that the store's table may hold.
    pub(super) fn entries(&self) -> usize {
        (self.resources() / ENTRY).min(MAX_HANDLES)
    }
}

impl InstanceState {
    /// Notes that up to `bytes` more are about to be kept for the guests.
    ///
    /// # Errors
    /// [`HostMemoryExceeded`], which is to end them.
    pub fn keep(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.account.since = self.account.since.saturating_add(bytes);
        if self.account.since <= self.account.resources() / 16 {
            return Ok(());
        }
        self.count(bytes)
    }

    /// Notes the same of what will be in no table, for as long as what is returned lives.
    pub(super) fn keep_outside(&mut self, bytes: usize) -> wasmtime::Result<Outside> {
        self.keep(bytes)?;
        let kept = Arc::clone(&self.pulse);
        kept.outside.fetch_add(bytes, Ordering::Relaxed);
        Ok(Outside { kept, bytes })
    }

    #[cold]
    fn count(&mut self, more: usize) -> wasmtime::Result<()> {
        self.account.since = 0;
        let outside = self.pulse.outside.load(Ordering::Relaxed);
        let fields = self.field_bytes();
        let kept = held(&mut self.table, self.account.head, fields);
        let kept = kept.saturating_add(outside).saturating_add(more);
        self.pulse.most_kept.fetch_max(kept, Ordering::Relaxed);
        match kept > self.account.resources() {
            true => Err(HostMemoryExceeded(self.account.bound).into()),
            false => Ok(()),
        }
    }
}

/// Bytes that are kept for the guests of a store and are in no table of it.
pub(super) struct Outside {
    kept: Arc<Pulse>,
    bytes: usize,
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.kept.outside.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the resources in `table` take. `head` is the most that a head which a guest did not make has, `fields` the most
/// of one that it did make.
fn held(table: &mut ResourceTable, head: usize, fields: usize) -> usize {
    let mut seen = Seen::default();
    table.iter_mut().map(|entry| ENTRY + seen.content(entry, head, fields)).sum()
}

/// The maps that were counted: several resources may share one.
#[derive(Default)]
struct Seen(HashSet<*const HeaderMap>);

impl Seen {
    fn content(&mut self, entry: &(dyn Any + Send), head: usize, fields: usize) -> usize {
        // A body that was begun, and what may be its trailers.
        let body = |is_there: bool| if is_there { 2 * OUTGOING_CHUNK + fields } else { 0 };
        if let Some(fields) = entry.downcast_ref::<FieldMap>() {
            self.map(fields)
        } else if let Some(request) = entry.downcast_ref::<Request>() {
            let line = request.method.as_str().len()
                + request.authority.as_ref().map_or(0, |authority| authority.as_str().len())
                + request.path_with_query.as_ref().map_or(0, |path| path.as_str().len());
            self.map(&request.headers) + line
        } else if let Some(response) = entry.downcast_ref::<Response>() {
            self.map(&response.headers)
        } else if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
            let text = |text: &Option<String>| text.as_ref().map_or(0, String::capacity);
            self.map(&request.headers)
                + text(&request.path_with_query)
                + text(&request.authority)
                + body(request.body.is_some())
        } else if let Some(response) = entry.downcast_ref::<HostOutgoingResponse>() {
            self.map(&response.headers) + body(response.body.is_some())
        } else if let Some(response) = entry.downcast_ref::<HostIncomingResponse>() {
            self.map(&response.headers)
        } else {
            unseen((*entry).type_id(), head)
        }
    }

    fn map(&mut self, map: &HeaderMap) -> usize {
        if self.0.insert(std::ptr::from_ref(map)) { size_of_fields(map) } else { 0 }
    }
}

/// What a resource may hold that can't be looked into.
fn unseen(resource: TypeId, head: usize) -> usize {
    let known = [
        (TypeId::of::<HostIncomingRequest>(), head),
        (TypeId::of::<HostFutureIncomingResponse>(), head),
        (TypeId::of::<HostFutureTrailers>(), head),
        // What was read, and what waits to be taken.
        (TypeId::of::<DynInputStream>(), OUTGOING_CHUNK),
        (TypeId::of::<DynOutputStream>(), 2 * OUTGOING_CHUNK),
    ];
    known.iter().find(|(known, _)| *known == resource).map_or(0, |(_, bytes)| *bytes)
}

/// What a map of fields takes: its places, taken or not, and the text in them.
pub(super) fn size_of_fields(map: &HeaderMap) -> usize {
    /// A place, and its index; a further value of a name has one of its own.
    const PLACE: usize = 112;
    let names: usize = map.keys().map(|name| name.as_str().len()).sum();
    let values: usize = map.values().map(http::HeaderValue::len).sum();
    (map.capacity() + map.len() - map.keys_len()) * PLACE + names + values
}
