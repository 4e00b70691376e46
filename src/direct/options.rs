//! `request-options` of `wasi:http/types`: what the one who made a request wants of a transport.

use super::call::{Call, HostFunction, caller, calling, host_function, place};
use super::http::dropped;
use super::made::is_some;
use super::message::{Options, Request};
use std::sync::Arc;
use std::time::Duration;
use wasm_encoder::ValType::{I32, I64};
use wasmtime::Result;
use wasmtime_wasi_http::RequestOptions;

const GET: &str = "(self: borrow<wasi:http/types#request-options>) -> option<u64>";
const SET: &str = "(self: borrow<wasi:http/types#request-options>, duration: option<u64>) -> \
                   result<_, variant{not-supported,immutable,other(option<string>)}>";

/// The case of an error that says that options belong to a request already.
const IMMUTABLE: u8 = 1;

/// One of the times.
type Time = fn(&mut RequestOptions) -> &mut Option<Duration>;

const CONNECT: Time = |options| &mut options.connect_timeout;
const FIRST_BYTE: Time = |options| &mut options.first_byte_timeout;
const BETWEEN_BYTES: Time = |options| &mut options.between_bytes_timeout;

macro_rules! getter {
    ($name:literal, $time:expr) => {
        host_function!(
            concat!("wasi:http/types#[method]request-options.", $name), GET, [I32, I32] -> [], false,
            |call: Call<'_>, stage: i32, options: i32, at: i32| get(call, stage, options, at, $time)
        )
    };
}

macro_rules! setter {
    ($name:literal, $time:expr) => {
        host_function!(
            concat!("wasi:http/types#[method]request-options.", $name), SET, [I32, I32, I64, I32] -> [], false,
            |call: Call<'_>, stage: i32, options: i32, is_there: i32, time: i64, at: i32| {
                set(call, stage, options, (is_there, time), at, $time)
            }
        )
    };
}

pub const FUNCTIONS: &[HostFunction] = &[
    host_function!(
        "wasi:http/types#[constructor]request-options", "() -> own<wasi:http/types#request-options>",
        [] -> [I32], false, new
    ),
    host_function!(
        "wasi:http/types#[method]request-options.clone",
        "(self: borrow<wasi:http/types#request-options>) -> own<wasi:http/types#request-options>",
        [I32] -> [I32], false, clone
    ),
    getter!("get-connect-timeout", CONNECT),
    setter!("set-connect-timeout", CONNECT),
    getter!("get-first-byte-timeout", FIRST_BYTE),
    setter!("set-first-byte-timeout", FIRST_BYTE),
    getter!("get-between-bytes-timeout", BETWEEN_BYTES),
    setter!("set-between-bytes-timeout", BETWEEN_BYTES),
    host_function!(
        "wasi:http/types#[method]request.get-options",
        "(self: borrow<wasi:http/types#request>) -> option<own<wasi:http/types#request-options>>",
        [I32, I32] -> [], false, of_request
    ),
    host_function!("drop request-options", "", [I32] -> [], false, dropped::<Options>),
];

fn new(mut call: Call<'_>, stage: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    Ok(state.push(index, Box::new(Options::new_mutable_default()))?.cast_signed())
}

/// A copy, which can be set.
fn clone(mut call: Call<'_>, stage: i32, options: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let options = Arc::clone(state.stages[index].handles.get::<Options>(place(options))?);
    Ok(state.push(index, Box::new(Options::new_mutable(options)))?.cast_signed())
}

fn of_request(mut call: Call<'_>, stage: i32, request: i32, at: i32) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let options = state.stages[index].handles.get::<Request>(place(request))?.options.clone();
    let options = options.map(|options| state.push(index, Box::new(Options::new_immutable(options))));
    let options = options.transpose()?;
    let at = bytes.place(place(at), 8, 4)?;
    bytes.put(at, &[u8::from(options.is_some())])?;
    options.map_or(Ok(()), |options| bytes.put_word(at + 4, options))
}

fn get(mut call: Call<'_>, stage: i32, options: i32, at: i32, time: Time) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let mut options = ***state.stages[index].handles.get::<Options>(place(options))?;
    let nanoseconds = time(&mut options).map(|time| u64::try_from(time.as_nanos())).transpose()?;
    let at = bytes.place(place(at), 16, 8)?;
    bytes.put(at, &[u8::from(nanoseconds.is_some())])?;
    nanoseconds.map_or(Ok(()), |nanoseconds| bytes.put(at + 8, &nanoseconds.to_le_bytes()))
}

fn set(
    mut call: Call<'_>,
    stage: i32,
    options: i32,
    (is_there, nanoseconds): (i32, i64),
    at: i32,
    time: Time,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let value = is_some(is_there)?.then(|| Duration::from_nanos(nanoseconds.cast_unsigned()));
    let set = state.stages[index].handles.get::<Options>(place(options))?.get_mut();
    let is_set = set.map(|options| *time(options) = value).is_some();
    let at = bytes.place(place(at), 20, 4)?;
    bytes.put(at, &[u8::from(!is_set)])?;
    if is_set { Ok(()) } else { bytes.put(at + 4, &[IMMUTABLE]) }
}
