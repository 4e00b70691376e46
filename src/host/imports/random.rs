//! `random`: random numbers reveal nothing about another stage.

use crate::host::state::InstanceState;
use wasmtime_wasi::p2::bindings::random as p2;
use wasmtime_wasi::p3::bindings::random as p3;
use wasmtime_wasi::random::WasiRandom;

offers! {
    shared "wasi:random/random" "0.3" (p3::random as WasiRandom, InstanceState::random) needs Random;
    shared "wasi:random/insecure" "0.3" (p3::insecure as WasiRandom, InstanceState::random) needs Random;
    shared "wasi:random/insecure-seed" "0.3" (p3::insecure_seed as WasiRandom, InstanceState::random) needs Random;
    shared "wasi:random/random" "0.2" (p2::random as WasiRandom, InstanceState::random) needs Random;
    shared "wasi:random/insecure" "0.2" (p2::insecure as WasiRandom, InstanceState::random) needs Random;
    shared "wasi:random/insecure-seed" "0.2" (p2::insecure_seed as WasiRandom, InstanceState::random) needs Random;
}
