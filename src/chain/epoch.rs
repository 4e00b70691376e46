//! The clock for guests' running time.
//!
//! One thread of the process advances the epoch of each engine once a tick, which interrupts guests that compute. The
//! thread rests while no guest runs: to wake up 500 times a second took half a percent of a core.
//!
//! No guest escapes a clock that rests. An interruption is due at most two ticks after it was asked for, and whoever
//! asks for one says [`guests_run`]. The clock goes on for [`PATIENCE`] ticks after it last heard that, so that when it
//! rests, every interruption is due: a guest that goes on is met at its first check, and that says `guests_run` again.
//! A thread that the system keeps from running for all of this time, between the two steps of asking, is met by the
//! tick every [`REST`].

use crate::host::state::EPOCH_TICK;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;
use wasmtime::{Engine, EngineWeak};

/// Ticks without a guest until the clock rests: a gateway with ten requests a second never has to wake it.
const PATIENCE: u32 = 50;

/// The time between ticks of a clock that rests.
const REST: Duration = Duration::from_millis(500);

/// A guest ran since the last tick.
const RAN: u8 = 0;
/// None did.
const QUIET: u8 = 1;
/// The clock rests.
const RESTS: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(QUIET);

/// Engines whose epoch the clock advances. Those that are gone are forgotten at the next tick.
static CLOCKED: Mutex<Vec<EngineWeak>> = Mutex::new(Vec::new());

/// The clock's thread.
static CLOCK: OnceLock<Thread> = OnceLock::new();

/// Says that a guest runs and is to be interrupted: an atomic load, unless the last tick saw no guest.
pub fn guests_run() {
    if STATE.load(Ordering::Relaxed) != RAN && STATE.swap(RAN, Ordering::Relaxed) == RESTS {
        wake();
    }
}

#[cold]
fn wake() {
    if let Some(clock) = CLOCK.get() {
        clock.unpark();
    }
}

/// Lets the clock advance the epoch of `engine`; the first call starts its thread.
///
/// # Errors
/// If the thread can't be started.
pub(super) fn advance(engine: &Engine) -> std::io::Result<()> {
    let mut clocked = CLOCKED.lock().unwrap_or_else(PoisonError::into_inner);
    clocked.push(engine.weak());
    if CLOCK.get().is_none() {
        let thread = std::thread::Builder::new().name("linkspan-epoch".to_owned()).spawn(run)?;
        // The lock is held: no other thread starts the clock.
        let _ = CLOCK.set(thread.thread().clone());
    }
    Ok(())
}

fn run() {
    let mut quiet = 0;
    loop {
        let exchanged = Ordering::Relaxed;
        if quiet >= PATIENCE && STATE.compare_exchange(QUIET, RESTS, exchanged, exchanged).is_ok() {
            std::thread::park_timeout(REST);
            // The guest that woke the clock gets a whole tick.
            if STATE.load(Ordering::Relaxed) == RAN {
                quiet = 0;
                continue;
            }
        } else {
            std::thread::sleep(EPOCH_TICK);
        }
        let ran = STATE.swap(QUIET, Ordering::Relaxed) == RAN;
        quiet = if ran { 0 } else { quiet.saturating_add(1) };
        tick();
    }
}

fn tick() {
    let mut clocked = CLOCKED.lock().unwrap_or_else(PoisonError::into_inner);
    clocked.retain(|engine| engine.upgrade().map(|engine| engine.increment_epoch()).is_some());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use wasmtime::{Config, Instance, Module, Store, UpdateDeadline};

    /// A guest that computes for ever is interrupted again and again, though the clock rested when it began, and though
    /// its interruption was asked for long before.
    #[test]
    fn a_clock_that_rests_misses_no_guest() {
        let engine = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
        advance(&engine).expect("a thread");
        let spin = r#"(module (func (export "spin") (loop (br 0))))"#;
        let module = Module::new(&engine, wat::parse_str(spin).expect("a text")).expect("a module");
        let mut store = Store::new(&engine, 0_u32);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            guests_run();
            *store.data_mut() += 1;
            Ok(if *store.data() < 20 { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
        });
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").expect("a function");
        // Tests beside this one may have guests, too.
        let start = Instant::now();
        while STATE.load(Ordering::Relaxed) != RESTS && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(EPOCH_TICK);
        }
        spin.call(&mut store, ()).expect_err("it never ends");
        assert_eq!(*store.data(), 20);
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }
}
