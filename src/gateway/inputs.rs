//! Everything from which a generation is built, read once.
//!
//! Files are read and hashed here and nowhere else, so that a file that changes in between can't give two halves of
//! different versions, and so that a generation can be built again, for a rollback, when its files are gone.

pub use super::components::{Components, Shapes, load_components, load_components_elsewhere};

use super::collect::Identity;
use super::watch::{Looks, looks};
use crate::component::Digest;
use crate::config::Diagnostics;
use crate::host::Next;
use crate::plan::{Plan, UpstreamPlan};
use crate::upstream::TlsSettings;
use rustls::ServerConfig;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
        let components = self.components.originals().flatten();
        let read = components.fold(start, |it, component| it.bytes(&component.digest.0));
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
        // Their values may be in files; a reload reports that a restart is needed.
        let tokens = self.plan.admin.iter().flat_map(|admin| admin.token.iter().chain(&admin.read_token));
        let read = tokens.fold(read, |it, token| it.text(token.expose()));
        // In the order of names.
        let natives: BTreeMap<_, _> = self.natives.iter().map(|(name, native)| (name, native.id)).collect();
        natives.iter().fold(read, |it, (name, id)| it.text(name).plain(id)).finish()
    }
}

/// The files that `plan` names and that are read after it, as they are now.
pub fn looks_at_files(plan: &Plan) -> Looks {
    let tls = plan.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let components = plan.components.iter().filter_map(|component| component.file());
    let upstreams = plan.upstreams.iter().flat_map(|upstream| upstream.tls.files());
    looks(components.chain(tls.flat_map(|tls| tls.files())).chain(upstreams.map(|(file, _)| file.as_path())))
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
