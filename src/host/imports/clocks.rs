//! `clocks`, and how precisely a stage can tell the time.
//!
//! With a fine clock, code that shares a process can measure what its neighbours do, by their traces in the caches.
//! `clocks = "coarse"` gives the time in steps of [`COARSE`], some thousand times longer than such a difference, and
//! still as fine as the timers of requests. A wait ends at a step as well, so that it reveals no more than the clock.

use super::types::for_their_types;
use crate::host::bindings::named_imports as own3;
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::host::wasi2::bindings::named_imports as own2;
use crate::plan::Clocks;
use crate::telemetry::HostCall;
use wasmtime::component::{Accessor, HasSelf, Resource};
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks as p2;
use wasmtime_wasi::p3::bindings::clocks as p3;

offers! {
    shared "wasi:clocks/types" "0.3" (|linker| {
        p3::types::add_to_linker::<_, WasiClocks>(linker, InstanceState::clocks)?;
        for_their_types(linker, FOR_THEIR_TYPES)
    });
    own "wasi:clocks/monotonic-clock" "0.3" (own3::wasi::clocks::monotonic_clock) needs Clocks;
    own "wasi:clocks/system-clock" "0.3" (own3::wasi::clocks::system_clock) needs Clocks;
    own "wasi:clocks/monotonic-clock" "0.2" (own2::wasi::clocks::monotonic_clock) needs Clocks;
    own "wasi:clocks/wall-clock" "0.2" (own2::wasi::clocks::wall_clock) needs Clocks;
}

/// Those from which others take types.
const FOR_THEIR_TYPES: &[(&str, &[&str])] = &[
    ("wasi:clocks/system-clock@0.3.0", &["now", "get-resolution"]),
    ("wasi:clocks/wall-clock@0.2.0", &["now", "resolution"]),
    ("wasi:clocks/monotonic-clock@0.2.0", &["now", "resolution", "subscribe-instant", "subscribe-duration"]),
];

/// The step of coarse clocks, in nanoseconds: a millisecond.
const COARSE: u64 = 1_000_000;

/// The step of a stage's clocks.
#[derive(Clone, Copy, Debug)]
struct Precision(u64);

impl Precision {
    fn of(clocks: Clocks) -> Self {
        match clocks {
            Clocks::Coarse => Self(COARSE),
            // A denied clock is never asked.
            Clocks::Real | Clocks::Denied => Self(1),
        }
    }

    /// The last step at or before `time`.
    fn round(self, time: u64) -> u64 {
        time - time % self.0
    }

    /// The same for the part of a time below a second.
    fn round_nanoseconds(self, nanoseconds: u32) -> u32 {
        nanoseconds - nanoseconds % self.0 as u32
    }

    /// The first step at or after `time`.
    fn round_up(self, time: u64) -> u64 {
        time.checked_next_multiple_of(self.0).unwrap_or(u64::MAX)
    }

    /// The precision of a clock whose own precision is `own`.
    fn resolution(self, own: u64) -> u64 {
        own.max(self.0)
    }
}

fn step(scope: &Scope) -> Precision {
    Precision::of(scope.grants.clocks)
}

impl own3::wasi::clocks::system_clock::Host for InstanceState {
    fn now(&mut self, scope: Scope) -> wasmtime::Result<p3::system_clock::Instant> {
        self.count_call(HostCall::Clock);
        let now = p3::system_clock::Host::now(&mut self.clocks())?;
        let nanoseconds = step(&scope).round_nanoseconds(now.nanoseconds);
        Ok(p3::system_clock::Instant { seconds: now.seconds, nanoseconds })
    }

    fn get_resolution(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        self.count_call(HostCall::Clock);
        Ok(step(&scope).resolution(p3::system_clock::Host::get_resolution(&mut self.clocks())?))
    }
}

impl own3::wasi::clocks::monotonic_clock::Host for InstanceState {
    fn now(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        self.count_call(HostCall::Clock);
        Ok(step(&scope).round(p3::monotonic_clock::Host::now(&mut self.clocks())?))
    }

    fn get_resolution(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        self.count_call(HostCall::Clock);
        Ok(step(&scope).resolution(p3::monotonic_clock::Host::get_resolution(&mut self.clocks())?))
    }
}

