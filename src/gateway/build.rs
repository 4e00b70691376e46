//! From the inputs to a generation, or to everything that is wrong with it.
//!
//! The files were read, hashed and inspected before (see `inputs`). Here every stage is checked, so that one run shows
//! every mistake. Then segments that equal running segments are taken over, and only the others are composed and
//! compiled. Nothing that is live is touched.

use super::generation::{Generation, StageSight};
use super::identity::{Part, Variant, Ways, of_pipelines, of_store, of_upstream};
use super::inputs::{Components, Inputs, Natives, Shapes};
use super::progress::Progress;
use super::prove::tell;
use super::router::Router;
use crate::chain::check::{Position, check_stage, of_older_candidate};
use crate::chain::compile::Blueprint;
use crate::chain::{
    Cache, Composed, Member, Naming, PoolSize, Runtime, RuntimeError, Runtimes, Segment, caught, compose,
    next_label,
};
use crate::component::{Component, Digest, Lift};
use crate::config::Diagnostics;
use crate::engine::{Breaker, Condition, Conditions, CutOff, End, Fork, Hop, ObservedWay, Onward, entrance};
use crate::host::{Budget, Counters, Next, OwnMetrics, Rehearsal, StageScope};
use crate::plan::{
    End as PlannedEnd, GatewayLimits, Isolation, Link, Pipeline, PipelineIndex, PipelineLimits, Plan, Relift,
    Stage, StorePlan,
};
use crate::stores::{Limiters, Store, Stores};
use crate::upstream::{TlsSettings, Upstream};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

/// What outlives generations: counters of stages, compiled code, running segments.
#[derive(Default)]
pub struct Workshop {
    /// The stages' counters, which a reload does not forget.
    pub limiters: Limiters,
    /// Stores of any generation.
    pub stores: Stores,
    /// Metrics of stages' own.
    pub own_metrics: OwnMetrics,
    /// Properties of components.
    pub shapes: Shapes,
    /// Compiled code.
    pub cache: Cache,
    /// Engines.
    pub runtimes: Runtimes,
    /// Running hops, by identity.
    hops: Mutex<HashMap<Digest, Weak<Hop>>>,
    /// Upstreams of any generation, by identity.
    upstreams: Mutex<HashMap<Digest, Weak<Upstream>>>,
    /// The ways of observed requests, by the identity of the segment through which others go: hops that were taken over lead
    /// through segments of the generation for which they were made.
    observed: Mutex<HashMap<Digest, Weak<ObservedWay>>>,
    /// Whether one of them is wanted.
    pub(super) any_wanted: Arc<AtomicBool>,
    generations: AtomicU64,
    /// Requests that were cut because their generation had to end.
    pub cuts: Arc<AtomicU64>,
}

impl Workshop {
    fn find(&self, identity: &Digest) -> Option<Arc<Hop>> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        hops.get(identity)?.upgrade()
    }

    fn keep(&self, hop: &Arc<Hop>) {
        let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        hops.retain(|_, hop| hop.strong_count() > 0);
        hops.insert(hop.identity, Arc::downgrade(hop));
    }

    /// The way of observed requests through the segment with this identity.
    fn observed_way(&self, identity: Digest) -> Arc<ObservedWay> {
        let mut ways = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = ways.get(&identity).and_then(Weak::upgrade) {
            return way;
        }
        ways.retain(|_, way| way.strong_count() > 0);
        let way = Arc::new(ObservedWay::new(&self.any_wanted));
        ways.insert(identity, Arc::downgrade(&way));
        way
    }

    /// The upstream with this identity, with its connections and its health, or the one that `make` makes.
    fn upstream(&self, identity: Digest, make: impl FnOnce() -> Arc<Upstream>) -> Arc<Upstream> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        upstreams.retain(|_, upstream| upstream.strong_count() > 0);
        if let Some(running) = upstreams.get(&identity).and_then(Weak::upgrade) {
            return running;
        }
        let made = make();
        upstreams.insert(identity, Arc::downgrade(&made));
        made
    }
}

