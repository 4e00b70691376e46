//! The functions of interfaces that are a stage's own, or reveal nothing: answered by the same code as in the component form.

use super::call::{Call, HostFunction, caller, calling, host_function, place};
use wasm_encoder::ValType::{I32, I64};
use wasmtime::Result;
use wasmtime_wasi::p3::bindings::random::random::Host as _;

pub const FUNCTIONS: &[HostFunction] = &[
    host_function!(
        "wasi:config/store#get-all",
        "() -> result<list<tuple<string,string>>, variant{upstream(string),io(string)}>",
        [I32] -> [], true, get_all
    ),
    host_function!("wasi:random/random#get-random-u64", "() -> u64", [] -> [I64], false, get_random_u64),
];

fn get_all(mut call: Call<'_>, stage: i32, at: i32) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let at = bytes.place(place(at), 16, 4)?;
    bytes.put(at, &[0])?;
    let config = &state.stages[index].scope.config;
    let texts = config.iter().flat_map(|(key, value)| [key.clone().into_bytes(), value.clone().into_bytes()]);
    let texts = texts.collect();
    state.stages[index].pending.lists(2, texts, at + 4)
}

fn get_random_u64(mut call: Call<'_>, stage: i32) -> Result<i64> {
    let (_, state) = caller(&mut call, stage)?;
    Ok(state.host.random().get_random_u64()?.cast_signed())
}
