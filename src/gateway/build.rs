//! From a plan to a generation, or to everything that is wrong with it.
//!
//! Files are read, hashed, inspected and checked first, all of them, so that one
//! run shows every mistake; only then are chains composed and compiled. Nothing
//! that is live is touched.

use super::generation::Generation;
use super::router::Router;
use crate::chain::check::{Position, check_stage};
use crate::chain::compile::Blueprint;
use crate::chain::{Composed, Member, Naming, PoolSize, Runtime, Segment, compose};
use crate::component::inspect::InspectError;
use crate::component::{Component, Digest, Lift, LoadError};
use crate::config::Diagnostics;
use crate::host::{Budget, Limiters, StageScope};
use crate::engine::{Breaker, Hop};
use crate::plan::{ComponentIndex, GatewayLimits, Isolation, Link, Pipeline, Plan, Stage};
use std::sync::Arc;

/// The components of a plan, by [`ComponentIndex`]; `None` for one that could not
/// be loaded.
pub struct Components(Vec<Option<Component>>);

impl Components {
    /// The component at `index`, if it could be loaded.
    pub fn get(&self, index: ComponentIndex) -> Option<&Component> {
        self.0.get(index.0)?.as_ref()
    }
}

/// Builds all of `plan`. Counters of stages are kept in `limiters`.
///
/// # Errors
/// Everything that is wrong with the components and the pipelines, at its place.
pub fn build(plan: Plan, limiters: &Limiters) -> Result<Generation, Diagnostics> {
    let mut diagnostics = plan.diagnostics();
    let components = load_components(&plan, &mut diagnostics);
    for pipeline in &plan.pipelines {
        check_pipeline(pipeline, &components, &mut diagnostics);
    }
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let runtime = match make_runtime(&plan, &components) {
        Ok(runtime) => runtime,
        Err(error) => {
            diagnostics
                .error(None, format!("the engine can't be made: {error}"))
                .help("lower `limits.instances`, or the stages' `limits.memory`");
            return Err(diagnostics);
        }
    };
    let maker = Maker { plan: &plan, components: &components, limiters, runtime: &runtime };
    let pipelines: Vec<_> = plan
        .pipelines
        .iter()
        .filter_map(|pipeline| maker.pipeline(pipeline, &mut diagnostics))
        .collect();
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let router = Router::new(&plan.routes);
    Ok(Generation { plan, router, pipelines, _runtime: runtime })
}

/// Reads the component files that `plan` names.
pub fn load_components(plan: &Plan, diagnostics: &mut Diagnostics) -> Components {
    let load = |reference: &crate::plan::ComponentRef| {
        let component = match Component::load(&reference.path) {
            Ok(component) => component,
            Err(error) => {
                let help = match &error {
                    LoadError::Inspect { source: InspectError::CoreModule, .. } => {
                        "make it a component, with `wasm-tools component new` or wit-component"
                    }
                    LoadError::Inspect { source: InspectError::Text, .. } => {
                        "assemble it, with `wasm-tools parse`"
                    }
                    LoadError::TooLarge { .. } => "strip its debug information",
                    _ => "build it again, or correct the path",
                };
                diagnostics
                    .error(reference.path_span, format!("component `{}` can't be used", reference.name))
                    .label(error.to_string())
                    .help(help);
                return None;
            }
        };
        if let (Some(expected), Some(span)) = (reference.sha256, reference.sha256_span)
            && Digest(expected) != component.digest
        {
            diagnostics
                .error(span, format!("component `{}` has another digest", reference.name))
                .label("not the file that was meant")
                .help(format!("if the file is right, its sha256 is \"{}\"", component.digest));
            return None;
        }
        Some(component)
    };
    Components(plan.components.iter().map(load).collect())
}

fn check_pipeline(pipeline: &Pipeline, components: &Components, diagnostics: &mut Diagnostics) {
    for stage in pipeline.all_stages() {
        let position = match stage.id.index == pipeline.stages.len() {
            true => Position::Service,
            false => Position::Middleware,
        };
        if let Some(component) = components.get(stage.component) {
            check_stage(stage, position, component, diagnostics);
        }
    }
}

/// The stages of `pipeline` that share a store: each longest run of static ones, and
/// each dynamic one alone.
pub fn segments(pipeline: &Pipeline) -> Vec<Vec<&Stage>> {
    let mut segments: Vec<Vec<&Stage>> = Vec::new();
    for stage in pipeline.all_stages() {
        match segments.last_mut() {
            Some(run) if stage.link == Link::Static && run.iter().all(|s| s.link == Link::Static) => {
                run.push(stage);
            }
            _ => segments.push(vec![stage]),
        }
    }
    segments
}