/// Builds the generation that `inputs` describe.
///
/// # Errors
/// Everything that is wrong with the components and the pipelines, each at its place.
pub fn build(inputs: &Inputs, workshop: &Workshop) -> Result<Generation, Diagnostics> {
    let Inputs { plan, tls, .. } = inputs;
    let mut diagnostics = plan.diagnostics();
    let mut found = plan.diagnostics();
    check_pipelines(inputs, &mut found);
    if found.has_errors() {
        return Err(found);
    }
    let mut maker = Maker::new(inputs, workshop, Ways::Served);
    maker.proves = plan.gateway.prove;
    let wanted = maker.missing();
    if let Err(error) = maker.make_room(&wanted) {
        diagnostics
            .error(None, format!("cannot make the engine: {error}"))
            .help("lower `limits.instances`, or the stages' `limits.memory`");
        return Err(diagnostics);
    }
    // Equal functions of the segments are compiled once.
    let _shared = workshop.runtimes.share();
    maker.progress = Progress::of(wanted.len());
    for index in plan.called_first() {
        let first = maker.pipeline(index, &mut diagnostics);
        maker.pipelines.borrow_mut()[index.0] = first;
    }
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let listeners = plan.listeners.iter().zip(tls);
    Ok(Generation {
        number: workshop.generations.fetch_add(1, Ordering::Relaxed) + 1,
        identity: inputs.identity(),
        built: SystemTime::now(),
        compiled: maker.compiled.get(),
        reused: maker.reused.get(),
        router: Router::new(&plan.routes),
        tls: listeners.map(|(listener, tls)| (listener.address, tls.clone())).collect(),
        plan: plan.clone(),
        stages: sights(inputs),
        pipelines: maker.pipelines.take().into_iter().flatten().collect(),
        cut_off: CutOff::default(),
        cuts: Arc::clone(&workshop.cuts),
        limiter_keys: workshop.limiters.bound.clone(),
        store_counts: workshop.stores.counts.clone(),
        own_metrics: workshop.own_metrics.clone(),
    })
}

/// What is told of the stages of each pipeline. Components that stand in several places are looked at once.
fn sights(inputs: &Inputs) -> Vec<Vec<StageSight>> {
    let mut known: HashMap<(Digest, bool), StageSight> = HashMap::new();
    let mut sight = |stage: &Stage| {
        let component = inputs.components.of(stage)?;
        let found = known.entry((component.digest, component.relifted)).or_insert_with(|| StageSight {
            digest: component.digest,
            lift: if component.relifted {
                "rewritten".to_owned()
            } else {
                component.shape.lift().to_string()
            },
            imports: component.shape.imports.iter().map(|import| import.name.clone()).collect(),
        });
        Some(found.clone())
    };
    let pipelines = inputs.plan.pipelines.iter();
    pipelines.map(|pipeline| pipeline.all_stages().filter_map(&mut sight).collect()).collect()
}

/// Checks every stage whose component could be read.
pub fn check_pipelines(inputs: &Inputs, diagnostics: &mut Diagnostics) {
    for pipeline in &inputs.plan.pipelines {
        check_pipeline(pipeline, &inputs.components, diagnostics);
    }
}

fn check_pipeline(pipeline: &Pipeline, components: &Components, diagnostics: &mut Diagnostics) {
    for stage in pipeline.all_stages() {
        let position = match stage.id.index == pipeline.stages.len() {
            true => Position::Service,
            false => Position::Middleware,
        };
        let Some(component) = components.original(stage) else { continue };
        check_stage(stage, position, component, diagnostics);
        // A component that is lifted synchronously needs no rewriting.
        let wanted = stage.lift == Relift::Sync && component.shape.lift() != Lift::Sync;
        if let (true, Some(refusal), Some(span)) = (wanted, components.refusal(stage), stage.lift_span) {
            diagnostics
                .error(span, format!("stage `{}` can't be lifted synchronously", stage.id))
                .label(refusal.to_string())
                .help("`lift = \"auto\"` leaves the component as it is");
        }
    }
}

/// A stage, and its component in the form that the stage uses.
pub type Placed<'a> = (&'a Stage, &'a Component);

