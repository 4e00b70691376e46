//! The circuit breaker of a stage, which takes a stage that keeps failing out of the way.
//!
//! A closed breaker counts the stage's failures; `failures` of them within `window` open it. While the breaker is open,
//! no request reaches the stage for the time `open`; then one request does, as a probe, and decides whether the breaker
//! closes or stays open for the same time again. The state belongs to the process and is shared by its workers.

use crate::plan::Breaker as Spec;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

#[derive(Debug)]
enum State {
    /// The times of recent failures, at most as many as open it.
    Closed(VecDeque<Instant>),
    Open {
        since: Instant,
    },
    /// A probe is under way.
    Probing {
        since: Instant,
    },
}

/// A stage's breaker.
#[derive(Debug)]
pub struct Breaker {
    /// What the configuration says of it.
    pub spec: Spec,
    stage: String,
    state: Mutex<State>,
    /// How often it opened.
    opened: AtomicU64,
}

/// Leave to try the stage. Dropped without a word, as when the client goes away, a
/// probe tells nothing, and another may follow.
///
/// A stage that answered can still fail: its response's body breaks off when it traps. So a response's head is a success
/// at once, for a body may take hours, and what comes after it a failure of its own.
#[derive(Debug)]
pub struct Attempt {
    breaker: Arc<Breaker>,
    began: Instant,
    probe: bool,
    told: bool,
}

impl Breaker {
    /// A closed breaker for `stage`.
    pub fn new(spec: Spec, stage: String) -> Self {
        Self { spec, stage, state: Mutex::new(State::Closed(VecDeque::new())), opened: AtomicU64::new(0) }
    }

    /// Whether it keeps requests from the stage, but for one that tries it.
    pub fn is_open(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(*state, State::Closed(_))
    }

    /// How often it opened; a probe that failed is none of that.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Whether a request may try the stage.
    pub fn admit(self: &Arc<Self>) -> Option<Attempt> {
        self.admit_at(Instant::now())
    }

    fn admit_at(self: &Arc<Self>, now: Instant) -> Option<Attempt> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let probe = match *state {
            State::Closed(_) => false,
            // A probe that takes longer than `open` is given up.
            State::Open { since } | State::Probing { since }
                if now.duration_since(since) >= self.spec.open =>
            {
                *state = State::Probing { since: now };
                true
            }
            State::Open { .. } | State::Probing { .. } => return None,
        };
        Some(Attempt { breaker: Arc::clone(self), began: now, probe, told: false })
    }

    fn on_success(&self, probe: bool) {
        if probe {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            *state = State::Closed(VecDeque::new());
            tracing::info!(stage = self.stage, "breaker closed: the stage works again");
        }
    }

    fn on_failure(&self, probe: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            // It had answered, which closed the breaker.
            State::Closed(_) if probe => {
                *state = State::Open { since: now };
                self.opened.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(stage = self.stage, "breaker opened again: the probe's body broke off");
            }
            State::Closed(failures) => {
                failures.push_back(now);
                while failures.front().is_some_and(|at| now.duration_since(*at) > self.spec.window) {
                    failures.pop_front();
                }
                if failures.len() >= self.spec.failures {
                    let count = failures.len();
                    *state = State::Open { since: now };
                    self.opened.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(stage = self.stage, failures = count, "breaker opened");
                }
            }
            State::Probing { .. } if probe => *state = State::Open { since: now },
            // A request from before it opened.
            State::Open { .. } | State::Probing { .. } => {}
        }
    }
}

impl Attempt {
    /// The stage answered, or handed on that the next one did not.
    pub fn succeed(&mut self) {
        self.told = true;
        self.breaker.on_success(self.probe);
    }

    /// The stage failed, maybe after it had answered.
    pub fn fail(mut self) {
        let now = Instant::now();
        // What was tried long ago is no probe any more: others have decided since.
        let probe = self.probe && (!self.told || now.duration_since(self.began) <= self.breaker.spec.window);
        self.told = true;
        self.breaker.on_failure(probe, now);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.probe && !self.told {
            let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let State::Probing { since } = *state {
                // As long ago as it needs for the next request to probe.
                let since = since.checked_sub(self.breaker.spec.open).unwrap_or(since);
                *state = State::Open { since };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::BreakerThen;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Arc<Breaker> {
        let spec = Spec { failures: 3, window: 10 * SECOND, open: 5 * SECOND, then: BreakerThen::Bypass };
        Arc::new(Breaker::new(spec, "edge/1:x".to_owned()))
    }

    #[test]
    fn opens_after_failures_within_the_window() {
        let (breaker, start) = (breaker(), Instant::now());
        breaker.on_failure(false, start);
        breaker.on_failure(false, start + 11 * SECOND);
        breaker.on_failure(false, start + 12 * SECOND);
        assert!(breaker.admit_at(start + 12 * SECOND).is_some());
        breaker.on_failure(false, start + 13 * SECOND);
        assert!(breaker.admit_at(start + 13 * SECOND).is_none());
    }

    #[test]
    fn one_probe_decides() {
        let (breaker, start) = (breaker(), Instant::now());
        (0..3).for_each(|_| breaker.on_failure(false, start));
        assert!(breaker.admit_at(start + 4 * SECOND).is_none());
        let mut probe = breaker.admit_at(start + 5 * SECOND).expect("a probe");
        assert!(breaker.admit_at(start + 5 * SECOND).is_none());
        probe.succeed();
        assert!(breaker.admit_at(start + 5 * SECOND).is_some());
    }

    #[test]
    fn a_failed_probe_opens_again() {
        let (breaker, start) = (breaker(), Instant::now());
        (0..3).for_each(|_| breaker.on_failure(false, start));
        breaker.admit_at(start + 5 * SECOND).expect("a probe").told = true;
        breaker.on_failure(true, start + 5 * SECOND);
        assert!(breaker.admit_at(start + 9 * SECOND).is_none());
        assert!(breaker.admit_at(start + 10 * SECOND).is_some());
    }

    #[test]
    fn a_probe_that_tells_nothing_is_followed_by_another() {
        let (breaker, start) = (breaker(), Instant::now());
        (0..3).for_each(|_| breaker.on_failure(false, start));
        drop(breaker.admit_at(start + 5 * SECOND).expect("a probe"));
        assert!(breaker.admit_at(start + 5 * SECOND).is_some());
    }

    #[test]
    fn a_probe_that_fails_after_its_answer_opens_again() {
        let (breaker, start) = (breaker(), Instant::now());
        (0..3).for_each(|_| breaker.on_failure(false, start));
        let mut probe = breaker.admit_at(start + 5 * SECOND).expect("a probe");
        probe.succeed();
        assert!(breaker.admit_at(start + 5 * SECOND).is_some());
        probe.fail();
        assert!(breaker.admit().is_none());
    }
}
