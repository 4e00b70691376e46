//! The restrictions on a segment while it is proven (`chain/prove.rs`), and the log lines kept from its proof.
//!
//! During the proof no worker runs the segment, so no call leads to another stage or pipeline, and a stage that judges
//! its configuration reaches nothing outside. Once a segment serves, each check is one load of a flag.
//!
//! Bounds: [`MAX_LINES`] lines are kept, each of at most [`MAX_LINE`] bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// Lines that are kept of the output of a segment's stages: the last ones, which say why a stage ended.
const MAX_LINES: usize = 4;

/// The longest part of a line that is kept, in bytes.
const MAX_LINE: usize = 512;

/// The state of a segment's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Act {
    /// The proof is over, or there was none.
    Over,
    /// An instance is made.
    Start,
    /// A stage judges its configuration.
    Judgement,
}

/// The proof of a segment, shared by its stages' scopes and its links to other segments.
#[derive(Debug, Default)]
pub struct Rehearsal {
    act: AtomicU8,
    /// A stage's index and a line of its log.
    lines: Mutex<VecDeque<(usize, String)>>,
}

impl Rehearsal {
    /// Continues with `act`, without lines.
    pub fn begin(&self, act: Act) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.act.store(act as u8, Ordering::Relaxed);
    }

    /// Whether calls of other stages and pipelines are closed: there is no worker.
    pub fn is_alone(&self) -> bool {
        self.act.load(Ordering::Relaxed) != Act::Over as u8
    }

    /// Whether all ways out are closed.
    pub fn is_shut(&self) -> bool {
        self.act.load(Ordering::Relaxed) == Act::Judgement as u8
    }

    /// Notes a line of `stage`'s log.
    pub fn note(&self, stage: usize, line: &str) {
        if !self.is_alone() {
            return;
        }
        let line = line[..line.floor_char_boundary(MAX_LINE)].trim();
        if line.is_empty() {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back((stage, line.to_owned()));
    }

    /// The last lines of `stages`; of all stages, if none is named.
    pub fn said(&self, stages: &[usize]) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = |stage: &usize| stages.is_empty() || stages.contains(stage);
        lines.iter().filter(|(stage, _)| theirs(stage)).map(|(_, line)| line.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_stage_are_kept() {
        let rehearsal = Rehearsal::default();
        rehearsal.note(0, "before");
        assert!(!rehearsal.is_alone() && rehearsal.said(&[]).is_empty());
        rehearsal.begin(Act::Start);
        for number in 0..6 {
            rehearsal.note(number % 2, &format!("{number}\n"));
        }
        rehearsal.note(0, "\n");
        assert_eq!(rehearsal.said(&[]), ["2", "3", "4", "5"]);
        assert_eq!(rehearsal.said(&[1]), ["3", "5"]);
        assert!(rehearsal.is_alone() && !rehearsal.is_shut());
        rehearsal.begin(Act::Judgement);
        assert!(rehearsal.is_shut() && rehearsal.said(&[]).is_empty());
        rehearsal.note(0, &"é".repeat(MAX_LINE));
        assert_eq!(rehearsal.said(&[])[0].len(), MAX_LINE);
    }
}
