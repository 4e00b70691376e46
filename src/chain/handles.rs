//! Handles in the types of a component's imports that wac can't write.
//!
//! Where wac-graph (0.12) writes the type of an import, it looks for a handle's resource by its name among the resources
//! that the same instance type exports, and panics if there is none (`encoding.rs`: `own`, `borrow`, `export_resource`).
//! The types of valid components can have such handles, although WIT can't express them: a function takes a resource
//! of another interface directly, and its own interface exports the resource under another name, or not at all.

use std::collections::HashSet;
use wac_graph::types::{DefinedType, InterfaceId, ItemKind, ResourceId, Type, Types, ValueType};

/// The name of a resource in the type of `import` that wac could not find.
pub(super) fn homeless(types: &Types, import: ItemKind) -> Option<&str> {
    match import {
        ItemKind::Instance(interface) => Scope::new(types).instance(interface).err(),
        _ => None,
    }
}

/// What wac knows at a place of an instance type.
struct Scope<'a> {
    types: &'a Types,
    resources: HashSet<&'a str>,
    written: HashSet<Type>,
}

impl<'a> Scope<'a> {
    fn new(types: &'a Types) -> Self {
        Self { types, resources: HashSet::new(), written: HashSet::new() }
    }

    /// Goes through the exports in wac's order.
    ///
    /// # Errors
    /// The resource that is missing; so for all that follow.
    fn instance(&mut self, interface: InterfaceId) -> Result<(), &'a str> {
        let interface = &self.types[interface];
        for (name, kind) in &interface.exports {
            let used = interface.uses.contains_key(name);
            match kind {
                ItemKind::Type(Type::Resource(id)) => self.resource(name, *id, used)?,
                ItemKind::Type(ty) if used => _ = self.written.insert(*ty),
                ItemKind::Type(ty) => self.ty(*ty)?,
                ItemKind::Func(id) => self.ty(Type::Func(*id))?,
                ItemKind::Instance(id) => Self::new(self.types).instance(*id)?,
                ItemKind::Value(ty) => self.values([*ty])?,
                ItemKind::Component(_) | ItemKind::Module(_) => {}
            }
        }
        Ok(())
    }

    fn resource(&mut self, name: &'a str, id: ResourceId, used: bool) -> Result<(), &'a str> {
        if self.resources.contains(name) {
            return Ok(());
        }
        let resource = &self.types[id];
        if let (false, Some(alias)) = (used, resource.alias) {
            self.handle(self.types.resolve_resource(alias.source))?;
        }
        self.resources.insert(&resource.name);
        Ok(())
    }

    /// A type that has a place of its own; wac writes each once.
    fn ty(&mut self, ty: Type) -> Result<(), &'a str> {
        if self.written.contains(&ty) {
            return Ok(());
        }
        match ty {
            Type::Func(id) => {
                let function = &self.types[id];
                self.values(function.params.values().chain(&function.result).copied())?;
            }
            Type::Value(ValueType::Own(resource) | ValueType::Borrow(resource)) => self.handle(resource)?,
            Type::Value(ValueType::Defined(id)) => self.defined(&self.types[id])?,
            Type::Interface(id) => Self::new(self.types).instance(id)?,
            Type::Value(ValueType::Primitive(_)) | Type::Resource(_) | Type::World(_) | Type::Module(_) => {}
        }
        self.written.insert(ty);
        Ok(())
    }

    fn values(&mut self, parts: impl IntoIterator<Item = ValueType>) -> Result<(), &'a str> {
        parts.into_iter().try_for_each(|ty| self.ty(Type::Value(ty)))
    }

    fn handle(&self, resource: ResourceId) -> Result<(), &'a str> {
        let name = self.types[resource].name.as_str();
        self.resources.contains(name).then_some(()).ok_or(name)
    }

    fn defined(&mut self, ty: &'a DefinedType) -> Result<(), &'a str> {
        match ty {
            DefinedType::Tuple(parts) => self.values(parts.iter().copied()),
            DefinedType::Record(record) => self.values(record.fields.values().copied()),
            DefinedType::Variant(variant) => self.values(variant.cases.values().copied().flatten()),
            DefinedType::List(ty)
            | DefinedType::FixedSizeList(ty, _)
            | DefinedType::Option(ty)
            | DefinedType::Alias(ty) => self.values([*ty]),
            DefinedType::Map(key, value) => self.values([*key, *value]),
            DefinedType::Result { ok, err } => self.values([*ok, *err].into_iter().flatten()),
            DefinedType::Stream(ty) | DefinedType::Future(ty) => self.values(*ty),
            DefinedType::Flags(_) | DefinedType::Enum(_) => Ok(()),
        }
    }
}
