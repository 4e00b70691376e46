//! The functions of interfaces that are a stage's own, or reveal nothing: answered by the same code as in the component
//! form.

use super::abi::Bytes;
use super::call::{Call, HostFunction, caller, calling, host_function, place};
use crate::host::bindings::linkspan::gateway::rate_limiter::{Decision, Error, Quota};
use crate::host::bindings::named_imports as own;
use crate::host::imports::signatures::{ALGORITHMS, Error as SignatureError, verify as verified};
use crate::host::{HostCall, InstanceState, Scope};
use own::linkspan::gateway::rate_limiter::Host as _;
use own::wasi::clocks::{monotonic_clock, system_clock};
use std::sync::Arc;
use tracing::Level;
use wasm_encoder::ValType::{I32, I64};
use wasmtime::{Result, bail, format_err};
use wasmtime_wasi::p3::bindings::random::random::Host as _;

pub const FUNCTIONS: &[HostFunction] = &[
    host_function!(
        "wasi:config/store#get-all",
        "() -> result<list<tuple<string,string>>, variant{upstream(string),io(string)}>",
        [I32] -> [], true, get_all
    ),
    host_function!(
        "wasi:config/store#get",
        "(key: string) -> result<option<string>, variant{upstream(string),io(string)}>",
        [I32, I32, I32] -> [], true, get
    ),
    host_function!("wasi:random/random#get-random-u64", "() -> u64", [] -> [I64], false, get_random_u64),
    host_function!(
        "wasi:logging/logging#log",
        "(level: enum{trace,debug,info,warn,error,critical}, context: string, message: string)",
        [I32, I32, I32, I32, I32] -> [], false, log
    ),
    host_function!(
        "linkspan:gateway/rate-limiter#take",
        "(key: string, quota: record{burst:u32,interval:u64}) -> \
         result<record{allowed:bool,remaining:u32,retry-after:u64,reset-after:u64}, \
         enum{invalid-quota,key-too-long,too-many-keys}>",
        [I32, I32, I32, I64, I32] -> [], false, take
    ),
    host_function!(
        "linkspan:gateway/rate-limiter#is-granted", "(store: string) -> bool", [I32, I32] -> [I32], false,
        is_granted
    ),
    host_function!(
        "linkspan:gateway/signatures#verify",
        "(algorithm: enum{rs256,rs384,rs512,ps256,ps384,ps512,es256,es384,ed25519,hs256,hs384,hs512}, key: list<u8>, \
         message: list<u8>, signature: list<u8>) -> result<bool, enum{invalid-key,too-long}>",
        [I32, I32, I32, I32, I32, I32, I32, I32] -> [], false, verify
    ),
    host_function!(
        "wasi:clocks/monotonic-clock#now", "() -> u64", [] -> [I64], false,
        |call: Call<'_>, stage: i32| clock(call, stage, monotonic_clock::Host::now)
    ),
    host_function!(
        "wasi:clocks/monotonic-clock#get-resolution", "() -> u64", [] -> [I64], false,
        |call: Call<'_>, stage: i32| clock(call, stage, monotonic_clock::Host::get_resolution)
    ),
    host_function!(
        "wasi:clocks/system-clock#get-resolution", "() -> u64", [] -> [I64], false,
        |call: Call<'_>, stage: i32| clock(call, stage, system_clock::Host::get_resolution)
    ),
    host_function!(
        "wasi:clocks/system-clock#now", "() -> record{seconds:s64,nanoseconds:u32}",
        [I32] -> [], false, system_now
    ),
];

fn get_all(mut call: Call<'_>, stage: i32, at: i32) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    state.origins.count(HostCall::Config);
    let at = bytes.place(place(at), 16, 4)?;
    bytes.put(at, &[0])?;
    let config = &state.stages[index].scope.config;
    let texts = config.iter().flat_map(|(key, value)| [key.clone().into_bytes(), value.clone().into_bytes()]);
    let texts = texts.collect();
    state.stages[index].pending.lists(2, texts, at + 4)
}

fn get(mut call: Call<'_>, stage: i32, key: i32, length: i32, at: i32) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    state.origins.count(HostCall::Config);
    let key = bytes.string((key, length), state.call_bytes())?;
    let config = &state.stages[index].scope.config;
    let value = config.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone());
    let at = bytes.place(place(at), 16, 4)?;
    bytes.put(at, &[0])?;
    state.stages[index].pending.option(value, &mut bytes, at + 4)
}

fn get_random_u64(mut call: Call<'_>, stage: i32) -> Result<i64> {
    let (_, state) = caller(&mut call, stage)?;
    state.origins.count(HostCall::Random);
    Ok(state.host.random().get_random_u64()?.cast_signed())
}

