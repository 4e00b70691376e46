//! Everything from which a generation is built, read once.
//!
//! Files are read and hashed here and nowhere else, so that a file that changes in between can't give two halves of
//! different versions, and so that a generation can be built again, for a rollback, when its files are gone.

use super::collect::Identity;
use super::watch::{Looks, looks};
use crate::chain::caught;
use crate::component::{Component, Digest, LoadError, NotRewritable, Shape};
use crate::config::Diagnostics;
use crate::host::Next;
use crate::plan::{ComponentIndex, ComponentRef, Pipeline, Plan, Relift, Stage, UpstreamPlan};
use crate::upstream::TlsSettings;
use rustls::ServerConfig;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The components of a plan, by [`ComponentIndex`]; `None` for one that could not be loaded.
#[derive(Clone, Default)]
pub struct Components(Vec<Option<Forms>>);

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
        let forms = self.0.get(stage.component.0)?.as_ref()?;
        Some(match (stage.lift, &forms.relifted) {
            (Relift::Auto, Some(Ok((rewritten, true)))) | (Relift::Sync, Some(Ok((rewritten, _)))) => {
                rewritten
            }
            _ => &forms.original,
        })
    }

    /// The components as their authors made them, in the order of the plan; `None` for one that could not be loaded.
    pub fn originals(&self) -> impl Iterator<Item = Option<&Component>> {
        self.0.iter().map(|forms| Some(&forms.as_ref()?.original))
    }

    /// The component of `stage`, as its author made it.
    pub fn original(&self, stage: &Stage) -> Option<&Component> {
        Some(&self.0.get(stage.component.0)?.as_ref()?.original)
    }

    /// Whether the component of `stage` was rewritten although it may do what its rewritten form can't do.
    pub fn is_trial(&self, stage: &Stage) -> bool {
        let forms = self.0.get(stage.component.0).and_then(Option::as_ref);
        stage.lift == Relift::Sync
            && forms.is_some_and(|forms| matches!(forms.relifted, Some(Ok((_, false)))))
    }

    /// Why the component of `stage` can't be rewritten, if so.
    pub fn refusal(&self, stage: &Stage) -> Option<&NotRewritable> {
        self.0.get(stage.component.0)?.as_ref()?.relifted.as_ref()?.as_ref().err()
    }
}

/// The TLS settings of a listener, and the hash of their files.
#[derive(Clone)]
pub struct Tls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// The hash of the settings and of all files.
    pub digest: Digest,
}

/// A plan with everything that it names.
#[derive(Clone)]
pub struct Inputs {
    /// The plan.
    pub plan: Plan,
    /// Its components.
    pub components: Components,
    /// One for each listener of the plan.
    pub tls: Vec<Option<Tls>>,
    /// For the servers of each upstream, where they have TLS.
    pub upstreams: Vec<Option<TlsSettings>>,
    /// The services of the embedding program, in which pipelines may end.
    pub natives: Natives,
    /// The files whose change can change the configuration, as they were just before they were read.
    pub looks: Arc<Looks>,
}

/// Why there are no inputs.
#[derive(Debug)]
pub struct Refused {
    /// Everything that is wrong.
    pub findings: Diagnostics,
    /// The files that were read, as they were just before, and those that are missing.
    pub looks: Looks,
}

impl Refused {
    /// For `findings`, after the files of `looks` were read.
    pub fn after(mut looks: Looks, findings: Diagnostics) -> Self {
        looks.extend(findings.missing_files().map(|file| (file.to_owned(), None)));
        Self { findings, looks }
    }
}

impl From<Diagnostics> for Refused {
    fn from(findings: Diagnostics) -> Self {
        Self::after(Looks::new(), findings)
    }
}

impl From<Refused> for Diagnostics {
    fn from(refused: Refused) -> Self {
        refused.findings
    }
}

/// Native services by name.
pub type Natives = Arc<HashMap<String, NativeService>>;

/// A service of the program that embeds the gateway.
#[derive(Clone)]
pub struct NativeService {
    /// Distinguishes it from other services of its name.
    pub id: u64,
    /// Calls it.
    pub call: Next,
}

impl NativeService {
    /// A service that differs from all earlier ones.
    pub fn new(call: Next) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), call }
    }
}

