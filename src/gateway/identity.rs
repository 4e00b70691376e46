//! What makes two segments, or two configurations, the same.
//!
//! A segment that is made of the same components with the same configuration,
//! grants and limits, and is linked to the same next one and to the same pipelines
//! by the same names, is the same segment: a new generation takes it over as it runs, with its warm instances. Secrets are
//! part of it, as hashes. A condition is not part of the stages that run, but of what comes to them: where it changes,
//! the stages of its segment are taken over, and those of the segments before it, which are linked to it, are not.

use super::build::segments;
use super::inputs::{Components, Natives};
use crate::component::Digest;
use crate::plan::when::combinations;
use crate::plan::{
    Applied, ConfigValue, End, GatewayLimits, Pipeline, PipelineIndex, Plan, Stage, UpstreamPlan,
};
use crate::upstream::TlsSettings;
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

/// The identity of a native service, as the end of a pipeline.
fn of_native(name: &str, natives: &Natives) -> Digest {
    Identity::of("native").text(name).plain(&natives.get(name).map(|native| native.id)).finish()
}

/// The identity of an upstream: of what is configured of it, and of the files that it names.
pub fn of_upstream(upstream: &UpstreamPlan, tls: Option<&TlsSettings>) -> Digest {
    let UpstreamPlan {
        name,
        servers,
        protocol,
        balance,
        host,
        tls: files,
        health,
        ejection,
        retry,
        limits,
        ..
    } = upstream;
    let start = Identity::of("upstream")
        .text(name)
        .plain(&(servers, protocol, balance, host, &files.name))
        .plain(&(health, ejection, retry, limits));
    let contents = tls.map_or(&[][..], |tls| &tls.contents);
    // Which file is which: the same content in another place is another thing.
    let which = start.plain(&(files.roots.is_some(), files.identity.is_some()));
    contents.iter().fold(which, |it, content| it.bytes(content)).finish()
}

/// A name, and the first segment of the pipeline behind it.
type Named<'a> = (&'a str, Digest);

/// A segment.
pub struct Part<'p> {
    /// What a request can need of its stages; first all of them.
    pub variants: Vec<Variant<'p>>,
    /// Of all of it, and of what comes after it.
    pub identity: Digest,
}

/// Some stages of a segment.
pub struct Variant<'p> {
    /// Those of them that have conditions.
    pub applied: Applied,
    /// The stages; maybe none.
    pub stages: Vec<&'p Stage>,
    /// Theirs, linked to what comes after them.
    pub identity: Digest,
}

/// The segments of each pipeline, by its index, from the last to the first.
pub fn of_pipelines<'p>(
    plan: &'p Plan,
    components: &Components,
    natives: &Natives,
    upstreams: &[Digest],
) -> Vec<Vec<Part<'p>>> {
    let mut all: Vec<Vec<Part<'p>>> = Vec::new();
    all.resize_with(plan.pipelines.len(), Vec::new);
    for index in plan.called_first() {
        let pipeline = plan.pipeline(index);
        let mut next = match &pipeline.end {
            End::Native(name) => Some(of_native(name, natives)),
            // The pipeline's limits are in each segment's identity anyway.
            End::Upstream(upstream) => Some(upstreams[upstream.0]),
            End::Component(_) => None,
        };
        let mut found = Vec::new();
        for stages in segments(pipeline, components).into_iter().rev() {
            let beginning = |index: PipelineIndex| match (all[index.0].last(), &plan.pipeline(index).end) {
                (Some(part), _) => Some(part.identity),
                (None, End::Upstream(upstream)) => {
                    let limits = &plan.pipeline(index).limits;
                    let servers = &upstreams[upstream.0].0;
                    Some(Identity::of("pipeline").bytes(servers).plain(limits).finish())
                }
                (None, _) => None,
            };
            let identify = |stages: &[&Stage]| {
                let digest = |stage: &Stage| Some(components.of(stage)?.digest);
                let digests: Vec<_> =
                    stages.iter().filter_map(|stage| Some((*stage, digest(stage)?))).collect();
                let named = stages.iter().flat_map(|stage| &stage.next);
                let named: Vec<_> =
                    named.filter_map(|next| Some((next.name.as_str(), beginning(next.pipeline)?))).collect();
                let calls = stages.iter().flat_map(|stage| &stage.grants.calls);
                let calls: Vec<_> =
                    calls.filter_map(|call| Some((call.name.as_str(), beginning(call.pipeline)?))).collect();
                of_segment(pipeline, &digests, &plan.limits, next, (&named, &calls))
            };
            let variants = variants(&stages, identify);
            let identity = of_part(&stages, &variants, next);
            next = Some(identity);
            found.push(Part { variants, identity });
        }
        all[index.0] = found;
    }
    all
}

/// What requests can need of `stages`.
fn variants<'p>(stages: &[&'p Stage], identify: impl Fn(&[&Stage]) -> Digest) -> Vec<Variant<'p>> {
    // The plan has no pipeline with too many.
    let combinations = combinations(stages.iter().copied()).unwrap_or_default();
    let variant = |applied: Applied| {
        let applies = |stage: &&Stage| stage.when.is_none() || applied.has(stage.id.index);
        let stages: Vec<_> = stages.iter().copied().filter(applies).collect();
        let identity = identify(&stages);
        Variant { applied, stages, identity }
    };
    combinations.into_iter().map(variant).collect()
}

/// The identity of a segment with conditions: of its variants, of what decides between them, and of the segment after
/// it, where it may be passed over. One without is its only variant.
fn of_part(stages: &[&Stage], variants: &[Variant<'_>], next: Option<Digest>) -> Digest {
    if let [only] = variants
        && stages.iter().all(|stage| stage.when.is_none())
    {
        return only.identity;
    }
    let conditions: Vec<_> = stages.iter().map(|stage| (stage.id.index, &stage.when)).collect();
    let start = Identity::of("variants").plain(&conditions).plain(&next);
    variants.iter().fold(start, |it, variant| it.plain(&variant.applied).bytes(&variant.identity.0)).finish()
}

/// The identity of a segment of `pipeline`: of its stages and their components, of the
/// segment after it, and of the pipelines that it reaches by names of its own and by theirs,
/// each by its first segment.
fn of_segment(
    pipeline: &Pipeline,
    stages: &[(&Stage, Digest)],
    gateway: &GatewayLimits,
    next: Option<Digest>,
    called: (&[Named<'_>], &[Named<'_>]),
) -> Digest {
    let start = Identity::of("segment")
        .text(&pipeline.name)
        .plain(&pipeline.limits)
        .plain(&pipeline.isolation)
        .plain(&(gateway.header_size, gateway.rate_limit_keys, gateway.call_depth))
        .plain(&next)
        .plain(&called);
    let whole = stages.iter().fold(start, |it, (stage, digest)| {
        let it = it
            .text(&stage.id.to_string())
            .bytes(&digest.0)
            .values(&stage.config)
            .plain(&(stage.grants.random, stage.grants.clocks, stage.grants.stdio))
            .plain(&(&stage.grants.egress, &stage.grants.egress_networks, &stage.grants.sockets))
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
