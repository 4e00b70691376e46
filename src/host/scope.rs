//! A stage's scope: what its own imports reach, in any store.

use super::context::Behalf;
use super::egress::reach::Egress;
use super::next::Next;
use super::rehearsal::Rehearsal;
use crate::plan::{Grant, Grants, Mount, SocketProtocol, SocketRule, Stage, StageId};
use crate::stores::{Cell, Limiter, Quota, Store};
use crate::telemetry::own_metrics::StageOwnMetrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtx};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

/// The id that Wasmtime passes to a host function: the stage whose import was called.
pub type Scope = Arc<StageScope>;

/// The longest log message that is kept, in bytes; the rest is cut off.
pub const MAX_LOG_MESSAGE: usize = 8 * 1024;

/// Log lines of a stage: 1,000 at once, then 200 a second. Further lines are counted and dropped, so that a stage can't
/// drown the others' lines.
const LOG_QUOTA: Quota = Quota { burst: 1_000, interval: 5_000_000 };

/// The data of one stage of one pipeline, shared by all its instances.
pub struct StageScope {
    /// Which stage this is.
    pub id: StageId,
    /// The stage's `config`, flattened to text.
    pub config: Vec<(String, String)>,
    /// Its grants, as in the plan.
    pub(super) grants: Grants,
    /// The targets in the network to which it may send requests.
    pub(super) egress: Egress,
    /// The pipelines that it may call, by name.
    pub calls: Vec<(String, Next)>,
    /// The directories that it sees, opened.
    pub(super) filesystem: WasiFilesystemCtx,
    /// The addresses that its sockets may reach: none without rules.
    pub sockets: WasiSocketsCtx,
    /// Where it counts.
    pub counters: Counters,
    log: Cell,
    dropped_lines: AtomicU64,
    /// The rehearsal of its segment.
    rehearsal: Arc<Rehearsal>,
}

/// Where a stage counts, across its instances and generations.
pub struct Counters {
    /// Its own counters.
    pub limiter: Arc<Limiter>,
    /// The stores that it is granted.
    pub stores: Vec<Arc<Store>>,
    /// Metrics that it tells of by itself, if it is granted them.
    pub metrics: Option<StageOwnMetrics>,
}

impl Counters {
    /// Those of a stage with neither stores nor metrics.
    pub fn apart(limiter: Arc<Limiter>) -> Self {
        Self { limiter, stores: Vec::new(), metrics: None }
    }
}

impl std::fmt::Debug for StageScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StageScope").field("id", &self.id).finish_non_exhaustive()
    }
}

impl StageScope {
    /// The scope of `stage`, which reaches `calls` by name once `rehearsal` is over. Opens the stage's directories.
    ///
    /// # Errors
    /// The directory that can't be opened, and why.
    pub fn new(
        stage: &Stage,
        counters: Counters,
        calls: Vec<(String, Next)>,
        rehearsal: Arc<Rehearsal>,
    ) -> Result<Self, (&Mount, wasmtime::Error)> {
        let (filesystem, sockets) = outside(stage, &rehearsal)?;
        let text =
            |(name, value): &(String, crate::plan::ConfigValue)| (name.clone(), value.expose().to_owned());
        Ok(Self {
            id: stage.id.clone(),
            config: stage.config.iter().map(text).collect(),
            grants: stage.grants.clone(),
            egress: Egress::new(&stage.grants.egress, &stage.limits),
            calls,
            filesystem,
            sockets,
            counters,
            log: Cell::default(),
            dropped_lines: AtomicU64::new(0),
            rehearsal,
        })
    }

    /// Whether the stage may reach beyond its store in ways that [`Pulse::acts`](super::Pulse::acts) does not count.
    pub fn acts_unseen(&self) -> bool {
        Grant::ALL.iter().any(|grant| match grant {
            Grant::Random
            | Grant::Clocks
            | Grant::Env
            | Grant::Egress
            | Grant::Lookup
            | Grant::Otel
            | Grant::Stores => false,
            Grant::Stdio | Grant::Filesystem | Grant::Sockets => grant.is_in(&self.grants),
        })
    }

    /// Whether calls of pipelines by name are closed now.
    pub(super) fn is_alone(&self) -> bool {
        self.rehearsal.is_alone()
    }

    /// Whether all ways out are closed now.
    pub(super) fn is_shut(&self) -> bool {
        self.rehearsal.is_shut()
    }

    /// Writes a line of the stage to the log, within its quota: for this request, if it is known for which one the stage
    /// works.
    pub fn log(&self, request: Option<&Behalf>, level: tracing::Level, context: &str, message: &str) {
        if !self.log.take(LOG_QUOTA).allowed {
            self.dropped_lines.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let dropped = self.dropped_lines.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                target: "linkspan::stage",
                pipeline = %self.id.pipeline, stage = %self.id, dropped,
                "log lines of this stage were dropped: it may write 200 a second",
            );
        }
        self.rehearsal.note(self.id.index, message);
        let message = truncate(message, MAX_LOG_MESSAGE);
        let context = truncate(context, 256);
        if let Some(behalf) = request {
            behalf.note(level, message);
        }
        let name = request.map(Behalf::name);
        let request_id = name.map(|name| name.request_id());
        let (trace_id, span_id) = (name.map(|name| name.trace_id()), name.map(|name| name.span_id()));
        // `tracing` wants the level of an event to be a constant.
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "linkspan::stage", tracing::Level::$level,
                    request_id, trace_id, span_id, pipeline = %self.id.pipeline, stage = %self.id, context, "{message}",
                )
            };
        }
        match level {
            tracing::Level::ERROR => event!(ERROR),
            tracing::Level::WARN => event!(WARN),
            tracing::Level::INFO => event!(INFO),
            tracing::Level::DEBUG => event!(DEBUG),
            tracing::Level::TRACE => event!(TRACE),
        }
    }
}

/// The directories and sockets that `stage` is granted.
fn outside<'s>(
    stage: &'s Stage,
    rehearsal: &Arc<Rehearsal>,
) -> Result<(WasiFilesystemCtx, WasiSocketsCtx), (&'s Mount, wasmtime::Error)> {
    let mut builder = WasiCtxBuilder::new();
    for mount in stage.grants.filesystem.iter().flatten() {
        let perms = if mount.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        builder.preopened_dir(&mount.path, &mount.at, perms).map_err(|error| (mount, error))?;
    }
    let rules: Arc<[SocketRule]> = stage.grants.sockets.iter().flatten().cloned().collect();
    let has = |protocol| rules.iter().any(|rule| rule.protocol == protocol);
    builder.allow_tcp(has(SocketProtocol::Tcp)).allow_udp(has(SocketProtocol::Udp));
    let rehearsal = Arc::clone(rehearsal);
    builder.socket_addr_check(move |address, purpose| {
        let allowed = match purpose {
            _ if rehearsal.is_shut() => false,
            // A socket that connects is first bound to any free port.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                address.ip().is_unspecified() && address.port() == 0
            }
            SocketAddrUse::TcpConnect => rules.iter().any(|r| r.allows(SocketProtocol::Tcp, address)),
            SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
                rules.iter().any(|r| r.allows(SocketProtocol::Udp, address))
            }
            // Requests come in through the gateway, and no other way.
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
        };
        Box::pin(std::future::ready(allowed))
    });
    let mut made: WasiCtx = builder.build();
    Ok((made.filesystem().clone(), made.sockets().clone()))
}

/// The longest start of `text` that has at most `bytes` bytes and ends at a character's end.
fn truncate(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes { text } else { &text[..text.floor_char_boundary(bytes)] }
}