fn log(
    mut call: Call<'_>,
    stage: i32,
    level: i32,
    context: i32,
    context_length: i32,
    message: i32,
    message_length: i32,
) -> Result<()> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    state.origins.count(HostCall::Log);
    let level = match level {
        0 => Level::TRACE,
        1 => Level::DEBUG,
        2 => Level::INFO,
        3 => Level::WARN,
        4 | 5 => Level::ERROR,
        _ => bail!("unexpected discriminant"),
    };
    let most = state.call_bytes();
    let context = bytes.string((context, context_length), most)?;
    let message = bytes.string((message, message_length), most - context.len())?;
    state.host.pulse().act();
    state.stages[index].scope.log(state.origins.behalf(), level, &context, &message);
    Ok(())
}

fn take(
    mut call: Call<'_>,
    stage: i32,
    key: i32,
    length: i32,
    burst: i32,
    interval: i64,
    at: i32,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    state.origins.count(HostCall::Limiter);
    let key = bytes.string((key, length), state.call_bytes())?;
    let quota = Quota { burst: burst.cast_unsigned(), interval: interval.cast_unsigned() };
    let scope = Arc::clone(&state.stages[index].scope);
    let taken = state.host.take(scope, key, quota)?;
    let taken = taken.map_err(|error| match error {
        Error::InvalidQuota => 0,
        Error::KeyTooLong => 1,
        Error::TooManyKeys => 2,
    });
    lower_decision(&mut bytes, taken, at)
}

/// Writes a decision, or the case of an error.
pub fn lower_decision(
    bytes: &mut Bytes<'_>,
    taken: std::result::Result<Decision, u8>,
    at: i32,
) -> Result<()> {
    let at = bytes.place(place(at), 32, 8)?;
    match taken {
        Ok(decision) => {
            bytes.put(at, &[0])?;
            bytes.put(at + 8, &[u8::from(decision.allowed)])?;
            bytes.put_word(at + 12, decision.remaining)?;
            bytes.put(at + 16, &decision.retry_after.to_le_bytes())?;
            bytes.put(at + 24, &decision.reset_after.to_le_bytes())
        }
        Err(case) => {
            bytes.put(at, &[1])?;
            bytes.put(at + 8, &[case])
        }
    }
}

fn is_granted(mut call: Call<'_>, stage: i32, store: i32, length: i32) -> Result<i32> {
    let (index, bytes, state) = calling(&mut call, stage)?;
    let store = bytes.string((store, length), state.call_bytes())?;
    let scope = Arc::clone(&state.stages[index].scope);
    Ok(i32::from(state.host.is_granted(scope, store)?))
}

#[expect(clippy::too_many_arguments, reason = "three lists, each as a pointer and a length")]
fn verify(
    mut call: Call<'_>,
    stage: i32,
    algorithm: i32,
    key: i32,
    key_length: i32,
    message: i32,
    message_length: i32,
    signature: i32,
    signature_length: i32,
    at: i32,
) -> Result<()> {
    let (_, mut bytes, state) = calling(&mut call, stage)?;
    state.origins.count(HostCall::Signatures);
    let Some(algorithm) = ALGORITHMS.get(place(algorithm) as usize) else { bail!("unexpected discriminant") };
    let mut most = state.call_bytes();
    let mut given = |at, length: i32| {
        let length = place(length) as usize;
        // What the component form would copy is bounded.
        most = most
            .checked_sub(length)
            .ok_or_else(|| format_err!("fuel allocated for hostcalls has been exhausted"))?;
        bytes.get(place(at) as usize, length)
    };
    let (key, message) = (given(key, key_length)?, given(message, message_length)?);
    let found = verified(*algorithm, key, message, given(signature, signature_length)?);
    let at = bytes.place(place(at), 2, 1)?;
    bytes.put(
        at,
        &match found {
            Ok(valid) => [0, u8::from(valid)],
            Err(SignatureError::InvalidKey) => [1, 0],
            Err(SignatureError::TooLong) => [1, 1],
        },
    )
}

fn clock(mut call: Call<'_>, stage: i32, read: fn(&mut InstanceState, Scope) -> Result<u64>) -> Result<i64> {
    let (index, state) = caller(&mut call, stage)?;
    state.origins.count(HostCall::Clock);
    let scope = Arc::clone(&state.stages[index].scope);
    Ok(read(&mut state.host, scope)?.cast_signed())
}

fn system_now(mut call: Call<'_>, stage: i32, at: i32) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    state.origins.count(HostCall::Clock);
    let scope = Arc::clone(&state.stages[index].scope);
    let now = system_clock::Host::now(&mut state.host, scope)?;
    let at = bytes.place(place(at), 16, 8)?;
    bytes.put(at, &now.seconds.to_le_bytes())?;
    bytes.put_word(at + 8, now.nanoseconds)
}
