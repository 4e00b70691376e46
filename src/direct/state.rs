//! What a store of the direct form holds.

use super::abi::{Code, Pending};
use super::bell::Bell;
use super::disagreement::Disagreement;
use super::early::Early;
use super::flights::Flights;
use super::handles::{End, Entry, Handles, Resource, Use};
use super::message::{Answer, Body, Request};
use super::origins::{Origins, SubtaskId};
use super::pipes::{Kind, Moment, Pipe, PipeId, Pipes, Side};
use super::subtasks::{Callee, Status, Subtasks};
use super::tasks::{ENTRIES, Tasks};
use crate::host::kept::{ENTRY, Seen, call_bytes, size_of_line};
use crate::host::{InstanceState, Next, Rehearsal, Scope};
use std::sync::Arc;
use wasmtime::{Memory, Result, bail};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// What each stage reaches by names of its own, in the order of the names.
pub type Named = Arc<[Vec<Next>]>;

/// The data of a store.
pub struct State {
    /// Budgets, and what guests share.
    pub host: InstanceState,
    pub(super) stages: Vec<Stage>,
    pub(super) pipes: Pipes,
    /// Calls of stages that are lifted asynchronously, what these called, and who says that they may go on.
    pub(super) tasks: Tasks,
    pub(super) subtasks: Subtasks,
    pub(super) flights: Flights,
    pub(super) bell: Option<Arc<Bell>>,
    /// Where an answer lies that is out while its call is at work.
    pub(super) early: Arc<Early>,
    /// The stage whose value broke a rule when the host read what waited for it.
    pub(super) blamed: Option<usize>,
    /// The subtask for whose end a stage waits that has cancelled it.
    pub(super) cancels: Option<SubtaskId>,
    /// The request that enters, and what came of it.
    pub(super) incoming: Option<Box<Request>>,
    pub(super) outgoing: Option<Answer>,
    /// The stage whose memory an answer is being written to.
    pub(super) receiver: Option<usize>,
    /// The calls from outside that the guests work on.
    pub(super) origins: Origins,
    /// What comes after the last stage.
    pub(super) next: Option<Next>,
    /// What each stage reaches by names of its own.
    pub(super) named: Named,
    pub(super) rehearsal: Arc<Rehearsal>,
}

/// What a stage has on the host's side.
pub(super) struct Stage {
    pub memory: Option<Memory>,
    pub handles: Handles,
    /// Not while its allocator or its post-return runs.
    pub may_leave: bool,
    pub pending: Pending,
    pub scope: Scope,
}

impl Stage {
    pub fn new(scope: Scope) -> Self {
        Self {
            memory: None,
            handles: Handles::default(),
            may_leave: true,
            pending: Pending::default(),
            scope,
        }
    }
}

