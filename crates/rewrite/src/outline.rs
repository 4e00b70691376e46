//! A component as written: its definitions in their order, with those of the components in it.
//!
//! The component is read and validated in one pass. Its readers know the meaning of the definitions:
//! [`flatten`](crate::flatten) evaluates all of them, and `relift` looks at those of the outermost component.

use crate::NotRewritable;
use crate::nesting::check;
use std::ops::Range;
use wasmparser::types::{Types, TypesRef};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExport, ComponentImport, ComponentInstance, ComponentType,
    Encoding, ExternalKind, FuncValidatorAllocations, Instance, Parser, Payload, TypeRef, ValidPayload,
    Validator, WasmFeatures,
};

/// A component and all components nested in it.
pub struct Outline<'a> {
    /// The components, the outermost one first.
    pub bodies: Vec<Body<'a>>,
    /// The core modules, in the order in which they stand in the bytes.
    pub modules: Vec<Module<'a>>,
}

/// One component's definitions.
#[derive(Default)]
pub struct Body<'a> {
    /// In their order.
    pub definitions: Vec<Definition<'a>>,
    types: Option<Types>,
}

/// One definition of a component.
pub enum Definition<'a> {
    /// A core module, by its place in [`Outline::modules`].
    Module(usize),
    /// A component, by its place in [`Outline::bodies`].
    Component(usize),
    /// An instance of a core module, or a bag of core definitions.
    CoreInstance(Instance<'a>),
    /// An instance of a component, or a bag of definitions.
    Instance(ComponentInstance<'a>),
    /// Another name for a part of an instance, or of an enclosing component.
    Alias(ComponentAlias<'a>),
    /// A resource, with the core function that destroys it.
    Resource(Option<u32>),
    /// Any other type.
    Type,
    /// A canonical function.
    Canonical(CanonicalFunction),
    /// An import.
    Import(ComponentImport<'a>),
    /// An export.
    Export(ComponentExport<'a>),
    /// A start function.
    Start,
}

/// A core module, as seen from outside of it.
#[derive(Clone, Debug, Default)]
pub struct Module<'a> {
    /// Where it is in the component's bytes.
    pub bytes: Range<usize>,
    /// Its imports, in their order.
    pub imports: Vec<ModuleImport<'a>>,
    /// Its exports, in their order.
    pub exports: Vec<ModuleExport<'a>>,
    /// Whether code runs when it is instantiated.
    pub starts: bool,
}

/// An import of a core module.
#[derive(Clone, Copy, Debug)]
pub struct ModuleImport<'a> {
    /// The instance that has it.
    pub module: &'a str,
    /// Its name there.
    pub name: &'a str,
    /// Its kind.
    pub kind: ExternalKind,
}

/// An export of a core module.
#[derive(Clone, Copy, Debug)]
pub struct ModuleExport<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: ExternalKind,
    /// Its place among the module's definitions of that kind, of which the imported ones come first.
    pub index: u32,
}

impl<'a> Outline<'a> {
    /// Reads the component in `bytes`.
    ///
    /// # Errors
    /// [`NotRewritable`], if it is not valid or no component.
    pub fn read(bytes: &'a [u8]) -> Result<Self, NotRewritable> {
        check(bytes)?;
        let mut reader = Reader {
            outline: Self { bodies: Vec::new(), modules: Vec::new() },
            open: Vec::new(),
            entered: None,
        };
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let mut allocations = FuncValidatorAllocations::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match validator.payload(&payload)? {
                ValidPayload::Func(function, body) => {
                    let mut function = function.into_validator(allocations);
                    function.validate(&body)?;
                    allocations = function.into_allocations();
                }
                ValidPayload::End(types) => reader.leave(types),
                ValidPayload::Ok | ValidPayload::Parser(_) => reader.payload(payload)?,
            }
        }
        if reader.outline.bodies.is_empty() {
            return Err(NotRewritable::new("it is a core module"));
        }
        Ok(reader.outline)
    }

    /// The types of the component at `body`.
    ///
    /// # Errors
    /// None for a body that was read.
    pub fn types(&self, body: usize) -> Result<TypesRef<'_>, NotRewritable> {
        let types = self.bodies.get(body).and_then(|body| body.types.as_ref());
        types.map(Types::as_ref).ok_or_else(|| NotRewritable::new("it has no end"))
    }
}

