//! Functions of the host, as stages call them.

use super::abi::Bytes;
use super::disagreement::Disagreement;
use super::state::State;
use wasm_encoder::ValType;
use wasmtime::{Caller, Linker, Result, StoreContextMut};

/// The name of the host among the glue's imports.
pub const HOST: &str = "host";

/// A function of the host.
pub struct HostFunction {
    /// Its interface without the version, and its name; or which resource it drops.
    pub name: &'static str,
    /// Its type in the component model, as [`signature`](super::signature) writes it.
    pub ty: &'static str,
    /// What a guest passes, and gets.
    pub params: &'static [ValType],
    pub results: &'static [ValType],
    /// What comes after it, before it returns to the guest.
    pub after: After,
    /// Puts it into a linker.
    pub link: fn(&mut Linker<State>, &str) -> Result<()>,
}

/// What the glue does after a function of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Nothing,
    /// Allocates what the function left to be allocated.
    Fill,
    /// The same for the task that called the one which returns.
    Return,
    /// Has the next stage end a call early, and waits for that or not.
    Cancel {
        waits: bool,
    },
}

/// A function of the list: its name and type, what a guest passes and gets, whether it leaves something to be
/// allocated or what else comes after it, and what answers it.
macro_rules! host_function {
    ($name:expr, $ty:expr, [$($param:expr),*] -> [$($result:expr),*], false, $answer:expr) => {
        $crate::direct::call::host_function!(
            $name, $ty, [$($param),*] -> [$($result),*], $crate::direct::call::After::Nothing, $answer
        )
    };
    ($name:expr, $ty:expr, [$($param:expr),*] -> [$($result:expr),*], true, $answer:expr) => {
        $crate::direct::call::host_function!(
            $name, $ty, [$($param),*] -> [$($result),*], $crate::direct::call::After::Fill, $answer
        )
    };
    ($name:expr, $ty:expr, [$($param:expr),*] -> [$($result:expr),*], $after:expr, $answer:expr) => {
        $crate::direct::call::HostFunction {
            name: $name,
            ty: $ty,
            params: &[$($param),*],
            results: &[$($result),*],
            after: $after,
            link: |linker, name| linker.func_wrap($crate::direct::call::HOST, name, $answer).map(drop),
        }
    };
}
pub(super) use host_function;

pub type Call<'c> = Caller<'c, State>;

/// A stage that calls, its memory, and the state beside that.
pub fn calling<'c>(call: &'c mut Call<'_>, stage: i32) -> Result<(usize, Bytes<'c>, &'c mut State)> {
    let index = call.data().caller(stage)?;
    let (bytes, state) = memory(call, index)?;
    Ok((index, bytes, state))
}

/// The same of a stage whose memory is not looked into.
pub fn caller<'c>(call: &'c mut Call<'_>, stage: i32) -> Result<(usize, &'c mut State)> {
    let state = call.data_mut();
    Ok((state.caller(stage)?, state))
}

/// A stage's memory, beside the state.
pub fn memory<'c>(
    store: impl Into<StoreContextMut<'c, State>>,
    stage: usize,
) -> Result<(Bytes<'c>, &'c mut State)> {
    let store = store.into();
    let memory = store.data().stages[stage].memory.ok_or(Disagreement("a stage has no memory yet"))?;
    let (bytes, state) = memory.data_and_store_mut(store);
    Ok((Bytes(bytes), state))
}

/// A number that a guest means as a place, or as a handle.
pub fn place(number: i32) -> u32 {
    number.cast_unsigned()
}