impl State {
    /// Notes that up to `bytes` more are about to be kept, and counts exactly now and then.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<()> {
        let Self { host, stages, pipes, tasks, .. } = self;
        host.keep_with(bytes, |seen| {
            let entries = stages.iter().flat_map(|stage| stage.handles.entries());
            let entries: usize = entries.map(|entry| ENTRY + size(entry, seen)).sum();
            let answers: usize = tasks.answers().map(|answer| size_of_answer(answer, seen)).sum();
            entries + answers + pipes.all().map(Pipe::size).sum::<usize>()
        })
    }

    /// Cuts the text of an error that a stage may ask for, which may be never, unless there is room for it.
    pub(super) fn cut(&self, code: &mut Code) {
        let kept: usize = self.pipes.all().map(Pipe::size).sum();
        if kept + code.size() > self.host.texts() {
            code.cut();
        }
    }

    /// Gives `stage` a handle.
    pub(super) fn push<R: Resource>(&mut self, stage: usize, resource: Box<R>) -> Result<u32> {
        self.keep(ENTRY)?;
        let most = self.host.handles();
        self.stages[stage].handles.push(resource, most)
    }

    /// Gives `stage` a handle of an end.
    pub(super) fn push_end(&mut self, stage: usize, pipe: PipeId, side: Side) -> Result<u32> {
        let most = self.host.handles();
        let kind = self.pipes.get(pipe)?.kind;
        let end = End { pipe, kind, side, state: Use::Idle { done: false } };
        let handle = self.stages[stage].handles.insert(Entry::End(end), most)?;
        self.pipes.get(pipe)?.tail(side).handle = Some(handle);
        Ok(handle)
    }

    /// Takes the reading end that a stage hands over.
    pub(super) fn take_reader(&mut self, stage: usize, handle: u32, kind: Kind) -> Result<PipeId> {
        let end = self.stages[stage].handles.take_end(handle, kind, Side::Read)?;
        if end.state != (Use::Idle { done: false }) {
            bail!("cannot lift stream or future after being notified that the writable end dropped");
        }
        let pipe = self.pipes.get(end.pipe)?;
        if pipe.tail(Side::Read).set.is_some() {
            bail!("cannot lift stream or future while it's in a waitable set");
        }
        pipe.tail(Side::Read).handle = None;
        if pipe.done {
            bail!("cannot lift future after previous read succeeded");
        }
        Ok(end.pipe)
    }

    /// A call of the stage at `stage` begins, which is a task if that is lifted asynchronously: as `subtask` of another one.
    pub(super) fn begin_call(&mut self, stage: usize, subtask: Option<SubtaskId>) -> Result<()> {
        self.stages[stage].may_leave = true;
        if self.tasks.are_of(stage) {
            self.pipes.reserve(ENTRIES)?;
            let task = self.tasks.begin(stage, self.origins.current, subtask);
            if let Some(subtask) = subtask {
                self.subtasks.get(subtask)?.callee = Callee::Task(task);
            }
            self.count_tasks();
        }
        Ok(())
    }

    /// The sets that have something to tell, and since when.
    pub(super) fn ready(&self) -> impl Iterator<Item = (u32, Moment)> {
        self.subtasks.ready().chain(self.pipes.ready())
    }

    /// A stage whose memory there is something for that is to be allocated.
    pub(super) fn unfilled(&self) -> Option<usize> {
        self.stages.iter().position(|stage| !stage.pending.is_empty())
    }

    /// Takes the answer of the task that is waited for, if it has returned.
    pub(super) fn take_answer(&mut self) -> Result<Option<Answer>> {
        let answer = self.tasks.take()?;
        self.count_tasks();
        Ok(answer)
    }

    /// The entries of tasks are those of the same bound as those of streams and futures.
    pub(super) fn count_tasks(&mut self) {
        self.pipes.tasks = self.tasks.len() * ENTRIES + self.subtasks.entries();
    }

    /// A subtask is over, of which its stage learns if it went on meanwhile.
    pub(super) fn resolve(&mut self, subtask: SubtaskId, status: Status) -> Result<()> {
        let at = self.pipes.moment();
        self.subtasks.resolve(subtask, status, at)
    }

    /// Notes which stage's value broke a rule, where that is known.
    pub(super) fn blame(&mut self, (blamed, error): (Option<usize>, wasmtime::Error)) -> wasmtime::Error {
        self.blamed = blamed;
        error
    }

    /// Who says that tasks may go on.
    pub(super) fn bell(&self) -> Result<&Arc<Bell>> {
        self.bell.as_ref().ok_or_else(|| Disagreement("there are tasks, and no stage for them").into())
    }

    /// Whether no task is left.
    pub fn is_idle(&self) -> bool {
        self.tasks.len() == 0
    }

    /// Whether nothing is left that needs turns: what tasks sent out is seen to after them, too.
    pub(super) fn is_still(&self) -> bool {
        self.is_idle() && self.flights.is_empty()
    }

    /// A stage drops the message that has `body`.
    pub(super) fn close(&mut self, body: Body) -> Result<()> {
        if let Body::Stage { contents, trailers, .. } = body {
            if let Some(contents) = contents {
                self.pipes.drop_reader(contents)?;
            }
            self.pipes.drop_reader(trailers)?;
        }
        Ok(())
    }

    /// Bytes that a guest may pass in one call.
    pub(super) fn call_bytes(&self) -> usize {
        call_bytes(self.host.field_bytes())
    }

    /// The place of a stage with the number that the glue gave.
    pub(super) fn known(&self, stage: i32) -> Result<usize> {
        let index = usize::try_from(stage).ok().filter(|index| *index < self.stages.len());
        index.ok_or_else(|| Disagreement("the glue names a stage that is none").into())
    }

    /// The same of a stage that calls, and may call now.
    pub(super) fn caller(&self, stage: i32) -> Result<usize> {
        let index = self.known(stage)?;
        if !self.stages[index].may_leave {
            bail!("cannot leave component instance");
        }
        Ok(index)
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.host.http()
    }
}

/// What an answer takes that is in no table.
fn size_of_answer(answer: &Answer, seen: &mut Seen) -> usize {
    match answer {
        Ok(response) => ENTRY + seen.map(&response.headers),
        Err(code) => code.size(),
    }
}

/// What a handle's resource takes beside [`ENTRY`].
fn size(entry: &Entry, seen: &mut Seen) -> usize {
    match entry {
        Entry::Request(request) => {
            let line = (&request.method, request.authority.as_ref(), request.path_with_query.as_ref());
            seen.map(&request.headers) + size_of_line(line)
        }
        Entry::Response(response) => seen.map(&response.headers),
        Entry::Fields(fields) => seen.map(fields),
        // Pipes, sets and subtasks are counted apart.
        Entry::Options(_) | Entry::End(_) | Entry::Set(_) | Entry::Subtask(_) => 0,
    }
}
