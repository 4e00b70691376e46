//! Types of functions, in which each resource is known.

use super::budget::Budget;
use crate::NotRewritable;
use std::collections::HashMap;
use wasmparser::PrimitiveValType as Primitive;
use wasmparser::component_types::{
    AliasableResourceId, ComponentDefinedType as Defined, ComponentFuncTypeId, ComponentValType, ResourceId,
};
use wasmparser::types::TypesRef;

/// The type of a component's function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionType {
    /// Whether it is `async`.
    pub asynchronous: bool,
    /// Names and types of its parameters.
    pub params: Vec<(String, Type)>,
    /// What it returns.
    pub result: Option<Type>,
}

/// A value's type. Resources are places in [`Flat::resources`](super::Flat::resources).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`, a number, `char`, `string` or `error-context`.
    Primitive(Primitive),
    /// Named fields.
    Record(Vec<(String, Self)>),
    /// Fields without names.
    Tuple(Vec<Self>),
    /// Named cases, with what they carry.
    Variant(Vec<(String, Option<Self>)>),
    /// Named cases.
    Enum(Vec<String>),
    /// Named bits.
    Flags(Vec<String>),
    /// `option`
    Option(Box<Self>),
    /// `result`
    Result(Option<Box<Self>>, Option<Box<Self>>),
    /// `list`
    List(Box<Self>),
    /// `list` of a fixed length.
    FixedList(Box<Self>, u32),
    /// `map`
    Map(Box<Self>, Box<Self>),
    /// `own`
    Own(usize),
    /// `borrow`
    Borrow(usize),
    /// `stream`
    Stream(Option<Box<Self>>),
    /// `future`
    Future(Option<Box<Self>>),
}

/// Reads types of one component.
pub struct TypeReader<'r> {
    pub types: TypesRef<'r>,
    /// The resources that the component's types are about.
    pub resources: &'r HashMap<ResourceId, usize>,
    pub budget: &'r mut Budget,
}

impl TypeReader<'_> {
    pub fn function(&mut self, id: ComponentFuncTypeId) -> Result<FunctionType, NotRewritable> {
        let types = self.types;
        let function = &types[id];
        let params = function.params.iter().map(|(name, ty)| Ok((name.to_string(), self.value(*ty)?)));
        let params = params.collect::<Result<_, NotRewritable>>()?;
        let result = function.result.map(|ty| self.value(ty)).transpose()?;
        Ok(FunctionType { asynchronous: function.async_, params, result })
    }

    /// Types are trees here, whose size the validator bounds, and whose depth, too.
    pub fn value(&mut self, ty: ComponentValType) -> Result<Type, NotRewritable> {
        self.budget.spend(1)?;
        let types = self.types;
        let id = match ty {
            ComponentValType::Primitive(primitive) => return Ok(Type::Primitive(primitive)),
            ComponentValType::Type(id) => id,
        };
        Ok(match &types[id] {
            Defined::Primitive(primitive) => Type::Primitive(*primitive),
            Defined::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| Ok((name.to_string(), self.value(*ty)?)));
                Type::Record(fields.collect::<Result<_, NotRewritable>>()?)
            }
            Defined::Tuple(tuple) => {
                Type::Tuple(tuple.types.iter().map(|ty| self.value(*ty)).collect::<Result<_, _>>()?)
            }
            Defined::Variant(variant) => {
                let cases = variant.cases.iter();
                let cases = cases.map(|(name, case)| {
                    Ok((name.to_string(), case.ty.map(|ty| self.value(ty)).transpose()?))
                });
                Type::Variant(cases.collect::<Result<_, NotRewritable>>()?)
            }
            Defined::Enum(cases) => Type::Enum(self.names(cases.iter())?),
            Defined::Flags(flags) => Type::Flags(self.names(flags.iter())?),
            Defined::Option { ty, .. } => Type::Option(self.boxed(*ty)?),
            Defined::Result { ok, err, .. } => Type::Result(self.maybe(*ok)?, self.maybe(*err)?),
            Defined::List { element, .. } => Type::List(self.boxed(*element)?),
            Defined::FixedLengthList { element, length, .. } => {
                Type::FixedList(self.boxed(*element)?, *length)
            }
            Defined::Map { key, value, .. } => Type::Map(self.boxed(*key)?, self.boxed(*value)?),
            Defined::Own(resource) => Type::Own(self.resource(*resource)?),
            Defined::Borrow(resource) => Type::Borrow(self.resource(*resource)?),
            Defined::Stream { ty, .. } => Type::Stream(self.maybe(*ty)?),
            Defined::Future { ty, .. } => Type::Future(self.maybe(*ty)?),
        })
    }

    fn boxed(&mut self, ty: ComponentValType) -> Result<Box<Type>, NotRewritable> {
        self.value(ty).map(Box::new)
    }

    fn maybe(&mut self, ty: Option<ComponentValType>) -> Result<Option<Box<Type>>, NotRewritable> {
        ty.map(|ty| self.boxed(ty)).transpose()
    }

    fn names(
        &mut self,
        names: impl ExactSizeIterator<Item = impl ToString>,
    ) -> Result<Vec<String>, NotRewritable> {
        self.budget.spend(names.len())?;
        Ok(names.map(|name| name.to_string()).collect())
    }

    /// The resource that `id` is.
    pub fn resource(&self, id: AliasableResourceId) -> Result<usize, NotRewritable> {
        let known = self.resources.get(&id.resource()).copied();
        known.ok_or_else(|| NotRewritable::new("it uses a resource type whose origin is not known here"))
    }
}