impl Inputs {
    /// Inputs of a plan and its components alone: without TLS, native services, and a watch of files.
    pub fn bare(plan: Plan, components: Components) -> Self {
        let tls = vec![None; plan.listeners.len()];
        let upstreams = vec![None; plan.upstreams.len()];
        Self { plan, components, tls, upstreams, natives: Arc::default(), looks: Arc::default() }
    }

    /// The identity of a configuration: of the text, and of the contents of files and variables that it names.
    pub fn identity(&self) -> Digest {
        let start = Identity::of("configuration").text(self.plan.source.text());
        let components = self.components.0.iter().flatten();
        let read = components.fold(start, |it, forms| it.bytes(&forms.original.digest.0));
        let read = self.tls.iter().flatten().fold(read, |it, tls| it.bytes(&tls.digest.0));
        let files = self.upstreams.iter().flatten().flat_map(|tls| &tls.contents);
        let read = files.fold(read, |it, content| it.bytes(content));
        let values = self
            .plan
            .pipelines
            .iter()
            .flat_map(|pipeline| pipeline.all_stages())
            .flat_map(|stage| stage.values());
        let read = values.fold(read, |it, value| it.text(value.expose()));
        // Its value may be in a file; a reload reports that a restart is needed.
        let token = self.plan.admin.as_ref().and_then(|admin| admin.token.as_ref());
        let read = token.into_iter().fold(read, |it, token| it.text(token.expose()));
        // In the order of names.
        let natives: BTreeMap<_, _> = self.natives.iter().map(|(name, native)| (name, native.id)).collect();
        natives.iter().fold(read, |it, (name, id)| it.text(name).plain(id)).finish()
    }
}

/// The files that `plan` names and that are read after it, as they are now.
pub fn looks_at_files(plan: &Plan) -> Looks {
    let tls = plan.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let components = plan.components.iter().filter(|component| component.given.is_none());
    let components = components.map(|component| component.path.as_path());
    let upstreams = plan.upstreams.iter().flat_map(|upstream| upstream.tls.files());
    looks(components.chain(tls.flat_map(|tls| tls.files())).chain(upstreams.map(|(file, _)| file.as_path())))
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
    fn load(&self, reference: &ComponentRef) -> Result<Component, LoadError> {
        let path = &reference.path;
        let known =
            |digest: &Digest| self.shapes.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        let component = match &reference.given {
            Some(given) => Component::from_bytes(path, Arc::clone(&given.0), known)?,
            None => Component::load_with(path, known)?,
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

/// Reads the component files that `plan` names, and adds what is wrong with them to `diagnostics`.
pub fn load_components(plan: &Plan, shapes: &Shapes, diagnostics: &mut Diagnostics) -> Components {
    let load = |reference: &ComponentRef| match caught(|| shapes.load(reference)) {
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
    let loaded: Vec<_> = plan.components.iter().map(load).collect();
    let wanted = |index| {
        let mut stages = plan.pipelines.iter().flat_map(Pipeline::all_stages);
        stages.any(|stage| stage.component == index && stage.lift != Relift::AsIs)
    };
    let forms = |(index, original): (usize, Option<Component>)| {
        let original = original?;
        let relift = || {
            caught(|| shapes.relift(&original))
                .unwrap_or_else(|panicked| Err(NotRewritable::new(panicked.to_string())))
        };
        let relifted = wanted(ComponentIndex(index)).then(relift);
        Some(Forms { original, relifted })
    };
    Components(loaded.into_iter().enumerate().map(forms).collect())
}

fn unusable(reference: &ComponentRef) -> String {
    format!("component `{}` can't be used", reference.name)
}

/// Reads the TLS files that `plan`'s upstreams name, and adds what is wrong with them to `diagnostics`.
pub fn load_upstreams(plan: &Plan, diagnostics: &mut Diagnostics) -> Vec<Option<TlsSettings>> {
    let load = |upstream: &UpstreamPlan| {
        if !upstream.servers.iter().any(|server| server.tls) {
            return None;
        }
        TlsSettings::load(&upstream.tls, upstream.protocol)
            .map_err(|error| {
                let named = upstream.tls.files().find(|(file, _)| Some(file.as_path()) == error.file());
                diagnostics
                    .error(named.map_or(upstream.span, |(_, span)| *span), "the upstream's TLS can't be set up")
                    .label(error.to_string())
                    .help("all are PEM files: roots, and a certificate chain with the private key that belongs to it");
            })
            .ok()
    };
    plan.upstreams.iter().map(load).collect()
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
