//! The tasks of stages that are lifted asynchronously with a callback.
//!
//! A call of such a stage's `handle` is a *task*. Its function, and later its callback, run to their end in one go and
//! return a code, which says what the task waits for:
//!
//! - **`EXIT`**: it is over. It must have returned.
//! - **`YIELD`**: its callback is called again once everything else had a turn, inside and outside.
//! - **`WAIT`**: its callback is called with the next event of a set.
//!
//! Somewhere on its way, it hands over its answer with `task.return`, once. What it writes of a body it mostly writes after
//! that, so an instance has a task for each request whose body is not over, and its next request may enter meanwhile.
//!
//! # Who waits for the answer
//!
//! - **The host**, where the stage is the first one: the engine is told, at once or in a later turn.
//! - **A stage that is lifted synchronously** waits on its fiber, and turns of tasks are taken there (the glue's loop around
//!   `wait`). Stages like it are all in front of those that have tasks, so there is one fiber that waits, with one call.
//! - **A task** goes on: its call is a [subtask](super::subtasks), and the answer is written to its memory as soon as the
//!   stage behind it returns.
//!
//! Behind a stage that goes on, no stage may hold the fiber: what stands below it on the stack would wait, too, which in the
//! component form goes on. So a chain has stages that are lifted synchronously, then those that have tasks; and behind these,
//! again synchronous ones only if they never wait, which those are that end at a service in the same segment. Any other
//! order keeps the component form ([`order`](super::load::order)).
//!
//! When no call is under way, or the first stage has tasks, the engine gives the tasks their turns (`Guests::turn`): after
//! each call, and whenever the [bell](super::bell) rings. It rings when somebody outside took a piece of a body, gave it up,
//! has something of a body for who reads it, or answered a request that a task sent on. So whatever can ever wake a task
//! rings; a task that waits for what never comes waits until the deadline of its request, or `limits.linger`, as in the
//! component form.
//!
//! An answer that the first stage gives before it calls the next one is out, even if that traps at once. Behind a stage that
//! waits on its fiber it is not, unlike in the component form: that stage has it only when the task stops, and a trap before
//! that is what comes of the call.
//!
//! Turns are taken in order, whatever stage a task is of: who had something to wait for first is first, and who yields goes to
//! the end of those. There is one event for one turn, and tasks that yield come after those that have one. A stage in whose code the stack already is has no turn. A trap in a turn
//! is the end of the instance and of all that is in it.
//!
//! Each task takes as many entries of those that a store may have as wasmtime takes for one.

use super::disagreement::Disagreement;
use super::message::{Answer, Reply};
use super::origins::{OriginId, SubtaskId, TaskId};
use super::pipes::Moment;
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

/// A call of a stage that is not over.
struct Task {
    number: TaskId,
    /// The place of its stage.
    stage: usize,
    /// The call from outside that it is a part of.
    origin: OriginId,
    /// What `context.get` gives, while it does not run.
    context: i32,
    outcome: Outcome,
    doing: Doing,
    /// Since when it does that.
    since: Moment,
    /// What it is to the task that called it, if one did.
    subtask: Option<SubtaskId>,
    /// Whether that wants it to end early, and whether it is still to be told.
    cancelled: bool,
    untold: bool,
}

impl Task {
    fn is_late(&self) -> bool {
        matches!(self.outcome, Outcome::Returned(_, Some(_)))
    }
}

/// A task that runs, and what was worked on before.
struct Running {
    task: TaskId,
    stage: usize,
    outer: OriginId,
}

/// What a task's turn is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// It is to end early.
    Cancelled,
    /// There is an event in this set.
    Event(u32),
}

/// The tasks of a store.
#[derive(Default)]
pub struct Tasks {
    /// Whether the stages have tasks.
    stages: Vec<bool>,
    /// In the order of their turns.
    tasks: Vec<Task>,
    /// Tasks that ever began.
    named: TaskId,
    /// Those that run: each was called by the one before it.
    running: Vec<Running>,
    /// The task of the first stage that has any that began last: the only one that a stage which waits on its fiber, or a
    /// call that enters, can wait for.
    awaited: TaskId,
    /// What `context.get` gives now, to whatever stage.
    pub context: i32,
    /// What it gave before it was lent to a task that is given an answer.
    lent: Option<i32>,
    /// Whether a task that yields may have the next turn.
    pub may_yield: bool,
    /// Whether there is an answer that was given before another stage was entered: it is out, whatever that does.
    pub are_out: bool,
}

