//! What makes two segments, or two configurations, the same.
//!
//! A segment with the same components, configuration, grants and limits, linked to the same next segment and to the
//! same pipelines by the same names, is the same segment: a new generation takes it over as it runs, with its warm
//! instances. Secrets are part of the identity, as hashes. A condition is not part of the stages that run, but of the
//! requests that reach them: if a condition changes, the stages of its segment are taken over, and the stages of
//! earlier segments, which are linked to it, are not.
//!
//! The configuration is destructured field by field, without `..`: a new field does not compile until this file says
//! whether it counts.

use super::collect::Identity;
use super::inputs::{Components, Natives};
use crate::component::Digest;
use crate::plan::when::combinations;
use crate::plan::{
    Applied, End, GatewayLimits, Pipeline, PipelineIndex, Plan, Stage, StorePlan, UpstreamPlan,
    UpstreamTlsFiles,
};
use crate::upstream::TlsSettings;

/// The identity of a native service, as the end of a pipeline.
fn of_native(name: &str, natives: &Natives) -> Digest {
    Identity::of("native").text(name).plain(&natives.get(name).map(|native| native.id)).finish()
}

/// The identity of an upstream: of its configuration, and of the files that it names.
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
        span: _,
    } = upstream;
    let UpstreamTlsFiles { roots, identity, name: server_name } = files;
    let start = Identity::of("upstream")
        .text(name)
        .plain(&(servers, protocol, balance, host, server_name))
        .plain(&(health, ejection, retry, limits));
    let contents = tls.map_or(&[][..], |tls| &tls.contents);
    // The file's role counts: the same content in another role is something else.
    let which = start.plain(&(roots.is_some(), identity.is_some()));
    contents.iter().fold(which, |it, content| it.bytes(content)).finish()
}

/// The identity of a store, its secrets among it as hashes.
pub fn of_store(store: &StorePlan) -> Digest {
    Identity::of("store").hashed(store).finish()
}

/// A name, and the first segment of the pipeline behind it.
type Named<'a> = (&'a str, Digest);

/// A segment.
pub struct Part<'p> {
    /// The variants that requests can need; the first has all stages.
    pub variants: Vec<Variant<'p>>,
    /// If that is asked for, its stages one by one, each in a store of its own, from the last to the first, where observed
    /// requests take another way than through the variants.
    pub observed: Vec<Variant<'p>>,
    /// The identity of the whole segment, and of everything after it.
    pub identity: Digest,
}

impl Part<'_> {
    /// Whether observed requests take another way: where it has several stages.
    pub fn has_observed_way(&self) -> bool {
        // The first variant has all stages.
        self.variants.first().is_some_and(|whole| whole.stages.len() > 1)
    }
}

/// Which of a segment's identities are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Those of what serves.
    Served,
    /// Those of its stages one by one as well.
    Observed,
}

/// Some stages of a segment.
pub struct Variant<'p> {
    /// The stages with conditions among them.
    pub applied: Applied,
    /// The stages; maybe none.
    pub stages: Vec<&'p Stage>,
    /// The identity of these stages, linked to what comes after them.
    pub identity: Digest,
}

/// The segments of each pipeline, by its index, from the last to the first.
pub fn of_pipelines<'p>(
    plan: &'p Plan,
    components: &Components,
    natives: &Natives,
    upstreams: &[Digest],
    ways: Ways,
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
        for stages in components.segments(pipeline).into_iter().rev() {
            let beginning = |index: PipelineIndex| match (all[index.0].last(), &plan.pipeline(index).end) {
                (Some(part), _) => Some(part.identity),
                (None, End::Upstream(upstream)) => {
                    let limits = &plan.pipeline(index).limits;
                    let servers = &upstreams[upstream.0].0;
                    Some(Identity::of("pipeline").bytes(servers).plain(limits).finish())
                }
                (None, _) => None,
            };
            let identify = |stages: &[&Stage], next: Option<Digest>| {
                let component = |stage: &Stage| components.of(stage).map(|it| (it.digest, it.relifted));
                let placed: Vec<_> =
                    stages.iter().filter_map(|stage| Some((*stage, component(stage)?))).collect();
                let named = stages.iter().flat_map(|stage| &stage.next);
                let named: Vec<_> =
                    named.filter_map(|next| Some((next.name.as_str(), beginning(next.pipeline)?))).collect();
                let calls = stages.iter().flat_map(|stage| &stage.grants.egress.calls);
                let calls: Vec<_> =
                    calls.filter_map(|call| Some((call.name.as_str(), beginning(call.pipeline)?))).collect();
                of_segment(pipeline, &placed, &plan.limits, next, (&named, &calls))
            };
            let variants = variants(&stages, |stages| identify(stages, next));
            let observed = match ways == Ways::Observed && stages.len() > 1 {
                true => observed(&stages, next, identify),
                false => Vec::new(),
            };
            let identity = of_part(&stages, &variants, next);
            next = Some(identity);
            found.push(Part { variants, observed, identity });
        }
        all[index.0] = found;
    }
    all
}