/// Composes `stages` of `pipeline` into one component.
///
/// `None` if that failed, which was then added to `diagnostics`.
pub fn compose_stages(
    pipeline: &Pipeline,
    stages: &[&Stage],
    components: &Components,
    naming: Naming,
    diagnostics: &mut Diagnostics,
) -> Option<Composed> {
    let members: Option<Vec<_>> = stages
        .iter()
        .map(|stage| {
            let component = components.get(stage.component)?;
            Some(Member { index: stage.id.index, component })
        })
        .collect();
    compose(&members?, naming)
        .map_err(|error| {
            let stage = error.stage.and_then(|index| pipeline.all_stages().nth(index));
            let span = stage.map_or(pipeline.span, |stage| stage.component_span);
            diagnostics
                .error(span, format!("pipeline `{}` can't be composed", pipeline.name))
                .label(error.to_string())
                .help("`linkspan inspect` shows what each component imports and exports");
        })
        .ok()
}

fn make_runtime(
    plan: &Plan,
    components: &Components,
) -> Result<Runtime, crate::chain::RuntimeError> {
    let instances = u32::try_from(plan.limits.instances).unwrap_or(u32::MAX);
    let mut sizes = Vec::new();
    for pipeline in &plan.pipelines {
        let wanted = pipeline.limits.instances.saturating_mul(plan.workers.get());
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(instances);
        for stages in segments(pipeline) {
            let shapes = stages
                .iter()
                .filter_map(|stage| components.get(stage.component))
                .map(|component| &component.shape);
            let budget = budget(pipeline, &stages, components, &plan.limits);
            sizes.push(PoolSize::of(shapes, wanted, &budget));
        }
    }
    Runtime::new(&sizes, instances)
}

/// What one instance of `stages` may use: their limits, joined as one store must.
fn budget(
    pipeline: &Pipeline,
    stages: &[&Stage],
    components: &Components,
    gateway: &GatewayLimits,
) -> Budget {
    let mut budget = Budget {
        memory: 0,
        one_memory: 0,
        table_elements: 0,
        // In memory, a field takes up to four times its bytes on the wire.
        field_bytes: gateway.header_size.saturating_mul(4),
        cpu: pipeline.limits.cpu,
    };
    for stage in stages {
        let memories = components.get(stage.component).map_or(1, |c| c.shape.memories.max(1));
        let memory = stage.limits.memory.saturating_mul(memories as usize);
        budget.memory = budget.memory.saturating_add(memory);
        budget.one_memory = budget.one_memory.max(stage.limits.memory);
        budget.table_elements = budget.table_elements.max(stage.limits.table_elements);
    }
    budget
}

/// Makes pipelines of a plan whose components are sound.
struct Maker<'a> {
    plan: &'a Plan,
    components: &'a Components,
    limiters: &'a Limiters,
    runtime: &'a Runtime,
}

impl Maker<'_> {
    /// Makes the hops of `pipeline`, from the last to the first, which each next
    /// one is linked to.
    fn pipeline(&self, pipeline: &Pipeline, diagnostics: &mut Diagnostics) -> Option<Arc<Hop>> {
        let mut next: Option<Arc<Hop>> = None;
        for stages in segments(pipeline).iter().rev() {
            let composed = compose_stages(
                pipeline,
                stages,
                self.components,
                Naming::PerStage,
                diagnostics,
            )?;
            let blueprint = self.blueprint(pipeline, stages, next.as_ref());
            let segment = Segment::compile(self.runtime, composed, blueprint)
                .map_err(|error| {
                    diagnostics
                        .error(pipeline.span, format!("pipeline `{}` can't be compiled", pipeline.name))
                        .label(error.to_string())
                        .help("`linkspan inspect` shows what each component imports and exports");
                })
                .ok()?;
            // Only a stage that stands alone has a policy of its own.
            let first = stages.first()?;
            let breaker = first.breaker.map(|spec| Breaker::new(spec, first.id.to_string()));
            next = Some(Arc::new(Hop {
                segment: Arc::new(segment),
                on_failure: first.on_failure,
                breaker,
                next,
            }));
        }
        next
    }

    fn blueprint(
        &self,
        pipeline: &Pipeline,
        stages: &[&Stage],
        next: Option<&Arc<Hop>>,
    ) -> Blueprint {
        let gateway = &self.plan.limits;
        // One stage that blocks blocks the instance.
        let all_async = stages
            .iter()
            .filter_map(|stage| self.components.get(stage.component))
            .all(|component| component.shape.lift() == Lift::Async);
        let scope = |stage: &&Stage| {
            let limiter = self.limiters.of(&stage.id.to_string(), gateway.rate_limit_keys);
            Arc::new(StageScope::new(stage, limiter))
        };
        let isolation = match stages {
            [stage] if stage.link == Link::Dynamic => stage.isolation,
            _ => pipeline.isolation,
        };
        let mut limits = pipeline.limits.clone();
        let fresh = isolation == Isolation::Request;
        if fresh {
            (limits.reuse, limits.concurrency) = (1, 1);
        }
        Blueprint {
            pipeline: pipeline.name.to_string(),
            budget: budget(pipeline, stages, self.components, gateway),
            limits,
            lift: if all_async { Lift::Async } else { Lift::Sync },
            scopes: stages.iter().map(scope).collect(),
            fresh,
            next: next.map(Hop::as_next),
        }
    }
}
