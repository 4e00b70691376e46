//! Evaluates instances, aliases and canonical functions.
//!
//! Each instantiation of a component makes a [`Scope`], whose index spaces hold the value of each definition. All
//! values are in arenas and named by places in them, so that nothing here is nested as deep as the component may be.

use super::budget::Budget;
use super::flat::{CoreInstance, Export, Flat, Function, Import, ImportedInstance, Item, Resource};
use crate::NotRewritable;
use crate::nesting::MAX_NESTING;
use crate::outline::{Definition, Outline};
use std::collections::HashMap;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId, ResourceId,
};
use wasmparser::{
    ComponentAlias, ComponentExport, ComponentExternalKind as Kind, ComponentImport, ComponentInstance,
    ComponentOuterAliasKind as OuterKind, ExternalKind, Instance,
};

/// The value of a definition.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Module(usize),
    Function(Function),
    Instance(usize),
    Component(Closure),
    /// A resource, or any other type.
    Type(Option<usize>),
}

/// A component, and the scope that it stands in.
#[derive(Clone, Copy)]
pub(super) struct Closure {
    body: usize,
    scope: usize,
}

/// An instance of a component.
enum InstanceValue<'a> {
    /// An instance of the host, of this type of the outermost component.
    Imported(ImportedInstance<'a>, ComponentInstanceTypeId),
    Bag(HashMap<&'a str, Value>),
}

/// A core instance: of a module, or a bag.
#[derive(Clone, Copy)]
enum Core {
    Made(usize),
    Bag(usize),
}

/// The index spaces of a component that is instantiated.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub(super) body: usize,
    parent: Option<usize>,
    /// Its place among the instances that have core instances or canonical functions.
    part: Option<usize>,
    modules: Vec<usize>,
    components: Vec<Closure>,
    instances: Vec<usize>,
    pub(super) functions: Vec<Function>,
    pub(super) types: Vec<Option<usize>>,
    core_instances: Vec<Core>,
    /// One for each [`core_kind`].
    pub(super) core: [Vec<Item<'a>>; 5],
    /// The resources that the validator's names stand for here.
    pub(super) resources: HashMap<ResourceId, usize>,
}

/// Evaluates one component.
pub struct Evaluation<'o, 'a> {
    pub(super) outline: &'o Outline<'a>,
    pub(super) flat: Flat<'a>,
    pub(super) scopes: Vec<Scope<'a>>,
    instances: Vec<InstanceValue<'a>>,
    bags: Vec<HashMap<(&'a str, usize), Item<'a>>>,
    imports: HashMap<Import<'a>, usize>,
    pub(super) budget: Budget,
}

pub(super) const FUNCTIONS: usize = 0;
pub(super) const MEMORIES: usize = 2;

/// The index space of a kind of core definitions.
fn core_kind(kind: ExternalKind) -> usize {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => FUNCTIONS,
        ExternalKind::Table => 1,
        ExternalKind::Memory => MEMORIES,
        ExternalKind::Global => 3,
        ExternalKind::Tag => 4,
    }
}

/// The value at `index`. The component was validated, so there is one.
pub(super) fn at<T: Copy>(space: &[T], index: u32) -> Result<T, NotRewritable> {
    space.get(index as usize).copied().ok_or_else(out_of_order)
}

fn out_of_order() -> NotRewritable {
    NotRewritable::new("its parts come in an order that is not known here")
}

impl<'o, 'a> Evaluation<'o, 'a> {
    pub fn run(outline: &'o Outline<'a>) -> Result<Flat<'a>, NotRewritable> {
        let mut evaluation = Self {
            outline,
            flat: Flat { modules: outline.modules.clone(), ..Flat::default() },
            scopes: Vec::new(),
            instances: Vec::new(),
            bags: Vec::new(),
            imports: HashMap::new(),
            budget: Budget::default(),
        };
        evaluation.instantiate(0, None, None, 0)?;
        Ok(evaluation.flat)
    }

    /// Instantiates the component at `body`, whose imports are `arguments`, or the host's. Returns its exports.
    fn instantiate(
        &mut self,
        body: usize,
        parent: Option<usize>,
        arguments: Option<&HashMap<&'a str, Value>>,
        depth: usize,
    ) -> Result<HashMap<&'a str, Value>, NotRewritable> {
        if depth > MAX_NESTING {
            return Err(NotRewritable::new("its components instantiate one another too deep"));
        }
        let scope = self.scopes.len();
        self.scopes.push(Scope { body, parent, ..Scope::default() });
        let outline = self.outline;
        let mut exports = HashMap::new();
        for definition in &outline.bodies.get(body).ok_or_else(out_of_order)?.definitions {
            self.budget.spend(1)?;
            match definition {
                Definition::Module(module) => self.scopes[scope].modules.push(*module),
                Definition::Component(body) => {
                    self.scopes[scope].components.push(Closure { body: *body, scope });
                }
                Definition::CoreInstance(instance) => self.core_instance(scope, instance)?,
                Definition::Instance(instance) => self.instance(scope, instance, depth)?,
                Definition::Alias(alias) => self.alias(scope, alias)?,
                Definition::Resource(destructor) => self.resource(scope, *destructor)?,
                Definition::Type => self.scopes[scope].types.push(None),
                Definition::Canonical(function) => self.canonical(scope, function)?,
                Definition::Import(import) => match arguments {
                    None => self.import(scope, import)?,
                    Some(arguments) => {
                        let value = arguments.get(import.name.name).copied().ok_or_else(out_of_order)?;
                        self.define(scope, value)?;
                    }
                },
                Definition::Export(export) => {
                    let value = self.value(scope, export)?;
                    exports.insert(export.name.name, value);
                    self.define(scope, value)?;
                    if parent.is_none() {
                        self.export(export, value)?;
                    }
                }
                Definition::Start => return Err(NotRewritable::new("it has a start function")),
            }
        }
        Ok(exports)
    }

    /// The component instance of the scope at `scope`, which now has a part of its own.
    pub(super) fn part(&mut self, scope: usize) -> usize {
        let parts = &mut self.flat.parts;
        *self.scopes[scope].part.get_or_insert_with(|| {
            *parts += 1;
            *parts - 1
        })
    }

    /// Adds `value` to the index space of its kind.
    pub(super) fn define(&mut self, scope: usize, value: Value) -> Result<(), NotRewritable> {
        let outline = self.outline;
        let types = outline.types(self.scopes[scope].body)?;
        let space = &mut self.scopes[scope];
        match value {
            Value::Module(module) => space.modules.push(module),
            Value::Function(function) => space.functions.push(function),
            Value::Component(closure) => space.components.push(closure),
            Value::Type(ty) => {
                let index = u32::try_from(space.types.len()).unwrap_or(u32::MAX);
                space.types.push(ty);
                if let (Some(resource), ComponentAnyTypeId::Resource(id)) =
                    (ty, types.component_any_type_at(index))
                {
                    space.resources.entry(id.resource()).or_insert(resource);
                }
            }
            Value::Instance(instance) => {
                let index = u32::try_from(space.instances.len()).unwrap_or(u32::MAX);
                space.instances.push(instance);
                self.learn(scope, instance, types.component_instance_at(index))?;
            }
        }
        Ok(())
    }

    /// Notes the resources in the types of `instance`, which is of type `ty` in `scope`.
    fn learn(
        &mut self,
        scope: usize,
        instance: usize,
        ty: ComponentInstanceTypeId,
    ) -> Result<(), NotRewritable> {
        let outline = self.outline;
        let types = outline.types(self.scopes[scope].body)?;
        let exports = &types[ty].exports;
        self.budget.spend(exports.len())?;
        for (name, item) in exports {
            let ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. } = item.ty else {
                continue;
            };
            let known = match &self.instances[instance] {
                InstanceValue::Bag(bag) => match bag.get(name.as_str()) {
                    Some(Value::Type(resource)) => *resource,
                    _ => None,
                },
                InstanceValue::Imported(_, ty) => self.imported_resource(*ty, name)?,
            };
            if let Some(resource) = known {
                self.scopes[scope].resources.entry(id.resource()).or_insert(resource);
            }
        }
        Ok(())
    }

    /// The resource called `name` of an imported instance.
    fn imported_resource(
        &self,
        ty: ComponentInstanceTypeId,
        name: &str,
    ) -> Result<Option<usize>, NotRewritable> {
        let types = self.outline.types(0)?;
        Ok(match types[ty].exports.get(name).map(|item| item.ty) {
            Some(ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. }) => {
                self.scopes.first().and_then(|root| root.resources.get(&id.resource()).copied())
            }
            _ => None,
        })
    }

    /// An import of the outermost component.
    fn import(&mut self, scope: usize, import: &ComponentImport<'a>) -> Result<(), NotRewritable> {
        let outline = self.outline;
        let types = outline.types(0)?;
        let name = import.name.name;
        let value = match import.ty.kind() {
            Kind::Func => Value::Function(Function::Imported(self.imported(Import { instance: None, name }))),
            Kind::Type => {
                let index = u32::try_from(self.scopes[scope].types.len()).unwrap_or(u32::MAX);
                Value::Type(match types.component_any_type_at(index) {
                    ComponentAnyTypeId::Resource(id) => Some(self.host_resource(None, name, id.resource())),
                    _ => None,
                })
            }
            Kind::Instance => {
                let index = u32::try_from(self.scopes[scope].instances.len()).unwrap_or(u32::MAX);
                let ty = types.component_instance_at(index);
                let instance = ImportedInstance { name, implements: import.name.implements };
                for (name, item) in &types[ty].exports {
                    if let ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. } =
                        item.ty
                    {
                        self.host_resource(Some(instance), name, id.resource());
                    }
                }
                self.instances.push(InstanceValue::Imported(instance, ty));
                Value::Instance(self.instances.len() - 1)
            }
            Kind::Module => return Err(NotRewritable::new("it imports a core module")),
            Kind::Component => return Err(NotRewritable::new("it imports a component")),
            Kind::Value => return Err(values()),
        };
        self.define(scope, value)
    }

    /// The resource of the host that the validator calls `id`.
    fn host_resource(&mut self, instance: Option<ImportedInstance<'a>>, name: &str, id: ResourceId) -> usize {
        let resources = &mut self.flat.resources;
        *self.scopes[0].resources.entry(id).or_insert_with(|| {
            resources.push(Resource::Imported { instance, name: name.to_owned() });
            resources.len() - 1
        })
    }

    fn imported(&mut self, import: Import<'a>) -> usize {
        let imports = &mut self.flat.imports;
        *self.imports.entry(import).or_insert_with(|| {
            imports.push(import);
            imports.len() - 1
        })
    }

    /// The value of `export`.
    fn value(&self, scope: usize, export: &ComponentExport<'a>) -> Result<Value, NotRewritable> {
        let scope = &self.scopes[scope];
        let index = export.index;
        Ok(match export.kind {
            Kind::Module => Value::Module(at(&scope.modules, index)?),
            Kind::Func => Value::Function(at(&scope.functions, index)?),
            Kind::Type => Value::Type(at(&scope.types, index)?),
            Kind::Instance => Value::Instance(at(&scope.instances, index)?),
            Kind::Component => Value::Component(at(&scope.components, index)?),
            Kind::Value => return Err(values()),
        })
    }

    /// Notes an export of the outermost component.
    fn export(&mut self, export: &ComponentExport<'a>, value: Value) -> Result<(), NotRewritable> {
        let name = export.name.name;
        match value {
            Value::Function(function) => {
                self.flat.exports.push(Export { instance: None, name: name.to_owned(), function });
            }
            Value::Instance(instance) => {
                let outline = self.outline;
                let types = outline.types(0)?;
                let of = types.component_instance_at(export.index);
                for (function, item) in &types[of].exports {
                    self.budget.spend(1)?;
                    if !matches!(item.ty, ComponentEntityType::Func(_)) {
                        continue;
                    }
                    let found = match &self.instances[instance] {
                        InstanceValue::Bag(bag) => bag.get(function.as_str()).copied(),
                        InstanceValue::Imported(..) => {
                            return Err(NotRewritable::new("it exports what it imports"));
                        }
                    };
                    let Some(Value::Function(value)) = found else { return Err(out_of_order()) };
                    let export = Export { instance: Some(name), name: function.clone(), function: value };
                    self.flat.exports.push(export);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn instance(
        &mut self,
        scope: usize,
        instance: &ComponentInstance<'a>,
        depth: usize,
    ) -> Result<(), NotRewritable> {
        let bag = match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let component = at(&self.scopes[scope].components, *component_index)?;
                let mut arguments = HashMap::new();
                self.budget.spend(args.len())?;
                for argument in args {
                    let name = wasmparser::ComponentExternName {
                        name: argument.name,
                        implements: None,
                        version_suffix: None,
                        external_id: None,
                    };
                    let export =
                        ComponentExport { name, kind: argument.kind, index: argument.index, ty: None };
                    arguments.insert(argument.name, self.value(scope, &export)?);
                }
                self.instantiate(component.body, Some(component.scope), Some(&arguments), depth + 1)?
            }
            ComponentInstance::FromExports(exports) => {
                self.budget.spend(exports.len())?;
                let exports = exports.iter().map(|export| Ok((export.name.name, self.value(scope, export)?)));
                exports.collect::<Result<_, NotRewritable>>()?
            }
        };
        self.instances.push(InstanceValue::Bag(bag));
        self.define(scope, Value::Instance(self.instances.len() - 1))
    }

    fn alias(&mut self, scope: usize, alias: &ComponentAlias<'a>) -> Result<(), NotRewritable> {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                let instance = at(&self.scopes[scope].instances, instance_index)?;
                let value = match &self.instances[instance] {
                    InstanceValue::Bag(bag) => bag.get(name).copied().ok_or_else(out_of_order)?,
                    InstanceValue::Imported(of, ty) => match kind {
                        Kind::Func => {
                            let import = Import { instance: Some(*of), name };
                            Value::Function(Function::Imported(self.imported(import)))
                        }
                        Kind::Type => Value::Type(self.imported_resource(*ty, name)?),
                        _ => {
                            return Err(NotRewritable::new(
                                "it imports an instance that has more than functions and types",
                            ));
                        }
                    },
                };
                self.define(scope, value)
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                let instance = at(&self.scopes[scope].core_instances, instance_index)?;
                let item = self.core_export(instance, name, kind)?;
                self.scopes[scope].core[core_kind(kind)].push(item);
                Ok(())
            }
            ComponentAlias::Outer { kind, count, index } => {
                let mut around = scope;
                for _ in 0..count {
                    around = self.scopes[around].parent.ok_or_else(out_of_order)?;
                }
                let around = &self.scopes[around];
                let value = match kind {
                    OuterKind::CoreModule => Value::Module(at(&around.modules, index)?),
                    OuterKind::Component => Value::Component(at(&around.components, index)?),
                    OuterKind::Type => Value::Type(at(&around.types, index)?),
                    OuterKind::CoreType => return Ok(()),
                };
                self.define(scope, value)
            }
        }
    }

    fn core_export(
        &self,
        instance: Core,
        name: &'a str,
        kind: ExternalKind,
    ) -> Result<Item<'a>, NotRewritable> {
        match instance {
            Core::Made(instance) => Ok(Item::Export { instance, name }),
            Core::Bag(bag) => {
                let item = self.bags[bag].get(&(name, core_kind(kind))).copied();
                item.ok_or_else(out_of_order)
            }
        }
    }

    fn core_instance(&mut self, scope: usize, instance: &Instance<'a>) -> Result<(), NotRewritable> {
        let made = match instance {
            Instance::Instantiate { module_index, args } => {
                let module = at(&self.scopes[scope].modules, *module_index)?;
                let part = self.part(scope);
                let known = &self.flat.modules[module].imports;
                self.budget.spend(args.len() + known.len())?;
                let given: HashMap<_, _> =
                    args.iter().map(|argument| (argument.name, argument.index)).collect();
                let mut imports = Vec::with_capacity(known.len());
                for import in known {
                    let instance = *given.get(import.module).ok_or_else(out_of_order)?;
                    let from = at(&self.scopes[scope].core_instances, instance)?;
                    imports.push(self.core_export(from, import.name, import.kind)?);
                }
                self.flat.instances.push(CoreInstance { part, module, imports });
                Core::Made(self.flat.instances.len() - 1)
            }
            Instance::FromExports(exports) => {
                self.budget.spend(exports.len())?;
                let space = &self.scopes[scope];
                let mut bag = HashMap::new();
                for export in exports {
                    let kind = core_kind(export.kind);
                    bag.insert((export.name, kind), at(&space.core[kind], export.index)?);
                }
                self.bags.push(bag);
                Core::Bag(self.bags.len() - 1)
            }
        };
        self.scopes[scope].core_instances.push(made);
        Ok(())
    }

    fn resource(&mut self, scope: usize, destructor: Option<u32>) -> Result<(), NotRewritable> {
        let part = self.part(scope);
        let destructor =
            destructor.map(|index| at(&self.scopes[scope].core[FUNCTIONS], index)).transpose()?;
        self.flat.resources.push(Resource::Defined { part, destructor });
        self.define(scope, Value::Type(Some(self.flat.resources.len() - 1)))
    }
}

fn values() -> NotRewritable {
    NotRewritable::new("it imports or exports a value")
}
