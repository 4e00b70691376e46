//! What a store holds beside the guests: resources, budgets, and the shared
//! halves of WASI.

use super::context::CallContext;
use super::kept::{Account, GuestMade, Wear, handles};
use http::HeaderName;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::clocks::{WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi::filesystem::{WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::sockets::{WasiSocketsCtx, WasiSocketsCtxView};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode as ErrorCodeOf02;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

/// The gateway's clock for guests' running time: the epoch advances once a tick.
pub const EPOCH_TICK: Duration = Duration::from_millis(2);

/// The most that a guest can write of a body, or a service of WASI 0.2 of anything, at once, in bytes.
pub(super) const OUTGOING_CHUNK: usize = 64 << 10;

/// The limits of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that all linear memories of the store may have together: with
    /// several stages in one store, the sum of theirs.
    pub memory: usize,
    /// Bytes that one linear memory may have: the largest of the stages'.
    pub one_memory: usize,
    /// Elements that one table may have: the largest of the stages'.
    pub table_elements: usize,
    /// Bytes that the host may keep for all guests of the store together.
    pub host_memory: usize,
    /// Bytes that the fields of one request or response may have.
    pub field_bytes: usize,
    /// The longest computation without waiting, rounded up to [`EPOCH_TICK`].
    pub cpu: Duration,
}

/// How long a store's guests have computed since all of them last waited, in CPU time
/// of their thread: neither their neighbours' turns nor other processes' count. Up to
/// one tick is not seen.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Microseconds, up to the last interruption.
    computed: AtomicU64,
    /// The thread's CPU time when an interrupted guest went on, in the current poll.
    resumed: AtomicU64,
    /// Guests that left their turn to others and were not resumed yet.
    yielding: AtomicU32,
    /// Calls in which a guest waits and holds its store, as those of WASI 0.2 do.
    waiting: AtomicU32,
    /// A guest wanted more memory or a larger table than it may have.
    refused: AtomicBool,
    /// The guests will never run again, and did not come to their end.
    broke_off: AtomicBool,
    /// The store should have no further calls.
    worn: AtomicBool,
    /// What guests did that reaches beyond their store.
    acts: AtomicU64,
    /// The number of the request that the only call is for which did not return yet; else 0.
    only_call: AtomicU64,
    /// Bytes that the host keeps for them, and that are in no table of the store.
    pub(super) outside: AtomicUsize,
    /// The most that the host was found to keep for them, in bytes.
    pub(super) most_kept: AtomicUsize,
}

