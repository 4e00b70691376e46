//! What makes two segments, or two configurations, the same.
//!
//! A segment that is made of the same components with the same configuration,
//! grants and limits, and is linked to the same next one, is the same segment: a
//! new generation takes it over as it runs, with its warm instances. Secrets are
//! part of it, as hashes.

use crate::component::Digest;
use crate::plan::{ConfigValue, GatewayLimits, Pipeline, Stage};
use sha2::{Digest as _, Sha256};
use std::fmt::Debug;

/// Collects what counts. Every part has its length in front, so that no two
/// different lists of parts look the same.
pub struct Identity(Sha256);

impl Identity {
    /// Starts with what it is the identity of.
    pub fn of(what: &str) -> Self {
        Self(Sha256::new()).text(what)
    }

    /// Adds bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a value whose `Debug` form says all of it: numbers, durations, enums.
    pub fn plain(self, value: &impl Debug) -> Self {
        self.text(&format!("{value:?}"))
    }

    fn values(self, values: &[(String, ConfigValue)]) -> Self {
        let counted = self.plain(&values.len());
        values.iter().fold(counted, |it, (name, value)| it.text(name).text(value.expose()))
    }

    /// The hash of it all.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// The identity of a segment of `pipeline`; `digest` gives each stage's component's.
pub fn of_segment(
    pipeline: &Pipeline,
    stages: &[(&Stage, Digest)],
    gateway: &GatewayLimits,
    next: Option<Digest>,
) -> Digest {
    let start = Identity::of("segment")
        .text(&pipeline.name)
        .plain(&pipeline.limits)
        .plain(&pipeline.isolation)
        .plain(&(gateway.header_size, gateway.rate_limit_keys))
        .plain(&next);
    let whole = stages.iter().fold(start, |it, (stage, digest)| {
        let it = it
            .text(&stage.id.to_string())
            .bytes(&digest.0)
            .values(&stage.config)
            .plain(&(stage.grants.random, stage.grants.clocks, stage.grants.stdio))
            .plain(&(&stage.grants.egress, &stage.grants.sockets))
            .plain(&stage.grants.env.is_some())
            .values(stage.grants.env.as_deref().unwrap_or_default());
        let mounts = &stage.grants.filesystem;
        let it = mounts.iter().fold(it.plain(&mounts.len()), |it, mount| {
            it.text(&mount.path.to_string_lossy()).text(&mount.at).plain(&(mount.write, mount.node))
        });
        it.plain(&stage.limits)
            .plain(&(stage.link, stage.isolation, stage.on_failure, stage.lift))
            .plain(&stage.breaker)
    });
    whole.finish()
}
