//! A synchronous operation takes its end out of its waitable set first.
//!
//! Hosts of the release candidates let a guest call a synchronous built-in on a stream, a future or a subtask that was
//! in a waitable set: the end was taken out of the set for the time of the call. The released rules trap there
//! (component-model #647, May 2026). wit-bindgen before 0.59 makes such a call whenever a task with `inter-task-wakeup`
//! is resumed: it cancels a read, and leaves the set afterwards.
//!
//! A function that calls `waitable.join` without a set therefore stands between the guest and each such built-in. The
//! call has no effect on an end that is in no set. Otherwise it removes the end, together with an event that was not
//! delivered yet, which the built-in then returns. The end does not return to the set: every runtime of that time
//! (wit-bindgen's for Rust and for Go) leaves the set after an operation, and joins it again at the next.
//!
//! Core modules stay as they are, byte for byte, and so do all other definitions, also in nested components. One case
//! is not repaired: a guest that adds an end to a set while another of its tasks waits for it synchronously. No
//! bindings do that.

use crate::NotRewritable;
use crate::module::Builder;
use crate::moved::{Given, Moved, instantiate};
use crate::nesting::validate;
use crate::section::copy_section;
use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, component_utils};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ExportKind, InstanceSection, Module,
    ValType::I32,
};
use wasmparser::{
    CanonicalFunction as Canonical, CanonicalOption, ComponentAlias, ComponentExternalKind,
    ComponentOuterAliasKind, CustomSectionReader, ExternalKind, KnownCustom, Parser, Payload,
};

/// The first version of wit-bindgen, 0.x, that leaves the set first.
const FIXED: u32 = 59;

/// The bindings generator in a core module's section, if it is one whose code cancels within a set.
pub fn early_bindings(section: &CustomSectionReader<'_>) -> Option<String> {
    let KnownCustom::Producers(fields) = section.as_known() else { return None };
    let tools = fields.into_iter().flatten().flat_map(|field| field.values.into_iter().flatten());
    tools
        .filter(|tool| is_early(tool.name, tool.version))
        .map(|tool| format!("{} {}", tool.name, tool.version))
        .next()
}

