//! A configuration that is valid by construction, and that knows no WebAssembly.
//!
//! [`load`] and [`parse`] turn a file into a [`Plan`], or into everything that is wrong with it in one run. A plan
//! guarantees: every index points at something; names are unique and well formed; there is a listener, a pipeline and a
//! route; no two routes claim the same request; every number is inside its bounds; the files that the plan names
//! existed when it was made; values from environment variables and files are read and bounded ([`ConfigValue`]). The
//! plan does not know what is in the component files: its items carry the [`Span`]s for findings about them.
//!
//! This room reads the files and variables that the configuration names, when the configuration is loaded and never
//! later. It never imports wasmtime.

mod decimal;
mod egress;
mod host;
mod index;
mod load;
mod lower;
mod name;
mod network;
mod operations;
mod place;
pub mod policy;
mod program;
mod route;
pub mod share;
mod socket;
mod store;
mod telemetry;
#[cfg(test)]
mod tests;
mod tls;
mod upstream;
mod value;
pub mod when;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::decimal::decimal;
pub use self::egress::{EgressHost, EgressRule, EgressScheme};
pub use self::host::HostPattern;
pub use self::index::{ComponentIndex, PipelineIndex, UpstreamIndex};
pub use self::load::{load, parse, survey, survey_source};
pub use self::lower::{Call, Clocks, Egress, Elsewhere, Grant, Grants, Mount};
pub use self::name::{Name, StageId};
pub use self::network::Network;
pub use self::operations::{AccessFormat, AccessLogPlan, Admin, LogPlan};
pub use self::policy::HttpPolicy;
pub use self::program::{Given, Program, Surroundings};
pub use self::route::{Pin, Route, Split};
pub use self::socket::{SocketProtocol, SocketRule};
pub use self::store::{RedisPlan, RedisServer, StoreKind, StorePlan};
pub use self::telemetry::{Endpoint, ExportPlan, Ratio, TelemetryPlan};
pub use self::tls::{Certificate, ClientAuth, Tls};
pub use self::upstream::{
    Balance, Ejection, HealthCheck, HostPolicy, Retry, Server, ServerHost, UpstreamLimits, UpstreamPlan,
    UpstreamProtocol, UpstreamTlsFiles,
};
pub use self::value::{ConfigValue, ValueOrigin};
pub use self::when::{Applied, When};
pub use crate::config::KeyOf;
pub use crate::config::keys::{
    Breaker, BreakerThen, Form, GatewayLimits, Isolation, Link, OnFailure, PipelineLimits, Relift,
    StageLimits,
};
use crate::config::{Diagnostics, Fixed, Node, SourceFile, Span};
use crate::standard::Standard;

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The file, as it was given.
    pub file: PathBuf,
    /// The file's text, for later diagnostics.
    pub source: Arc<SourceFile>,
    /// Worker threads, 1 to 256; by default as many as there are CPUs available.
    pub workers: NonZeroUsize,
    /// The settings of the process apart from serving.
    pub gateway: Gateway,
    /// Settings that only a restart changes.
    pub fixed: Fixed,
    /// Bounds of the whole process.
    pub limits: GatewayLimits,
    /// The rules for requests.
    pub http: HttpPolicy,
    /// At least one; no address twice, except with port 0.
    pub listeners: Vec<Listener>,
    /// The admin listener, if there is one.
    pub admin: Option<Admin>,
    /// The log.
    pub log: LogPlan,
    /// The access log, if there is one.
    pub access_log: Option<AccessLogPlan>,
    /// Traces.
    pub telemetry: TelemetryPlan,
    /// In the order of the file.
    pub components: Vec<ComponentRef>,
    /// In the order of the file.
    pub upstreams: Vec<UpstreamPlan>,
    /// In the order of the file; at least one.
    pub pipelines: Vec<Pipeline>,
    /// In the order of the file; at least one. [`Route`] says which one serves a request.
    pub routes: Vec<Route>,
}

/// `[gateway]`, beside the number of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The time between two looks at the configuration's files; never if zero.
    pub watch: Duration,
    /// How long requests of a replaced configuration may continue.
    pub retire_timeout: Duration,
    /// How long a new configuration waits for first instances; not at all if zero.
    pub warm_up: Duration,
    /// Replaced configurations that are remembered.
    pub history: usize,
    /// Where compiled components are kept.
    pub compile_cache: CompileCache,
    /// The most bytes in that cache.
    pub compile_cache_size: u64,
    /// How long requests are still accepted after SIGTERM.
    pub drain_delay: Duration,
    /// The path at which a new process takes over the listening sockets.
    pub handover: Option<PathBuf>,
    /// Embedded: the most requests on their way to a worker.
    pub calls: usize,
    /// Whether the stages of a new generation are started once, and asked about their configurations, before the
    /// generation serves.
    pub prove: bool,
}

