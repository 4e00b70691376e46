//! What resources take, in bytes.

use super::account::ENTRY;
use crate::host::hooks::OUTGOING_CHUNK;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method};
use std::any::{Any, TypeId};
use std::collections::HashSet;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::body::HostFutureTrailers;
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingRequest, HostIncomingResponse, HostOutgoingRequest,
    HostOutgoingResponse,
};
use wasmtime_wasi_http::p3::{Request, Response};

/// What a head that comes in counts as until it is counted: most are far smaller.
pub const HEAD: usize = 8 << 10;

/// What the resources in `table` take. `head` is the most that a head from outside takes, `fields` the most that fields
/// of a guest take.
pub fn held(table: &mut ResourceTable, head: usize, fields: usize, mut seen: Seen) -> usize {
    table.iter_mut().map(|entry| ENTRY + seen.content(entry, head, fields)).sum()
}

/// The maps that were counted: several resources may share one.
#[derive(Default)]
pub struct Seen(HashSet<*const HeaderMap>);

impl Seen {
    fn content(&mut self, entry: &(dyn Any + Send), head: usize, fields: usize) -> usize {
        // A body that was begun, and its trailers.
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
        // Input that was read, and output that waits to be taken.
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
