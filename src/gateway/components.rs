//! The components of a plan, and the form in which each stage has its own.
//!
//! A stage has its component as the author made it, or rewritten to a sync lift. With `lift = "sync"` it is rewritten where
//! that is possible. With `lift = "auto"` it is rewritten where that is proven to change nothing, and nothing is lost: no
//! segment of stages that a request can meet
//!
//! - would have the direct form, which a rewritten component can't have;
//! - would take several waiting requests into an instance, which a segment with a sync-lifted stage doesn't.
//!
//! Only the stages that every request meets count, beside the stage itself: a request may pass the others by. Neither a
//! component's code nor its rewritten form is looked into where the answer is known before.

use crate::chain::caught;
use crate::chain::form::Readings;
use crate::component::{Component, Digest, Lift, LoadError, NotRewritable, Shape};
use crate::config::Diagnostics;
use crate::plan::{ComponentRef, Link, Pipeline, Plan, Relift, Stage, StageId};
use crate::standard::Build;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The components of a plan, by [`ComponentIndex`]; `None` for one that could not be loaded.
#[derive(Clone, Default)]
pub struct Components {
    forms: Vec<Option<Forms>>,
    /// The stages with `lift = "auto"` that are rewritten.
    rewritten: HashSet<StageId>,
}

/// A component as its author made it, and rewritten to a sync lift where a stage may want that.
#[derive(Clone)]
struct Forms {
    original: Component,
    relifted: Option<Result<Rewritten, NotRewritable>>,
}

/// A component's rewritten form, and whether it is proven not to trap because of the rewriting.
type Rewritten = (Component, bool);

impl Components {
    /// The component of `stage`, in the form that the stage wants and can have, if it could be loaded.
    pub fn of(&self, stage: &Stage) -> Option<&Component> {
        let forms = self.forms.get(stage.component.0)?.as_ref()?;
        let is_rewritten = stage.lift == Relift::Sync || self.rewritten.contains(&stage.id);
        Some(match &forms.relifted {
            Some(Ok((rewritten, _))) if is_rewritten => rewritten,
            _ => &forms.original,
        })
    }

    /// The components as their authors made them, in the order of the plan; `None` for one that could not be loaded.
    pub fn originals(&self) -> impl Iterator<Item = Option<&Component>> {
        self.forms.iter().map(|forms| Some(&forms.as_ref()?.original))
    }

    /// The component of `stage`, as its author made it.
    pub fn original(&self, stage: &Stage) -> Option<&Component> {
        Some(&self.forms.get(stage.component.0)?.as_ref()?.original)
    }

    /// Whether the component of `stage` was rewritten although it may do what its rewritten form can't do.
    pub fn is_trial(&self, stage: &Stage) -> bool {
        let forms = self.forms.get(stage.component.0).and_then(Option::as_ref);
        stage.lift == Relift::Sync
            && forms.is_some_and(|forms| matches!(forms.relifted, Some(Ok((_, false)))))
    }

    /// Why the component of `stage` can't be rewritten, if so.
    pub fn refusal(&self, stage: &Stage) -> Option<&NotRewritable> {
        self.forms.get(stage.component.0)?.as_ref()?.relifted.as_ref()?.as_ref().err()
    }

