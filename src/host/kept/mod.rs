//! What the host keeps for a store's guests, in bytes: the account of `limits.host-memory`.
//!
//! A guest's linear memories have a bound of their own. Beside them, the host keeps for it fields, requests, responses,
//! streams, clocks to wait for, and what it writes until somebody takes it. All of that counts here:
//!
//! - **Resources**, in the store's table: [`ENTRY`] bytes each, and what they hold. Fields are counted with their map
//!   and their text; those that share a map (copies that nobody edited) count once. What can't be looked into counts as
//!   the most that it may hold.
//! - **What is in no table** while a call of the host lasts: a request on its way to the next stage, a line of the log
//!   that is not complete. Each has an [`Outside`].
//! - **Tasks, streams, futures** are Wasmtime's, in a table of its own, which holds as many as fit into a quarter of
//!   the bound at [`ENTRY`] bytes each ([`concurrent_entries`]). Some of them stay for good, see `wear`.
//! - **Texts of errors** that a guest may still ask for have another quarter, see `types`.
//!
//! Nothing is subtracted when something goes. Each call of the host that may make more adds an upper bound of it
//! ([`InstanceState::keep`]); when these come to a sixteenth of the bound, everything is counted anew, exactly. An edit
//! of a field costs an addition that way, and a guest can't hide behind a path on which nobody subtracts. It can have
//! at most that sixteenth too much, and as much again of what comes from clients and counts as [`HEAD`] until then.

mod account;
mod guest_made;
pub(super) mod heads;
pub(super) mod types;
mod wear;

use super::state::{InstanceState, OUTGOING_CHUNK, Pulse};
pub(super) use account::Account;
pub use account::{ENTRY, HostMemoryExceeded, call_bytes, concurrent_entries, exceeded, handles};
pub(super) use guest_made::GuestMade;
pub use heads::size_of_field;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method};
use std::any::{Any, TypeId};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wasmtime::StoreContextMut;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::body::HostFutureTrailers;
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingRequest, HostIncomingResponse, HostOutgoingRequest,
    HostOutgoingResponse,
};
use wasmtime_wasi_http::p3::{Request, Response};
pub(super) use wear::Wear;

/// What a head that comes in counts until it is looked at: most are far smaller.
pub const HEAD: usize = 8 << 10;

impl InstanceState {
    /// Notes that up to `bytes` more are about to be kept for the guests.
    ///
    /// # Errors
    /// [`HostMemoryExceeded`], which is to end them.
    pub fn keep(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.keep_with(bytes, |_| 0)
    }

    /// The same where there are resources in other tables, too, which `beside` counts.
    ///
    /// # Errors
    /// As above.
    pub fn keep_with(
        &mut self,
        bytes: usize,
        beside: impl FnOnce(&mut Seen) -> usize,
    ) -> wasmtime::Result<()> {
        self.account.since = self.account.since.saturating_add(bytes);
        if self.account.since <= self.account.resources() / 16 {
            return Ok(());
        }
        let mut seen = Seen::default();
        let beside = beside(&mut seen);
        self.count(bytes, seen, beside)
    }

    /// Notes the same of what will be in no table, for as long as what is returned lives.
    pub(super) fn keep_outside(&mut self, bytes: usize) -> wasmtime::Result<Outside> {
        self.keep(bytes)?;
        Ok(self.outside(bytes))
    }

    /// Counts bytes that were noted, for as long as what is returned lives.
    pub fn outside(&self, bytes: usize) -> Outside {
        let kept = Arc::clone(&self.pulse);
        kept.outside.fetch_add(bytes, Ordering::Relaxed);
        Outside { kept, bytes }
    }

    #[cold]
    fn count(&mut self, more: usize, seen: Seen, beside: usize) -> wasmtime::Result<()> {
        self.account.since = 0;
        let outside = self.pulse.outside.load(Ordering::Relaxed);
        let fields = self.field_bytes();
        let kept = held(&mut self.table, self.account.head, fields, seen);
        let kept = kept.saturating_add(beside).saturating_add(outside).saturating_add(more);
        self.pulse.most_kept.fetch_max(kept, Ordering::Relaxed);
        match kept > self.account.resources() {
            true => Err(HostMemoryExceeded(self.account.bound).into()),
            false => Ok(()),
        }
    }
}

/// Notes that a call of the store's guests ended, and tells its pulse if the store should have no more of them.
pub fn after_call(mut store: StoreContextMut<'_, InstanceState>) {
    if !store.data_mut().wear.is_due() {
        return;
    }
    let Some(table) = store.concurrent_resource_table() else { return };
    let (held, bound) = (table.iter_mut().count(), table.max_capacity() / 2);
    let state = store.data_mut();
    if state.wear.look(held, bound) {
        state.pulse.wear_out();
    }
}

/// Bytes that are kept for the guests of a store and are in no table of it.
pub struct Outside {
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
fn held(table: &mut ResourceTable, head: usize, fields: usize, mut seen: Seen) -> usize {
    table.iter_mut().map(|entry| ENTRY + seen.content(entry, head, fields)).sum()
}

/// The maps that were counted: several resources may share one.
#[derive(Default)]
pub struct Seen(HashSet<*const HeaderMap>);

impl Seen {
    fn content(&mut self, entry: &(dyn Any + Send), head: usize, fields: usize) -> usize {
        // A body that was begun, and what may be its trailers.
        let body = |is_there: bool| if is_there { 2 * OUTGOING_CHUNK + fields } else { 0 };
        if let Some(fields) = entry.downcast_ref::<FieldMap>() {
            self.map(fields)
        } else if let Some(request) = entry.downcast_ref::<Request>() {
            let line = (&request.method, request.authority.as_ref(), request.path_with_query.as_ref());
            self.map(&request.headers) + size_of_line(line)
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

    /// What `map` takes, the first time.
    pub fn map(&mut self, map: &HeaderMap) -> usize {
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

/// What a request's line takes: the texts of its method, its authority, and its path and query.
pub fn size_of_line(
    (method, authority, path): (&Method, Option<&Authority>, Option<&PathAndQuery>),
) -> usize {
    method.as_str().len()
        + authority.map_or(0, |authority| authority.as_str().len())
        + path.map_or(0, |path| path.as_str().len())
}

/// What a map of fields takes: its places, taken or not, and the text in them.
pub fn size_of_fields(map: &HeaderMap) -> usize {
    /// A place, and its index; a further value of a name has one of its own.
    const PLACE: usize = 112;
    let names: usize = map.keys().map(|name| name.as_str().len()).sum();
    let values: usize = map.values().map(http::HeaderValue::len).sum();
    (map.capacity() + map.len() - map.keys_len()) * PLACE + names + values
}
