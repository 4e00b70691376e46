//! A stage's counters in a store, for whose answer it may have to wait.

use super::call::{After, Call, HOST, HostFunction, calling};
use super::departure::awaited;
use super::imports::lower_decision;
use crate::host::HostCall;
use crate::host::bindings::linkspan::gateway::rate_limiter::{Quota, SharedError};
use crate::host::imports::limiter::take_shared;
use std::sync::Arc;
use wasm_encoder::ValType::{I32, I64};
use wasmtime::Result;

pub const FUNCTIONS: &[HostFunction] = &[HostFunction {
    name: "linkspan:gateway/rate-limiter#take-shared",
    ty: "async (store: string, bucket: string, key: string, quota: record{burst:u32,interval:u64}) -> \
         result<record{allowed:bool,remaining:u32,retry-after:u64,reset-after:u64}, \
         enum{invalid-quota,key-too-long,too-many-keys,not-granted,invalid-bucket,unavailable}>",
    params: &[I32, I32, I32, I32, I32, I32, I32, I64, I32],
    results: &[],
    after: After::Nothing,
    link: |linker, name| {
        let linked = linker.func_wrap_async(HOST, name, |call: Call<'_>, asked: Asked| {
            Box::new(async move { take(call, asked).await })
        });
        linked.map(drop)
    },
}];

/// The stage; store, bucket and key, each with its length; the quota; and where the answer goes.
type Asked = (i32, i32, i32, i32, i32, i32, i32, i32, i64, i32);

async fn take(mut call: Call<'_>, asked: Asked) -> Result<()> {
    let (stage, store, store_length, bucket, bucket_length, key, key_length, burst, interval, at) = asked;
    let (index, bytes, state) = calling(&mut call, stage)?;
    let most = state.call_bytes();
    let store = bytes.string((store, store_length), most)?;
    let bucket = bytes.string((bucket, bucket_length), most - store.len())?;
    let key = bytes.string((key, key_length), most - store.len() - bucket.len())?;
    let quota = Quota { burst: burst.cast_unsigned(), interval: interval.cast_unsigned() };
    let scope = Arc::clone(&state.stages[index].scope);
    state.origins.count(HostCall::Limiter);
    state.host.pulse().act();
    let taken = awaited(&mut call, take_shared(&scope, &store, &bucket, &key, quota)).await?;
    let taken = taken.map_err(|error| match error {
        SharedError::InvalidQuota => 0,
        SharedError::KeyTooLong => 1,
        SharedError::TooManyKeys => 2,
        SharedError::NotGranted => 3,
        SharedError::InvalidBucket => 4,
        SharedError::Unavailable => 5,
    });
    // The memory may have moved meanwhile.
    let (_, mut bytes, _) = calling(&mut call, stage)?;
    lower_decision(&mut bytes, taken, at)
}