/// A guest waits and holds its store, until this is dropped.
pub(super) struct Waits<'a>(&'a Pulse);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pulse {
    /// Whether a guest was refused memory or a larger table: what it does next is
    /// most often to trap.
    pub fn was_refused_memory(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// The most that the host was found to keep for the guests, in bytes, whenever it counted.
    pub fn most_kept(&self) -> usize {
        self.most_kept.load(Ordering::Relaxed)
    }

    /// Notes that a guest does what reaches beyond its store, and can't be taken back: calls the next stage or another
    /// pipeline, sends a request, writes to the log, counts a request.
    pub fn act(&self) {
        self.acts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub fn acts(&self) -> u64 {
        self.acts.load(Ordering::Relaxed)
    }

    /// Says that the store should have no further calls: what stays behind after each would fill it.
    pub(super) fn wear_out(&self) {
        self.worn.store(true, Ordering::Relaxed);
    }

    /// Whether the store should have no further calls.
    pub fn is_worn(&self) -> bool {
        self.worn.load(Ordering::Relaxed)
    }

    /// The number of the request that the guests work on, where one call is under way in the store.
    pub(super) fn only_call(&self) -> Option<u64> {
        Some(self.only_call.load(Ordering::Relaxed)).filter(|request| *request != 0)
    }

    /// Says that the guests will never run again, although they were not done.
    pub fn break_off(&self) {
        self.broke_off.store(true, Ordering::Relaxed);
    }

    /// Whether the guests will never run again, and were not done.
    pub fn broke_off(&self) -> bool {
        self.broke_off.load(Ordering::Relaxed)
    }

    /// Says that the store's event loop has nothing to do: all guests wait, but for
    /// those that were interrupted by a tick.
    pub fn on_pending(&self) {
        self.resumed.store(0, Ordering::Relaxed);
        if !self.is_busy() {
            self.computed.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the store can do nothing else now: a guest computes for longer than a
    /// tick, or holds the store while it waits.
    pub fn is_held(&self) -> bool {
        self.is_busy() || self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Says that a guest holds the store while it waits.
    pub(super) fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }

    /// Whether a guest computes for longer than a tick, and does not wait.
    fn is_busy(&self) -> bool {
        self.yielding.load(Ordering::Relaxed) > 0
    }

    /// A guest was interrupted: what all of them computed so far.
    fn interrupt(&self) -> Duration {
        let now = thread_time();
        let turn = match self.resumed.swap(now, Ordering::Relaxed) {
            0 => 0,
            resumed => now.saturating_sub(resumed),
        };
        Duration::from_micros(self.computed.fetch_add(turn, Ordering::Relaxed) + turn)
    }

    /// Lets others have a turn.
    async fn give_way(self: Arc<Self>) {
        self.yielding.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.yielding.fetch_sub(1, Ordering::Relaxed);
        self.resumed.store(thread_time(), Ordering::Relaxed);
    }
}

/// CPU time of this thread in microseconds.
fn thread_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000
}

/// The error of a guest that computed for longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("computed for more than {0:?} without waiting (`limits.cpu`)")]
pub struct CpuBudgetExceeded(pub Duration);

/// A call that the host started.
struct Call {
    task: GuestTaskId,
    /// The number of the request that it is for.
    request: u64,
    /// What the host knows of it, where calls can come out of it.
    context: Option<Arc<CallContext>>,
}

/// The data of a store.
pub struct InstanceState {
    /// The resources that its guests hold.
    pub table: ResourceTable,
    http: WasiHttpCtx,
    hooks: Hooks,
    /// Made, and seeded, when a guest first asks for numbers: most never do.
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
}

impl InstanceState {
    /// The data of a new store. `sockets` is what those that are not made through an
    /// import of a stage's own may reach.
    pub fn new(budget: Budget, pulse: Arc<Pulse>, sockets: WasiSocketsCtx) -> Self {
        let mut table = ResourceTable::new();
        // A head comes in with at most a fourth of what one may have in memory.
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
        }
    }

    /// Called by the store at each tick that meets a guest computing: lets its
    /// neighbours on the worker run, or ends it.
    pub fn on_epoch(&self) -> wasmtime::Result<UpdateDeadline> {
        if self.pulse.interrupt() > self.budget.cpu {
            return Err(CpuBudgetExceeded(self.budget.cpu).into());
        }
        // Not `Yield`, which wakes its task at once: tokio would come back to it
        // dozens of times before it looks at a socket again.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(Arc::clone(&self.pulse).give_way())))
    }

    /// Notes that the host started `task` for the request with this number.
    pub fn begin_call(&mut self, task: GuestTaskId, request: u64, context: Option<Arc<CallContext>>) {
        self.calls.push(Call { task, request, context });
        self.note_only_call();
    }

    /// Notes that `task` returned.
    pub fn end_call(&mut self, task: GuestTaskId) {
        self.calls.retain(|call| call.task != task);
        self.note_only_call();
    }

    fn note_only_call(&self) {
        let only = if let [call] = &self.calls[..] { call.request } else { 0 };
        self.pulse.only_call.store(only, Ordering::Relaxed);
    }

    /// The context of the call that the host started as `task`.
    pub(super) fn call_of(&self, task: GuestTaskId) -> Option<Arc<CallContext>> {
        self.calls.iter().find(|call| call.task == task)?.context.clone()
    }

    /// The number of the request for which the host started `task`.
    pub(super) fn request_of(&self, task: GuestTaskId) -> Option<u64> {
        self.calls.iter().find(|call| call.task == task).map(|call| call.request)
    }

    /// How the store's guests are.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Bytes that the fields of a head may have.
    pub fn field_bytes(&self) -> usize {
        self.budget.field_bytes
    }

    /// Handles that guests may have at once.
    pub fn handles(&self) -> usize {
        handles(self.budget.host_memory)
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
        self.random.get_or_insert_default()
    }

    /// For open files: directories are each stage's own, in its scope.
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
            self.pulse.refused.store(true, Ordering::Relaxed);
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
            self.pulse.refused.store(true, Ordering::Relaxed);
        }
        Ok(fits)
    }
}

/// linkspan's choices inside `wasi:http`.
pub(super) struct Hooks;

fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

impl WasiHttpHooks for Hooks {
    // The default asks `forbidden_header_filter`, which would allocate for each
    // field of each request.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        static FILTER: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));
        Arc::clone(&FILTER)
    }

    // Stages see the authority; what goes into the network gets its field there.
    fn set_host_header(&mut self) -> bool {
        false
    }

    // What broke is logged with its request, by whoever answers it; the default writes a line that names none.
    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCodeOf02 {
        ErrorCodeOf02::HttpProtocolError
    }

    fn p3_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    // Twice as much waits in the gateway for a client that is slow to take it.
    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        OUTGOING_CHUNK
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        OUTGOING_CHUNK
    }

    // Never called: outgoing requests are answered by `imports`, per stage.
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _result: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
    ) -> Box<
        dyn Future<
                Output = wasmtime_wasi_http::Result<(
                    http::Response<WasiBody>,
                    Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
                )>,
            > + Send,
    > {
        Box::new(async { Err(wasmtime_wasi_http::Error::HttpRequestDenied) })
    }
}
