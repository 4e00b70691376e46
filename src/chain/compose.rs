//! Static composition: the stages of a segment become one component.
//!
//! Each stage's `wasi:http/handler` import is joined to the next stage's export. A composition merges equal imports,
//! which would give one stage's configuration and capabilities to all. An import that belongs to a stage therefore has
//! a plain name that tells the stages apart, `stage2-wasi-config-store`, which is encoded as `(implements
//! "wasi:config/store@...")`, and the host provides it per stage.
//!
//! Bounds: the plan allows 16 middleware in front of a service. A component that stands at several stages is embedded,
//! and compiled, once.

use super::handles;
use super::panics::caught;
use crate::component::{Component, Digest, EntryPoint, Interface};
use crate::host::catalog::HANDLER;
use crate::host::{Reach, imports};
use std::collections::BTreeMap;
use std::ops::Range;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

/// The name under which a composition exports its handler.
pub const EXPORT: &str = "wasi:http/handler@0.3.0";

/// The name under which a service of WASI 0.2 exports its own.
pub const EXPORT_0_2: &str = "wasi:http/incoming-handler@0.2.0";

/// Counts the ways in which [`compose`] made something else of the same members: what was kept of an earlier way is not
/// used. Raise it with each change of that.
pub const COMPOSITION: u32 = 3;

/// The places of the components that were joined, and at which stages each stands: tells a trap's stage by its code's
/// offset.
pub type Places = Vec<(Range<usize>, Vec<usize>)>;

/// How a composition's imports are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// A stage's own imports have names of their own: for linkspan.
    PerStage,
    /// Plain interface names only, merged: for other hosts.
    Portable,
}

/// A stage to be composed.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its place in the pipeline, which its own imports are named after.
    pub index: usize,
    /// Its component.
    pub component: &'a Component,
}

/// Which component, and whether rewritten: members that agree in this are the same.
pub(super) type Form = (Digest, bool);

impl Member<'_> {
    pub(super) fn form(&self) -> Form {
        (self.component.digest, self.component.relifted)
    }
}

/// A composition's bytes, and the place of each component in them.
#[derive(Debug)]
pub struct Composed {
    /// A component that exports `wasi:http/handler`, or `incoming-handler`.
    pub bytes: Vec<u8>,
    /// The members' places in the bytes.
    pub places: Places,
}

/// Why stages can't be composed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ComposeError {
    /// The stage that does not fit, if it is a single one.
    pub stage: Option<usize>,
    /// What does not fit, in words.
    pub message: String,
}

impl ComposeError {
    fn at(stage: usize, error: impl std::fmt::Display) -> Self {
        Self { stage: Some(stage), message: format!("{error:#}") }
    }
}

/// The plain name of a stage's own import of `interface`.
fn label(stage: usize, interface: &Interface) -> String {
    let package = interface.package.replace(':', "-");
    // A stage may import an interface of 0.2 and its successor of 0.3.
    let version = if interface.track() == "0.2" { "-v02" } else { "" };
    format!("stage{stage}-{package}-{name}{version}", name = interface.name)
}

/// The plain name of a stage's import of a handler under the name `next`.
pub fn next_label(stage: usize, next: &str) -> String {
    format!("stage{stage}-next-{next}")
}

/// The plain name under which a composition exports what a stage judges its configuration with.
pub fn judge_label(stage: usize) -> String {
    format!("stage{stage}-config-check")
}

/// The stage whose own import `label` is.
pub fn stage_of(label: &str) -> Option<usize> {
    label.strip_prefix("stage")?.split_once('-')?.0.parse().ok()
}

