//! The circuit breaker of a stage: takes it out of the way while it keeps failing.
//!
//! Closed, it counts the stage's failures; `failures` of them within `window` open
//! it. Open, no request reaches the stage for as long as `open` says; then one
//! does, as a probe, and decides whether it closes or stays open as long again. The
//! state is the process's, shared by its workers.

use crate::plan::Breaker as Spec;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
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
}

/// Leave to try the stage. Dropped without a word, as when the client goes away, a
/// probe tells nothing, and another may follow.
#[derive(Debug)]
pub struct Attempt<'a> {
    breaker: &'a Breaker,
    probe: bool,
    told: bool,
}

impl Breaker {
    /// A closed breaker for `stage`.
    pub fn new(spec: Spec, stage: String) -> Self {
        Self { spec, stage, state: Mutex::new(State::Closed(VecDeque::new())) }
    }

    /// Whether a request may try the stage.
    pub fn admit(&self) -> Option<Attempt<'_>> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<Attempt<'_>> {
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
        Some(Attempt { breaker: self, probe, told: false })
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
            State::Closed(failures) => {
                failures.push_back(now);
                while failures.front().is_some_and(|at| now.duration_since(*at) > self.spec.window) {
                    failures.pop_front();
                }
                if failures.len() >= self.spec.failures {
                    let count = failures.len();
                    *state = State::Open { since: now };
                    tracing::warn!(stage = self.stage, failures = count, "breaker opened");
                }
            }
            State::Probing { .. } if probe => *state = State::Open { since: now },
            // A request from before it opened.
            State::Open { .. } | State::Probing { .. } => {}
        }
    }
}

impl Attempt<'_> {
    /// The stage answered.
    pub fn succeed(mut self) {
        self.told = true;
        self.breaker.on_success(self.probe);
    }

    /// The stage failed.
    pub fn fail(mut self) {
        self.told = true;
        self.breaker.on_failure(self.probe, Instant::now());
    }
}

impl Drop for Attempt<'_> {
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

    fn breaker() -> Breaker {
        let spec = Spec { failures: 3, window: 10 * SECOND, open: 5 * SECOND, then: BreakerThen::Skip };
        Breaker::new(spec, "edge/1:x".to_owned())
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
        let probe = breaker.admit_at(start + 5 * SECOND).expect("a probe");
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
}
