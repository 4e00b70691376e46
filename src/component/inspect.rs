//! What a component imports, exports and needs, read from its bytes.
//!
//! Nothing is compiled or run. The whole binary is validated first, so that the rest of linkspan never sees a malformed
//! component.

use super::schema::{self, Schema};
use linkspan_rewrite::candidate::{candidate, named};
use linkspan_rewrite::detach::{early_bindings, is_concerned};
use linkspan_rewrite::nesting::{Malformed, validate};
use linkspan_rewrite::{Interface, NotRewritable};
use std::fmt;
use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::TypesRef;
use wasmparser::{
    CanonicalFunction, CanonicalOption, Chunk, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, Instance, Parser, Payload,
};

/// Why bytes are not a component that can be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The bytes are a core module.
    #[error("it is a core WebAssembly module")]
    CoreModule,
    /// The bytes are WebAssembly's text format.
    #[error("it is WebAssembly text, not binary")]
    Text,
    /// The bytes don't begin as WebAssembly does.
    #[error("it is not WebAssembly")]
    NotWasm,
    /// The bytes are no component, or not a complete one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A section can't be read.
    #[error("{0}")]
    Invalid(#[from] wasmparser::BinaryReaderError),
    /// The bytes are no valid component since the release of WASI 0.3.0; they may have been valid for a candidate.
    #[error("it was built for WASI {candidate}, and is no longer valid: {source}; rebuild it for 0.3.0")]
    Outdated {
        /// The candidate's version.
        candidate: String,
        /// The error.
        source: Malformed,
    },
    /// The component was made for rules before the release, and can't be rewritten for those of the release.
    #[error("it was made before WASI 0.3.0 was released, and can't be adapted: {0}")]
    Adapt(NotRewritable),
}

/// The role of a component in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Exports `wasi:http/handler` and calls the one that it imports.
    Middleware,
    /// Exports `wasi:http/handler` and calls no other, or `incoming-handler` of 0.2.
    Service,
    /// Exports neither.
    None,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Middleware => "middleware",
            Self::Service => "service",
            Self::None => "neither middleware nor service",
        })
    }
}

/// How the `async` functions that a component exports are lifted: its handler, if it has no others.
///
/// The canonical ABI lets a guest choose for each export. The choice decides what a hop costs, and whether an instance
/// can serve several requests at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lift {
    /// Each call blocks its instance until it returns.
    Sync,
    /// Calls can overlap in one instance.
    Async,
    /// Some exports are lifted one way and some the other.
    Mixed,
}

impl fmt::Display for Lift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Mixed => "sync and async",
        })
    }
}

/// An import of a component's top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The name as written: an interface's, or a plain one.
    pub name: String,
    /// The imported interface, also under a plain name with `(implements "...")`.
    pub interface: Option<Interface>,
    /// What is imported.
    pub kind: ComponentExternalKind,
    /// Whether the import has a function, and not only types: then the component can use it.
    pub calls: bool,
}

/// The export that takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPoint<'a> {
    /// `wasi:http/handler` of WASI 0.3, under this name.
    Handler(&'a str),
    /// `wasi:http/incoming-handler` of WASI 0.2, under this name.
    IncomingHandler(&'a str),
}

impl<'a> EntryPoint<'a> {
    /// The name of the export.
    pub fn name(self) -> &'a str {
        match self {
            Self::Handler(name) | Self::IncomingHandler(name) => name,
        }
    }
}

impl Import {
    /// Whether it is a handler under a name of its own, beside the next stage's.
    pub fn is_named_next(&self) -> bool {
        let handler = self.interface.as_ref().is_some_and(|interface| interface.is("wasi:http", "handler"));
        handler && Interface::parse(&self.name).is_none()
    }
}

/// A component's outline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Imports of the top level, in order.
    pub imports: Vec<Import>,
    /// Names of the top level's exports, in order.
    pub exports: Vec<String>,
    /// Core instances that one instance of the component has.
    pub core_instances: u32,
    /// Linear memories that it defines.
    pub memories: u32,
    /// Tables that it defines.
    pub tables: u32,
    /// The release candidate of WASI 0.3.0 that it was built against.
    pub release_candidate: Option<String>,
    /// The bindings generator and its version, if its code relies on the behaviour before the release of a synchronous
    /// operation in a waitable set.
    pub early_bindings: Option<String>,
    /// Whether it has built-ins that [`linkspan_rewrite::detach`] replaces.
    waits: bool,
    /// The schema of its configuration, or why the schema can't be read.
    pub schema: Option<Result<Schema, String>>,
    sync_lifts: u32,
    async_lifts: u32,
    calls_handler: bool,
}

