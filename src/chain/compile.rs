//! From composed bytes to a segment that can be instantiated.
//!
//! [`Runtime`] is Wasmtime's engine with linkspan's choices. Its pooling allocator is sized from the pipelines: an
//! instance's memories and tables come from existing slots, so that an instantiation costs microseconds. Running out of
//! slots is an error, which the engine room turns into waiting, and never a growing process.

use super::cache::Code;
use super::compose::{EXPORT_0_2, stage_of};
use super::epoch::{self, guests_run};
use super::form::SegmentForm;
use super::functions::Functions;
use super::trial::Trial;
use crate::component::{Lift, Shape, TRAP_PREFIX};
use crate::direct;
use crate::host::{self, Budget, InstanceState, Next, Pulse, Rehearsal, Scope, kept};
use crate::plan::PipelineLimits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use wasmtime::component::Linker;
use wasmtime_wasi::sockets::WasiSocketsCtx;
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};

/// Address space of a linear memory. Growth within it moves nothing.
#[derive(Clone, Copy)]
struct Reservation {
    reserved: u64,
    /// The unmapped address space behind it.
    guard: u64,
}

/// All that 32 bits and a usual offset can address: the guests' code checks no bounds.
const WHOLE: Reservation = Reservation { reserved: 4 << 30, guard: 32 << 20 };
const NARROW: Reservation = Reservation { reserved: 64 << 20, guard: 64 << 10 };

/// The most memories of an engine whose memories are [`WHOLE`]: 16 TiB of the 128 TiB of a process. The engines of
/// generations that end need address space at the same time.
const MANY_MEMORIES: u32 = 4_096;

/// Bytes of a linear memory that are reset by copying and stay resident in a free slot, where the kernel tells which
/// pages were written to (Linux 6.7). Returning pages and faulting them in again costs twice as much as an instance.
const KEPT_OF_MEMORY: usize = 128 << 10;

/// The stack of one guest call, in bytes, and how much of it WebAssembly may use.
const STACK: usize = 1 << 20;
const WASM_STACK: usize = 512 << 10;

/// What one instance of a segment takes from the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSize {
    /// Instances that there may be at once, in all workers.
    pub instances: u32,
    /// Core instances of one, with an allowance for the adapters between stages.
    pub core_instances: u32,
    /// Linear memories of one.
    pub memories: u32,
    /// Tables of one.
    pub tables: u32,
    /// Stages of one.
    pub stages: u32,
    /// Bytes of the largest linear memory.
    pub memory_bytes: usize,
    /// Elements of the largest table.
    pub table_elements: usize,
}

impl PoolSize {
    /// What `instances` instances of a chain of `shapes` need.
    pub fn of<'a>(shapes: impl IntoIterator<Item = &'a Shape>, instances: u32, budget: &Budget) -> Self {
        let mut size = Self {
            instances,
            memory_bytes: budget.one_memory,
            table_elements: budget.table_elements,
            ..Self::default()
        };
        for shape in shapes {
            size.stages += 1;
            // wit-component adds a shim and a fix-up to each core module, and Wasmtime an adapter to each joint: both
            // count.
            size.core_instances += shape.core_instances + 4;
            size.memories += shape.memories;
            // Shims bring a table each.
            size.tables += shape.tables + 1;
        }
        size
    }
}

/// Wasmtime's engine, with linkspan's choices.
#[derive(Clone)]
pub struct Runtime {
    engine: wasmtime::Engine,
    room: Room,
    /// Each segment of the runtime holds it as well: if this handle is the only one, no segment is left.
    shortage: Arc<Shortage>,
}

/// What the pool of an engine has room for.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// The bound on instances that it was made for.
    instances: u32,
    component_instances: u32,
    core_instances: u32,
    memories: u32,
    tables: u32,
    stacks: u32,
    core_instances_of_one: u32,
    memories_of_one: u32,
    tables_of_one: u32,
    memory_bytes: usize,
    table_elements: usize,
}

/// The number of instances that wait for a slot of the process's pool: as many idle instances, of any pipeline and
/// worker, end to make room.
#[derive(Debug, Default)]
pub struct Shortage(AtomicUsize);

/// Wakes workers whose clocks rest.
static WANTED: tokio::sync::Notify = tokio::sync::Notify::const_new();