impl own3::wasi::clocks::monotonic_clock::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    async fn wait_until(
        store: &Accessor<InstanceState, Self>,
        scope: Scope,
        when: u64,
    ) -> wasmtime::Result<()> {
        let length = store.with(|mut store| {
            store.get().count_call(HostCall::Timer);
            wait_until(store.get(), &scope, when)
        })?;
        sleep(length).await;
        Ok(())
    }

    async fn wait_for(
        store: &Accessor<InstanceState, Self>,
        scope: Scope,
        duration: u64,
    ) -> wasmtime::Result<()> {
        store.with(|mut store| store.get().count_call(HostCall::Timer));
        sleep(wait_for(&scope, duration)).await;
        Ok(())
    }
}

/// The nanoseconds that a stage waits which wants to wait until `when`.
///
/// # Errors
/// Those of the clock: a trap.
pub fn wait_until(state: &mut InstanceState, scope: &Scope, when: u64) -> wasmtime::Result<u64> {
    let now = p3::monotonic_clock::Host::now(&mut state.clocks())?;
    Ok(step(scope).round_up(when).saturating_sub(now))
}

/// The same of one that wants to wait for `duration`.
pub fn wait_for(scope: &Scope, duration: u64) -> u64 {
    step(scope).round_up(duration)
}

/// Waits for so many nanoseconds; for none, not at all.
pub async fn sleep(nanoseconds: u64) {
    if nanoseconds > 0 {
        tokio::time::sleep(std::time::Duration::from_nanos(nanoseconds)).await;
    }
}

impl own2::wasi::clocks::wall_clock::Host for InstanceState {
    fn now(&mut self, scope: Scope) -> wasmtime::Result<p2::wall_clock::Datetime> {
        self.count_call(HostCall::Clock);
        let p2::wall_clock::Datetime { seconds, nanoseconds } =
            p2::wall_clock::Host::now(&mut self.clocks())?;
        let nanoseconds = step(&scope).round_nanoseconds(nanoseconds);
        Ok(p2::wall_clock::Datetime { seconds, nanoseconds })
    }

    fn resolution(&mut self, scope: Scope) -> wasmtime::Result<p2::wall_clock::Datetime> {
        self.count_call(HostCall::Clock);
        let own = p2::wall_clock::Host::resolution(&mut self.clocks())?;
        let nanoseconds = step(&scope).resolution(own.nanoseconds.into());
        Ok(p2::wall_clock::Datetime { seconds: own.seconds, nanoseconds: nanoseconds as u32 })
    }
}

impl own2::wasi::clocks::monotonic_clock::Host for InstanceState {
    fn now(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        self.count_call(HostCall::Clock);
        Ok(step(&scope).round(p2::monotonic_clock::Host::now(&mut self.clocks())?))
    }

    fn resolution(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        self.count_call(HostCall::Clock);
        Ok(step(&scope).resolution(p2::monotonic_clock::Host::resolution(&mut self.clocks())?))
    }

    fn subscribe_instant(&mut self, scope: Scope, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.count_call(HostCall::Timer);
        p2::monotonic_clock::Host::subscribe_instant(&mut self.clocks(), step(&scope).round_up(when))
    }

    fn subscribe_duration(&mut self, scope: Scope, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.count_call(HostCall::Timer);
        p2::monotonic_clock::Host::subscribe_duration(&mut self.clocks(), step(&scope).round_up(when))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_times_are_whole_milliseconds() {
        let coarse = Precision::of(Clocks::Coarse);
        assert_eq!(coarse.round(12_345_678), 12_000_000);
        assert_eq!(coarse.round_nanoseconds(999_999_999), 999_000_000);
        assert_eq!(coarse.round_up(12_000_001), 13_000_000);
        assert_eq!(coarse.round_up(12_000_000), 12_000_000);
        assert_eq!(coarse.round_up(u64::MAX), u64::MAX);
        assert_eq!(coarse.resolution(1), COARSE);
        let real = Precision::of(Clocks::Real);
        assert_eq!((real.round(12_345_678), real.round_up(7), real.resolution(1)), (12_345_678, 7, 1));
    }
}