fn is_early(name: &str, version: &str) -> bool {
    let minor = version.strip_prefix("0.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    name.starts_with("wit-bindgen") && minor.is_some_and(|minor| minor < FIXED)
}

/// A built-in that may wait for the waitable that is its first parameter: its name, and the number of its parameters.
fn synchronous(function: &Canonical) -> Option<(&'static str, u32)> {
    let waits = |options: &[CanonicalOption]| !options.contains(&CanonicalOption::Async);
    match function {
        Canonical::StreamCancelRead { async_: false, .. } => Some(("stream.cancel-read", 1)),
        Canonical::StreamCancelWrite { async_: false, .. } => Some(("stream.cancel-write", 1)),
        Canonical::FutureCancelRead { async_: false, .. } => Some(("future.cancel-read", 1)),
        Canonical::FutureCancelWrite { async_: false, .. } => Some(("future.cancel-write", 1)),
        Canonical::SubtaskCancel { async_: false } => Some(("subtask.cancel", 1)),
        Canonical::FutureRead { options, .. } if waits(options) => Some(("future.read", 2)),
        Canonical::FutureWrite { options, .. } if waits(options) => Some(("future.write", 2)),
        Canonical::StreamRead { options, .. } if waits(options) => Some(("stream.read", 3)),
        Canonical::StreamWrite { options, .. } if waits(options) => Some(("stream.write", 3)),
        _ => None,
    }
}

/// Whether [`detach`] replaces `function`.
pub fn is_concerned(function: &Canonical) -> bool {
    synchronous(function).is_some()
}

/// The component in `bytes`, with synchronous operations that leave the set first.
///
/// # Errors
/// [`NotRewritable`], if `bytes` are no component, or one whose parts come in an order that is not known here.
pub fn detach(bytes: &[u8]) -> Result<Vec<u8>, NotRewritable> {
    validate(bytes)?;
    let mut detached = Component::new();
    let mut detacher = Detacher { levels: vec![Level::default()] };
    detacher.parse_component(&mut detached, Parser::new(0), bytes)?;
    let detached = detached.finish();
    validate(&detached).map_err(|error| NotRewritable::new(format!("it can't be rewritten: {error}")))?;
    Ok(detached)
}

/// The definitions of a component, or of a nested one.
#[derive(Default)]
struct Level {
    functions: Moved,
    modules: Moved,
    instances: Moved,
    /// Replaced built-ins that are not defined yet, by their old indices.
    pending: Vec<(u32, Canonical)>,
}

impl Level {
    fn define(&mut self, kind: ComponentExternalKind) {
        if kind == ComponentExternalKind::Module {
            self.modules.keep();
        }
    }
}

/// Copies all of a component except for its synchronous built-ins.
struct Detacher {
    /// From the outermost scope to the current one. A type is a scope as well, in which nothing is defined.
    levels: Vec<Level>,
}

impl Detacher {
    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn canonicals(
        &mut self,
        component: &mut Component,
        section: wasmparser::ComponentCanonicalSectionReader<'_>,
    ) -> Result<(), Error> {
        let mut kept = CanonicalFunctionSection::new();
        for function in section {
            let function = function?;
            if is_concerned(&function) {
                let level = self.level();
                level.pending.push((level.functions.next(), function));
                level.functions.withhold();
                continue;
            }
            let is_core = !matches!(function, Canonical::Lift { .. });
            self.parse_component_canonical(&mut kept, function)?;
            if is_core {
                self.level().functions.keep();
            }
        }
        if !kept.is_empty() {
            component.section(&kept);
        }
        Ok(())
    }

    fn aliases(
        &mut self,
        component: &mut Component,
        section: wasmparser::ComponentAliasSectionReader<'_>,
    ) -> Result<(), Error> {
        let mut aliases = ComponentAliasSection::new();
        for alias in section {
            let alias = alias?;
            let level = self.level();
            match &alias {
                ComponentAlias::CoreInstanceExport {
                    kind: ExternalKind::Func | ExternalKind::FuncExact,
                    ..
                } => level.functions.keep(),
                ComponentAlias::InstanceExport { kind, .. } => level.define(*kind),
                ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => {
                    level.define(ComponentExternalKind::Module);
                }
                _ => {}
            }
            aliases.alias(self.component_alias(alias)?);
        }
        component.section(&aliases);
        Ok(())
    }

    /// Defines pending built-ins, before something uses them.
    fn settle(&mut self, component: &mut Component) -> Result<(), Error> {
        let pending = std::mem::take(&mut self.level().pending);
        if pending.is_empty() {
            return Ok(());
        }
        let mut canonicals = CanonicalFunctionSection::new();
        canonicals.waitable_join();
        let mut given: Given = vec![(JOIN.to_owned(), ExportKind::Func, self.level().functions.add())];
        let mut kinds = Vec::new();
        for (_, function) in &pending {
            self.parse_component_canonical(&mut canonicals, function.clone())?;
            given.push((place_name(kinds.len()), ExportKind::Func, self.level().functions.add()));
            kinds.extend(synchronous(function));
        }
        component.section(&canonicals);
        let Level { modules, instances, .. } = self.level();
        let instance = instantiate(component, &glue(&kinds), &given, None, modules, instances);
        let mut aliases = ComponentAliasSection::new();
        for (place, (old, _)) in pending.iter().enumerate() {
            let name = place_name(place);
            aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name: &name });
            let functions = &mut self.level().functions;
            let new = functions.add();
            functions.put(*old, new);
        }
        component.section(&aliases);
        Ok(())
    }
}

const JOIN: &str = "waitable.join";

