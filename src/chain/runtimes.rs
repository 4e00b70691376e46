//! Engines, kept from generation to generation.
//!
//! Making an engine reserves the slots of its pool, with a system call for each stack; dropping an engine releases all
//! of it. Both lock the process's address space for a millisecond or more, in which no worker gets a page or an
//! instance. An engine whose last segment is gone therefore serves the next generation that needs no more room. The
//! code that looks after replaced generations drops unused engines, never a worker.

use super::compile::{PoolSize, Runtime, RuntimeError};
use super::functions::{Functions, Shared};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most unused engines that are kept. Their slots hold some pages each.
const MAX_UNUSED: usize = 4;

/// How long an unused engine is kept.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The engines of a process that loads one configuration after another.
#[derive(Default)]
pub struct Runtimes {
    kept: Mutex<Vec<Kept>>,
    functions: Arc<Functions>,
}

struct Kept {
    runtime: Runtime,
    /// When it was first seen to be unused.
    unused: Option<Instant>,
}

impl Runtimes {
    /// A runtime like that of [`Runtime::new`], which may have been used before.
    ///
    /// # Errors
    /// Those of [`Runtime::new`].
    pub fn get(&self, segments: &[PoolSize], instances: u32) -> Result<Runtime, RuntimeError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            kept.iter_mut().find(|it| it.runtime.is_unused() && it.runtime.does_for(segments, instances));
        if let Some(found) = found {
            found.unused = None;
            return Ok(found.runtime.clone());
        }
        let runtime = Runtime::new(segments, instances, Some(&self.functions))?;
        kept.push(Kept { runtime: runtime.clone(), unused: None });
        Ok(runtime)
    }

    /// Makes engines keep compiled functions for the next composition, until the result is dropped.
    pub fn share(&self) -> Shared<'_> {
        self.functions.share()
    }

    /// Drops engines that were unused for `patience`, or are too many, and returns the number of unused ones left.
    pub fn tidy(&self, patience: Duration) -> usize {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unused = 0;
        // The newest engines are the most likely to fit.
        let mut at = kept.len();
        while let Some(next) = at.checked_sub(1) {
            at = next;
            let it = &mut kept[at];
            if !it.runtime.is_unused() {
                it.unused = None;
                continue;
            }
            let since = it.unused.get_or_insert_with(Instant::now).elapsed();
            if unused >= MAX_UNUSED || since >= patience {
                kept.remove(at);
            } else {
                unused += 1;
            }
        }
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(instances: u32) -> PoolSize {
        PoolSize { instances, core_instances: 4, memories: 1, tables: 1, stages: 1, ..PoolSize::default() }
    }

    #[test]
    fn an_unused_engine_does_for_what_needs_no_more_room() {
        let runtimes = Runtimes::default();
        let get = |instances| runtimes.get(&[size(instances)], 100).expect("an engine");
        let first = get(4);
        // In use.
        let second = get(4);
        assert!(!wasmtime::Engine::same(first.engine(), second.engine()));
        let engine = first.engine().clone();
        drop((first, second));
        assert!(wasmtime::Engine::same(&engine, get(3).engine()));
        assert!(!wasmtime::Engine::same(&engine, get(5).engine()));
    }

    #[test]
    fn few_unused_engines_are_kept() {
        let runtimes = Runtimes::default();
        let some: Vec<_> = (0..MAX_UNUSED + 2).filter_map(|_| runtimes.get(&[size(2)], 100).ok()).collect();
        assert_eq!(runtimes.tidy(PATIENCE), 0);
        drop(some);
        assert_eq!(runtimes.tidy(PATIENCE), MAX_UNUSED);
        assert_eq!(runtimes.tidy(Duration::ZERO), 0);
    }
}
