//! The functions of `wasi:http/types` and `linkspan:gateway/headers`: they do what those of the component form do.

use super::abi::Bytes;
use super::call::{Call, HostFunction, caller, calling, host_function, place};
use super::fields::reason;
use super::handles::Resource;
use super::message::{Message, Request, Response};
use super::state::State;
use crate::host::headers::{Change, MAX_EDITS};
use crate::host::kept::HEAD;
use http::{HeaderName, HeaderValue, StatusCode};
use wasm_encoder::ValType::I32;
use wasmtime::{Result, bail};
use wasmtime_wasi_http::{FieldMap, FieldMapError};

macro_rules! edits {
    ($head:literal) => {
        concat!(
            "(", $head, ": borrow<wasi:http/types#", $head, ">, edits: list<variant{set(tuple<string,list<u8>>),",
            "append(tuple<string,list<u8>>),default(tuple<string,list<u8>>),remove(string)}>) -> result<_, ",
            "record{index:u32,reason:variant{invalid-syntax,forbidden,immutable,size-exceeded,other(option<string>)}}>",
        )
    };
}

pub const FUNCTIONS: &[HostFunction] = &[
    host_function!("drop request", "", [I32] -> [], false, dropped_message::<Request>),
    host_function!("drop response", "", [I32] -> [], false, dropped_message::<Response>),
    host_function!("drop fields", "", [I32] -> [], false, dropped::<FieldMap>),
    host_function!(
        "linkspan:gateway/headers#edit-request", edits!("request"),
        [I32, I32, I32, I32] -> [], false, edit::<Request>
    ),
    host_function!(
        "linkspan:gateway/headers#edit-response", edits!("response"),
        [I32, I32, I32, I32] -> [], false, edit::<Response>
    ),
    host_function!(
        "linkspan:gateway/headers#request-values",
        "(request: borrow<wasi:http/types#request>, name: string) -> list<list<u8>>",
        [I32, I32, I32, I32] -> [], true, values::<Request>
    ),
    host_function!(
        "linkspan:gateway/headers#response-values",
        "(response: borrow<wasi:http/types#response>, name: string) -> list<list<u8>>",
        [I32, I32, I32, I32] -> [], true, values::<Response>
    ),
    host_function!(
        "wasi:http/types#[method]response.get-status-code",
        "(self: borrow<wasi:http/types#response>) -> u16",
        [I32] -> [I32], false, get_status_code
    ),
    host_function!(
        "wasi:http/types#[method]response.set-status-code",
        "(self: borrow<wasi:http/types#response>, status-code: u16) -> result<_>",
        [I32, I32] -> [I32], false, set_status_code
    ),
    host_function!(
        "wasi:http/types#[method]request.get-method",
        "(self: borrow<wasi:http/types#request>) -> \
         variant{get,head,post,put,delete,connect,options,trace,patch,other(string)}",
        [I32, I32] -> [], true, get_method
    ),
    host_function!(
        "wasi:http/types#[method]request.get-path-with-query",
        "(self: borrow<wasi:http/types#request>) -> option<string>",
        [I32, I32] -> [], true, get_path_with_query
    ),
    host_function!(
        "wasi:http/types#[method]request.get-authority",
        "(self: borrow<wasi:http/types#request>) -> option<string>",
        [I32, I32] -> [], true, get_authority
    ),
    host_function!(
        "wasi:http/types#[method]request.get-scheme",
        "(self: borrow<wasi:http/types#request>) -> option<variant{HTTP,HTTPS,other(string)}>",
        [I32, I32] -> [], true, get_scheme
    ),
    host_function!(
        "wasi:http/types#[method]request.get-headers",
        "(self: borrow<wasi:http/types#request>) -> own<wasi:http/types#fields>",
        [I32] -> [I32], false, headers::<Request>
    ),
    host_function!(
        "wasi:http/types#[method]response.get-headers",
        "(self: borrow<wasi:http/types#response>) -> own<wasi:http/types#fields>",
        [I32] -> [I32], false, headers::<Response>
    ),
    host_function!(
        "wasi:http/types#[method]fields.get",
        "(self: borrow<wasi:http/types#fields>, name: string) -> list<list<u8>>",
        [I32, I32, I32, I32] -> [], true, values::<FieldMap>
    ),
    host_function!(
        "wasi:http/types#[method]fields.copy-all",
        "(self: borrow<wasi:http/types#fields>) -> list<tuple<string,list<u8>>>",
        [I32, I32] -> [], true, copy_all
    ),
    host_function!(
        "wasi:http/types#[method]fields.has",
        "(self: borrow<wasi:http/types#fields>, name: string) -> bool",
        [I32, I32, I32] -> [I32], false, has
    ),
];