impl Shape {
    /// The export that takes requests; a component that exports both is one of 0.3.
    pub fn entry(&self) -> Option<EntryPoint<'_>> {
        let find = |wanted: fn(&Interface) -> bool| {
            self.exports.iter().find(|name| Interface::parse(name).is_some_and(|i| wanted(&i)))
        };
        let incoming = |i: &Interface| i.is("wasi:http", "incoming-handler") && i.track() == "0.2";
        find(|i| i.is("wasi:http", "handler"))
            .map(|name| EntryPoint::Handler(name))
            .or_else(|| find(incoming).map(|name| EntryPoint::IncomingHandler(name)))
    }

    /// The name under which the component exports a judgement of its configuration, `linkspan:config/check`.
    pub fn judge(&self) -> Option<&str> {
        let judges = |i: &Interface| i.is("linkspan:config", "check") && i.track() == "0.1";
        let judge = self.exports.iter().find(|name| Interface::parse(name).is_some_and(|i| judges(&i)));
        judge.map(String::as_str)
    }

    /// Whether a component must have a store of its own: wac can't join a service of WASI 0.2 to the stages before it,
    /// and sockets of 0.3 are made by a function that does not name its caller.
    pub fn stands_alone(&self) -> bool {
        let sockets = |import: &Import| {
            import.calls && import.interface.as_ref().is_some_and(|i| i.is("wasi:sockets", "types"))
        };
        matches!(self.entry(), Some(EntryPoint::IncomingHandler(_))) || self.imports.iter().any(sockets)
    }

    /// The imported `wasi:http/handler`, if there is one.
    pub fn handler_import(&self) -> Option<&Import> {
        self.imports.iter().find(|i| {
            i.interface.as_ref().is_some_and(|i| i.is("wasi:http", "handler")) && !i.is_named_next()
        })
    }

    /// The names under which further handlers are imported, in order.
    pub fn named_nexts(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().filter(|import| import.is_named_next()).map(|import| import.name.as_str())
    }

    /// What the component can be in a pipeline.
    ///
    /// An import of `handler` alone does not make a middleware: many services name the interface (for its types, say)
    /// and never call it. What counts is whether a core module imports the `handle` function.
    pub fn role(&self) -> Role {
        match (self.entry(), self.handler_import()) {
            (None, _) => Role::None,
            (Some(EntryPoint::Handler(_)), Some(_)) if self.calls_handler => Role::Middleware,
            (Some(_), _) => Role::Service,
        }
    }

    /// The first release candidate in the name of an import or export.
    fn candidate(&self) -> Option<String> {
        let imports = self.imports.iter().filter_map(|import| Some(import.interface.as_ref()?.to_string()));
        let mut names = imports.chain(self.exports.iter().cloned());
        names.find_map(|name| candidate(&name).map(str::to_owned))
    }

    /// Why synchronous operations take their end out of its waitable set first (see [`linkspan_rewrite::detach`]): the
    /// generator or the candidate of the component. `None` if they are unchanged.
    pub fn detached(&self) -> Option<&str> {
        self.early_bindings.as_deref().or(self.release_candidate.as_deref()).filter(|_| self.waits)
    }

    /// How the component's exports are lifted.
    pub fn lift(&self) -> Lift {
        match (self.sync_lifts, self.async_lifts) {
            (_, 0) => Lift::Sync,
            (0, _) => Lift::Async,
            _ => Lift::Mixed,
        }
    }
}

/// The resources that one instance of a component, or of a module, needs.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    core_instances: u32,
    memories: u32,
    tables: u32,
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
    }

    fn max(self, other: Self) -> Self {
        Self {
            core_instances: self.core_instances.max(other.core_instances),
            memories: self.memories.max(other.memories),
            tables: self.tables.max(other.tables),
        }
    }
}

/// The definitions of a component, each in an index space of its own.
#[derive(Debug, Default)]
struct Spaces {
    modules: Definitions,
    components: Definitions,
    types: Vec<Option<bool>>,
}

impl Spaces {
    /// A definition from an import, an export or an alias gets an index here as well.
    fn define(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.modules.0.push(None),
            ComponentExternalKind::Component => self.components.0.push(None),
            ComponentExternalKind::Type => self.types.push(None),
            _ => {}
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => {
                self.define(ComponentExternalKind::Module);
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, .. } => {
                self.define(ComponentExternalKind::Component);
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => {
                self.define(ComponentExternalKind::Type);
            }
            ComponentAlias::InstanceExport { kind, .. } => self.define(*kind),
            _ => {}
        }
    }