/// Where compiled components are kept over restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileCache {
    /// In the user's cache folder; for an embedded gateway, nowhere.
    Usual,
    /// Nowhere.
    Off,
    /// In this folder.
    Folder(PathBuf),
}

/// An address on which requests are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS; without it, plain HTTP.
    pub tls: Option<Tls>,
    /// The port of https to which every request is redirected.
    pub redirect: Option<u16>,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy: Option<policy::ProxyPlan>,
    /// The place of the address.
    pub span: Span,
}

/// A component file. It existed when the plan was made; it is not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentRef {
    /// Its name in the configuration.
    pub name: Name,
    /// The file, relative paths resolved against the configuration's folder; the name of a standard component.
    pub path: PathBuf,
    /// The bytes from an embedding program, in place of the file.
    pub given: Option<Given>,
    /// The standard component that it is, in place of a file.
    pub standard: Option<Standard>,
    /// The digest that the file must have.
    pub sha256: Option<[u8; 32]>,
    /// The place of the path.
    pub path_span: Span,
    /// The place of the digest.
    pub sha256_span: Option<Span>,
}

impl ComponentRef {
    /// The file from which it is read, if it is one.
    pub fn file(&self) -> Option<&Path> {
        (self.given.is_none() && self.standard.is_none()).then_some(self.path.as_path())
    }
}

/// Middleware and the service behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name.
    pub name: Name,
    /// The middleware in the order in which a request meets it: 0 to
    /// [`MAX_MIDDLEWARE`](crate::config::keys::MAX_MIDDLEWARE).
    pub stages: Vec<Stage>,
    /// The end.
    pub end: End,
    /// Its bounds.
    pub limits: PipelineLimits,
    /// Whether the segments of statically linked stages are made anew for each request.
    pub isolation: Isolation,
    /// How its segments run.
    pub form: Form,
    /// The place of its name.
    pub span: Span,
}

impl Pipeline {
    /// The middleware and then the service, in the order of [`StageId::index`].
    pub fn all_stages(&self) -> impl DoubleEndedIterator<Item = &Stage> {
        self.stages.iter().chain(self.service())
    }

    /// The same, to be changed.
    pub fn all_stages_mut(&mut self) -> impl Iterator<Item = &mut Stage> {
        let service = match &mut self.end {
            End::Component(stage) => Some(&mut **stage),
            End::Native(_) | End::Upstream(_) => None,
        };
        self.stages.iter_mut().chain(service)
    }

    /// The stages that do not apply to a request, as `0:key-auth 2:cors`; `None` if all do.
    pub fn not_applied(&self, applied: Applied) -> Option<String> {
        let those = self.stages.iter().filter(|stage| !applied.has(stage.id.index));
        let names: Vec<_> = those.map(|stage| stage.id.label()).collect();
        (!names.is_empty()).then(|| names.join(" "))
    }

    /// The service, if it is a component.
    pub fn service(&self) -> Option<&Stage> {
        match &self.end {
            End::Component(stage) => Some(stage),
            End::Native(_) | End::Upstream(_) => None,
        }
    }
}

/// What stands at the end of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A component.
    Component(Box<Stage>),
    /// A service of the embedding program, by its name there. There is at least one stage before it.
    Native(Name),
    /// Servers elsewhere.
    Upstream(UpstreamIndex),
}

/// A pipeline that a stage reaches by a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextPipeline {
    /// The name of the component's import.
    pub name: String,
    /// The pipeline. No pipeline reaches itself that way.
    pub pipeline: PipelineIndex,
    /// The place of the name.
    pub name_span: Span,
    /// The place of the pipeline's name.
    pub span: Span,
}

