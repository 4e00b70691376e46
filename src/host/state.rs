//! What a store holds beside the guests: resources, budgets, and the shared parts of WASI.

use super::context::{Behalf, CallContext};
use super::hooks::Hooks;
use super::kept::{Account, GuestMade, Wear, concurrent_entries, handles};
use super::pulse::{CpuBudgetExceeded, Pulse};
use crate::telemetry::HostCall;
use crate::telemetry::own_metrics::Baseline;
use std::sync::{Arc, Weak};
use std::time::Duration;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::clocks::{WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi::filesystem::{WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::sockets::{WasiSocketsCtx, WasiSocketsCtxView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The gateway's clock for guests' running time: the epoch advances once a tick.
pub const EPOCH_TICK: Duration = Duration::from_millis(2);

/// The limits of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most bytes of all linear memories of the store together: the sum of the stages' limits.
    pub memory: usize,
    /// The most bytes of one linear memory: the largest of the stages' limits.
    pub one_memory: usize,
    /// The most elements of one table: the largest of the stages' limits.
    pub table_elements: usize,
    /// The most bytes that the host keeps for all guests of the store together.
    pub host_memory: usize,
    /// The most bytes of the fields of one request or response.
    pub field_bytes: usize,
    /// The longest computation without waiting, rounded up to [`EPOCH_TICK`].
    pub cpu: Duration,
}

/// A call that the host started.
struct Call {
    task: GuestTaskId,
    /// For whom.
    behalf: Behalf,
    /// What the host knows of it, if calls can come out of it.
    context: Option<Arc<CallContext>>,
}

/// The data of a store.
pub struct InstanceState {
    /// The resources that its guests hold.
    pub table: ResourceTable,
    http: WasiHttpCtx,
    hooks: Hooks,
    /// Made and seeded when a guest first asks for a number: most never do.
    random: Option<WasiRandomCtx>,
    clocks: WasiClocksCtx,
    filesystem: WasiFilesystemCtx,
    sockets: WasiSocketsCtx,
    budget: Budget,
    memory_used: usize,
    pub(super) account: Account,
    pub(super) wear: Wear,
    pub(super) guest_made: GuestMade,
    pub(super) pulse: Arc<Pulse>,
    /// The calls that the host started and that have not returned.
    calls: Vec<Call>,
    /// Whether somebody looks at one of them.
    observed: bool,
    /// Those at which somebody looked, and which may not be over: a task goes on when it has returned.
    late: Vec<(GuestTaskId, Weak<CallContext>)>,
    /// What its guests have told of metrics of their own.
    pub(super) told: Vec<Baseline>,
}

impl InstanceState {
    /// The data of a new store. `sockets` has the rules for sockets that are made through a shared import.
    pub fn new(budget: Budget, pulse: Arc<Pulse>, sockets: WasiSocketsCtx) -> Self {
        let mut table = ResourceTable::new();
        // A head that comes in has at most a fourth of the bytes that one may have in memory.
        let account = Account::new(budget.host_memory, budget.field_bytes / 4);
        table.set_max_capacity(account.entries());
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(budget.field_bytes);
        Self {
            table,
            http,
            hooks: Hooks,
            random: None,
            clocks: WasiClocksCtx::default(),
            filesystem: WasiFilesystemCtx::default(),
            sockets,
            budget,
            memory_used: 0,
            account,
            wear: Wear::default(),
            guest_made: GuestMade::default(),
            pulse,
            calls: Vec::new(),
            observed: false,
            late: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Called at each tick while a guest computes: lets others on the worker run, or ends the guest.
    pub fn on_epoch(&self) -> wasmtime::Result<UpdateDeadline> {
        if self.pulse.interrupt() > self.budget.cpu {
            return Err(CpuBudgetExceeded(self.budget.cpu).into());
        }
        // Not `Yield`, which wakes its task at once: tokio would poll the task dozens of times before it polls a
        // socket.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(Arc::clone(&self.pulse).give_way())))
    }

    /// Notes that the host started `task` on `behalf` of a request.
    pub fn begin_call(&mut self, task: GuestTaskId, behalf: Behalf, context: Option<Arc<CallContext>>) {
        // A number is given again once its task is over.
        self.late.retain(|(known, context)| *known != task && context.strong_count() > 0);
        self.calls.push(Call { task, behalf, context });
        self.note_calls();
    }

    /// Notes that `task` returned.
    pub fn end_call(&mut self, task: GuestTaskId) {
        if self.observed {
            let contexts = self.calls.iter().filter(|call| call.task == task);
            let contexts = contexts.filter_map(|call| call.context.as_ref());
            let observed = contexts.filter(|context| context.is_observed());
            self.late.extend(observed.map(|context| (task, Arc::downgrade(context))));
        }
        self.calls.retain(|call| call.task != task);
        self.note_calls();
    }

    fn note_calls(&mut self) {
        let only = if let [call] = &self.calls[..] { call.behalf.origin.id } else { 0 };
        self.pulse.set_only_call(only);
        let mut contexts = self.calls.iter().filter_map(|call| call.context.as_ref());
        self.observed = contexts.any(|context| context.is_observed());
    }

    /// Counts a call of the host, if somebody looks at the stage. Where there are several calls of the stage, it is not known
    /// for which of them it is, and [`Observation`](crate::telemetry::Observation) tells none.
    pub(super) fn count_call(&self, host_call: HostCall) {
        if self.observed
            && let [call] = &self.calls[..]
            && let Some(context) = &call.context
        {
            context.count(host_call);
        }
    }

    /// The context of the call that the host started as `task`.
    pub(super) fn call_of(&self, task: GuestTaskId) -> Option<Arc<CallContext>> {
        self.calls.iter().find(|call| call.task == task)?.context.clone()
    }

    /// The context of the call that the host started as `task`, if somebody looks at it: also while its response's body is under way.
    pub(super) fn observed_call(&self, task: GuestTaskId) -> Option<Arc<CallContext>> {
        let late = || self.late.iter().find(|(known, _)| *known == task)?.1.upgrade();
        self.call_of(task).filter(|context| context.is_observed()).or_else(late)
    }

    /// The request on whose behalf the host started `task`.
    pub(super) fn behalf_of(&self, task: GuestTaskId) -> Option<Behalf> {
        self.calls.iter().find(|call| call.task == task).map(|call| call.behalf.clone())
    }

    /// The state of the store's guests, for others.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// The most bytes of a head's fields.
    pub fn field_bytes(&self) -> usize {
        self.budget.field_bytes
    }

    /// The most handles that guests may have at once.
    pub fn handles(&self) -> usize {
        handles(self.budget.host_memory)
    }

    /// Bytes that texts of errors may take which guests may still ask for.
    pub fn texts(&self) -> usize {
        self.budget.host_memory / 4
    }

    /// Streams, futures, their ends and sets that guests may have at once.
    pub fn concurrent_entries(&self) -> usize {
        concurrent_entries(self.budget.host_memory)
    }

    /// What `wasi:http` needs.
    pub fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }

    pub(super) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView { ctx: &mut self.clocks, table: &mut self.table }
    }

    /// Random numbers.
    pub fn random(&mut self) -> &mut WasiRandomCtx {
        self.count_call(HostCall::Random);
        self.random.get_or_insert_default()
    }

    /// For open files; a stage's directories are in its scope.
    pub(super) fn filesystem(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: &mut self.filesystem, table: &mut self.table }
    }

    pub(super) fn sockets(&mut self) -> WasiSocketsCtxView<'_> {
        WasiSocketsCtxView { ctx: &mut self.sockets, table: &mut self.table }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        Self::http(self)
    }
}

impl ResourceLimiter for InstanceState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.memory_used.saturating_add(desired.saturating_sub(current));
        let fits = used <= self.budget.memory
            && desired <= self.budget.one_memory
            && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.memory_used = used;
        } else {
            self.pulse.refuse();
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.budget.table_elements;
        if !fits {
            self.pulse.refuse();
        }
        Ok(fits)
    }
}