/// The part that is read: a component or a module, by its place.
#[derive(Clone, Copy)]
enum Open {
    Body(usize),
    Module(usize),
}

struct Reader<'a> {
    outline: Outline<'a>,
    /// From the outermost to the innermost.
    open: Vec<Open>,
    /// Where the module is that begins next.
    entered: Option<Range<usize>>,
}

impl<'a> Reader<'a> {
    fn payload(&mut self, payload: Payload<'a>) -> Result<(), NotRewritable> {
        match (self.open.last().copied(), payload) {
            (_, Payload::Version { encoding, .. }) => {
                self.enter(encoding);
                Ok(())
            }
            (Some(Open::Body(at)), payload) => self.component(at, payload),
            (Some(Open::Module(at)), payload) => self.module(at, payload),
            (None, _) => Ok(()),
        }
    }

    fn enter(&mut self, encoding: Encoding) {
        let (bodies, modules) = (self.outline.bodies.len(), self.outline.modules.len());
        let (open, definition) = match encoding {
            Encoding::Component => {
                self.outline.bodies.push(Body::default());
                (Open::Body(bodies), Definition::Component(bodies))
            }
            Encoding::Module => {
                let bytes = self.entered.take().unwrap_or_default();
                self.outline.modules.push(Module { bytes, ..Module::default() });
                (Open::Module(modules), Definition::Module(modules))
            }
        };
        if let Some(Open::Body(around)) = self.open.last() {
            self.outline.bodies[*around].definitions.push(definition);
        }
        self.open.push(open);
    }

    fn leave(&mut self, types: Types) {
        if let Some(Open::Body(at)) = self.open.pop() {
            self.outline.bodies[at].types = Some(types);
        }
    }

    fn component(&mut self, at: usize, payload: Payload<'a>) -> Result<(), NotRewritable> {
        let into = &mut self.outline.bodies[at].definitions;
        match payload {
            Payload::ModuleSection { unchecked_range: range, .. } => {
                let place =
                    usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
                self.entered = Some(place);
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    into.push(Definition::CoreInstance(instance?));
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    into.push(Definition::Instance(instance?));
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    into.push(Definition::Alias(alias?));
                }
            }
            Payload::ComponentTypeSection(section) => {
                for ty in section {
                    into.push(match ty? {
                        ComponentType::Resource { dtor, .. } => Definition::Resource(dtor),
                        _ => Definition::Type,
                    });
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    into.push(Definition::Canonical(function?));
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    into.push(Definition::Import(import?));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    into.push(Definition::Export(export?));
                }
            }
            Payload::ComponentStartSection { .. } => into.push(Definition::Start),
            _ => {}
        }
        Ok(())
    }

    fn module(&mut self, at: usize, payload: Payload<'a>) -> Result<(), NotRewritable> {
        let module = &mut self.outline.modules[at];
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let kind = match import.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => ExternalKind::Func,
                        TypeRef::Table(_) => ExternalKind::Table,
                        TypeRef::Memory(_) => ExternalKind::Memory,
                        TypeRef::Global(_) => ExternalKind::Global,
                        TypeRef::Tag(_) => ExternalKind::Tag,
                    };
                    module.imports.push(ModuleImport { module: import.module, name: import.name, kind });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let kind = one_kind(export.kind);
                    module.exports.push(ModuleExport { name: export.name, kind, index: export.index });
                }
            }
            Payload::StartSection { .. } => module.starts = true,
            _ => {}
        }
        Ok(())
    }
}

/// `kind`, with one name for functions.
pub fn one_kind(kind: ExternalKind) -> ExternalKind {
    match kind {
        ExternalKind::FuncExact => ExternalKind::Func,
        kind => kind,
    }
}