/// A component at its place in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Which stage it is.
    pub id: StageId,
    /// The component.
    pub component: ComponentIndex,
    /// Its configuration in the order of the file: nested keys joined by dots, array items by their index from 0. Keys
    /// are unique; at most [`Stage::MAX_VALUES`].
    pub config: Vec<(String, ConfigValue)>,
    /// The configuration's table, as it is written.
    pub config_table: Option<Node>,
    /// Its configuration or its grants are unknown, because they were wrong: missing ones are not reported.
    pub refused: bool,
    /// Its grants.
    pub grants: Grants,
    /// The place of the `grant` table, if there is one.
    pub grants_span: Option<Span>,
    /// The requests to which it applies, if not all; only for middleware.
    pub when: Option<When>,
    /// Bounds of one instance.
    pub limits: StageLimits,
    /// How it is linked with its neighbours.
    pub link: Link,
    /// Whether it is made anew for each request; for [`Link::Dynamic`].
    pub isolation: Isolation,
    /// Whether an async lift is rewritten.
    pub lift: Relift,
    /// The place of that word, if there is one.
    pub lift_span: Option<Span>,
    /// What happens to a request when it fails; for [`Link::Dynamic`].
    pub on_failure: OnFailure,
    /// Its circuit breaker; for [`Link::Dynamic`].
    pub breaker: Option<Breaker>,
    /// The pipelines behind its further imports of a handler; names are unique.
    pub next: Vec<NextPipeline>,
    /// The place of the component's name.
    pub component_span: Span,
    /// The place of the stage's table.
    pub span: Span,
}

impl Stage {
    /// Most values in one stage's configuration, and most variables in its environment.
    pub const MAX_VALUES: usize = 1024;

    /// The place of a key of its configuration, as [`Stage::config`] spells it: of a value, or of the key itself, if
    /// that has a table or a list; else of the table around it.
    pub fn config_span(&self, key: &str) -> Span {
        match &self.config_table {
            Some(table) => place::within(table, key),
            None => self.component_span,
        }
    }

    /// Its place in its pipeline, and its condition, if it has one.
    pub fn condition(&self) -> Option<(usize, &When)> {
        Some((self.id.index, self.when.as_ref()?))
    }

    /// All values that it gets: those of its configuration, and of its environment.
    pub fn values(&self) -> impl Iterator<Item = &ConfigValue> {
        self.config.iter().chain(self.grants.env.iter().flatten()).map(|(_, value)| value)
    }

    /// `text` from the stage, without its secret values.
    pub fn hide_secrets(&self, text: &str) -> String {
        let secrets = self.values().filter(|value| value.is_secret());
        secrets.fold(text.to_owned(), |text, secret| match secret.expose() {
            // A short value would be found everywhere, and hides nothing.
            short if short.len() < 4 => text,
            secret => text.replace(secret, "<secret>"),
        })
    }

    /// The pipelines that it can reach, apart from its own, and where each is named.
    pub fn reaches(&self) -> impl Iterator<Item = (PipelineIndex, Span)> {
        let next = self.next.iter().map(|next| (next.pipeline, next.span));
        next.chain(self.grants.egress.calls.iter().map(|call| (call.pipeline, call.span)))
    }
}

impl Plan {
    /// The component at an index of this plan.
    pub fn component(&self, index: ComponentIndex) -> &ComponentRef {
        &self.components[index.0]
    }

    /// The pipeline at an index of this plan.
    pub fn pipeline(&self, index: PipelineIndex) -> &Pipeline {
        &self.pipelines[index.0]
    }

    /// All pipelines, each after those that its stages reach.
    pub fn called_first(&self) -> Vec<PipelineIndex> {
        fn visit(plan: &Plan, at: PipelineIndex, seen: &mut [bool], order: &mut Vec<PipelineIndex>) {
            if std::mem::replace(&mut seen[at.0], true) {
                return;
            }
            for (reached, _) in plan.pipeline(at).all_stages().flat_map(Stage::reaches) {
                visit(plan, reached, seen, order);
            }
            order.push(at);
        }
        let (mut seen, mut order) = (vec![false; self.pipelines.len()], Vec::new());
        for index in 0..self.pipelines.len() {
            visit(self, PipelineIndex(index), &mut seen, &mut order);
        }
        order
    }

    /// The upstream at an index of this plan.
    pub fn upstream(&self, index: UpstreamIndex) -> &UpstreamPlan {
        &self.upstreams[index.0]
    }

    /// The pipeline called `name`.
    pub fn find_pipeline(&self, name: &str) -> Option<PipelineIndex> {
        self.pipelines.iter().position(|pipeline| &*pipeline.name == name).map(PipelineIndex)
    }

    /// An empty list of diagnostics about this plan's file, for later findings.
    pub fn diagnostics(&self) -> Diagnostics {
        Diagnostics::new(self.source.clone())
    }
}