    /// Whether a type is known to be that of a function that is not `async`: such a function, for example a start-up
    /// function, is not the handler.
    fn is_plain_function(&self, index: u32) -> bool {
        self.types.get(index as usize) == Some(&Some(false))
    }
}

/// The modules, or components, that can be instantiated at a place, by index. One from an import or alias counts as the
/// largest that is known: the pool may be too large, not too small.
#[derive(Debug, Default)]
struct Definitions(Vec<Option<Cost>>);

impl Definitions {
    fn cost_of(&self, index: u32) -> Cost {
        match self.0.get(index as usize) {
            Some(Some(cost)) => *cost,
            _ => self.0.iter().flatten().fold(Cost::default(), |most, cost| most.max(*cost)),
        }
    }
}

/// Validates `bytes` and reads the outline of the component in them.
///
/// # Errors
/// [`InspectError`] if the bytes are no valid component.
pub fn inspect(bytes: &[u8]) -> Result<Shape, InspectError> {
    if bytes.trim_ascii_start().starts_with(b"(") {
        return Err(InspectError::Text);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(InspectError::CoreModule);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    let types = validate(bytes).map_err(|source| match (&source, named(bytes)) {
        (Malformed::Invalid(_), Some(candidate)) => InspectError::Outdated { candidate, source },
        _ => source.into(),
    })?;
    let mut shape = Shape::default();
    let cost = read_component(Parser::new(0), bytes, 0, &mut shape)?;
    for import in &mut shape.imports {
        import.calls = has_functions(types.as_ref(), &import.name);
    }
    (shape.core_instances, shape.memories, shape.tables) = (cost.core_instances, cost.memories, cost.tables);
    shape.release_candidate = shape.candidate();
    Ok(shape)
}

/// Whether the import `name` has anything that can be called.
fn has_functions(types: TypesRef<'_>, name: &str) -> bool {
    match types.component_item_for_import(name).map(|item| &item.ty) {
        Some(ComponentEntityType::Instance(id)) => {
            let mut exports = types[*id].exports.values();
            exports.any(|item| matches!(item.ty, ComponentEntityType::Func(_)))
        }
        // An unknown import might be called.
        Some(ComponentEntityType::Func(_)) | None => true,
        Some(_) => false,
    }
}

/// Reads the component at the start of `bytes`, and all that is nested in it, into `shape`, and says what an instance
/// of it costs. Imports and exports count at `depth` 0 only. What is nested is whole, and not deeper than
/// [`linkspan_rewrite::nesting`] allows.
fn read_component(
    mut parser: Parser,
    mut bytes: &[u8],
    depth: u32,
    shape: &mut Shape,
) -> Result<Cost, wasmparser::BinaryReaderError> {
    let mut cost = Cost::default();
    let mut spaces = Spaces::default();
    // Those of its modules.
    let mut schemas = Vec::new();
    loop {
        let (payload, consumed) = match parser.parse(bytes, true)? {
            Chunk::Parsed { payload, consumed } => (payload, consumed),
            // `eof` is true, so that the parser never asks for more.
            Chunk::NeedMoreData(_) => return Ok(cost),
        };
        bytes = behind(bytes, consumed as u64);
        match payload {
            Payload::ModuleSection { parser, unchecked_range } => {
                let own = if depth == 0 { &mut schemas } else { &mut Vec::new() };
                spaces.modules.0.push(Some(read_module(parser, bytes, shape, own)?));
                bytes = behind(bytes, unchecked_range.end - unchecked_range.start);
            }
            Payload::ComponentSection { parser, unchecked_range } => {
                spaces.components.0.push(Some(read_component(parser, bytes, depth + 1, shape)?));
                bytes = behind(bytes, unchecked_range.end - unchecked_range.start);
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        cost.add(spaces.modules.cost_of(module_index));
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        cost.add(spaces.components.cost_of(component_index));
                    }
                }
            }
            Payload::CustomSection(section) if depth == 0 && section.name() == schema::SECTION => {
                // One of the component's own is in the place of its modules'.
                shape.schema = Some(Schema::parse(section.data()));
            }
            Payload::End(_) => {
                if depth == 0 && shape.schema.is_none() {
                    shape.schema = only(&schemas);
                }
                return Ok(cost);
            }
            payload => read_outline(payload, depth, shape, &mut spaces)?,
        }
    }
}