/// Composes `stages` of `pipeline` into one component.
///
/// `None` if that failed; the reason is then in `diagnostics`.
pub fn compose_stages(
    pipeline: &Pipeline,
    stages: &[Placed<'_>],
    naming: Naming,
    diagnostics: &mut Diagnostics,
) -> Option<Composed> {
    let what = || format!("pipeline `{}` can't be composed", pipeline.name);
    let composed = match caught(|| compose(&members(stages), naming)) {
        Ok(composed) => composed,
        Err(panicked) => {
            panicked.tell(pipeline.span, what(), diagnostics);
            return None;
        }
    };
    composed
        .map_err(|error| {
            let stage = error.stage.and_then(|index| pipeline.all_stages().nth(index));
            let span = stage.map_or(pipeline.span, |stage| stage.component_span);
            diagnostics.error(span, what()).label(error.to_string()).help(what_to_do(stages));
        })
        .ok()
}

/// The help where components don't fit each other or WASI.
fn what_to_do(stages: &[Placed<'_>]) -> String {
    let candidate = |(stage, component): &Placed<'_>| of_older_candidate(stage, component);
    let inspect = || "`linkspan inspect` shows what each component imports and exports".to_owned();
    stages.iter().find_map(candidate).unwrap_or_else(inspect)
}

fn members<'a>(stages: &[Placed<'a>]) -> Vec<Member<'a>> {
    stages.iter().map(|(stage, component)| Member { index: stage.id.index, component }).collect()
}

/// The budget of one instance of `stages`: their limits, joined as one store requires.
fn budget(pipeline: &Pipeline, stages: &[Placed<'_>], gateway: &GatewayLimits) -> Budget {
    let mut budget = Budget {
        memory: 0,
        one_memory: 0,
        table_elements: 0,
        host_memory: 0,
        // In memory, a field takes up to four times its bytes on the wire.
        field_bytes: gateway.header_size.saturating_mul(4),
        cpu: limits_of(pipeline, stages).cpu,
    };
    for (stage, component) in stages {
        let memory = stage.limits.memory.saturating_mul(component.shape.memories.max(1) as usize);
        budget.memory = budget.memory.saturating_add(memory);
        budget.host_memory = budget.host_memory.saturating_add(stage.limits.host_memory);
        budget.one_memory = budget.one_memory.max(stage.limits.memory);
        budget.table_elements = budget.table_elements.max(stage.limits.table_elements);
    }
    budget
}

/// The stage of a segment that is linked dynamically, and may have limits for its store.
fn alone<'a>(stages: &[Placed<'a>]) -> Option<&'a Stage> {
    match stages {
        [(stage, _)] if stage.link == Link::Dynamic => Some(stage),
        _ => None,
    }
}

