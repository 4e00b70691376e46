//! A chain's code, and its instances.

use super::bell::Bell;
use super::border::reply;
use super::callbacks::tell_late;
use super::disagreement::Disagreement;
use super::early::Early;
use super::flights::Flights;
use super::functions::{self, add_to_linker};
use super::glue::{self, StageGlue};
use super::load::{Import, Place, Reading};
use super::message::{Reply, Request};
use super::origins::Origins;
use super::pipes::Pipes;
use super::state::{Named, Stage, State};
use super::subtasks::Subtasks;
use super::tasks::Tasks;
use super::transfer::{check, settle};
use crate::host::{Behalf, CallContext, InstanceState, Next, Rehearsal, RequestHead, Scope};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as _, Waker};
use tokio::sync::oneshot;
use wasmtime::{
    AsContextMut as _, Engine, Extern, Global, Instance, InstancePre, Linker, Module, Ref, Result, Store,
    TypedFunc,
};
use wasmtime_wasi_http::WasiBody;

/// The code of some stages, and of the glue between them.
pub struct Program {
    glue: InstancePre<State>,
    stages: Vec<StageCode>,
}

/// A stage's core modules, compiled, and what they are.
struct StageCode {
    modules: Vec<Module>,
    reading: Reading,
}

impl Program {
    /// The code of `stages`, first to last, which `compile` makes of modules.
    ///
    /// # Errors
    /// What `compile` says.
    pub fn new(
        engine: &Engine,
        stages: Vec<Reading>,
        mut compile: impl FnMut(&[u8]) -> Result<Module>,
    ) -> Result<Self> {
        let glues: Vec<_> = stages.iter().enumerate().map(|(index, stage)| glue_of(index, stage)).collect();
        let glue = compile(&glue::module(&glues, &functions::list()))?;
        let mut linker = Linker::new(engine);
        add_to_linker(&mut linker)?;
        let glue = linker.instantiate_pre(&glue)?;
        let mut made: Vec<StageCode> = Vec::new();
        for reading in stages {
            let modules = match made.iter().find(|other| other.reading.modules == reading.modules) {
                Some(other) => other.modules.clone(),
                None => reading.modules.iter().map(|module| compile(module)).collect::<Result<_>>()?,
            };
            made.push(StageCode { modules, reading });
        }
        Ok(Self { glue, stages: made })
    }

    /// The names under which each stage imports handlers.
    pub fn names(&self) -> impl Iterator<Item = &[String]> {
        self.stages.iter().map(|stage| stage.reading.named.as_slice())
    }
}

fn glue_of(index: usize, stage: &Reading) -> StageGlue {
    let functions = stage.functions.iter().map(|place| (*place, glue::host_name(index, *place)));
    StageGlue {
        functions: functions.collect(),
        post_return: stage.post_return.is_some(),
        callback: stage.callback.is_some(),
        named: stage.named.len(),
    }
}

/// The glue of stages that have all that stages can have: it differs where the glue of the same stages differs, as another
/// version of linkspan makes it.
pub fn sample() -> Vec<u8> {
    let functions =
        |stage| (0..functions::list().len()).map(move |place| (place, glue::host_name(stage, place)));
    let stages = [(0, false), (1, true), (2, true), (3, false)].map(|(stage, callback)| StageGlue {
        functions: functions(stage).collect(),
        post_return: !callback,
        callback,
        named: 1,
    });
    glue::module(&stages, &functions::list())
}

/// A chain: its code, its stages' scopes, and what comes after them.
pub struct Chain {
    program: Arc<Program>,
    scopes: Vec<Scope>,
    next: Option<Next>,
    named: Named,
    rehearsal: Arc<Rehearsal>,
}

/// A chain's instance in a store.
pub struct Guests {
    enter: TypedFunc<(i32, i32), ()>,
    current: Global,
    tasks: Option<GuestTasks>,
}

/// The tasks of stages that are lifted asynchronously, from outside of the store.
struct GuestTasks {
    turn: TypedFunc<(), ()>,
    bell: Arc<Bell>,
    early: Arc<Early>,
}

/// What came of a call.
pub enum Entered {
    /// The first stage answered.
    Answered(Reply),
    /// It answered, and then another stage ended the instance.
    Broke(Reply, Trap),
    /// It answered while it was at work, and whoever called was told then.
    Told,
    /// It goes on, and answers in a later [turn](Guests::turn).
    Later(oneshot::Receiver<Reply>),
}

/// Why an instance ended.
#[derive(Debug)]
pub struct Trap {
    /// The place of the stage whose code, or whose values, were at work, where that is known.
    pub stage: Option<usize>,
    /// What wasmtime says.
    pub error: wasmtime::Error,
}

impl From<Disagreement> for Trap {
    fn from(disagreement: Disagreement) -> Self {
        Self { stage: None, error: disagreement.into() }
    }
}