/// The schema in one of `sections`, of which there may be no second.
fn only(sections: &[&[u8]]) -> Option<Result<Schema, String>> {
    match sections {
        [] => None,
        [section] => Some(Schema::parse(section)),
        several => Some(Err(format!("is there {} times", several.len()))),
    }
}

/// `bytes` without the first `count`; none if there are fewer.
fn behind(bytes: &[u8], count: u64) -> &[u8] {
    usize::try_from(count).ok().and_then(|count| bytes.get(count..)).unwrap_or_default()
}

/// Reads imports, exports and how functions are lifted.
fn read_outline(
    payload: Payload<'_>,
    depth: u32,
    shape: &mut Shape,
    spaces: &mut Spaces,
) -> Result<(), wasmparser::BinaryReaderError> {
    match payload {
        Payload::ComponentImportSection(section) => {
            for import in section {
                let import = import?;
                spaces.define(import.ty.kind());
                let named = import.name.implements.unwrap_or(import.name.name);
                if depth == 0 {
                    shape.imports.push(Import {
                        name: import.name.name.to_owned(),
                        interface: Interface::parse(named),
                        kind: import.ty.kind(),
                        calls: false,
                    });
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section {
                let export = export?;
                // An export is a definition of its own, with an index.
                spaces.define(export.kind);
                if depth == 0 {
                    shape.exports.push(export.name.name.to_owned());
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                spaces.alias(&alias?);
            }
        }
        Payload::ComponentTypeSection(section) => {
            for ty in section {
                spaces.types.push(match ty? {
                    ComponentType::Func(function) => Some(function.async_),
                    _ => None,
                });
            }
        }
        Payload::ComponentCanonicalSection(section) => {
            for function in section {
                let function = function?;
                shape.waits |= is_concerned(&function);
                if let CanonicalFunction::Lift { options, type_index, .. } = function {
                    match options.contains(&CanonicalOption::Async) {
                        true => shape.async_lifts += 1,
                        false if spaces.is_plain_function(type_index) => {}
                        false => shape.sync_lifts += 1,
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Reads a core module: what it defines, and, into `shape`, whether it calls the next handler, and, into `schemas`,
/// what schemas it carries.
fn read_module<'b>(
    mut parser: Parser,
    mut bytes: &'b [u8],
    shape: &mut Shape,
    schemas: &mut Vec<&'b [u8]>,
) -> Result<Cost, wasmparser::BinaryReaderError> {
    let mut cost = Cost { core_instances: 1, ..Cost::default() };
    loop {
        let (payload, consumed) = match parser.parse(bytes, true)? {
            Chunk::Parsed { payload, consumed } => (payload, consumed),
            Chunk::NeedMoreData(_) => return Ok(cost),
        };
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    shape.calls_handler |= import.name.ends_with("handle")
                        && Interface::parse(import.module).is_some_and(|i| i.is("wasi:http", "handler"));
                }
            }
            Payload::CustomSection(section) if section.name() == schema::SECTION => {
                // A compiler may leave an empty section where there is no schema.
                schemas.extend(Some(section.data()).filter(|data| !data.is_empty()));
            }
            Payload::CustomSection(section) if shape.early_bindings.is_none() => {
                shape.early_bindings = early_bindings(&section);
            }
            Payload::MemorySection(section) => cost.memories = cost.memories.saturating_add(section.count()),
            Payload::TableSection(section) => cost.tables = cost.tables.saturating_add(section.count()),
            Payload::CodeSectionStart { size, .. } => {
                // The code itself says nothing about the outline.
                parser.skip_section();
                bytes = behind(bytes, consumed as u64 + u64::from(size));
                continue;
            }
            Payload::End(_) => return Ok(cost),
            _ => {}
        }
        bytes = behind(bytes, consumed as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_valid_for_a_candidate_names_it() {
        let text = r#"(component
            (core module $m
                (func (export "f") (result i32) i32.const 0)
                (func (export "g") (param i32 i32 i32) (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f") async (callback (func $i "g"))))
            (instance $h (export "f" (func $f)))
            (export "wasi:http/other@0.3.0-rc-2025-09-16" (instance $h))
        )"#;
        let error =
            inspect(&wat::parse_str(text).expect("a component")).expect_err("the function is not `async`");
        let expected = "it was built for WASI 0.3.0-rc-2025-09-16, and is no longer valid: the `async` \
                        canonical option requires an async function type";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
