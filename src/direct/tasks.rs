//! The tasks of a service that is lifted asynchronously with a callback.
//!
//! Only the last stage of a chain can be such a service; its callers are lifted synchronously. A call of its `handle` is a
//! *task*. Its function, and later its callback, run to their end in one go and return a code, which says what the task
//! waits for:
//!
//! - **`EXIT`**: it is over. It must have returned.
//! - **`YIELD`**: its callback is called again once everything else had a turn, inside and outside.
//! - **`WAIT`**: its callback is called with the next event of a set.
//!
//! Somewhere on its way, it hands over its answer with `task.return`, once. What it writes of a body it mostly writes after
//! that, so an instance has a task for each request whose body is not over, and its next request may enter meanwhile.
//!
//! A caller in the same segment waits on its fiber for the answer, and turns of tasks are taken there (the glue's loop
//! around `wait`). When no call is under way, or the service stands alone, the engine gives the tasks their turns
//! (`Guests::turn`): after each call, and whenever the [bell](super::bell) rings. It rings when somebody outside took a piece
//! of a body, gave it up, or has something of a body for who reads it. So whatever can ever wake a task rings; a task that
//! waits for what never comes waits until the deadline of its request, or `limits.linger`, as in the component form.
//!
//! Turns are taken in order: who had one goes to the end. There is one event for one turn, and tasks that yield come after
//! those that have one. A trap in a turn is the end of the instance and of all that is in it.
//!
//! Each task takes as many entries of those that a store may have as wasmtime takes for one.

use super::disagreement::Disagreement;
use super::message::{Answer, Reply};
use super::pipes::Pipes;
use tokio::sync::oneshot;
use wasmtime::{Result, Trap};

/// Entries that a task takes: itself, its thread, and the set in which that waits.
pub const ENTRIES: usize = 3;

/// What came of a task so far.
enum Outcome {
    /// It has not returned. Whoever waits outside of the store is told.
    Open(Option<oneshot::Sender<Reply>>),
    /// It returned, and nobody has taken the answer yet.
    Returned(Answer, Option<oneshot::Sender<Reply>>),
    Taken,
}

/// What a task does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Runs,
    Yields,
    /// It waits for an event of this set.
    Waits(u32),
    /// It is over, but for an answer that is to be taken.
    Exited,
}

/// A call of the service that is not over.
struct Task {
    number: u64,
    /// The number of its request, until that has its answer.
    request: Option<u64>,
    /// What `context.get` gives.
    context: i32,
    outcome: Outcome,
    doing: Doing,
}

impl Task {
    fn is_late(&self) -> bool {
        matches!(self.outcome, Outcome::Returned(_, Some(_)))
    }
}

/// The tasks of a store.
#[derive(Default)]
pub struct Tasks {
    /// The place of the service among the stages, if there is one that is lifted asynchronously.
    stage: Option<usize>,
    /// In the order of their turns.
    tasks: Vec<Task>,
    /// Tasks that ever began.
    named: u64,
    /// The task that runs.
    running: Option<u64>,
    /// The task that began last: the only one that a caller inside can wait for.
    awaited: u64,
    /// The number of the request that was worked on before the task that runs had its turn.
    outer: Option<u64>,
    /// Whether a task that yields may have the next turn.
    pub may_yield: bool,
}

impl Tasks {
    /// None yet, of the stage at `stage`.
    pub fn new(stage: Option<usize>) -> Self {
        Self { stage, ..Self::default() }
    }

    /// Whether calls of `stage` are tasks.
    pub fn are_of(&self, stage: usize) -> bool {
        self.stage == Some(stage)
    }

    /// Whether the service is the only stage: then nobody inside waits for it.
    pub fn stand_alone(&self) -> bool {
        self.are_of(0)
    }

    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// A task begins, and runs.
    pub fn begin(&mut self, request: Option<u64>) {
        self.named += 1;
        self.awaited = self.named;
        self.running = Some(self.named);
        self.outer = request;
        self.tasks.push(Task {
            number: self.named,
            request,
            context: 0,
            outcome: Outcome::Open(None),
            doing: Doing::Runs,
        });
    }

