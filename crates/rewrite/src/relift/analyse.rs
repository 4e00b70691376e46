//! Whether a component can be rewritten, and where its parts are.
//!
//! Only the wiring of the component counts, not how its core functions are called: every canonical function is found by
//! its definition, so that a toolchain's names and shims don't matter. Anything unknown is a reason to leave the
//! component as it is.

use super::seam::Seam;
use crate::layout::{MAX_FLAT, Shape};
use crate::outline::{Definition, Outline};
use crate::{Interface, NotRewritable};
use std::collections::HashMap;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType as Defined, ComponentFuncTypeId, ComponentValType,
};
use wasmparser::types::TypesRef;
use wasmparser::{
    CanonicalFunction as Canonical, CanonicalOption, ComponentAlias, ComponentExternalKind as External,
    ComponentOuterAliasKind, ExternalKind, ValType,
};

/// A canonical function that is replaced by one that does the same and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// `future.new`: somebody will wait for what is written.
    NewFuture,
    /// `stream.new`.
    NewStream,
    /// `future.write`.
    WriteFuture,
    /// `future.cancel-write`.
    CancelFuture,
    /// `stream.drop-writable`.
    DropStream,
    /// `context.get` of a slot: of one task at a time, so that a variable will do.
    GetContext(u32),
    /// `context.set` of a slot.
    SetContext(u32),
}

impl Watched {
    /// Its name in the component model.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewFuture => "future.new",
            Self::NewStream => "stream.new",
            Self::WriteFuture => "future.write",
            Self::CancelFuture => "future.cancel-write",
            Self::DropStream => "stream.drop-writable",
            Self::GetContext(_) => "context.get",
            Self::SetContext(_) => "context.set",
        }
    }

    /// Whether its replacement calls it.
    pub fn wraps(self) -> bool {
        !matches!(self, Self::GetContext(_) | Self::SetContext(_))
    }

    fn of(function: &Canonical) -> Result<Option<Self>, NotRewritable> {
        Ok(Some(match function {
            Canonical::FutureNew { .. } => Self::NewFuture,
            Canonical::StreamNew { .. } => Self::NewStream,
            Canonical::FutureWrite { options, .. } if options.contains(&CanonicalOption::Async) => {
                Self::WriteFuture
            }
            Canonical::FutureCancelWrite { async_: false, .. } => Self::CancelFuture,
            Canonical::StreamDropWritable { .. } => Self::DropStream,
            Canonical::ContextGet { slot, .. } => Self::GetContext(*slot),
            Canonical::ContextSet { slot, .. } => Self::SetContext(*slot),
            Canonical::FutureWrite { .. } | Canonical::FutureCancelWrite { .. } => {
                return Err(NotRewritable::new("it writes futures in a way that is not known here"));
            }
            _ => return Ok(None),
        }))
    }
}

/// An export of a core instance.
pub type CoreExport = (u32, String);

/// The parts of a component that are replaced, and what their replacements need. Indices are those of the component as
/// it is.
#[derive(Debug)]
pub struct Wiring {
    /// The core function with which the export begins.
    pub entry: CoreExport,
    /// The core function that continues it.
    pub callback: CoreExport,
    /// `task.return`, a core function.
    pub task_return: u32,
    /// The next stage's function, lowered asynchronously, a core function; and the component function that it lowers.
    pub lower: Option<(u32, u32)>,
    /// The memory of all these functions.
    pub memory: u32,
    /// The guest's allocator.
    pub realloc: u32,
    /// The result of `handle`.
    pub result: Shape,
    /// Slots of the task's context that the guest uses.
    pub slots: Vec<u32>,
    /// Watched core functions, in the order of their indices.
    pub watched: Vec<(u32, Watched)>,
    /// Core functions that are lifted as they are.
    pub plain: Vec<u32>,
}

