//! Edits of fields and of requests' heads that make the host keep more, of both versions of `wasi:http/types`: as
//! wasmtime-wasi-http has them, and counted.

use super::size_of_fields;
use crate::host::state::InstanceState;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::{FieldMap, p2, p3};

type Store<'a> = StoreContextMut<'a, InstanceState>;
type Fields = Resource<FieldMap>;

/// What a list of fields takes at most, on its way into a map.
fn size_of_list(list: &[(String, Vec<u8>)]) -> usize {
    list.iter().map(|(name, value)| size_of_field(name.len(), value.len())).sum()
}

/// What a field whose name and value have so many bytes takes at most: the map may double.
pub fn size_of_field(name: usize, value: usize) -> usize {
    name + value + 256
}

/// Adds the functions of one version: its name here, that of its interface, of its requests, of their trait and type,
/// and of what its edits fail with.
macro_rules! heads {
    (
        $(#[$about:meta])* $add:ident, $interface:literal, $request:literal, $host:ident, $resource:ty, $types:path,
        $refused:ty
    ) => {
        $(#[$about])*
        pub(in crate::host) fn $add(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
            use $types as types;
            use types::{HeaderError, HostFields, $host as _, Method};

            fn refused<T>(result: Result<T, $refused>) -> wasmtime::Result<Result<T, HeaderError>> {
                result.map(Ok).or_else(|error| error.downcast().map(Err))
            }

            linker.allow_shadowing(true);
            let mut types = linker.instance($interface)?;
            types.func_wrap(
                "[static]fields.from-list",
                |mut store: Store<'_>, (list,): (Vec<(String, Vec<u8>)>,)| {
                    store.data_mut().keep(size_of_list(&list))?;
                    Ok((refused(store.data_mut().http().from_list(list))?,))
                },
            )?;
            types.func_wrap(
                "[method]fields.append",
                |mut store: Store<'_>, (fields, name, value): (Fields, String, Vec<u8>)| {
                    store.data_mut().keep(size_of_field(name.len(), value.len()))?;
                    Ok((refused(store.data_mut().http().append(fields, name, value))?,))
                },
            )?;
            types.func_wrap(
                "[method]fields.set",
                |mut store: Store<'_>, (fields, name, values): (Fields, String, Vec<Vec<u8>>)| {
                    let bytes: usize = values.iter().map(|value| size_of_field(name.len(), value.len())).sum();
                    store.data_mut().keep(bytes)?;
                    Ok((refused(store.data_mut().http().set(fields, name, values))?,))
                },
            )?;
            types.func_wrap("[method]fields.clone", |mut store: Store<'_>, (fields,): (Fields,)| {
                let state = store.data_mut();
                // What it takes once it is edited.
                state.keep(size_of_fields(state.table.get(&fields)?))?;
                Ok((HostFields::clone(&mut state.http(), fields)?,))
            })?;
            types.func_wrap(
                concat!("[method]", $request, ".set-method"),
                |mut store: Store<'_>, (request, method): (Resource<$resource>, Method)| {
                    if let Method::Other(name) = &method {
                        store.data_mut().keep(name.len())?;
                    }
                    Ok((store.data_mut().http().set_method(request, method)?,))
                },
            )?;
            types.func_wrap(
                concat!("[method]", $request, ".set-path-with-query"),
                |mut store: Store<'_>, (request, path): (Resource<$resource>, Option<String>)| {
                    store.data_mut().keep(path.as_ref().map_or(0, String::len))?;
                    Ok((store.data_mut().http().set_path_with_query(request, path)?,))
                },
            )?;
            types.func_wrap(
                concat!("[method]", $request, ".set-authority"),
                |mut store: Store<'_>, (request, authority): (Resource<$resource>, Option<String>)| {
                    store.data_mut().keep(authority.as_ref().map_or(0, String::len))?;
                    Ok((store.data_mut().http().set_authority(request, authority)?,))
                },
            )?;
            linker.allow_shadowing(false);
            Ok(())
        }
    };
}

heads! {
    /// Puts those of WASI 0.3 in front of what `linker` has.
    add_0_3, "wasi:http/types@0.3.0", "request", HostRequest, p3::Request, p3::bindings::http::types,
    wasmtime_wasi::TrappableError<HeaderError>
}

heads! {
    /// Puts those of WASI 0.2 in front of what `linker` has.
    add_0_2, "wasi:http/types@0.2.12", "outgoing-request", HostOutgoingRequest, types::OutgoingRequest,
    p2::bindings::http::types, p2::HeaderError
}