/// The variants of `stages` that requests can need.
fn variants<'p>(stages: &[&'p Stage], identify: impl Fn(&[&Stage]) -> Digest) -> Vec<Variant<'p>> {
    // The plan has no pipeline with too many.
    let combinations = combinations(stages.iter().copied().filter_map(Stage::condition)).unwrap_or_default();
    let variant = |applied: Applied| {
        let applies = |stage: &&Stage| stage.when.is_none() || applied.has(stage.id.index);
        let stages: Vec<_> = stages.iter().copied().filter(applies).collect();
        let identity = identify(&stages);
        Variant { applied, stages, identity }
    };
    combinations.into_iter().map(variant).collect()
}

/// `stages` one by one, from the last to the first: each is linked to the one after it, and the last to `next`.
fn observed<'p>(
    stages: &[&'p Stage],
    mut next: Option<Digest>,
    identify: impl Fn(&[&Stage], Option<Digest>) -> Digest,
) -> Vec<Variant<'p>> {
    let alone = |stage: &&'p Stage| {
        let applied = Applied::NONE.with(stage.id.index, stage.when.is_some());
        let identity = identify(&[*stage], next);
        next = Some(identity);
        Variant { applied, stages: vec![*stage], identity }
    };
    stages.iter().rev().map(alone).collect()
}

/// The identity of a segment with conditions: of its variants, of what decides between them, and of the segment after
/// it, where the segment may be passed over. A segment without conditions is its only variant.
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

/// The identity of a segment of `pipeline`: of its stages and their components, of the segment after it, and of the
/// pipelines that its stages reach, each by its first segment.
fn of_segment(
    pipeline: &Pipeline,
    stages: &[(&Stage, (Digest, bool))],
    gateway: &GatewayLimits,
    next: Option<Digest>,
    called: (&[Named<'_>], &[Named<'_>]),
) -> Digest {
    // The stages are given, and the next segment stands for the pipeline's end.
    let Pipeline { name, stages: _, end: _, limits, isolation, form, span: _ } = pipeline;
    let start = Identity::of("segment").text(name).plain(limits).plain(&(isolation, form));
    let linked = with_gateway(start, gateway).plain(&next).plain(&called);
    stages.iter().fold(linked, |it, (stage, component)| with_stage(it, stage, *component)).finish()
}

/// Adds the bounds of the whole process that concern a segment. The others concern the front end and connections.
fn with_gateway(it: Identity, limits: &GatewayLimits) -> Identity {
    let GatewayLimits {
        connections: _,
        connections_per_address: _,
        requests_per_connection: _,
        handshakes: _,
        handshake_timeout: _,
        header_read_timeout: _,
        idle_timeout: _,
        half_close_timeout: _,
        header_size,
        header_count: _,
        uri_size: _,
        chunk_extensions: _,
        streams: _,
        stream_resets: _,
        control_frames: _,
        download_rate: _,
        download_grace: _,
        shutdown_timeout: _,
        // The engine is made for this number, and segments are compiled for an engine.
        instances: _,
        call_depth,
        // Limiters follow the live configuration.
        rate_limit_keys: _,
    } = limits;
    it.plain(&(header_size, call_depth))
}

/// Adds a stage whose component has this digest, and is rewritten or not.
fn with_stage(it: Identity, stage: &Stage, (digest, relifted): (Digest, bool)) -> Identity {
    let Stage {
        id,
        // The digest stands for the component.
        component: _,
        config,
        // The same with its places.
        config_table: _,
        // Then there is no segment.
        refused: _,
        grants,
        grants_span: _,
        // The condition concerns the requests that reach the stage, not the stage: see `of_part`.
        when: _,
        limits,
        link,
        isolation,
        lift,
        lift_span: _,
        on_failure,
        breaker,
        // The pipelines behind the names are given, each by its first segment.
        next: _,
        component_span: _,
        span: _,
    } = stage;
    let it = it.text(&id.to_string()).bytes(&digest.0).plain(&relifted).hashed(config);
    it.hashed(grants).plain(limits).plain(&(link, isolation, on_failure, lift)).plain(breaker)
}