    /// The stages of `pipeline` that share a store: each longest run of static ones; alone, each dynamic one and each
    /// whose component can't be composed.
    pub(super) fn segments<'p>(&self, pipeline: &'p Pipeline) -> Vec<Vec<&'p Stage>> {
        let joins = |stage: &Stage| {
            let alone = self.original(stage).is_some_and(|component| component.shape.stands_alone());
            stage.link == Link::Static && !alone
        };
        let mut segments: Vec<Vec<&Stage>> = Vec::new();
        for stage in pipeline.all_stages() {
            match segments.last_mut() {
                Some(run) if joins(stage) && run.iter().all(|stage| joins(stage)) => run.push(stage),
                _ => segments.push(vec![stage]),
            }
        }
        segments
    }

    /// Rewrites the component of `stage`, if that is possible; whether its rewritten form is proven.
    fn relift(&mut self, stage: &Stage, shapes: &Shapes) -> bool {
        let Some(Some(forms)) = self.forms.get_mut(stage.component.0) else { return false };
        let original = &forms.original;
        let relift = || {
            caught(|| shapes.relift(original))
                .unwrap_or_else(|panicked| Err(NotRewritable::new(panicked.to_string())))
        };
        matches!(forms.relifted.get_or_insert_with(relift), Ok((_, true)))
    }

    /// Rewrites the stages of `plan` whose lift says so.
    fn rewrite(&mut self, plan: &Plan, host: Host, shapes: &Shapes) {
        for stage in plan.pipelines.iter().flat_map(Pipeline::all_stages) {
            if stage.lift == Relift::Sync {
                self.relift(stage, shapes);
            }
        }
        let of_auto = match host {
            Host::Linkspan => self.without_loss(plan),
            Host::Other => plan.pipelines.iter().flat_map(Pipeline::all_stages).filter(is_auto).collect(),
        };
        for stage in of_auto {
            if self.relift(stage, shapes) {
                self.rewritten.insert(stage.id.clone());
            }
        }
    }

    /// The stages with `lift = "auto"` whose segment loses nothing if they are rewritten. None is yet.
    fn without_loss<'p>(&self, plan: &'p Plan) -> Vec<&'p Stage> {
        let mut readings = Readings::default();
        let mut found = Vec::new();
        for pipeline in &plan.pipelines {
            for segment in self.segments(pipeline) {
                let keeps = |stage: &&Stage| !self.loses(stage, &segment, pipeline, &mut readings);
                found.extend(segment.iter().copied().filter(is_auto).filter(keeps));
            }
        }
        found
    }

    /// Whether `segment` of `pipeline` might lose something if `stage` were rewritten.
    fn loses(&self, stage: &Stage, segment: &[&Stage], pipeline: &Pipeline, readings: &mut Readings) -> bool {
        let is_async = |stage: &Stage| self.of(stage).is_none_or(|it| it.shape.lift() == Lift::Async);
        let met = segment.iter().filter(|other| other.when.is_none() || other.id == stage.id);
        let is_sync_anyway = met.clone().any(|other| other.id != stage.id && !is_async(other));
        if !is_async(stage) || !is_sync_anyway {
            return true;
        }
        let components: Option<Vec<_>> = met.map(|stage| self.of(stage)).collect();
        components.is_none_or(|components| readings.are_direct(&components, pipeline.form))
    }
}

fn is_auto(stage: &&Stage) -> bool {
    stage.lift == Relift::Auto
}

/// Who runs what is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Linkspan,
    /// A host without the direct form.
    Other,
}

/// Reads the component files that `plan` names, and adds what is wrong with them to `diagnostics`.
pub fn load_components(plan: &Plan, shapes: &Shapes, diagnostics: &mut Diagnostics) -> Components {
    load(plan, shapes, Host::Linkspan, diagnostics)
}

/// Like [`load_components`], for other hosts than linkspan: with `lift = "auto"`, all stages are rewritten where that is
/// proven to change nothing.
pub fn load_components_elsewhere(plan: &Plan, shapes: &Shapes, diagnostics: &mut Diagnostics) -> Components {
    load(plan, shapes, Host::Other, diagnostics)
}

fn load(plan: &Plan, shapes: &Shapes, host: Host, diagnostics: &mut Diagnostics) -> Components {
    let build = match host {
        Host::Linkspan => Build::InPlace,
        Host::Other => Build::Portable,
    };
    let read = |reference: &ComponentRef| match caught(|| shapes.load(reference, build)) {
        Ok(Ok(component)) => check_digest(reference, component, diagnostics),
        Err(panicked) => {
            panicked.tell(reference.path_span, unusable(reference), diagnostics);
            None
        }
        Ok(Err(error)) => {
            let finding = diagnostics.error(reference.path_span, unusable(reference));
            finding.label(error.to_string()).help(error.help());
            None
        }
    };
    let originals = plan.components.iter().map(read);
    let forms = originals.map(|original| Some(Forms { original: original?, relifted: None })).collect();
    let mut components = Components { forms, rewritten: HashSet::new() };
    components.rewrite(plan, host, shapes);
    components
}

