//! One configuration, fully built.

use super::inputs::Tls;
use super::router::Router;
use crate::component::Digest;
use crate::engine::{CutOff, Hop, Onward, Successor};
use crate::host::OwnMetrics;
use crate::plan::{PipelineIndex, Plan};
use crate::stores::{KeyBound, StoreCounts};
use crate::upstream::Upstream;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// An immutable state of the whole configuration.
pub struct Generation {
    /// Its number among the generations of this process, from 1.
    pub number: u64,
    /// The digest that distinguishes it from the generation before.
    pub identity: Digest,
    /// When it was built.
    pub built: SystemTime,
    /// Segments that were made for it.
    pub compiled: usize,
    /// Segments that it took over from others.
    pub reused: usize,
    /// The plan from which it was built.
    pub plan: Plan,
    /// Which pipeline serves a request.
    pub router: Router,
    /// The pipelines, in the plan's order.
    pub(super) pipelines: Vec<Onward>,
    /// What is told of the stages of each pipeline, the service among them.
    pub(super) stages: Vec<Vec<StageSight>>,
    /// Set when its requests had enough time since it was replaced.
    pub cut_off: CutOff,
    /// Requests that were cut for that reason, of all generations.
    pub(super) cuts: Arc<AtomicU64>,
    pub(super) tls: HashMap<SocketAddr, Option<Tls>>,
    /// Where it sets the bound on a limiter's keys, once it serves.
    pub(super) limiter_keys: KeyBound,
    /// Where stores are counted, across generations.
    pub store_counts: StoreCounts,
    /// Where metrics of stages' own are, likewise.
    pub own_metrics: OwnMetrics,
}

/// What is told of a stage: its component is known only where it is built.
#[derive(Clone, Debug)]
pub struct StageSight {
    /// The digest of its component.
    pub digest: Digest,
    /// How its component takes calls: `sync`, `async`, `mixed`, or `rewritten` to sync.
    pub lift: String,
    /// What its component imports.
    pub imports: Arc<[String]>,
}

impl Generation {
    /// What is told of the stages of `pipeline`, in their order.
    pub fn stages(&self, pipeline: PipelineIndex) -> &[StageSight] {
        &self.stages[pipeline.0]
    }

    /// The beginning of `pipeline`.
    pub fn pipeline(&self, pipeline: PipelineIndex) -> &Onward {
        &self.pipelines[pipeline.0]
    }

    /// The TLS settings of the listener at `address`, as in the plan.
    pub fn tls(&self, address: &SocketAddr) -> Option<Arc<ServerConfig>> {
        self.tls.get(address)?.as_ref().map(|tls| Arc::clone(&tls.config))
    }

    /// Counts a request of this generation that broke off, if the generation is the reason.
    pub fn broke_off(&self) {
        if self.cut_off.is_cut() {
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The beginnings of the pipelines, in the plan's order.
    pub fn beginnings(&self) -> impl Iterator<Item = &Onward> {
        self.pipelines.iter()
    }

    /// All hops of all pipelines.
    pub fn hops(&self) -> impl Iterator<Item = &Arc<Hop>> {
        self.pipelines.iter().flat_map(Onward::hops)
    }

    /// The hops that `live` does not have, in pipelines that it has: each with those whose requests it is expected to get,
    /// the ones of the same stages or, if there are none, all of the pipeline.
    pub fn successors(&self, live: &Self) -> Vec<Successor> {
        let mut found = Vec::new();
        for (pipeline, beginning) in self.plan.pipelines.iter().zip(&self.pipelines) {
            let Some(index) = live.plan.find_pipeline(&pipeline.name) else { continue };
            let before: Vec<_> = live.pipeline(index).hops().cloned().collect();
            for hop in beginning.hops() {
                if before.iter().any(|known| known.identity == hop.identity) {
                    continue;
                }
                let same = before.iter().filter(|known| known.stages().eq(hop.stages()));
                let same: Vec<_> = same.cloned().collect();
                let before = if same.is_empty() { before.clone() } else { same };
                found.push(Successor { hop: Arc::clone(hop), before });
            }
        }
        found
    }

    /// The upstreams in which pipelines end, each once.
    pub fn upstreams(&self) -> Vec<&Arc<Upstream>> {
        let mut found: Vec<&Arc<Upstream>> = Vec::new();
        for upstream in self.pipelines.iter().filter_map(Onward::upstream) {
            if !found.iter().any(|known| known.id == upstream.id) {
                found.push(upstream);
            }
        }
        found
    }
}