pub fn dropped<R: Resource>(mut call: Call<'_>, stage: i32, handle: i32) -> Result<()> {
    let (index, state) = caller(&mut call, stage)?;
    state.stages[index].handles.take::<R>(place(handle)).map(drop)
}

fn dropped_message<M: Resource + Message>(mut call: Call<'_>, stage: i32, handle: i32) -> Result<()> {
    let (index, state) = caller(&mut call, stage)?;
    let message = state.stages[index].handles.take::<M>(place(handle))?;
    state.close(message.into_body())
}

/// What has fields.
trait HasFields: Resource {
    fn fields(&mut self) -> &mut FieldMap;
}

impl HasFields for Request {
    fn fields(&mut self) -> &mut FieldMap {
        &mut self.headers
    }
}

impl HasFields for Response {
    fn fields(&mut self) -> &mut FieldMap {
        &mut self.headers
    }
}

impl HasFields for FieldMap {
    fn fields(&mut self) -> &mut FieldMap {
        self
    }
}

fn get_status_code(mut call: Call<'_>, stage: i32, handle: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    Ok(i32::from(state.stages[index].handles.get::<Response>(place(handle))?.status.as_u16()))
}

/// 0 if it was set, 1 if there is no such status.
fn set_status_code(mut call: Call<'_>, stage: i32, handle: i32, status: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let response = state.stages[index].handles.get::<Response>(place(handle))?;
    // The upper half of the number is none of a `u16`'s.
    match StatusCode::from_u16(place(status) as u16) {
        Ok(status) if (100..=599).contains(&status.as_u16()) => {
            response.status = status;
            Ok(0)
        }
        _ => Ok(1),
    }
}

fn get_method(mut call: Call<'_>, stage: i32, handle: i32, at: i32) -> Result<()> {
    const NAMES: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let method = &state.stages[index].handles.get::<Request>(place(handle))?.method;
    let case = NAMES.iter().position(|name| *name == method.as_str()).unwrap_or(NAMES.len());
    let other = (case == NAMES.len()).then(|| method.as_str().to_owned());
    let at = bytes.place(place(at), 12, 4)?;
    bytes.put(at, &[case as u8])?;
    if let Some(other) = other {
        state.stages[index].pending.text(other, at + 4);
    }
    Ok(())
}

fn get_path_with_query(call: Call<'_>, stage: i32, handle: i32, at: i32) -> Result<()> {
    maybe_text(call, stage, handle, at, |request| request.path_with_query.as_ref().map(|it| it.as_str()))
}

fn get_authority(call: Call<'_>, stage: i32, handle: i32, at: i32) -> Result<()> {
    maybe_text(call, stage, handle, at, |request| request.authority.as_ref().map(|it| it.as_str()))
}

fn maybe_text(
    mut call: Call<'_>,
    stage: i32,
    handle: i32,
    at: i32,
    of: fn(&Request) -> Option<&str>,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let text = of(state.stages[index].handles.get::<Request>(place(handle))?).map(str::to_owned);
    let at = bytes.place(place(at), 12, 4)?;
    state.stages[index].pending.option(text, &mut bytes, at)
}

fn copy_all(mut call: Call<'_>, stage: i32, handle: i32, at: i32) -> Result<()> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    let fields = state.stages[index].handles.get::<FieldMap>(place(handle))?;
    let texts = fields.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
    let texts = texts.map(<[u8]>::to_vec).collect();
    let at = bytes.place(place(at), 8, 4)?;
    state.stages[index].pending.lists(2, texts, at)
}

fn get_scheme(mut call: Call<'_>, stage: i32, handle: i32, at: i32) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let scheme = state.stages[index].handles.get::<Request>(place(handle))?.scheme.clone();
    let at = bytes.place(place(at), 16, 4)?;
    bytes.put(at, &[u8::from(scheme.is_some())])?;
    let Some(scheme) = scheme else { return Ok(()) };
    let (case, other) = match scheme.as_str() {
        "http" => (0, None),
        "https" => (1, None),
        other => (2, Some(other.to_owned())),
    };
    bytes.put(at + 4, &[case])?;
    if let Some(other) = other {
        state.stages[index].pending.text(other, at + 8);
    }
    Ok(())
}