impl Tasks {
    /// None yet, of stages that have them or not.
    pub fn new(stages: Vec<bool>) -> Self {
        Self { stages, ..Self::default() }
    }

    /// Whether calls of `stage` are tasks.
    pub fn are_of(&self, stage: usize) -> bool {
        self.stages.get(stage).is_some_and(|has| *has)
    }

    /// Whether nobody inside waits for an answer of the first stage.
    pub fn come_first(&self) -> bool {
        self.are_of(0)
    }

    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// A task of `stage` begins, and runs: for the call `origin`, as this subtask of another task if it is one.
    pub fn begin(&mut self, stage: usize, origin: OriginId, subtask: Option<SubtaskId>) -> TaskId {
        self.named += 1;
        if subtask.is_none() {
            self.awaited = self.named;
        }
        self.tasks.push(Task {
            number: self.named,
            stage,
            origin,
            context: 0,
            outcome: Outcome::Open(None),
            doing: Doing::Runs,
            since: 0,
            subtask,
            cancelled: false,
            untold: false,
        });
        self.run(self.named, stage, 0, origin);
        self.named
    }

    fn run(&mut self, task: TaskId, stage: usize, context: i32, outer: OriginId) {
        let before = std::mem::replace(&mut self.context, context);
        if let Some(caller) = self.top() {
            caller.context = before;
        }
        self.running.push(Running { task, stage, outer });
    }

    /// Whether the task is not over.
    pub fn is_there(&self, number: TaskId) -> bool {
        self.tasks.iter().any(|task| task.number == number && task.doing != Doing::Exited)
    }

