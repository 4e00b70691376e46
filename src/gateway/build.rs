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
use crate::component::{Component, Digest, Lift, LoadError};
use crate::config::Diagnostics;
use crate::host::{Budget, Limiters, StageScope};
use crate::plan::{ComponentIndex, GatewayLimits, Pipeline, PipelineIndex, Plan};
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
    let segments: Vec<_> = plan
        .pipelines
        .iter()
        .filter_map(|pipeline| {
            let composed = compose_pipeline(pipeline, &components, Naming::PerStage, &mut diagnostics)?;
            let blueprint = blueprint(pipeline, &components, &plan.limits, limiters);
            Segment::compile(&runtime, composed, blueprint)
                .map_err(|error| {
                    diagnostics
                        .error(pipeline.span, format!("pipeline `{}` can't be compiled", pipeline.name))
                        .label(error.to_string())
                        .help("`linkspan inspect` shows what each component imports and exports");
                })
                .ok()
        })
        .map(Arc::new)
        .collect();
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let router = Router::new(&plan.routes);
    Ok(Generation { plan, router, segments, _runtime: runtime })
}

/// Reads the component files that `plan` names.
pub fn load_components(plan: &Plan, diagnostics: &mut Diagnostics) -> Components {
    let load = |reference: &crate::plan::ComponentRef| {
        let component = match Component::load(&reference.path) {
            Ok(component) => component,
            Err(error) => {
                let help = match &error {
                    LoadError::Inspect { source: crate::component::inspect::InspectError::CoreModule, .. } => {
                        "make it a component, with `wasm-tools component new` or wit-component"
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

/// Composes the stages of `pipeline` into one component.
///
/// `None` if that failed, which was then added to `diagnostics`.
pub fn compose_pipeline(
    pipeline: &Pipeline,
    components: &Components,
    naming: Naming,
    diagnostics: &mut Diagnostics,
) -> Option<Composed> {
    let members: Option<Vec<_>> = pipeline
        .all_stages()
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

fn make_runtime(plan: &Plan, components: &Components) -> Result<Runtime, crate::chain::RuntimeError> {
    let instances = u32::try_from(plan.limits.instances).unwrap_or(u32::MAX);
    let sizes: Vec<_> = plan
        .pipelines
        .iter()
        .map(|pipeline| {
            let shapes = pipeline
                .all_stages()
                .filter_map(|stage| components.get(stage.component))
                .map(|component| &component.shape);
            let wanted = pipeline.limits.instances.saturating_mul(plan.workers.get());
            let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(instances);
            PoolSize::of(shapes, wanted, &budget(pipeline, components, &plan.limits))
        })
        .collect();
    Runtime::new(&sizes, instances)
}

/// What one instance of `pipeline` may use: its stages' limits, joined as one
/// store must.
fn budget(pipeline: &Pipeline, components: &Components, gateway: &GatewayLimits) -> Budget {
    let mut budget = Budget {
        memory: 0,
        one_memory: 0,
        table_elements: 0,
        // In memory, a field takes up to four times its bytes on the wire.
        field_bytes: gateway.header_size.saturating_mul(4),
        cpu: pipeline.limits.cpu,
    };
    for stage in pipeline.all_stages() {
        let memories = components.get(stage.component).map_or(1, |c| c.shape.memories.max(1));
        let memory = stage.limits.memory.saturating_mul(memories as usize);
        budget.memory = budget.memory.saturating_add(memory);
        budget.one_memory = budget.one_memory.max(stage.limits.memory);
        budget.table_elements = budget.table_elements.max(stage.limits.table_elements);
    }
    budget
}

fn blueprint(
    pipeline: &Pipeline,
    components: &Components,
    gateway: &GatewayLimits,
    limiters: &Limiters,
) -> Blueprint {
    let all_async = pipeline
        .all_stages()
        .filter_map(|stage| components.get(stage.component))
        .all(|component| component.shape.lift() == Lift::Async);
    let scope = |stage: &crate::plan::Stage| {
        let limiter = limiters.of(&stage.id.to_string(), gateway.rate_limit_keys);
        Arc::new(StageScope::new(stage, limiter))
    };
    Blueprint {
        pipeline: pipeline.name.to_string(),
        budget: budget(pipeline, components, gateway),
        limits: pipeline.limits.clone(),
        // One stage that blocks blocks the instance.
        lift: if all_async { Lift::Async } else { Lift::Sync },
        scopes: pipeline.all_stages().map(scope).collect(),
    }
}

/// The index of each pipeline of `plan`, in order.
pub fn pipelines(plan: &Plan) -> impl Iterator<Item = PipelineIndex> + use<> {
    (0..plan.pipelines.len()).map(PipelineIndex)
}
