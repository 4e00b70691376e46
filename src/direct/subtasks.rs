//! The calls that tasks make and do not wait for: of the next stage, or of what comes after the last one.
//!
//! A stage that calls `handle` asynchronously goes on as soon as the next stage's function has run for the first time. If that
//! has returned, its result is in the caller's memory, and the caller gets `RETURNED`. Else it gets `STARTED` and a handle of a
//! *subtask*, which it can put into a set: when the next stage returns, the result is written, and the set has an event. The
//! states and the traps are wasmtime's (`concurrent.rs`): a subtask that has no answer, or whose event was not taken, can't
//! be dropped; one whose event was taken can't be cancelled.
//!
//! A subtask is never `STARTING`. The stage that it calls can always be entered: no code of it is on the stack, where only
//! those in front of it are, and no stage of this form has backpressure.

use super::disagreement::Disagreement;
use super::origins::{SubtaskId, TaskId};
use super::pipes::Moment;
use futures::future::AbortHandle;
use wasmtime::Result;

/// Who works on it.
pub enum Callee {
    /// The next stage.
    Task(TaskId),
    /// What comes after the last one.
    Host(AbortHandle),
}

/// What a caller is told of it, as the canonical ABI numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Started = 1,
    Returned = 2,
    Cancelled = 4,
}

impl Status {
    /// With the handle of the subtask, if it has one.
    pub fn pack(self, handle: u32) -> i32 {
        (handle << 4 | self as u32).cast_signed()
    }
}

/// A call that a task made.
pub struct Subtask {
    number: SubtaskId,
    /// The place of the stage that called, and its task.
    pub stage: usize,
    pub caller: TaskId,
    /// Where the result goes.
    pub at: u32,
    pub callee: Callee,
    /// What its stage has of it, unless its function returned at once.
    pub handle: Option<u32>,
    /// The set that it is in.
    pub set: Option<u32>,
    /// What its stage is to learn.
    pub event: Option<Status>,
    /// When there was something to learn in its set.
    pub told_at: Moment,
    /// Whether it has returned, or ended early.
    pub resolved: bool,
    /// Whether its stage wanted it to end early.
    pub cancelled: bool,
    /// Turns that others have before its stage goes on, which waits for its end.
    pub turns: usize,
}

/// Those of a store.
#[derive(Default)]
pub struct Subtasks {
    all: Vec<Subtask>,
    /// Subtasks that ever began.
    named: SubtaskId,
}

impl Subtasks {
    /// The task `caller` of `stage` makes a call, whose result is to be at `at`.
    pub fn begin(&mut self, (stage, caller): (usize, TaskId), at: u32, callee: Callee) -> SubtaskId {
        self.named = self.named.wrapping_add(1);
        self.all.push(Subtask {
            number: self.named,
            stage,
            caller,
            at,
            callee,
            handle: None,
            set: None,
            event: None,
            told_at: 0,
            resolved: false,
            cancelled: false,
            turns: 0,
        });
        self.named
    }

    pub fn find(&mut self, number: SubtaskId) -> Option<&mut Subtask> {
        self.all.iter_mut().find(|subtask| subtask.number == number)
    }

    pub fn get(&mut self, number: SubtaskId) -> Result<&mut Subtask> {
        self.find(number).ok_or_else(|| Disagreement("a handle names no subtask").into())
    }

    pub fn remove(&mut self, number: SubtaskId) {
        self.all.retain(|subtask| subtask.number != number);
    }

    /// It is over, of which its stage learns if it went on meanwhile.
    pub fn resolve(&mut self, number: SubtaskId, status: Status, at: Moment) -> Result<()> {
        let subtask = self.get(number)?;
        subtask.resolved = true;
        (subtask.event, subtask.told_at) = (subtask.handle.map(|_| status), at);
        Ok(())
    }

    /// Whether this one is over.
    pub fn is_resolved(&self, number: SubtaskId) -> bool {
        self.all.iter().any(|subtask| subtask.number == number && subtask.resolved)
    }

    /// Entries that they take beside those of the tasks that work on them.
    pub fn entries(&self) -> usize {
        let is_alone = |subtask: &&Subtask| subtask.resolved || matches!(subtask.callee, Callee::Host(_));
        self.all.iter().filter(is_alone).count()
    }

    /// The sets that have something to tell, and since when.
    pub fn ready(&self) -> impl Iterator<Item = (u32, Moment)> {
        let told = self.all.iter().filter(|subtask| subtask.event.is_some());
        told.filter_map(|subtask| Some((subtask.set?, subtask.told_at)))
    }

    /// Whether one is in this set.
    pub fn are_in(&self, set: u32) -> bool {
        self.all.iter().any(|subtask| subtask.set == Some(set))
    }

    /// What there is in a set: the handle, and what to tell. Those that the host works on come first, as in wasmtime.
    pub fn take_event(&mut self, set: u32) -> Option<(u32, Status)> {
        let is_told = |subtask: &&mut Subtask| subtask.set == Some(set) && subtask.event.is_some();
        let told = self.all.iter_mut().filter(is_told);
        let subtask = told.min_by_key(|subtask| matches!(subtask.callee, Callee::Task(_)))?;
        Some((subtask.handle.unwrap_or(0), subtask.event.take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_for_who_has_a_handle() {
        let mut subtasks = Subtasks::default();
        let at_once = subtasks.begin((0, 1), 256, Callee::Task(2));
        subtasks.resolve(at_once, Status::Returned, 1).unwrap();
        assert!(subtasks.get(at_once).unwrap().event.is_none());
        subtasks.remove(at_once);
        assert!(subtasks.get(at_once).is_err_and(|error| error.is::<Disagreement>()));

        let guest = subtasks.begin((0, 1), 256, Callee::Task(3));
        let host = subtasks.begin((0, 1), 512, Callee::Host(AbortHandle::new_pair().0));
        assert_eq!(subtasks.entries(), 1);
        for (number, handle) in [(guest, 5), (host, 6)] {
            let subtask = subtasks.get(number).unwrap();
            (subtask.handle, subtask.set) = (Some(handle), Some(9));
        }
        subtasks.resolve(guest, Status::Cancelled, 2).unwrap();
        assert_eq!(subtasks.ready().collect::<Vec<_>>(), [(9, 2)]);
        subtasks.resolve(host, Status::Returned, 3).unwrap();
        assert!(subtasks.are_in(9) && !subtasks.are_in(8));
        assert_eq!(subtasks.take_event(9), Some((6, Status::Returned)));
        assert_eq!(subtasks.take_event(9), Some((5, Status::Cancelled)));
        assert_eq!((subtasks.take_event(9), subtasks.entries()), (None, 2));
        assert_eq!(Status::Started.pack(5), 0x51);
    }
}