/// Joins `members`, of which the last is the service.
///
/// # Errors
/// [`ComposeError`] if a member has no handler, if its types differ from its neighbour's or can't be written, or if the
/// composition would not be valid.
pub fn compose(members: &[Member<'_>], naming: Naming) -> Result<Composed, ComposeError> {
    let mut graph = CompositionGraph::new();
    let mut packages: BTreeMap<Form, PackageId> = BTreeMap::new();
    let mut next: Option<NodeId> = None;
    for member in members.iter().rev() {
        if members.len() > 1 && matches!(member.component.shape.entry(), Some(EntryPoint::IncomingHandler(_)))
        {
            let error = "a service of WASI 0.2 can't be joined to another stage";
            return Err(ComposeError::at(member.index, error));
        }
        let package = match packages.get(&member.form()) {
            Some(package) => *package,
            None => register(&mut graph, member, packages.len())?,
        };
        packages.insert(member.form(), package);
        let handler = join(&mut graph, package, member, next, naming)?;
        next = Some(handler);
    }
    let entry = next.ok_or_else(|| ComposeError {
        stage: None,
        message: "a pipeline needs at least a service".to_owned(),
    })?;
    let whole = |message: String| ComposeError { stage: None, message };
    // A service of 0.2 is alone: it was joined to nothing.
    let first = members.first().and_then(|member| member.component.shape.entry());
    let incoming = matches!(first, Some(EntryPoint::IncomingHandler(_)));
    let export = if incoming { EXPORT_0_2 } else { EXPORT };
    graph.export(entry, export).map_err(|error| whole(error.to_string()))?;
    let bytes = graph
        .encode(EncodeOptions { validate: true, ..EncodeOptions::default() })
        .map_err(|error| whole(format!("{:#}", anyhow::Error::from(error))))?;
    let places = places(&bytes, members);
    Ok(Composed { bytes, places })
}

fn register(
    graph: &mut CompositionGraph,
    member: &Member<'_>,
    number: usize,
) -> Result<PackageId, ComposeError> {
    let name = format!("linkspan:component{number}");
    let bytes = member.component.bytes.to_vec();
    let package = caught(|| Package::from_bytes(&name, None, bytes, graph.types_mut()))
        .map_err(|panicked| ComposeError::at(member.index, panicked))?
        .map_err(|error| ComposeError::at(member.index, error))?;
    graph.register_package(package).map_err(|error| ComposeError::at(member.index, error))
}

/// Instantiates a member, gives it its own imports and the next handler, and returns the handler that it exports.
fn join(
    graph: &mut CompositionGraph,
    package: PackageId,
    member: &Member<'_>,
    next: Option<NodeId>,
    naming: Naming,
) -> Result<NodeId, ComposeError> {
    let at = |error: &dyn std::fmt::Display| ComposeError::at(member.index, error);
    check_handles(graph, package, member, next.is_some())?;
    let instance = graph.instantiate(package);
    for import in &member.component.shape.imports {
        let Some(interface) = &import.interface else { continue };
        let argument = if import.is_named_next() {
            if naming == Naming::Portable {
                continue;
            }
            let kind = graph.types()[graph[package].ty()].imports[&import.name];
            let label = next_label(member.index, &import.name);
            graph.import(label, kind).map_err(|error| at(&error))?
        } else if interface.is(HANDLER.0, HANDLER.1) {
            match next {
                Some(next) => next,
                // A service that names the interface and never calls it: the composition imports it, and the host
                // answers that it is denied.
                None => continue,
            }
        } else {
            let own = imports::find(interface).is_some_and(|offer| offer.reach == Reach::Stage);
            if naming == Naming::Portable || !own {
                continue;
            }
            let kind = graph.types()[graph[package].ty()].imports[&import.name];
            graph.import(label(member.index, interface), kind).map_err(|error| at(&error))?
        };
        graph
            .set_instantiation_argument(instance, &import.name, argument)
            .map_err(|error| at(&format!("{:#}", anyhow::Error::from(error))))?;
    }
    if let (Some(judge), Naming::PerStage) = (member.component.shape.judge(), naming) {
        let judge = graph.alias_instance_export(instance, judge).map_err(|error| at(&error))?;
        graph.export(judge, judge_label(member.index)).map_err(|error| at(&error))?;
    }
    let export =
        member.component.shape.entry().ok_or_else(|| at(&"the component exports no `wasi:http/handler`"))?;
    graph.alias_instance_export(instance, export.name()).map_err(|error| at(&error))
}

/// Refuses a member with an import whose type wac can't write. The handler's is not written where a next stage provides
/// the handler (`is_joined`).
fn check_handles(
    graph: &CompositionGraph,
    package: PackageId,
    member: &Member<'_>,
    is_joined: bool,
) -> Result<(), ComposeError> {
    let types = graph.types();
    let joined = member.component.shape.handler_import().filter(|_| is_joined).map(|import| &import.name);
    for (name, kind) in types[graph[package].ty()].imports.iter().filter(|(name, _)| Some(*name) != joined) {
        if let Some(resource) = handles::homeless(types, *kind) {
            let error = format!(
                "its import `{name}` has handles of a resource `{resource}`, and does not export the resource \
                 under this name: the composer can't write such a type"
            );
            return Err(ComposeError::at(member.index, error));
        }
    }
    Ok(())
}

/// Finds the joined components in the composition, which embeds them unchanged.
fn places(bytes: &[u8], members: &[Member<'_>]) -> Places {
    let mut stages: BTreeMap<Form, (&[u8], Vec<usize>)> = BTreeMap::new();
    for member in members {
        let entry = stages.entry(member.form()).or_insert_with(|| (&member.component.bytes, Vec::new()));
        entry.1.push(member.index);
    }
    let mut places: Vec<_> = wasmparser::Parser::new(0)
        .parse_all(bytes)
        .filter_map(|payload| match payload {
            Ok(wasmparser::Payload::ComponentSection { unchecked_range, .. }) => {
                Some(unchecked_range.start as usize..unchecked_range.end as usize)
            }
            _ => None,
        })
        .filter_map(|range| {
            let embedded = bytes.get(range.clone())?;
            let (_, stages) = stages.values().find(|(component, _)| *component == embedded)?;
            Some((range, stages.clone()))
        })
        .collect();
    places.sort_by_key(|(range, _)| range.start);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tell_their_stage() {
        let interface = Interface::parse("wasi:config/store@0.2.0-rc.1").expect("an interface");
        assert_eq!(label(12, &interface), "stage12-wasi-config-store");
        assert_eq!(stage_of("stage12-wasi-config-store"), Some(12));
        let label_of = |name: &str| label(3, &Interface::parse(name).expect("an interface"));
        assert_ne!(label_of("wasi:cli/stdout@0.2.6"), label_of("wasi:cli/stdout@0.3.0"));
        assert_eq!(stage_of(&label_of("wasi:cli/stdout@0.2.6")), Some(3));
        assert_eq!(stage_of("wasi:config/store"), None);
        assert_eq!(stage_of("stages-x"), None);
    }
}