fn unusable(reference: &ComponentRef) -> String {
    format!("component `{}` can't be used", reference.name)
}

fn check_digest(
    reference: &ComponentRef,
    component: Component,
    diagnostics: &mut Diagnostics,
) -> Option<Component> {
    if let (Some(expected), Some(span)) = (reference.sha256, reference.sha256_span)
        && Digest(expected) != component.digest
    {
        diagnostics
            .error(span, format!("component `{}` has another digest", reference.name))
            .label("not the expected file")
            .help(format!("if the file is right, its sha256 is \"{}\"", component.digest));
        return None;
    }
    Some(component)
}

/// Known properties of components, by digest: validating or rewriting a large component takes longer than reading it.
#[derive(Default)]
pub struct Shapes {
    shapes: Mutex<HashMap<Digest, Shape>>,
    relifted: Mutex<HashMap<Digest, Result<Rewritten, NotRewritable>>>,
}

/// The most components whose shapes are remembered; with more, all are forgotten.
const MAX_SHAPES: usize = 4096;

/// The most components whose rewritten forms are remembered; with more, all are forgotten.
const MAX_RELIFTED: usize = 64;

impl Shapes {
    /// Reads a component, of a standard one this build.
    fn load(&self, reference: &ComponentRef, build: Build) -> Result<Component, LoadError> {
        let path = &reference.path;
        let known =
            |digest: &Digest| self.shapes.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        let component = match (&reference.given, reference.standard) {
            (Some(given), _) => Component::from_bytes(path, Arc::clone(&given.0), known)?,
            (None, Some(standard)) => Component::from_bytes(path, standard.bytes(build), known)?,
            (None, None) => Component::load_with(path, known)?,
        };
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if shapes.len() >= MAX_SHAPES {
            shapes.clear();
        }
        shapes.insert(component.digest, component.shape.clone());
        Ok(component)
    }

    fn relift(&self, component: &Component) -> Result<Rewritten, NotRewritable> {
        let lock = || self.relifted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&component.digest) {
            return known.clone();
        }
        let found = component.relift();
        let mut relifted = lock();
        if relifted.len() >= MAX_RELIFTED {
            relifted.clear();
        }
        relifted.insert(component.digest, found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Components are rewritten only where a stage may use that.
    #[test]
    fn what_stays_as_it_is_is_not_looked_into() {
        let looked_into = |keys: &str, stages: &str| {
            let text = format!(
                "[components]\na.path = \"middleware-async\"\ns.path = \"sync\"\n\
                 [upstreams.end]\nservers = [\"http://127.0.0.1:1\"]\n\
                 [[listeners]]\naddress = \"127.0.0.1:0\"\n[[routes]]\npipeline = \"main\"\n\
                 [pipelines.main]\n{keys}\nstages = [{stages}]\nupstream = \"end\"\n"
            );
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/component/linkspan.toml");
            let (plan, _) = crate::plan::parse(file.as_ref(), &text, &|_| None).expect("a plan");
            let (shapes, mut found) = (Shapes::default(), plan.diagnostics());
            load_components(&plan, &shapes, &mut found);
            assert!(!found.has_errors(), "{found}");
            shapes.relifted.lock().expect("not poisoned").len()
        };
        let (a, s) = ("{ component = \"a\" }", "{ component = \"s\" }");
        let component = "form = \"component\"";
        assert_eq!(looked_into(component, &format!("{a}, {a}")), 0);
        assert_eq!(looked_into("link = \"dynamic\"", &format!("{a}, {s}")), 0);
        assert_eq!(looked_into("lift = \"as-is\"\nform = \"component\"", &format!("{a}, {s}")), 0);
        assert_eq!(looked_into(component, &format!("{a}, {s}, {a}")), 1);
        assert_eq!(looked_into("lift = \"sync\"", a), 1);
    }
}