impl Shortage {
    /// Asks for room for at least so many instances.
    pub fn want(&self, instances: usize) {
        self.0.fetch_max(instances, Ordering::Relaxed);
        WANTED.notify_waiters();
    }

    /// Completes when a worker asks for room after this call.
    pub fn wanted() -> impl Future<Output = ()> {
        WANTED.notified()
    }

    /// Whether an instance waits for room; the caller then ends an idle one for it.
    pub fn relieve(&self) -> bool {
        self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |wanted| wanted.checked_sub(1)).is_ok()
    }
}

/// Why there is no engine or no segment.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct RuntimeError(wasmtime::Error);

impl From<wasmtime::Error> for RuntimeError {
    fn from(error: wasmtime::Error) -> Self {
        Self(error)
    }
}

impl Runtime {
    /// An engine whose pool has room for `segments`, and for no more than `instances` instances in all. What it
    /// compiles may be kept in `functions`.
    ///
    /// # Errors
    /// If the address space for the pool can't be reserved, or no thread started.
    pub fn new(
        segments: &[PoolSize],
        instances: u32,
        functions: Option<&Arc<Functions>>,
    ) -> Result<Self, RuntimeError> {
        let room = Room::of(segments, instances);
        if room.memories <= MANY_MEMORIES
            // A process whose address space is limited gets along with less.
            && let Ok(runtime) = Self::reserving(WHOLE, room, functions)
        {
            return Ok(runtime);
        }
        Self::reserving(NARROW, room, functions)
    }

    fn reserving(
        memory: Reservation,
        room: Room,
        functions: Option<&Arc<Functions>>,
    ) -> Result<Self, RuntimeError> {
        let mut config = wasmtime::Config::new();
        config
            .wasm_component_model_async(true)
            .wasm_component_model_more_async_builtins(true)
            .wasm_component_model_async_stackful(true)
            .wasm_component_model_implements(true)
            .epoch_interruption(true)
            .max_wasm_stack(WASM_STACK)
            .async_stack_size(STACK)
            .memory_reservation(memory.reserved)
            .memory_guard_size(memory.guard)
            .allocation_strategy(room.pool());
        if let Some(functions) = functions {
            let functions: Arc<dyn wasmtime::CacheStore> = Arc::<Functions>::clone(functions);
            config.enable_incremental_compilation(functions)?;
        }
        let engine = wasmtime::Engine::new(&config)?;
        epoch::advance(&engine).map_err(wasmtime::Error::from)?;
        Ok(Self { engine, room, shortage: Arc::default() })
    }

    /// Whether this runtime can serve in place of a new one made with these arguments.
    pub(super) fn does_for(&self, segments: &[PoolSize], instances: u32) -> bool {
        self.room.covers(&Room::of(segments, instances))
    }

    /// Whether it has no segment, and this is its only handle.
    pub(super) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.shortage) == 1
    }

    /// Wasmtime's engine.
    pub fn engine(&self) -> &wasmtime::Engine {
        &self.engine
    }
}

impl Room {
    /// For `segments`, and no more than `instances` instances in all.
    fn of(segments: &[PoolSize], instances: u32) -> Self {
        let largest = |of: fn(&PoolSize) -> u32| segments.iter().map(of).max().unwrap_or(1).max(1);
        // All segments full, but never more than the bound on instances allows.
        let total = |of: fn(&PoolSize) -> u32| {
            let sum = segments.iter().map(|s| u64::from(s.instances) * u64::from(of(s))).sum::<u64>();
            let bound = u64::from(instances) * u64::from(largest(of));
            u32::try_from(sum.min(bound).max(1)).unwrap_or(u32::MAX)
        };
        Self {
            instances,
            component_instances: total(|s| s.stages + 1),
            core_instances: total(|s| s.core_instances),
            memories: total(|s| s.memories),
            tables: total(|s| s.tables),
            // A chain of async stages holds a stack in each of them.
            stacks: total(|s| s.stages + 1),
            core_instances_of_one: largest(|s| s.core_instances),
            memories_of_one: largest(|s| s.memories),
            tables_of_one: largest(|s| s.tables),
            memory_bytes: segments.iter().map(|s| s.memory_bytes).max().unwrap_or(0).max(64 << 10),
            table_elements: segments.iter().map(|s| s.table_elements).max().unwrap_or(0).max(1_000),
        }
    }

