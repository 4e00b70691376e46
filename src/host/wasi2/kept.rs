//! The functions of `wasi:http/types` 0.2 that can grow host memory: wasmtime-wasi-http's, with counting.

use crate::host::kept::types::{size_of_copy, size_of_field, size_of_list};
use crate::host::state::InstanceState;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::HeaderError as TrappableError;
use wasmtime_wasi_http::p2::bindings::http::types::{
    HeaderError, HostFields, HostOutgoingRequest as _, Method, OutgoingRequest,
};

type Store<'a> = StoreContextMut<'a, InstanceState>;
type Fields = Resource<FieldMap>;

/// Puts these functions in front of those that `linker` has.
pub(in crate::host) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    add_fields(linker)?;
    add_requests(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn add_fields(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
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
        state.keep(size_of_copy(state, &fields)?)?;
        Ok((HostFields::clone(&mut state.http(), fields)?,))
    })
}

fn add_requests(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Store<'_>, (request, method): (Resource<OutgoingRequest>, Method)| {
            if let Method::Other(name) = &method {
                store.data_mut().keep(name.len())?;
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Store<'_>, (request, path): (Resource<OutgoingRequest>, Option<String>)| {
            store.data_mut().keep(path.as_ref().map_or(0, String::len))?;
            Ok((store.data_mut().http().set_path_with_query(request, path)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Store<'_>, (request, authority): (Resource<OutgoingRequest>, Option<String>)| {
            store.data_mut().keep(authority.as_ref().map_or(0, String::len))?;
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )
}

fn refused<T>(result: Result<T, TrappableError>) -> wasmtime::Result<Result<T, HeaderError>> {
    result.map(Ok).or_else(|error| error.downcast().map(Err))
}