/// The name under which the built-in at `place` is imported and exported.
fn place_name(place: usize) -> String {
    format!("operation{place}")
}

/// The module of the functions that stand between the guest and `operations`.
fn glue(operations: &[(&str, u32)]) -> Module {
    let mut builder = Builder::default();
    let join = builder.import(JOIN, &[I32, I32], &[]);
    let types = |parameters: u32| vec![I32; parameters as usize];
    let import = |(place, (_, parameters)): (usize, &(&str, u32))| {
        builder.import(&place_name(place), &types(*parameters), &[I32])
    };
    let inner: Vec<u32> = operations.iter().enumerate().map(import).collect();
    for ((place, (name, parameters)), inner) in operations.iter().enumerate().zip(inner) {
        let index = builder.declare(name, &types(*parameters), &[I32]);
        builder.export(&place_name(place), index);
        builder.body(0, |code| {
            code.local_get(0).i32_const(0).call(join);
            for parameter in 0..*parameters {
                code.local_get(parameter);
            }
            code.call(inner);
        });
    }
    builder.finish("linkspan detach")
}

/// The place of a definition that comes before its use in every valid component.
fn place(moved: Option<&Moved>, index: u32) -> u32 {
    moved.and_then(|moved| moved.get(index)).unwrap_or(u32::MAX)
}

impl Reencode for Detacher {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, Error> {
        Ok(place(self.levels.last().map(|level| &level.functions), index))
    }
}

impl ReencodeComponent for Detacher {
    fn module_index(&mut self, index: u32) -> u32 {
        place(self.levels.last().map(|level| &level.modules), index)
    }

    fn instance_index(&mut self, index: u32) -> u32 {
        place(self.levels.last().map(|level| &level.instances), index)
    }

    fn outer_module_index(&mut self, count: u32, index: u32) -> u32 {
        place(self.levels.iter().rev().nth(count as usize).map(|level| &level.modules), index)
    }

    fn push_depth(&mut self) {
        self.levels.push(Level::default());
    }

    fn pop_depth(&mut self) {
        self.levels.pop();
    }