    /// Whether a pool with this room is large enough for `other`.
    fn covers(&self, other: &Self) -> bool {
        self.instances == other.instances
            && self.component_instances >= other.component_instances
            && self.core_instances >= other.core_instances
            && self.memories >= other.memories
            && self.tables >= other.tables
            && self.stacks >= other.stacks
            && self.core_instances_of_one >= other.core_instances_of_one
            && self.memories_of_one >= other.memories_of_one
            && self.tables_of_one >= other.tables_of_one
            && self.memory_bytes >= other.memory_bytes
            && self.table_elements >= other.table_elements
    }

    fn pool(&self) -> wasmtime::PoolingAllocationConfig {
        let mut pool = wasmtime::PoolingAllocationConfig::new();
        pool.total_component_instances(self.component_instances)
            .total_core_instances(self.core_instances)
            .total_memories(self.memories)
            .total_tables(self.tables)
            .total_stacks(self.stacks)
            .max_core_instances_per_component(self.core_instances_of_one)
            .max_memories_per_component(self.memories_of_one)
            .max_tables_per_component(self.tables_of_one)
            .max_memories_per_module(4)
            .max_tables_per_module(8)
            .max_core_instance_size(4 << 20)
            .max_component_instance_size(4 << 20)
            .max_memory_size(self.memory_bytes)
            .table_elements(self.table_elements)
            .table_keep_resident(4 << 10)
            .async_stack_keep_resident(16 << 10)
            .pagemap_scan(wasmtime::Enabled::Auto)
            .linear_memory_keep_resident(
                match wasmtime::PoolingAllocationConfig::is_pagemap_scan_available() {
                    true => KEPT_OF_MEMORY,
                    // Without the scan, the first pages are kept, which are the unused end of a guest's stack.
                    false => 0,
                },
            );
        pool
    }
}

/// A number that is unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(u64);

/// Stages that share a store: composed, compiled and instantiated as one.
pub struct Segment {
    /// Distinguishes segments, also those with equal content.
    pub id: SegmentId,
    /// The pipeline's name.
    pub pipeline: String,
    /// What each instance may use.
    pub budget: Budget,
    /// The limits of its pipeline.
    pub limits: PipelineLimits,
    /// How the first stage is lifted: whether an instance can take a request while another request waits in it.
    pub lift: Lift,
    /// A guest can wait in a call that holds its store, although its function is async.
    pub may_hold: bool,
    /// The stages' scopes.
    pub scopes: Vec<Scope>,
    /// Each request has an instance of its own.
    pub fresh: bool,
    /// One of its stages calls other stages or pipelines through the host.
    pub links_on: bool,
    /// Some of its stages are rewritten on trial, and it has another form.
    pub trial: Option<Trial>,
    /// Whether its instances have the direct form.
    pub form: SegmentForm,
    /// The stages that judge their configurations.
    pub(super) judges: Vec<usize>,
    /// The rehearsal in which the segment is proven.
    pub(super) rehearsal: Arc<Rehearsal>,
    pub(super) pre: Pre,
    /// The rules for sockets that are made through a shared import: those of the segment's stage, if it has just one.
    sockets: WasiSocketsCtx,
    code: Arc<Code>,
    /// Shared by all segments of a runtime. Dropped last: everything else in the engine is gone by then.
    pub shortage: Arc<Shortage>,
}

/// What a segment is instantiated from.
pub(super) enum Pre {
    Handler(ServicePre<InstanceState>),
    Incoming(ProxyPre<InstanceState>),
}

/// An instance's guests, by how they are called.
pub enum Guests {
    /// As a handler of WASI 0.3.
    Handler(Service),
    /// As a service of WASI 0.2.
    Incoming(Proxy),
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("id", &self.id).field("pipeline", &self.pipeline).finish()
    }
}

/// Bounds the memory and the running time of the guests in `store` by the budgets in its data, which `host` finds.
fn bound<T: 'static>(store: &mut wasmtime::Store<T>, host: fn(&mut T) -> &mut InstanceState) {
    store.limiter(move |state| host(state));
    store.set_epoch_deadline(1);
    guests_run();
    store.epoch_deadline_callback(move |mut store| {
        guests_run();
        host(store.data_mut()).on_epoch()
    });
}

