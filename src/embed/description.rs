//! The sources of a gateway's configuration, until they are read.

use super::native::{INNER, inner};
use crate::config::{self, Diagnostics, SourceFile};
use crate::gateway::Workshop;
use crate::gateway::inputs::{Inputs, NativeService, Refused};
use crate::plan::{Given, Plan, Program, Surroundings};
use crate::server::prepare;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// The file name of a text that came from no file.
const UNNAMED: &str = "embedded.toml";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    File(PathBuf),
    Bytes(Given),
}

/// The sources of a gateway's configuration.
#[derive(Clone, Default)]
pub(super) struct Description {
    file: Option<PathBuf>,
    /// Text after that of the file, or in place of a file.
    pub text: String,
    /// Configuration values, by their names in the text.
    pub values: HashMap<String, String>,
    /// The components of pipelines that are built in code.
    sources: Vec<(String, SourceKind)>,
    components: BTreeMap<String, Given>,
    natives: BTreeMap<String, NativeService>,
}

impl Description {
    pub fn new(
        file: Option<PathBuf>,
        components: BTreeMap<String, Given>,
        mut natives: BTreeMap<String, NativeService>,
    ) -> Self {
        natives.insert(INNER.to_owned(), NativeService { id: 0, call: inner() });
        Self { file, components, natives, ..Self::default() }
    }

    /// Adds a component of such a pipeline, unless it is there.
    pub fn add(&mut self, name: String, source: SourceKind) {
        if let SourceKind::Bytes(given) = &source {
            self.components.insert(name.clone(), given.clone());
        }
        if !self.sources.iter().any(|(known, from)| (known, from) == (&name, &source)) {
            self.sources.push((name, source));
        }
    }

    /// The components that were added, and their paths in the text.
    pub fn paths(&self) -> impl Iterator<Item = (&str, String)> {
        self.sources.iter().map(|(name, source)| match source {
            SourceKind::File(path) => (name.as_str(), path.to_string_lossy().into_owned()),
            SourceKind::Bytes(_) => (name.as_str(), name.clone()),
        })
    }

    /// Reads all sources.
    pub fn gather(&self, workshop: &Workshop) -> Result<(Inputs, Diagnostics), Refused> {
        let source = match &self.file {
            Some(path) => {
                let file = config::read(path)?;
                Arc::new(SourceFile::new(path, format!("{}\n{}", file.text(), self.text)))
            }
            None => Arc::new(SourceFile::new(UNNAMED, self.text.as_str())),
        };
        let program =
            Program { components: self.components.clone(), natives: self.natives.keys().cloned().collect() };
        let env = |name: &str| self.values.get(name).cloned().or_else(|| std::env::var(name).ok());
        let around = Surroundings { env: &env, program: Some(&program) };
        let natives = self.natives.iter().map(|(name, native)| (name.clone(), native.clone()));
        // The program listens.
        let tls = |plan: &Plan, _: &mut Diagnostics| vec![None; plan.listeners.len()];
        let surveyed = crate::plan::survey_source(source, &around);
        // Nobody watches the file of an embedded gateway.
        prepare::read(None, surveyed, workshop, tls, Arc::new(natives.collect()))
    }
}