    fn find(&mut self, number: u64) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.number == number)
    }

    fn running(&mut self) -> Result<&mut Task> {
        let running = self.running.and_then(|number| self.find(number));
        running.ok_or_else(|| Disagreement("no task runs").into())
    }

    /// What the task that runs keeps.
    pub fn context(&mut self) -> Result<&mut i32> {
        Ok(&mut self.running()?.context)
    }

    /// Checks that the task that runs has not returned.
    pub fn check_open(&mut self) -> Result<()> {
        match self.running()?.outcome {
            Outcome::Open(_) => Ok(()),
            _ => Err(Trap::TaskCancelOrReturnTwice.into()),
        }
    }

    /// The task that runs returns.
    pub fn give(&mut self, answer: Answer) -> Result<()> {
        let task = self.running()?;
        let Outcome::Open(later) = &mut task.outcome else {
            return Err(Disagreement("a task returned twice").into());
        };
        task.outcome = Outcome::Returned(answer, later.take());
        Ok(())
    }

    /// The task that runs is over for now; gives back the request that was worked on before.
    pub fn suspend(&mut self, doing: Doing) -> Result<Option<u64>> {
        let task = self.running()?;
        task.doing = doing;
        if doing == Doing::Exited && matches!(task.outcome, Outcome::Open(_)) {
            return Err(Trap::NoAsyncResult.into());
        }
        self.running = None;
        self.sweep();
        Ok(self.outer.take())
    }

    /// Forgets tasks that are over.
    fn sweep(&mut self) {
        self.tasks.retain(|task| task.doing != Doing::Exited || !matches!(task.outcome, Outcome::Taken));
    }

    /// Whether the task that began last has returned.
    pub fn is_answered(&mut self) -> bool {
        self.find(self.awaited).is_some_and(|task| !matches!(task.outcome, Outcome::Open(_)))
    }

    /// Takes the answer of the task that began last, if it has returned.
    pub fn take(&mut self) -> Result<Option<Answer>> {
        let task = self.find(self.awaited).ok_or(Disagreement("a task is gone before its answer"))?;
        let outcome = std::mem::replace(&mut task.outcome, Outcome::Taken);
        match outcome {
            Outcome::Returned(answer, _) => {
                self.sweep();
                Ok(Some(answer))
            }
            Outcome::Open(later) => {
                task.outcome = Outcome::Open(later);
                Ok(None)
            }
            Outcome::Taken => Err(Disagreement("an answer was taken twice").into()),
        }
    }

    /// The request of the task that began last has its answer.
    pub fn forget_request(&mut self) {
        if let Some(task) = self.find(self.awaited) {
            task.request = None;
        }
    }

    /// Who waits outside for the task that began last is told its answer.
    pub fn later(&mut self) -> Result<oneshot::Receiver<Reply>> {
        let (sender, receiver) = oneshot::channel();
        match self.find(self.awaited) {
            Some(Task { outcome: Outcome::Open(later @ None), .. }) => *later = Some(sender),
            _ => return Err(Disagreement("nobody has to wait for an answer").into()),
        }
        Ok(receiver)
    }

    /// Whether there is an answer that somebody waits for outside.
    pub fn is_late(&self) -> bool {
        self.tasks.iter().any(Task::is_late)
    }

    /// Such an answer.
    pub fn take_late(&mut self) -> Option<(Answer, oneshot::Sender<Reply>)> {
        let task = self.tasks.iter_mut().find(|task| task.is_late())?;
        let Outcome::Returned(answer, Some(later)) = std::mem::replace(&mut task.outcome, Outcome::Taken)
        else {
            return None;
        };
        task.request = None;
        self.sweep();
        Some((answer, later))
    }

    /// Whether there is a task that waits for this set.
    pub fn wait_for(&self, set: u32) -> bool {
        self.tasks.iter().any(|task| task.doing == Doing::Waits(set))
    }

    /// The place of the next task for whose set there is an event, and the set.
    pub fn ready(&self, pipes: &Pipes) -> Option<(usize, u32)> {
        let place = |set| self.tasks.iter().position(|task| task.doing == Doing::Waits(set));
        pipes.ready().filter_map(|set| Some((place(set)?, set))).min()
    }

    /// The place of the next task that yields.
    pub fn yielding(&self) -> Option<usize> {
        self.tasks.iter().position(|task| task.doing == Doing::Yields)
    }

    /// The task at `place` has its turn, where `request` was worked on. Says which request is worked on now.
    pub fn resume(&mut self, place: usize, request: Option<u64>) -> Result<Option<u64>> {
        if self.running.is_some() || place >= self.tasks.len() {
            return Err(Disagreement("a task has its turn in another one's").into());
        }
        let mut task = self.tasks.remove(place);
        task.doing = Doing::Runs;
        (self.running, self.outer) = (Some(task.number), request);
        let request = task.request;
        self.tasks.push(task);
        Ok(request)
    }

    /// The answers that wait to be taken.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.tasks.iter().filter_map(|task| match &task.outcome {
            Outcome::Returned(answer, _) => Some(answer),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direct::abi::Code;
    use std::task::Waker;

    fn disagrees<T>(result: Result<T>) -> bool {
        result.is_err_and(|error| error.is::<Disagreement>())
    }

    fn traps<T>(result: Result<T>) -> Option<Trap> {
        result.err().and_then(|error| error.downcast_ref().copied())
    }

    fn answer() -> Answer {
        Err(Code::default())
    }

    #[test]
    fn what_can_not_be_is_a_disagreement() {
        let mut tasks = Tasks::new(Some(1));
        assert!(tasks.are_of(1) && !tasks.stand_alone());
        assert!(disagrees(tasks.context().map(|_| ())) && disagrees(tasks.suspend(Doing::Yields)));
        assert!(disagrees(tasks.take()) && disagrees(tasks.resume(0, None)));
        tasks.begin(Some(7));
        assert!(disagrees(tasks.resume(0, None)), "it runs");
        tasks.give(answer()).unwrap();
        assert!(disagrees(tasks.give(answer())) && disagrees(tasks.later()));
        assert_eq!(tasks.suspend(Doing::Yields).unwrap(), Some(7));
        assert!(tasks.take().unwrap().is_some() && disagrees(tasks.take()));
    }

    #[test]
    fn a_task_returns_once_and_before_it_is_over() {
        let mut tasks = Tasks::new(Some(0));
        tasks.begin(None);
        assert_eq!(traps(tasks.suspend(Doing::Exited)), Some(Trap::NoAsyncResult));
        let mut tasks = Tasks::new(Some(0));
        tasks.begin(None);
        assert!(!tasks.is_answered() && tasks.check_open().is_ok());
        tasks.give(answer()).unwrap();
        assert_eq!(traps(tasks.check_open()), Some(Trap::TaskCancelOrReturnTwice));
        tasks.suspend(Doing::Exited).unwrap();
        // Its answer is kept until somebody takes it.
        assert!(tasks.len() == 1 && tasks.is_answered());
        assert!(tasks.take().unwrap().is_some());
        assert_eq!(tasks.len(), 0);
    }

    #[test]
    fn turns_are_taken_in_order() {
        let mut tasks = Tasks::new(Some(0));
        for request in 1..=3 {
            tasks.begin(Some(request));
            tasks.suspend(Doing::Yields).unwrap();
        }
        let turn = |tasks: &mut Tasks| {
            let place = tasks.yielding().unwrap();
            let request = tasks.resume(place, Some(9)).unwrap();
            assert_eq!(tasks.suspend(Doing::Yields).unwrap(), Some(9));
            request
        };
        assert_eq!([(); 4].map(|()| turn(&mut tasks)), [Some(1), Some(2), Some(3), Some(1)]);
        assert_eq!(tasks.ready(&Pipes::new(10, Waker::noop().clone())), None);
    }

    #[test]
    fn who_waits_outside_is_told() {
        let mut tasks = Tasks::new(Some(0));
        tasks.begin(Some(1));
        tasks.suspend(Doing::Yields).unwrap();
        let mut told = tasks.later().unwrap();
        assert!(tasks.take_late().is_none() && told.try_recv().is_err());
        tasks.resume(0, None).unwrap();
        tasks.give(answer()).unwrap();
        tasks.suspend(Doing::Exited).unwrap();
        let (_, later) = tasks.take_late().unwrap();
        assert!(tasks.len() == 0 && !later.is_closed());
    }
}
