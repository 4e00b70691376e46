//! A trial of rewritten lifts: requests show whether a segment's stages work with them.
//!
//! A stage that does not work rewritten fails on ordinary requests, mostly on its first. One request at a time
//! therefore goes through the rewritten form until `limits.lift-trial` requests have passed, on all workers together;
//! the other requests take the original form meanwhile. The first failure settles the trial for all of them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What is known of a segment's rewritten form.
#[derive(Debug)]
pub struct Trial {
    /// The requests that must still pass one at a time before several may enter at once.
    passes: u32,
    failed: AtomicBool,
    passed: AtomicU32,
    taken: AtomicBool,
}

/// How a request may enter.
pub enum Admission<'a> {
    /// Together with any number of others.
    Open,
    /// Alone.
    Turn(Turn<'a>),
    /// Not at all: it takes the original form.
    Original,
}

/// A request's turn in a trial, which ends when this is dropped.
pub struct Turn<'a>(&'a Trial);

impl Trial {
    /// The requests that still had to pass when it entered.
    pub fn new(passes: u32) -> Self {
        Self {
            passes,
            failed: AtomicBool::default(),
            passed: AtomicU32::default(),
            taken: AtomicBool::default(),
        }
    }

    /// How a request may enter now.
    pub fn admit(&self) -> Admission<'_> {
        if self.has_failed() {
            return Admission::Original;
        }
        if self.passed.load(Ordering::Relaxed) >= self.passes {
            return Admission::Open;
        }
        match self.taken.swap(true, Ordering::AcqRel) {
            true => Admission::Original,
            false => Admission::Turn(Turn(self)),
        }
    }

    /// Notes a failure; `true` for the first one.
    pub fn fail(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    /// Whether the trial failed.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Turn<'_> {
    /// Notes that the request passed.
    pub fn pass(self) {
        self.0.passed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(trial: &Trial) -> Option<Turn<'_>> {
        match trial.admit() {
            Admission::Turn(turn) => Some(turn),
            Admission::Open | Admission::Original => None,
        }
    }

    #[test]
    fn one_request_at_a_time_until_enough_have_passed() {
        let trial = Trial::new(3);
        for _ in 0..3 {
            let first = turn(&trial).expect("nobody is in it");
            assert!(matches!(trial.admit(), Admission::Original), "somebody is in it");
            first.pass();
        }
        assert!(matches!(trial.admit(), Admission::Open));
        assert!(matches!(Trial::new(0).admit(), Admission::Open), "there is no trial");
        assert!(trial.fail() && !trial.fail());
        assert!(matches!(trial.admit(), Admission::Original));
    }

    #[test]
    fn a_turn_that_is_given_up_is_the_next_ones() {
        let trial = Trial::new(1);
        drop(turn(&trial));
        assert!(turn(&trial).is_some());
    }
}