/// Looks for the parts of the component in `bytes`.
///
/// # Errors
/// [`NotRewritable`] with the reason why the component must stay as it is.
pub fn analyse(bytes: &[u8], seam: &Seam) -> Result<Wiring, NotRewritable> {
    let outline = Outline::read(bytes)?;
    Outermost::of(&outline)?.wiring(outline.types(0)?, seam)
}

/// A function of the component's index space, as far as relevant.
enum Function {
    /// A function of an imported interface.
    Imported(Interface, String),
    Other,
}

/// The outermost component's index spaces, before they are judged.
#[derive(Default)]
struct Outermost {
    instances: Vec<Option<Interface>>,
    functions: Vec<Function>,
    core_functions: u32,
    core_aliases: HashMap<u32, CoreExport>,
    /// Interfaces that the component exports.
    exports: Vec<Interface>,
    /// Each with its core function's index; a lift has none.
    canonicals: Vec<(Option<u32>, Canonical)>,
}

impl Outermost {
    fn of(outline: &Outline<'_>) -> Result<Self, NotRewritable> {
        let mut outermost = Self::default();
        let Some((body, nested)) = outline.bodies.split_first() else { return Ok(outermost) };
        for definition in nested.iter().flat_map(|body| &body.definitions) {
            check_nested(definition)?;
        }
        for definition in &body.definitions {
            outermost.read(definition)?;
        }
        Ok(outermost)
    }

    fn read(&mut self, definition: &Definition<'_>) -> Result<(), NotRewritable> {
        match definition {
            Definition::Import(import) => {
                let named = import.name.implements.unwrap_or(import.name.name);
                self.define(import.ty.kind(), || Interface::parse(named))?;
            }
            Definition::Alias(alias) => self.alias(alias)?,
            Definition::Instance(_) => self.instances.push(None),
            Definition::Export(export) => {
                self.define(export.kind, || None)?;
                self.exports.extend(Interface::parse(export.name.name));
            }
            Definition::Canonical(function) => {
                let index = match function {
                    Canonical::Lift { .. } => {
                        self.functions.push(Function::Other);
                        None
                    }
                    _ => {
                        self.core_functions += 1;
                        Some(self.core_functions - 1)
                    }
                };
                self.canonicals.push((index, function.clone()));
            }
            Definition::Start => return Err(NotRewritable::new("it has a start function")),
            _ => {}
        }
        Ok(())
    }