/// What a segment is made of, apart from its code.
pub struct Blueprint {
    /// The pipeline's name.
    pub pipeline: String,
    /// What each instance may use.
    pub budget: Budget,
    /// The limits of its pipeline.
    pub limits: PipelineLimits,
    /// How the first stage is lifted.
    pub lift: Lift,
    /// The stages' scopes.
    pub scopes: Vec<Scope>,
    /// Each request has an instance of its own.
    pub fresh: bool,
    /// Some of its stages are rewritten on trial, and it has another form.
    pub trial: bool,
    /// What the last stage's import of a next one reaches.
    pub next: Option<Next>,
    /// The handlers that stages import under names of their own, by the names in the composition.
    pub named: Vec<(String, Next)>,
    /// The stages that judge their configurations.
    pub judges: Vec<usize>,
    /// The rehearsal of the segment, which its scopes share.
    pub rehearsal: Arc<Rehearsal>,
}

impl Segment {
    /// Links `code`, which was compiled for the engine of `runtime`, to the host.
    ///
    /// # Errors
    /// If it imports something that the host does not offer.
    pub fn link(runtime: &Runtime, code: Arc<Code>, blueprint: Blueprint) -> Result<Self, RuntimeError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Blueprint { pipeline, budget, limits, lift, scopes, fresh, trial, .. } = blueprint;
        let Blueprint { next, named, judges, rehearsal, .. } = blueprint;
        let calls = scopes.iter().any(|scope| !scope.calls.is_empty());
        let links_on = next.is_some() || !named.is_empty() || calls;
        let component = &code.component;
        let mut linker = Linker::new(runtime.engine());
        let lookup = |name: &str| {
            stage_of(name)
                .and_then(|stage| scopes.iter().find(|scope| scope.id.index == stage))
                .cloned()
                .ok_or_else(|| wasmtime::format_err!("`{name}` is no stage's import"))
        };
        let form = SegmentForm::new(&code.direct, &scopes, next.clone(), &named, &rehearsal);
        host::add_to_linker(&mut linker, component, &lookup, next, &named, &rehearsal)?;
        let pre = linker.instantiate_pre(component)?;
        let pre = match component.get_export_index(None, EXPORT_0_2) {
            Some(_) => Pre::Incoming(ProxyPre::new(pre)?),
            None => Pre::Handler(ServicePre::new(pre)?),
        };
        let sockets = match &scopes[..] {
            [only] => only.sockets.clone(),
            _ => WasiSocketsCtx::default(),
        };
        let trial = trial.then(|| Trial::new(limits.lift_trial));
        Ok(Self {
            id: SegmentId(NEXT.fetch_add(1, Ordering::Relaxed)),
            pipeline,
            budget,
            limits,
            lift,
            may_hold: host::imports::may_hold(component),
            scopes,
            fresh,
            links_on,
            trial,
            form,
            judges,
            rehearsal,
            pre,
            sockets,
            code,
            shortage: Arc::clone(&runtime.shortage),
        })
    }

    /// Why a stage can't work with its lift rewritten, if `error` shows that. The segment then takes no more requests,
    /// if there is another form of it.
    pub fn disprove(&self, error: &wasmtime::Error) -> Option<String> {
        let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>()?;
        let mut names = backtrace.frames().iter().filter_map(wasmtime::FrameInfo::func_name);
        let reason = names.find_map(|name| name.strip_prefix(TRAP_PREFIX))?.to_owned();
        if self.trial.as_ref().is_some_and(Trial::fail) {
            let stage = self.blame(error);
            tracing::warn!(pipeline = %self.pipeline, stage, reason, "the original form takes over from a rewritten one");
        }
        Some(reason)
    }

    /// Whether its rewritten lifts failed their trial, and its other form takes the requests.
    pub fn is_disproved(&self) -> bool {
        self.trial.as_ref().is_some_and(Trial::has_failed)
    }

    /// Whether a stage may reach beyond its store in ways that are not counted.
    pub fn acts_unseen(&self) -> bool {
        self.scopes.iter().any(|scope| scope.acts_unseen())
    }

    /// An empty store with the segment's budgets, which reports to `pulse`.
    pub fn store(&self, pulse: Arc<Pulse>) -> wasmtime::Store<InstanceState> {
        let engine = match &self.pre {
            Pre::Handler(pre) => pre.engine(),
            Pre::Incoming(pre) => pre.engine(),
        };
        let mut store = wasmtime::Store::new(engine, self.host_state(pulse));
        bound(&mut store, |state| state);
        let bound = self.budget.host_memory;
        store.set_hostcall_fuel(kept::call_bytes(self.budget.field_bytes));
        store.set_max_component_handles(kept::handles(bound));
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(kept::concurrent_entries(bound));
        }
        store
    }

    /// The same for an instance in the direct form, of `chain`.
    pub fn direct_store(&self, chain: &direct::Chain, pulse: Arc<Pulse>) -> wasmtime::Store<direct::State> {
        let mut store = chain.store(self.host_state(pulse));
        bound(&mut store, |state| &mut state.host);
        store
    }

    fn host_state(&self, pulse: Arc<Pulse>) -> InstanceState {
        InstanceState::new(self.budget, pulse, self.sockets.clone())
    }

    /// Makes an instance in `store`.
    ///
    /// # Errors
    /// If a start function traps, or the pool has no slot.
    pub async fn instantiate(&self, store: &mut wasmtime::Store<InstanceState>) -> wasmtime::Result<Guests> {
        Ok(match &self.pre {
            Pre::Handler(pre) => Guests::Handler(pre.instantiate_async(store).await?),
            Pre::Incoming(pre) => Guests::Incoming(pre.instantiate_async(store).await?),
        })
    }

    /// The stage in whose code `error` trapped, if it is a trap of a guest.
    pub fn blame(&self, error: &wasmtime::Error) -> Option<String> {
        let stages = self.blamed(error);
        let names: Vec<_> = stages
            .iter()
            .filter_map(|stage| self.scopes.iter().find(|scope| scope.id.index == *stage))
            .map(|scope| scope.id.to_string())
            .collect();
        (!stages.is_empty()).then(|| names.join(" or "))
    }

    /// The same as indices: several where the same component is at several stages, and where a value goes from one stage to
    /// another. wasmtime's code between two components does not say whose value was wrong, the caller's or that of the stage
    /// that it called.
    pub(super) fn blamed(&self, error: &wasmtime::Error) -> Vec<usize> {
        let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() else { return Vec::new() };
        let mut is_between = false;
        for frame in backtrace.frames() {
            if is_adapter(frame.module()) {
                is_between = true;
                continue;
            }
            let place = frame
                .module_offset()
                .and_then(|offset| self.code.places.iter().find(|(range, _)| range.contains(&offset)));
            let Some((_, stages)) = place else { continue };
            let mut stages = stages.clone();
            if is_between {
                let after =
                    |stage: &usize| self.scopes.iter().map(|scope| scope.id.index).find(|it| it > stage);
                stages.extend(stages.iter().filter_map(after).collect::<Vec<_>>());
                stages.sort_unstable();
                stages.dedup();
            }
            return stages;
        }
        Vec::new()
    }
}

/// Whether `module` is code of wasmtime's between two components: an offset in it is no place in the composition.
fn is_adapter(module: &wasmtime::Module) -> bool {
    module.imports().any(|import| import.module() == "callee")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    /// What code for it is made for.
    fn made_for(runtime: &Runtime) -> u64 {
        let mut hasher = DefaultHasher::new();
        runtime.engine().precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn memories_are_whole_unless_they_are_many() {
        let engine = |instances| {
            let size =
                PoolSize { instances, core_instances: 4, memories: 1, stages: 1, ..PoolSize::default() };
            made_for(&Runtime::new(&[size], u32::MAX, None).expect("an engine"))
        };
        let with = |memory| {
            let room = Room::of(&[PoolSize::default()], 1);
            made_for(&Runtime::reserving(memory, room, None).expect("an engine"))
        };
        assert_eq!(engine(MANY_MEMORIES), with(WHOLE));
        assert_eq!(engine(MANY_MEMORIES + 1), with(NARROW));
        assert_ne!(with(WHOLE), with(NARROW));
    }
}