impl From<wasmtime::Error> for Trap {
    fn from(error: wasmtime::Error) -> Self {
        Self { stage: None, error }
    }
}

impl Chain {
    /// `program` for stages with these scopes, in front of `next`, and of those that they reach by [names](Program::names).
    pub fn new(
        program: Arc<Program>,
        scopes: &[Scope],
        next: Option<Next>,
        named: Named,
        rehearsal: Arc<Rehearsal>,
    ) -> Self {
        Self { program, scopes: scopes.to_vec(), next, named, rehearsal }
    }

    /// An empty store, whose data is `host`.
    pub fn store(&self, host: InstanceState) -> Store<State> {
        let stages = self.program.stages.iter();
        let have_tasks: Vec<_> = stages.map(|stage| stage.reading.callback.is_some()).collect();
        let bell = have_tasks.contains(&true).then(Arc::<Bell>::default);
        let waker = bell.as_ref().map_or_else(|| Waker::noop().clone(), |bell| Waker::from(Arc::clone(bell)));
        let state = State {
            pipes: Pipes::new(host.concurrent_entries(), waker),
            tasks: Tasks::new(have_tasks),
            subtasks: Subtasks::default(),
            flights: Flights::default(),
            bell,
            early: Arc::default(),
            blamed: None,
            cancels: None,
            host,
            stages: self.scopes.iter().map(|scope| Stage::new(Arc::clone(scope))).collect(),
            incoming: None,
            outgoing: None,
            receiver: None,
            origins: Origins::default(),
            next: self.next.clone(),
            named: Arc::clone(&self.named),
            rehearsal: Arc::clone(&self.rehearsal),
        };
        Store::new(self.program.glue.module().engine(), state)
    }

    /// Makes an instance in `store`.
    ///
    /// # Errors
    /// If there is no room for it.
    pub async fn instantiate(&self, store: &mut Store<State>) -> Result<Guests> {
        let glue = self.program.glue.instantiate_async(&mut *store).await?;
        // As in a composition: what is imported is made first.
        for (index, stage) in self.program.stages.iter().enumerate().rev() {
            stage.instantiate(index, &glue, store).await?;
        }
        let enter = glue.get_typed_func(&mut *store, glue::ENTER)?;
        let current = glue.get_global(&mut *store, glue::CURRENT).ok_or_else(missing)?;
        let tasks = match store.data().bell.clone() {
            Some(bell) => {
                let early = Arc::clone(&store.data().early);
                Some(GuestTasks { turn: glue.get_typed_func(&mut *store, glue::TURN)?, bell, early })
            }
            None => None,
        };
        Ok(Guests { enter, current, tasks })
    }
}

fn missing() -> Disagreement {
    Disagreement("a stage has not what it was read to have")
}

impl StageCode {
    async fn instantiate(&self, index: usize, glue: &Instance, store: &mut Store<State>) -> Result<()> {
        let reading = &self.reading;
        let mut instances: Vec<Instance> = Vec::with_capacity(reading.instances.len());
        for (module, imports) in &reading.instances {
            let mut found: Vec<Extern> = Vec::with_capacity(imports.len());
            for import in imports {
                let import = match import {
                    Import::Next => glue.get_export(&mut *store, &glue::handle_name(index)),
                    Import::Named(named) => glue.get_export(&mut *store, &glue::named_name(index, *named)),
                    Import::Host(place) => glue.get_export(&mut *store, &glue::host_name(index, *place)),
                    Import::Export(place) => exported(store, &instances, place),
                };
                found.push(import.ok_or_else(missing)?);
            }
            instances.push(Instance::new_async(&mut *store, &self.modules[*module], &found).await?);
        }
        let memory = exported(store, &instances, &reading.memory).and_then(Extern::into_memory);
        store.data_mut().stages[index].memory = Some(memory.ok_or_else(missing)?);
        let table = glue.get_table(&mut *store, glue::TABLE).ok_or_else(missing)?;
        let after = reading.post_return.as_ref().or(reading.callback.as_ref());
        let exports = [Some(&reading.handle), after, reading.realloc.as_ref()];
        for (place, export) in glue::places(index).into_iter().zip(exports) {
            let Some(export) = export else { continue };
            let function = exported(store, &instances, export).and_then(Extern::into_func);
            table.set(&mut *store, u64::from(place), Ref::Func(Some(function.ok_or_else(missing)?)))?;
        }
        Ok(())
    }
}

fn exported(store: &mut Store<State>, instances: &[Instance], place: &Place) -> Option<Extern> {
    instances.get(place.instance)?.get_export(store, &place.name)
}