/// The limits of instances of `stages`: the pipeline's, or the stage's own where it stands alone.
fn limits_of(pipeline: &Pipeline, stages: &[Placed<'_>]) -> PipelineLimits {
    let mut limits = pipeline.limits.clone();
    if let Some(stage) = alone(stages) {
        limits.cpu = stage.limits.cpu.unwrap_or(limits.cpu);
        limits.concurrency = stage.limits.concurrency.unwrap_or(limits.concurrency);
    }
    limits
}

/// The condition of a stage, if it has one.
fn condition(stage: &Stage) -> Option<Condition> {
    Some(Condition {
        index: stage.id.index,
        when: stage.when.clone()?,
        pipeline: stage.id.pipeline.to_string().into(),
        stage: stage.id.label().into(),
    })
}

/// Makes the pipelines of a plan whose components are sound.
pub(super) struct Maker<'a> {
    plan: &'a Plan,
    components: &'a Components,
    natives: &'a Natives,
    workshop: &'a Workshop,
    /// The pipelines' segments, each list from the last to the first.
    pub(super) segments: Vec<Vec<Part<'a>>>,
    /// What each upstream needs for TLS, and its identity.
    upstreams: Vec<(&'a Option<TlsSettings>, Digest)>,
    /// The beginnings of the pipelines that were made.
    pub(super) pipelines: RefCell<Vec<Option<Onward>>>,
    /// For segments that do not run yet, if there are any.
    runtime: Option<Runtime>,
    progress: Progress,
    /// Whether segments are proven when they are made.
    proves: bool,
    compiled: Cell<usize>,
    reused: Cell<usize>,
}

impl<'a> Maker<'a> {
    /// A maker of what `inputs` describe, of which it knows the identities that are wanted.
    pub(super) fn new(inputs: &'a Inputs, workshop: &'a Workshop, ways: Ways) -> Self {
        let Inputs { plan, components, tls: _, upstreams, natives, looks: _ } = inputs;
        let identities: Vec<Digest> =
            plan.upstreams.iter().zip(upstreams).map(|(plan, tls)| of_upstream(plan, tls.as_ref())).collect();
        Self {
            plan,
            components,
            natives,
            workshop,
            segments: of_pipelines(plan, components, natives, &identities, ways),
            upstreams: upstreams.iter().zip(identities).collect(),
            pipelines: RefCell::new(vec![None; plan.pipelines.len()]),
            runtime: None,
            progress: Progress::of(0),
            proves: false,
            compiled: Cell::new(0),
            reused: Cell::new(0),
        }
    }

    /// Gets an engine whose pool has room for `wanted`, if that is anything.
    pub(super) fn make_room(&mut self, wanted: &[PoolSize]) -> Result<(), RuntimeError> {
        if !wanted.is_empty() {
            let most = u32::try_from(self.plan.limits.instances).unwrap_or(u32::MAX);
            self.runtime = Some(self.workshop.runtimes.get(wanted, most)?);
        }
        Ok(())
    }

    /// `stages` as they will run.
    fn placed(&self, stages: &[&'a Stage]) -> Vec<Placed<'a>> {
        stages.iter().filter_map(|stage| Some((*stage, self.components.of(stage)?))).collect()
    }

    /// `stages` as they run when one was rewritten and turns out to need its original form, if one may.
    fn untried(&self, stages: &[&'a Stage]) -> Option<Vec<Placed<'a>>> {
        stages.iter().any(|stage| self.components.is_trial(stage)).then(|| {
            let form = |stage: &&'a Stage| match self.components.is_trial(stage) {
                true => Some((*stage, self.components.original(stage)?)),
                false => Some((*stage, self.components.of(stage)?)),
            };
            stages.iter().filter_map(form).collect()
        })
    }

    /// The pool's needs for segments that do not run yet.
    fn missing(&self) -> Vec<PoolSize> {
        let mut sizes = Vec::new();
        for (pipeline, segments) in self.plan.pipelines.iter().zip(&self.segments) {
            for variant in segments.iter().flat_map(|part| &part.variants) {
                sizes.extend(self.sizes(pipeline, variant, u32::MAX));
            }
        }
        sizes
    }

    /// The pool's needs for at most `most` instances of `variant`, if it does not run yet.
    pub(super) fn sizes(&self, pipeline: &Pipeline, variant: &Variant<'a>, most: u32) -> Vec<PoolSize> {
        let Variant { stages, identity, .. } = variant;
        if stages.is_empty() || self.workshop.find(identity).is_some() {
            return Vec::new();
        }
        let wanted = pipeline.limits.instances.saturating_mul(self.plan.workers.get());
        let wanted = u32::try_from(wanted.min(self.plan.limits.instances)).unwrap_or(u32::MAX).min(most);
        let forms = [Some(self.placed(stages)), self.untried(stages)].into_iter().flatten();
        let size = |stages: Vec<Placed<'_>>| {
            let shapes = stages.iter().map(|(_, component)| &component.shape);
            PoolSize::of(shapes, wanted, &budget(pipeline, &stages, &self.plan.limits))
        };
        forms.map(size).collect()
    }

    /// Makes the segments of `pipeline`, from the last to the first: each is linked to the one after it.
    fn pipeline(&self, index: PipelineIndex, diagnostics: &mut Diagnostics) -> Option<Onward> {
        let pipeline = self.plan.pipeline(index);
        let mut next = match &pipeline.end {
            PlannedEnd::Component(_) => None,
            PlannedEnd::Native(name) => {
                let service = Arc::clone(&self.natives.get(&**name)?.call);
                Some(Onward::End(End::native(service, pipeline.limits.clone())))
            }
            PlannedEnd::Upstream(index) => {
                let (tls, identity) = self.upstreams[index.0];
                let plan = self.plan.upstream(*index).clone();
                let make = || Upstream::new(plan, tls.clone(), identity.to_string());
                let upstream = self.workshop.upstream(identity, make);
                Some(Onward::End(End::upstream(upstream, pipeline.limits.clone())))
            }
        };
        let conditions: Conditions = pipeline.stages.iter().filter_map(condition).collect();
        for part in &self.segments[index.0] {
            let mut hops = Vec::new();
            for variant in &part.variants {
                let hop = match variant.stages.is_empty() {
                    true => None,
                    false => Some(self.hop(pipeline, variant, next.as_ref(), diagnostics)?),
                };
                hops.push((variant.applied, hop));
            }
            let observed = part.has_observed_way().then(|| self.workshop.observed_way(part.identity));
            // The first variant has all stages.
            let (conditional, whole) = hops.remove(0);
            let fork = Fork::new(Arc::clone(&conditions), conditional, whole?, hops, next);
            next = Some(Onward::Fork(Arc::new(fork.observed_by(observed))));
        }
        next
    }

    /// The pipelines that the stages reach by names of their own. `None` if one of these pipelines could not be made,
    /// which was reported.
    fn named(&self, stages: &[Placed<'_>]) -> Option<Vec<(String, Next)>> {
        let pipelines = self.pipelines.borrow();
        let calls = stages.iter().flat_map(|(stage, _)| stage.next.iter().map(|next| (stage.id.index, next)));
        calls
            .map(|(stage, next)| {
                let first = pipelines[next.pipeline.0].as_ref()?;
                Some((next_label(stage, &next.name), entrance::named(first)))
            })
            .collect()
    }

    /// The pipelines that `stage` of `pipeline` reaches by their names; `None` as above.
    fn calls(&self, pipeline: &Pipeline, stage: &Stage) -> Option<Vec<(String, Next)>> {
        let pipelines = self.pipelines.borrow();
        let calls = stage.grants.egress.calls.iter();
        calls
            .map(|call| {
                let first = pipelines[call.pipeline.0].as_ref()?;
                let callee = self.plan.pipeline(call.pipeline);
                let next = entrance::called(first, callee, &pipeline.name, self.plan.limits.call_depth);
                Some((call.name.clone(), next))
            })
            .collect()
    }

    /// A running hop, or a new one.
    pub(super) fn hop(
        &self,
        pipeline: &Pipeline,
        variant: &Variant<'a>,
        next: Option<&Onward>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Hop>> {
        let Variant { stages, identity, .. } = variant;
        if let Some(hop) = self.workshop.find(identity) {
            self.reused.set(self.reused.get() + 1);
            return Some(hop);
        }
        let segment = self.segment(pipeline, &self.placed(stages), next, diagnostics)?;
        let fallback = match self.untried(stages) {
            Some(stages) => Some(self.segment(pipeline, &stages, next, diagnostics)?),
            None => None,
        };
        // Only a stage that stands alone has a policy of its own.
        let first = stages.first()?;
        let breaker = first.breaker.clone().map(|spec| Arc::new(Breaker::new(spec, first.id.to_string())));
        let hop = Hop::new(*identity, segment, fallback);
        let hop = hop.with_policy(first.on_failure, first.limits.deadline, breaker);
        let hop = Arc::new(hop);
        self.workshop.keep(&hop);
        Some(hop)
    }

    /// A segment of `stages`; `None` if it can't be made, for reasons that `diagnostics` then have.
    fn segment(
        &self,
        pipeline: &Pipeline,
        stages: &[Placed<'_>],
        next: Option<&Onward>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Segment>> {
        let what = || format!("pipeline `{}` can't be compiled", pipeline.name);
        self.progress.next(&pipeline.name);
        let segment = match caught(|| self.try_segment(pipeline, stages, next, diagnostics)) {
            Ok(Ok(segment)) => segment?,
            Err(panicked) => {
                panicked.tell(pipeline.span, what(), diagnostics);
                return None;
            }
            Ok(Err(error)) => {
                diagnostics.error(pipeline.span, what()).label(error.to_string()).help(what_to_do(stages));
                return None;
            }
        };
        if self.proves {
            // The others are made all the same, so that one run shows what is wrong with each.
            tell(pipeline, &segment.prove(), diagnostics);
        }
        self.compiled.set(self.compiled.get() + 1);
        Some(Arc::new(segment))
    }

    /// `None` if the stages can't be composed, or what they are granted is not available, for reasons that
    /// `diagnostics` then have.
    fn try_segment(
        &self,
        pipeline: &Pipeline,
        stages: &[Placed<'_>],
        next: Option<&Onward>,
        diagnostics: &mut Diagnostics,
    ) -> Result<Option<Segment>, RuntimeError> {
        let runtime = match &self.runtime {
            Some(runtime) => runtime.clone(),
            // The segment ran when `missing` looked, and has ended since.
            None => self.workshop.runtimes.get(&[PoolSize::default()], 1)?,
        };
        let members = members(stages);
        let code = match self.workshop.cache.load(runtime.engine(), &members, pipeline.form) {
            Some(code) => code,
            None => {
                let composed = compose_stages(pipeline, stages, Naming::PerStage, diagnostics);
                let Some(composed) = composed else { return Ok(None) };
                self.workshop.cache.compile(runtime.engine(), &members, composed, pipeline.form)?
            }
        };
        let Some(blueprint) = self.blueprint(pipeline, stages, next, diagnostics) else { return Ok(None) };
        Segment::link(&runtime, code, blueprint).map(Some)
    }

    /// The stores that `stage` is granted.
    fn stores(&self, stage: &Stage, diagnostics: &mut Diagnostics) -> Option<Vec<Arc<Store>>> {
        let one = |plan: &Arc<StorePlan>| {
            let made = self.workshop.stores.of(of_store(plan).0, plan);
            made.map_err(|error| {
                diagnostics
                    .error(plan.span, format!("cannot set up TLS for the store `{}`", plan.name))
                    .label(error.to_string())
                    .help("check `roots`, and the host in `url`");
            })
        };
        stage.grants.stores.iter().flatten().map(one).collect::<Result<_, _>>().ok()
    }

    fn blueprint(
        &self,
        pipeline: &Pipeline,
        stages: &[Placed<'_>],
        next: Option<&Onward>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Blueprint> {
        // One stage that blocks blocks the instance.
        let all_async = stages.iter().all(|(_, component)| component.shape.lift() == Lift::Async);
        let rehearsal: Arc<Rehearsal> = Arc::default();
        let mut scopes = Vec::new();
        for (stage, _) in stages {
            let counters = Counters {
                limiter: self.workshop.limiters.of(&stage.id.to_string()),
                stores: self.stores(stage, diagnostics)?,
                metrics: stage
                    .grants
                    .otel
                    .then(|| self.workshop.own_metrics.of(&stage.id.pipeline, &stage.id.label())),
            };
            let calls = self.calls(pipeline, stage)?;
            match StageScope::new(stage, counters, calls, Arc::clone(&rehearsal)) {
                Ok(scope) => scopes.push(Arc::new(scope)),
                Err((mount, error)) => {
                    diagnostics
                        .error(mount.span, format!("cannot open the directory `{}`", mount.path.display()))
                        .label(error.to_string())
                        .help("the user that linkspan runs as must be able to read it");
                    return None;
                }
            }
        }
        let isolation = alone(stages).map_or(pipeline.isolation, |stage| stage.isolation);
        let mut limits = limits_of(pipeline, stages);
        let fresh = isolation == Isolation::Request;
        if fresh {
            (limits.reuse, limits.concurrency) = (1, 1);
        }
        let judges = stages.iter().filter(|(_, component)| component.shape.judge().is_some());
        Some(Blueprint {
            pipeline: pipeline.name.to_string(),
            budget: budget(pipeline, stages, &self.plan.limits),
            limits,
            lift: if all_async { Lift::Async } else { Lift::Sync },
            scopes,
            fresh,
            trial: stages.iter().any(|(stage, form)| form.relifted && self.components.is_trial(stage)),
            next: next.map(entrance::next_stage),
            named: self.named(stages)?,
            judges: judges.map(|(stage, _)| stage.id.index).collect(),
            rehearsal,
        })
    }
}