    fn parse_component_payload(
        &mut self,
        component: &mut Component,
        payload: Payload<'_>,
        whole: &[u8],
    ) -> Result<(), Error> {
        match payload {
            Payload::ModuleSection { .. } => {
                copy_section(&payload, whole, component);
                self.level().modules.keep();
                Ok(())
            }
            Payload::ComponentCanonicalSection(section) => self.canonicals(component, section),
            Payload::InstanceSection(section) => {
                self.settle(component)?;
                let mut instances = InstanceSection::new();
                for instance in section {
                    self.parse_instance(&mut instances, instance?)?;
                    self.level().instances.keep();
                }
                component.section(&instances);
                Ok(())
            }
            Payload::ComponentAliasSection(section) => self.aliases(component, section),
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    self.level().define(import?.ty.kind());
                }
                component_utils::parse_component_payload(
                    self,
                    component,
                    Payload::ComponentImportSection(section),
                    whole,
                )
            }
            Payload::ComponentExportSection(section) => {
                component_utils::parse_component_payload(
                    self,
                    component,
                    Payload::ComponentExportSection(section.clone()),
                    whole,
                )?;
                for export in section {
                    self.level().define(export?.kind);
                }
                Ok(())
            }
            // Names of moved definitions.
            Payload::CustomSection(section) if section.name() == "component-name" => Ok(()),
            payload => component_utils::parse_component_payload(self, component, payload, whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core function of each kind that may wait, and of some that don't, in a component and in one inside of it.
    const GUEST: &str = r#"(component
      (core module $memory (memory (export "memory") 1))
      (core instance $memory (instantiate $memory))
      (alias core export $memory "memory" (core memory $memory))
      (type $stream (stream u8))
      (type $future (future u8))
      (core func $new (canon stream.new $stream))
      (core func $cancel-read (canon stream.cancel-read $stream))
      (core func $cancel-later (canon stream.cancel-read $stream async))
      (core func $cancel-write (canon future.cancel-write $future))
      (core func $drop (canon stream.drop-readable $stream))
      (core func $subtask (canon subtask.cancel))
      (core func $read (canon stream.read $stream async (memory $memory)))
      (core func $wait (canon future.read $future (memory $memory)))
      (core module $main
        (import "m" "new" (func (result i64)))
        (import "m" "cancel-read" (func (param i32) (result i32)))
        (import "m" "cancel-later" (func (param i32) (result i32)))
        (import "m" "cancel-write" (func (param i32) (result i32)))
        (import "m" "drop" (func (param i32)))
        (import "m" "subtask" (func (param i32) (result i32)))
        (import "m" "read" (func (param i32 i32 i32) (result i32)))
        (import "m" "wait" (func (param i32 i32) (result i32)))
        (func (export "run")))
      (core instance $main (instantiate $main (with "m" (instance
        (export "new" (func $new)) (export "cancel-read" (func $cancel-read))
        (export "cancel-later" (func $cancel-later)) (export "cancel-write" (func $cancel-write))
        (export "drop" (func $drop)) (export "subtask" (func $subtask))
        (export "read" (func $read)) (export "wait" (func $wait))))))
      (component $inner
        (alias outer 1 $main (core module $outer))
        (type $stream (stream))
        (core func $cancel (canon stream.cancel-write $stream))
        (core module $own (import "m" "cancel" (func (param i32) (result i32))) (func (export "run")))
        (core instance $own (instantiate $own (with "m" (instance (export "cancel" (func $cancel))))))
        (func $run (canon lift (core func $own "run")))
        (export "run" (func $run)))
      (instance $inner (instantiate $inner))
      (func $run (canon lift (core func $main "run")))
      (export "run" (func $run))
      (export "inner" (instance $inner)))"#;

    /// The core modules, at any depth.
    fn core_modules(bytes: &[u8]) -> Vec<Vec<u8>> {
        let modules = Parser::new(0).parse_all(bytes).filter_map(|payload| match payload.expect("valid") {
            Payload::ModuleSection { unchecked_range: range, .. } => {
                Some(bytes[range.start as usize..range.end as usize].to_vec())
            }
            _ => None,
        });
        modules.collect()
    }

    #[test]
    fn each_operation_is_replaced_where_it_stands() {
        let bytes = wat::parse_str(GUEST).expect("a component");
        let detached = detach(&bytes).expect("it is a component");
        let (old, new) = (core_modules(&bytes), core_modules(&detached));
        let (ours, theirs): (Vec<_>, Vec<_>) = new.into_iter().partition(|module| !old.contains(module));
        assert_eq!((theirs.len(), ours.len()), (old.len(), 2), "the guest's own modules are as they were");
        let names = |module: &Vec<u8>| String::from_utf8_lossy(module).into_owned();
        for name in ["stream.cancel-read", "future.cancel-write", "subtask.cancel", "future.read"] {
            assert!(names(&ours[0]).contains(name), "{name}");
        }
        assert!(!names(&ours[0]).contains("stream.read") && names(&ours[1]).contains("stream.cancel-write"));
    }

    #[test]
    fn bindings_are_told_by_their_versions() {
        for (name, version, early) in [
            ("wit-bindgen-rust", "0.49.0", true),
            ("wit-bindgen-rust", "0.57.1", true),
            ("wit-bindgen-rust", "0.58.0", true),
            ("wit-bindgen-rust", "0.59.0", false),
            ("wit-bindgen-rust", "1.0.0", false),
            ("wit-bindgen-c", "0.54.0", true),
            ("wit-component", "0.54.0", false),
            ("wit-bindgen-rust", "0", false),
        ] {
            assert_eq!(is_early(name, version), early, "{name} {version}");
        }
    }
}