impl Guests {
    /// Sends a request through the chain, on `behalf` of a client's request; what comes out of it has `context`. What a stage
    /// wrote of its body is read by [`after`](Self::after). An answer that is out before the call is over is for `early`.
    ///
    /// # Errors
    /// [`Trap`], which is the end of the instance.
    pub async fn handle(
        &self,
        store: &mut Store<State>,
        (head, body): (RequestHead, WasiBody),
        behalf: Behalf,
        context: Option<Arc<CallContext>>,
        early: impl FnOnce(Reply),
    ) -> std::result::Result<Entered, Trap> {
        let state = store.data_mut();
        state.host.keep(crate::host::kept::HEAD)?;
        state.origins.begin(behalf, context);
        state.incoming = Some(Request::enter(head, body, state));
        state.tasks.are_out = false;
        let (entered, is_told) = self.enter(store, early).await;
        if let Err(error) = entered {
            let trap = self.trap(store, error);
            if is_told {
                return Err(trap);
            }
            let tasks = &mut store.data_mut().tasks;
            return match if tasks.are_out && tasks.come_first() { tasks.take()? } else { None } {
                Some(answer) => Ok(Entered::Broke(reply(answer, store), trap)),
                None => Err(trap),
            };
        }
        let state = store.data_mut();
        let origin = std::mem::take(&mut state.origins.current);
        if state.pipes.are_worn() {
            state.host.pulse().wear_out();
        }
        if let Some(tasks) = &self.tasks {
            tasks.bell.wake_by_ref();
            if is_told {
                return Ok(Entered::Told);
            }
            if state.tasks.come_first() {
                state.outgoing = state.take_answer()?;
                if state.outgoing.is_none() {
                    return Ok(Entered::Later(state.tasks.later()?));
                }
            }
        }
        state.origins.end(origin);
        match state.outgoing.take() {
            Some(answer) => Ok(Entered::Answered(reply(answer, store))),
            None => Err(Disagreement("no answer went out").into()),
        }
    }

    /// The call, and whether its answer came before it was over.
    async fn enter(&self, store: &mut Store<State>, early: impl FnOnce(Reply)) -> (Result<()>, bool) {
        let mut call = pin!(self.enter.call_async(store, (0, 0)));
        let Some(tasks) = &self.tasks else { return (call.await, false) };
        let mut early = Some(early);
        let entered = poll_fn(|cx| {
            let poll = call.as_mut().poll(cx);
            if let Some(reply) = tasks.early.take()
                && let Some(early) = early.take()
            {
                early(reply);
            }
            poll
        });
        let entered = entered.await;
        (entered, early.is_none())
    }

    /// Reads what waits for the host after a call.
    ///
    /// # Errors
    /// [`Trap`], which is the end of the instance.
    pub fn after(&self, store: &mut Store<State>) -> std::result::Result<(), Trap> {
        let settled = settle(store.as_context_mut()).and_then(|()| check(store.as_context_mut()));
        settled.map_err(|(stage, error)| Trap { stage, error })
    }

    /// Whether calls may leave tasks behind, which need their [turns](Self::turn).
    pub fn have_tasks(&self) -> bool {
        self.tasks.is_some()
    }

    /// Ready if tasks may have something to do since this last said so.
    pub fn poll_tasks(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.tasks.as_ref().map_or(Poll::Pending, |tasks| tasks.bell.poll_rung(cx))
    }

    /// Gives tasks their turns, while there is something for them, or until one answers; one that yields has one if
    /// `may_yield`. Says whether there are such, which are to have one when everything else had.
    ///
    /// # Errors
    /// [`Trap`], which is the end of the instance.
    pub async fn turn(&self, store: &mut Store<State>, may_yield: bool) -> std::result::Result<bool, Trap> {
        let Some(tasks) = self.tasks.as_ref().filter(|_| !store.data().is_still()) else {
            // What tasks wrote before they were over is read, too.
            return self.after(store).map(|()| false);
        };
        let state = store.data_mut();
        (state.tasks.may_yield, state.tasks.are_out) = (may_yield, false);
        if let Err(error) = tasks.turn.call_async(&mut *store, ()).await {
            let trap = self.trap(store, error);
            if store.data().tasks.are_out {
                tell_late(store.as_context_mut())?;
            }
            return Err(trap);
        }
        tell_late(store.as_context_mut())?;
        check(store.as_context_mut()).map_err(|(stage, error)| Trap { stage, error })?;
        Ok(store.data().tasks.yielding().is_some())
    }

    /// The end of the instance by `error`, whose stage is the one that was at work.
    fn trap(&self, store: &mut Store<State>, error: wasmtime::Error) -> Trap {
        let current = self.current.get(&mut *store).i32();
        let current = current.and_then(|stage| usize::try_from(stage).ok());
        let state = store.data();
        Trap { stage: state.receiver.or(state.blamed).or(current), error }
    }
}