    fn find(&mut self, number: TaskId) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.number == number)
    }

    /// The task that runs.
    fn top(&mut self) -> Option<&mut Task> {
        let number = self.running.last()?.task;
        self.find(number)
    }

    /// The task that runs, if it is of `stage`.
    fn running(&mut self, stage: usize) -> Result<&mut Task> {
        let running = self.top().filter(|task| task.stage == stage);
        running.ok_or_else(|| Disagreement("no task of the stage runs").into())
    }

    /// The number of the task of `stage` that runs.
    pub fn runs(&mut self, stage: usize) -> Result<TaskId> {
        self.running(stage).map(|task| task.number)
    }

    /// Checks that the task of `stage` that runs has not returned. Says which subtask it is, if it is one.
    pub fn check_open(&mut self, stage: usize) -> Result<Option<SubtaskId>> {
        let task = self.running(stage)?;
        match task.outcome {
            Outcome::Open(_) => Ok(task.subtask),
            _ => Err(Trap::TaskCancelOrReturnTwice.into()),
        }
    }

    /// The task of `stage` that runs returns what somebody is to take.
    pub fn give(&mut self, stage: usize, answer: Answer) -> Result<()> {
        let task = self.running(stage)?;
        let Outcome::Open(later) = &mut task.outcome else {
            return Err(Disagreement("a task returned twice").into());
        };
        task.outcome = Outcome::Returned(answer, later.take());
        Ok(())
    }

    /// The task of `stage` that runs has returned, and its caller has what it returned.
    pub fn settle(&mut self, stage: usize) -> Result<()> {
        self.running(stage)?.outcome = Outcome::Taken;
        Ok(())
    }

    /// The task of `stage` that runs ends early. Says which subtask it is.
    pub fn give_up(&mut self, stage: usize) -> Result<SubtaskId> {
        let task = self.running(stage)?;
        match (task.cancelled, task.subtask, &task.outcome) {
            (true, Some(subtask), Outcome::Open(_)) => {
                task.outcome = Outcome::Taken;
                Ok(subtask)
            }
            (true, Some(_), _) => Err(Trap::TaskCancelOrReturnTwice.into()),
            _ => Err(Trap::TaskCancelNotCancelled.into()),
        }
    }

    /// The task is to end early. Says whether it has its turn at once, where `origin` was worked on: it runs then.
    pub fn cancel(&mut self, number: TaskId, origin: OriginId) -> Result<bool> {
        let task = self.find(number).ok_or(Disagreement("a task is gone before its answer"))?;
        (task.cancelled, task.untold) = (true, true);
        if !matches!(task.doing, Doing::Waits(_)) {
            return Ok(false);
        }
        (task.doing, task.untold) = (Doing::Runs, false);
        let (stage, context) = (task.stage, task.context);
        self.run(number, stage, context, origin);
        Ok(true)
    }

    /// The task of `stage` that runs is over for now, at this moment; gives back what was worked on before.
    pub fn suspend(&mut self, stage: usize, doing: Doing, at: Moment) -> Result<OriginId> {
        let context = self.context;
        let task = self.running(stage)?;
        (task.doing, task.context, task.since) = (doing, context, at);
        if doing == Doing::Exited && matches!(task.outcome, Outcome::Open(_)) {
            return Err(Trap::NoAsyncResult.into());
        }
        let (number, outer) = match self.running.pop() {
            Some(running) => (running.task, running.outer),
            None => return Err(Disagreement("no task runs").into()),
        };
        self.tasks.sort_by_key(|task| task.number == number);
        if let Some(context) = self.top().map(|caller| caller.context) {
            self.context = context;
        }
        self.sweep();
        Ok(outer)
    }

    /// `context.get` is for the task `to` until [`take_back`](Self::take_back): its allocator is called.
    pub fn lend(&mut self, to: TaskId) {
        if let Some(context) = self.find(to).map(|task| task.context) {
            self.lent = Some(std::mem::replace(&mut self.context, context));
        }
    }

    /// The task that runs has its own again.
    pub fn take_back(&mut self) {
        if let Some(context) = self.lent.take() {
            self.context = context;
        }
    }

    /// Forgets tasks that are over.
    fn sweep(&mut self) {
        self.tasks.retain(|task| task.doing != Doing::Exited || !matches!(task.outcome, Outcome::Taken));
    }

    /// Whether the task that is waited for has returned.
    pub fn is_answered(&mut self) -> bool {
        self.find(self.awaited).is_some_and(|task| !matches!(task.outcome, Outcome::Open(_)))
    }

    /// Takes the answer of the task that is waited for, if it has returned.
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

    /// Takes the answer of the call that enters, if it has one and is at work yet, and the call that it is of.
    pub fn take_early(&mut self) -> Option<(Answer, OriginId)> {
        if !self.come_first() {
            return None;
        }
        let task =
            self.find(self.awaited).filter(|task| matches!(task.outcome, Outcome::Returned(_, None)))?;
        let origin = task.origin;
        match std::mem::replace(&mut task.outcome, Outcome::Taken) {
            Outcome::Returned(answer, _) => Some((answer, origin)),
            _ => None,
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

    /// Such an answer, and the call that it is of.
    pub fn take_late(&mut self) -> Option<(Answer, oneshot::Sender<Reply>, OriginId)> {
        let task = self.tasks.iter_mut().find(|task| task.is_late())?;
        let Outcome::Returned(answer, Some(later)) = std::mem::replace(&mut task.outcome, Outcome::Taken)
        else {
            return None;
        };
        let origin = task.origin;
        self.sweep();
        Some((answer, later, origin))
    }

    /// A task enters the next stage.
    pub fn leave(&mut self) {
        let is_given = self.answers().next().is_some();
        self.are_out |= is_given;
    }

    /// Whether there is a task that waits for this set.
    pub fn wait_for(&self, set: u32) -> bool {
        self.tasks.iter().any(|task| task.doing == Doing::Waits(set))
    }

    /// Whether a task of `stage` may have a turn: none of it is on the stack.
    pub fn may_run(&self, stage: usize) -> bool {
        self.running.iter().all(|running| running.stage != stage)
    }

    /// The place of the next task that has something to do, where there are events in `sets` since these moments: of who has
    /// waited for it, and had it, first.
    pub fn ready(&self, sets: impl Iterator<Item = (u32, Moment)>) -> Option<(usize, Turn)> {
        let find = |is_it: &dyn Fn(&Task) -> bool| {
            let mut all = self.tasks.iter().enumerate();
            all.find(|(_, task)| is_it(task) && self.may_run(task.stage))
        };
        let events = sets.filter_map(|(set, at)| {
            let (place, task) = find(&|task| task.doing == Doing::Waits(set))?;
            Some((at.max(task.since), place, Turn::Event(set)))
        });
        let told = find(&|task| task.untold && matches!(task.doing, Doing::Waits(_)));
        let told = told.map(|(place, task)| (task.since, place, Turn::Cancelled));
        events.chain(told).min().map(|(_, place, turn)| (place, turn))
    }

    /// How many tasks have something to do, where there are events in `sets`.
    pub fn count_ready(&self, sets: &[u32]) -> usize {
        let is_ready = |task: &&Task| match task.doing {
            Doing::Waits(set) => (task.untold || sets.contains(&set)) && self.may_run(task.stage),
            _ => false,
        };
        self.tasks.iter().filter(is_ready).count()
    }

    /// The place of the next task that yields.
    pub fn yielding(&self) -> Option<usize> {
        self.tasks.iter().position(|task| task.doing == Doing::Yields && self.may_run(task.stage))
    }

    /// The task at `place` has its turn, where `outer` was worked on. Says its stage, what is worked on now, and whether it
    /// is told that it is to end early.
    pub fn resume(&mut self, place: usize, outer: OriginId) -> Result<(usize, OriginId, bool)> {
        if self.tasks.get(place).is_none_or(|task| !self.may_run(task.stage)) {
            return Err(Disagreement("a task has its turn in another one's").into());
        }
        let task = &mut self.tasks[place];
        task.doing = Doing::Runs;
        let told = std::mem::take(&mut task.untold);
        let (number, stage, origin, context) = (task.number, task.stage, task.origin, task.context);
        self.run(number, stage, context, outer);
        Ok((stage, origin, told))
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
    use std::iter::{empty, once};

    fn disagrees<T>(result: Result<T>) -> bool {
        result.is_err_and(|error| error.is::<Disagreement>())
    }

    fn traps<T>(result: Result<T>) -> Option<Trap> {
        result.err().and_then(|error| error.downcast_ref().copied())
    }

    fn answer() -> Answer {
        Err(Code::default())
    }

    fn alone() -> Tasks {
        Tasks::new(vec![true])
    }

    #[test]
    fn what_can_not_be_is_a_disagreement() {
        let mut tasks = Tasks::new(vec![false, true]);
        assert!(tasks.are_of(1) && !tasks.come_first());
        assert!(disagrees(tasks.runs(1)) && disagrees(tasks.suspend(1, Doing::Yields, 0)));
        assert!(disagrees(tasks.take()) && disagrees(tasks.resume(0, 0)));
        tasks.begin(1, 7, None);
        assert!(disagrees(tasks.runs(0)) && disagrees(tasks.resume(0, 0)), "it runs");
        tasks.give(1, answer()).unwrap();
        assert!(disagrees(tasks.give(1, answer())) && disagrees(tasks.later()));
        assert_eq!(tasks.suspend(1, Doing::Yields, 0).unwrap(), 7);
        assert!(tasks.take().unwrap().is_some() && disagrees(tasks.take()));
    }

    #[test]
    fn a_task_returns_once_and_before_it_is_over() {
        let mut tasks = alone();
        tasks.begin(0, 0, None);
        assert_eq!(traps(tasks.suspend(0, Doing::Exited, 0)), Some(Trap::NoAsyncResult));
        let mut tasks = alone();
        tasks.begin(0, 0, None);
        assert!(!tasks.is_answered() && tasks.check_open(0).is_ok());
        tasks.give(0, answer()).unwrap();
        assert_eq!(traps(tasks.check_open(0)), Some(Trap::TaskCancelOrReturnTwice));
        tasks.suspend(0, Doing::Exited, 0).unwrap();
        // Its answer is kept until somebody takes it.
        assert!(tasks.len() == 1 && tasks.is_answered());
        assert!(tasks.take().unwrap().is_some());
        assert_eq!(tasks.len(), 0);
    }

    #[test]
    fn turns_are_taken_in_order() {
        let mut tasks = alone();
        for origin in 1..=3 {
            tasks.begin(0, origin, None);
            tasks.suspend(0, Doing::Yields, 0).unwrap();
        }
        let turn = |tasks: &mut Tasks| {
            let place = tasks.yielding().unwrap();
            let (_, origin, _) = tasks.resume(place, 9).unwrap();
            assert_eq!(tasks.suspend(0, Doing::Yields, 0).unwrap(), 9);
            origin
        };
        assert_eq!([(); 4].map(|()| turn(&mut tasks)), [1, 2, 3, 1]);
        assert_eq!(tasks.ready(empty()), None);
    }

    #[test]
    fn who_waits_outside_is_told() {
        let mut tasks = alone();
        tasks.begin(0, 1, None);
        tasks.suspend(0, Doing::Yields, 0).unwrap();
        let mut told = tasks.later().unwrap();
        assert!(tasks.take_late().is_none() && told.try_recv().is_err());
        tasks.resume(0, 0).unwrap();
        tasks.give(0, answer()).unwrap();
        tasks.suspend(0, Doing::Exited, 0).unwrap();
        let (_, later, origin) = tasks.take_late().unwrap();
        assert!(tasks.len() == 0 && !later.is_closed() && origin == 1);
    }

    #[test]
    fn a_stage_on_the_stack_has_no_turn_and_each_task_its_context() {
        let mut tasks = Tasks::new(vec![true, true]);
        let first = tasks.begin(0, 1, None);
        tasks.context = 5;
        tasks.begin(1, 1, Some(1));
        assert_eq!(tasks.context, 0);
        tasks.context = 6;
        tasks.suspend(1, Doing::Waits(8), 0).unwrap();
        assert_eq!(tasks.context, 5);
        tasks.suspend(0, Doing::Waits(7), 0).unwrap();
        // Another task of the first stage.
        tasks.begin(0, 2, None);
        assert!(!tasks.may_run(0) && tasks.may_run(1));
        assert_eq!(tasks.ready([(7, 1), (8, 2)].into_iter()), Some((0, Turn::Event(8))));
        assert!(disagrees(tasks.resume(1, 2)));
        tasks.suspend(0, Doing::Yields, 0).unwrap();
        tasks.resume(0, 0).unwrap();
        assert_eq!(tasks.context, 6);
        tasks.lend(first);
        assert_eq!(tasks.context, 5);
        tasks.take_back();
        assert_eq!(tasks.context, 6);
    }

    #[test]
    fn a_task_that_is_to_end_early_is_told_first() {
        let mut tasks = Tasks::new(vec![true, true]);
        let caller = tasks.begin(0, 1, None);
        let called = tasks.begin(1, 1, Some(3));
        assert_eq!(traps(tasks.give_up(1)), Some(Trap::TaskCancelNotCancelled));
        tasks.suspend(1, Doing::Yields, 0).unwrap();
        assert!(!tasks.cancel(called, 1).unwrap());
        tasks.suspend(0, Doing::Yields, 0).unwrap();
        let (stage, _, is_told) = tasks.resume(0, 0).unwrap();
        assert!(stage == 1 && is_told);
        // In a set, it is told at once.
        tasks.suspend(1, Doing::Waits(4), 0).unwrap();
        assert!(tasks.cancel(called, 0).unwrap());
        assert_eq!(tasks.give_up(1).unwrap(), 3);
        assert_eq!(traps(tasks.give_up(1)), Some(Trap::TaskCancelOrReturnTwice));
        tasks.suspend(1, Doing::Exited, 0).unwrap();
        assert!(tasks.is_there(caller) && !tasks.is_there(called) && disagrees(tasks.cancel(called, 0)));
        assert_eq!(tasks.ready(once((4, 9))), None);
    }
}