fn headers<R: HasFields>(mut call: Call<'_>, stage: i32, handle: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let fields = state.stages[index].handles.get::<R>(place(handle))?.fields().clone();
    Ok(state.push(index, Box::new(fields))?.cast_signed())
}

fn has(mut call: Call<'_>, stage: i32, handle: i32, name: i32, length: i32) -> Result<i32> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    let fields = state.stages[index].handles.get::<FieldMap>(place(handle))?;
    let name = bytes.text(place(name), place(length))?;
    Ok(i32::from(fields.contains_key(name)))
}

fn values<R: HasFields>(
    mut call: Call<'_>,
    stage: i32,
    handle: i32,
    name: i32,
    length: i32,
    at: i32,
) -> Result<()> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    let fields = state.stages[index].handles.get::<R>(place(handle))?.fields();
    let name = bytes.text(place(name), place(length))?;
    let values: Vec<_> = fields.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect();
    let at = bytes.place(place(at), 8, 4)?;
    state.stages[index].pending.lists(1, values, at)
}

/// An edit, as it stands in the guest's memory: its kind, name and value.
struct Edit {
    kind: u8,
    name: (u32, u32),
    value: (u32, u32),
}

fn edit<R: HasFields>(
    mut call: Call<'_>,
    stage: i32,
    handle: i32,
    edits: i32,
    count: i32,
    at: i32,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let result = edit_all::<R>(&bytes, state, index, place(handle), (place(edits), place(count)))?;
    let at = bytes.place(place(at), 24, 4)?;
    match result {
        Ok(()) => bytes.put(at, &[0]),
        Err((place, reason)) => {
            bytes.put(at, &[1])?;
            bytes.put_word(at + 4, place)?;
            bytes.put(at + 8, &[reason])
        }
    }
}

fn edit_all<R: HasFields>(
    bytes: &Bytes<'_>,
    state: &mut State,
    stage: usize,
    handle: u32,
    (first, count): (u32, u32),
) -> Result<std::result::Result<(), (u32, u8)>> {
    state.stages[stage].handles.get::<R>(handle)?;
    let count = count as usize;
    let Some(size) = count.checked_mul(20).filter(|size| *size < 1 << 28) else { bail!("list is too long") };
    let first = bytes.place(first, size, 4)?;
    if count > MAX_EDITS {
        return Ok(Err((MAX_EDITS as u32, reason(FieldMapError::TotalSizeTooBig))));
    }
    let edits = (0..count).map(|place| Edit::read(bytes, first + place * 20)).collect::<Result<Vec<_>>>()?;
    // The first edit makes a copy where the guest has a handle of these fields.
    state.keep(HEAD)?;
    for (place, edit) in (0..).zip(&edits) {
        let change = edit.change(bytes)?;
        state.keep(change.as_ref().map_or(0, Change::size))?;
        let limit = state.host.field_bytes();
        let State { host, stages, .. } = state;
        let fields = stages[stage].handles.get::<R>(handle)?.fields();
        if let Err(error) = change.and_then(|change| change.make(fields, host.http().hooks, limit)) {
            return Ok(Err((place, reason(error))));
        }
    }
    Ok(Ok(()))
}

impl Edit {
    fn read(bytes: &Bytes<'_>, at: usize) -> Result<Self> {
        let kind = bytes.byte(at)?;
        let pair = |at| -> Result<(u32, u32)> {
            let (pointer, length) = (bytes.word(at)?, bytes.word(at + 4)?);
            bytes.get(pointer as usize, length as usize)?;
            Ok((pointer, length))
        };
        let name = match kind {
            0..=3 => pair(at + 4)?,
            _ => bail!("unexpected discriminant"),
        };
        let value = if kind == 3 { (0, 0) } else { pair(at + 12)? };
        Ok(Self { kind, name, value })
    }

    fn change(&self, bytes: &Bytes<'_>) -> Result<std::result::Result<Change, FieldMapError>> {
        let name = bytes.text(self.name.0, self.name.1)?;
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Ok(Err(FieldMapError::InvalidHeaderName));
        };
        let change = match self.kind {
            0 => Change::Set,
            1 => Change::Append,
            2 => Change::Default,
            _ => return Ok(Ok(Change::Remove(name))),
        };
        let value = HeaderValue::from_bytes(bytes.get(self.value.0 as usize, self.value.1 as usize)?);
        Ok(value.map(|value| change(name, value)).map_err(FieldMapError::from))
    }
}