    fn define(
        &mut self,
        kind: External,
        interface: impl FnOnce() -> Option<Interface>,
    ) -> Result<(), NotRewritable> {
        match kind {
            External::Instance => self.instances.push(interface()),
            External::Func => self.functions.push(Function::Other),
            External::Module => return Err(NotRewritable::new("it imports or exports a core module")),
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), NotRewritable> {
        match *alias {
            ComponentAlias::InstanceExport { kind: External::Func, instance_index, name } => {
                let interface = self.instances.get(instance_index as usize).cloned().flatten();
                self.functions.push(match interface {
                    Some(interface) => Function::Imported(interface, name.to_owned()),
                    None => Function::Other,
                });
            }
            ComponentAlias::InstanceExport { kind: External::Instance, .. } => self.instances.push(None),
            ComponentAlias::InstanceExport { kind: External::Module, .. }
            | ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => {
                return Err(NotRewritable::new("it takes a core module from elsewhere"));
            }
            ComponentAlias::CoreInstanceExport {
                kind: ExternalKind::Func | ExternalKind::FuncExact,
                instance_index,
                name,
            } => {
                self.core_aliases.insert(self.core_functions, (instance_index, name.to_owned()));
                self.core_functions += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn wiring(self, types: TypesRef<'_>, seam: &Seam) -> Result<Wiring, NotRewritable> {
        let (entry, callback, lifted) = self.lift(types, seam)?;
        let (task_return, result, memory) = self.task_return(types)?;
        if lifted != result {
            return Err(NotRewritable::new("its `task.return` is not that of its export"));
        }
        if result.flat().len() > MAX_FLAT {
            return Err(NotRewritable::new("it returns more than fits into parameters"));
        }
        let (lower, realloc) = self.lower(types, memory, seam)?;
        let mut slots = Vec::new();
        let mut watched = Vec::new();
        for (index, function) in &self.canonicals {
            check_known(function)?;
            if let Canonical::ContextGet { ty, slot } | Canonical::ContextSet { ty, slot } = function {
                if *ty != ValType::I32 {
                    return Err(NotRewritable::new("its context is not 32 bits wide"));
                }
                slots.push(*slot);
            }
            if let (Some(index), Some(kind)) = (index, Watched::of(function)?)
                && !self.is_internal(types, function)
            {
                watched.push((*index, kind));
            }
        }
        slots.sort_unstable();
        slots.dedup();
        let plain = self.canonicals.iter().filter_map(|(_, function)| match function {
            Canonical::Lift { core_func_index, .. } => is_plain(types, function).then_some(*core_func_index),
            _ => None,
        });
        let plain = plain.collect();
        Ok(Wiring { entry, callback, task_return, lower, memory, realloc, result, slots, watched, plain })
    }

    /// Whether `function` makes or ends a stream that nobody else can wait for: one without elements, where no function
    /// that the component calls or exports takes or returns such a stream. Bindings use such a stream to wake their own
    /// tasks.
    fn is_internal(&self, types: TypesRef<'_>, function: &Canonical) -> bool {
        let (Canonical::StreamNew { ty } | Canonical::StreamDropWritable { ty }) = function else {
            return false;
        };
        let empty = |ty: &Defined| matches!(ty, Defined::Stream { ty: None, .. });
        empty(&types[types.component_defined_type_at(*ty)])
            && self.canonicals.iter().all(|(_, function)| match function {
                Canonical::Lower { func_index, .. } => {
                    !moves(types, types.component_function_at(*func_index), &empty)
                }
                Canonical::Lift { type_index, .. } => match types.component_any_type_at(*type_index) {
                    ComponentAnyTypeId::Func(id) => !moves(types, id, &empty),
                    _ => false,
                },
                _ => true,
            })
    }

    /// The one lift: its entry, its callback and what it returns.
    fn lift(
        &self,
        types: TypesRef<'_>,
        seam: &Seam,
    ) -> Result<(CoreExport, CoreExport, Shape), NotRewritable> {
        // Other plain functions may belong to the start of the component, as in a script's interpreter: their effect on
        // its state is unknown.
        let (package, interface) = seam.beside;
        let beside = self.exports.iter().filter(|export| export.is(package, interface)).count();
        if self.canonicals.iter().filter(|(_, function)| is_plain(types, function)).count() > beside {
            return Err(NotRewritable::new("it exports not one function, but none or several"));
        }
        let mut lifts = self.canonicals.iter().filter_map(|(_, function)| match function {
            Canonical::Lift { core_func_index, type_index, options } if !is_plain(types, function) => {
                Some((*core_func_index, *type_index, options))
            }
            _ => None,
        });
        let (Some((entry, ty, options)), None) = (lifts.next(), lifts.next()) else {
            return Err(NotRewritable::new("it exports not one function, but none or several"));
        };
        if !options.contains(&CanonicalOption::Async) {
            return Err(NotRewritable::new("it is lifted synchronously already"));
        }
        let callback = options.iter().find_map(|option| match option {
            CanonicalOption::Callback(index) => Some(*index),
            _ => None,
        });
        let callback = callback.ok_or_else(|| NotRewritable::new("it is lifted without a callback"))?;
        let export = |index: u32| {
            let export = self.core_aliases.get(&index).cloned();
            export.ok_or_else(|| NotRewritable::new("its exported function is not a core instance's"))
        };
        let ComponentAnyTypeId::Func(id) = types.component_any_type_at(ty) else {
            return Err(NotRewritable::new("it lifts no function"));
        };
        let function = &types[id];
        let takes_request = match &*function.params {
            [(_, ty)] => Shape::of(*ty, types)? == Shape::Number(wasm_encoder::ValType::I32, 4),
            _ => false,
        };
        match function.result {
            Some(result) if function.async_ && takes_request => {
                Ok((export(entry)?, export(callback)?, Shape::of(result, types)?))
            }
            _ => Err(NotRewritable::new(
                "its exported function is not an async one that takes one handle and returns something",
            )),
        }
    }

    /// The one `task.return`: its index, its type and its memory.
    fn task_return(&self, types: TypesRef<'_>) -> Result<(u32, Shape, u32), NotRewritable> {
        let mut returns = self.canonicals.iter().filter_map(|(index, function)| match function {
            Canonical::TaskReturn { result, options } => Some(((*index)?, *result, options)),
            _ => None,
        });
        let (Some((index, Some(result), options)), None) = (returns.next(), returns.next()) else {
            return Err(NotRewritable::new("it does not answer in one place"));
        };
        let result = match result {
            wasmparser::ComponentValType::Primitive(primitive) => ComponentValType::Primitive(primitive),
            wasmparser::ComponentValType::Type(at) => {
                ComponentValType::Type(types.component_defined_type_at(at))
            }
        };
        let memory = memory_of(options)?;
        let memory = memory.ok_or_else(|| NotRewritable::new("its `task.return` has no memory"))?;
        Ok((index, Shape::of(result, types)?, memory))
    }

    /// The next stage's function, if it is lowered asynchronously, and the allocator that belongs to it.
    fn lower(
        &self,
        types: TypesRef<'_>,
        memory: u32,
        seam: &Seam,
    ) -> Result<(Option<(u32, u32)>, u32), NotRewritable> {
        let (mut lower, mut realloc) = (None, None);
        for (index, function) in &self.canonicals {
            let (Some(index), Canonical::Lower { func_index, options }) = (index, function) else { continue };
            let asynchronous = options.contains(&CanonicalOption::Async);
            let (interface, name) = match self.functions.get(*func_index as usize) {
                Some(Function::Imported(interface, name)) => (interface, name),
                _ => return Err(NotRewritable::new("it calls a function that belongs to no interface")),
            };
            if interface.is(seam.callee.0, seam.callee.1) && name == seam.function {
                if memory_of(options)? != Some(memory) {
                    return Err(NotRewritable::new("it has several memories"));
                }
                realloc = options.iter().find_map(|option| match option {
                    CanonicalOption::Realloc(index) => Some(*index),
                    _ => None,
                });
                if asynchronous && lower.replace((*index, *func_index)).is_some() {
                    return Err(NotRewritable::new(format!("it calls the {} in several ways", seam.noun)));
                }
            } else if asynchronous {
                return Err(NotRewritable::new(format!(
                    "it may wait for `{interface}#{name}` while the {} works",
                    seam.noun
                )));
            } else if !interface.is(seam.data.0, seam.data.1)
                && moves(types, types.component_function_at(*func_index), &is_data)
            {
                return Err(NotRewritable::new(format!(
                    "`{interface}#{name}` has a stream or future that may need it while the {} works",
                    seam.noun
                )));
            }
        }
        let realloc = realloc.ok_or_else(|| NotRewritable::new(format!("it calls no {}", seam.noun)))?;
        Ok((lower, realloc))
    }
}

/// Whether `function` lifts one that is not `async`, and does so synchronously: it is not called while the other one
/// works, and stays as it is.
fn is_plain(types: TypesRef<'_>, function: &Canonical) -> bool {
    let Canonical::Lift { type_index, options, .. } = function else { return false };
    match types.component_any_type_at(*type_index) {
        ComponentAnyTypeId::Func(id) => !types[id].async_ && !options.contains(&CanonicalOption::Async),
        _ => false,
    }
}

/// The contents of a nested component. Those of wit-component only rename.
fn check_nested(definition: &Definition<'_>) -> Result<(), NotRewritable> {
    match definition {
        Definition::Module(_)
        | Definition::Canonical(_)
        | Definition::CoreInstance(_)
        | Definition::Alias(ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. }) => {
            Err(NotRewritable::new("it is composed of several components"))
        }
        _ => Ok(()),
    }
}

/// The memory of `options`, whose texts must be UTF-8.
fn memory_of(options: &[CanonicalOption]) -> Result<Option<u32>, NotRewritable> {
    let mut memory = None;
    for option in options {
        match option {
            CanonicalOption::Memory(index) => memory = Some(*index),
            CanonicalOption::UTF8 | CanonicalOption::Async | CanonicalOption::Realloc(_) => {}
            _ => return Err(NotRewritable::new("its strings are not UTF-8")),
        }
    }
    Ok(memory)
}

/// A stream or a future.
fn is_data(ty: &Defined) -> bool {
    matches!(ty, Defined::Future { .. } | Defined::Stream { .. })
}

/// Whether a function takes or returns a value that contains one of the kind `wanted`.
fn moves(types: TypesRef<'_>, function: ComponentFuncTypeId, wanted: &dyn Fn(&Defined) -> bool) -> bool {
    let function = &types[function];
    let mut parts = function.params.iter().map(|(_, ty)| ty).chain(&function.result);
    parts.any(|ty| holds(types, ty, wanted))
}

fn holds(types: TypesRef<'_>, ty: &ComponentValType, wanted: &dyn Fn(&Defined) -> bool) -> bool {
    let ComponentValType::Type(id) = ty else { return false };
    let inside = |ty: &ComponentValType| holds(types, ty, wanted);
    let defined = &types[*id];
    wanted(defined)
        || match defined {
            Defined::Future { ty, .. } | Defined::Stream { ty, .. } => ty.iter().any(inside),
            Defined::Record(record) => record.fields.values().any(inside),
            Defined::Variant(variant) => variant.cases.values().any(|case| case.ty.iter().any(inside)),
            Defined::Tuple(tuple) => tuple.types.iter().any(inside),
            Defined::List { element, .. } | Defined::FixedLengthList { element, .. } => inside(element),
            Defined::Map { key, value, .. } => inside(key) || inside(value),
            Defined::Option { ty, .. } => inside(ty),
            Defined::Result { ok, err, .. } => ok.iter().chain(err).any(inside),
            _ => false,
        }
}

/// Functions with the same meaning in a task that is lifted synchronously.
fn check_known(function: &Canonical) -> Result<(), NotRewritable> {
    match function {
        Canonical::Lift { .. }
        | Canonical::Lower { .. }
        | Canonical::ResourceDrop { .. }
        | Canonical::TaskReturn { .. }
        // Called when a task is cancelled, which happens to async tasks only.
        | Canonical::TaskCancel
        | Canonical::ContextGet { .. }
        | Canonical::ContextSet { .. }
        | Canonical::SubtaskDrop
        | Canonical::SubtaskCancel { .. }
        | Canonical::StreamNew { .. }
        | Canonical::StreamRead { .. }
        | Canonical::StreamWrite { .. }
        | Canonical::StreamCancelRead { .. }
        | Canonical::StreamCancelWrite { .. }
        | Canonical::StreamDropReadable { .. }
        | Canonical::StreamDropWritable { .. }
        | Canonical::FutureNew { .. }
        | Canonical::FutureRead { .. }
        | Canonical::FutureWrite { .. }
        | Canonical::FutureCancelRead { .. }
        | Canonical::FutureCancelWrite { .. }
        | Canonical::FutureDropReadable { .. }
        | Canonical::FutureDropWritable { .. }
        | Canonical::ErrorContextNew { .. }
        | Canonical::ErrorContextDebugMessage { .. }
        | Canonical::ErrorContextDrop
        | Canonical::WaitableSetNew
        | Canonical::WaitableSetWait { .. }
        | Canonical::WaitableSetPoll { .. }
        | Canonical::WaitableSetDrop
        | Canonical::WaitableJoin
        | Canonical::ThreadYield { .. } => Ok(()),
        unknown => Err(NotRewritable::unknown(unknown)),
    }
}
