//! Canonical functions, with the values of their indices.

use super::evaluate::{Evaluation, FUNCTIONS, MEMORIES, Value, at};
use super::operations;
use super::types::TypeReader;
use super::{Canonical, CanonicalFunction, Function, Item, Lift, Options};
use crate::NotRewritable;
use wasmparser::component_types::{ComponentAnyTypeId, ComponentValType};
use wasmparser::{CanonicalFunction as Written, CanonicalOption};

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn canonical(&mut self, scope: usize, function: &Written) -> Result<(), NotRewritable> {
        let part = self.part(scope);
        let outline = self.outline;
        let types = outline.types(self.scopes[scope].body)?;
        let canonical = match function {
            Written::Lift { core_func_index, type_index, options } => {
                let core = at(&self.scopes[scope].core[FUNCTIONS], *core_func_index)?;
                let ComponentAnyTypeId::Func(id) = types.component_any_type_at(*type_index) else {
                    return Err(NotRewritable::new("it lifts no function"));
                };
                let ty = self.reader(scope)?.function(id)?;
                let options = self.options(scope, options)?;
                self.flat.lifts.push(Lift { part, core, ty, options });
                let lifted = Value::Function(Function::Lifted(self.flat.lifts.len() - 1));
                return self.define(scope, lifted);
            }
            Written::Lower { func_index, options } => {
                let function = at(&self.scopes[scope].functions, *func_index)?;
                let ty = self.reader(scope)?.function(types.component_function_at(*func_index))?;
                Canonical::Lower { function, ty, options: self.options(scope, options)? }
            }
            Written::ResourceNew { resource } => Canonical::ResourceNew(self.resource_at(scope, *resource)?),
            Written::ResourceRep { resource } => Canonical::ResourceRep(self.resource_at(scope, *resource)?),
            Written::ResourceDrop { resource } => {
                Canonical::ResourceDrop(self.resource_at(scope, *resource)?)
            }
            Written::TaskReturn { result, options } => {
                let result = result.map(|ty| match ty {
                    wasmparser::ComponentValType::Primitive(primitive) => {
                        ComponentValType::Primitive(primitive)
                    }
                    wasmparser::ComponentValType::Type(index) => {
                        ComponentValType::Type(types.component_defined_type_at(index))
                    }
                });
                let result = result.map(|ty| self.reader(scope)?.value(ty)).transpose()?;
                Canonical::TaskReturn { result, options: self.options(scope, options)? }
            }
            function => {
                let written = operations::read(function)?;
                let ty =
                    written.ty.map(|index| ComponentValType::Type(types.component_defined_type_at(index)));
                let ty = ty.map(|ty| self.reader(scope)?.value(ty)).transpose()?;
                let mut options = self.options(scope, written.options)?;
                if let Some(index) = written.memory {
                    options.memory = Some(at(&self.scopes[scope].core[MEMORIES], index)?);
                }
                options.asynchronous |= written.asynchronous;
                options.cancellable = written.cancellable;
                Canonical::Operation { operation: written.operation, ty, options }
            }
        };
        self.flat.canonicals.push(CanonicalFunction { part, canonical });
        let item = Item::Canonical(self.flat.canonicals.len() - 1);
        self.scopes[scope].core[FUNCTIONS].push(item);
        Ok(())
    }

    fn reader(&mut self, scope: usize) -> Result<TypeReader<'_>, NotRewritable> {
        let types = self.outline.types(self.scopes[scope].body)?;
        Ok(TypeReader { types, resources: &self.scopes[scope].resources, budget: &mut self.budget })
    }

    fn resource_at(&self, scope: usize, index: u32) -> Result<usize, NotRewritable> {
        let resource = at(&self.scopes[scope].types, index)?;
        resource.ok_or_else(|| NotRewritable::new("it uses a resource type whose origin is not known here"))
    }

    fn options(&self, scope: usize, written: &[CanonicalOption]) -> Result<Options<'a>, NotRewritable> {
        let scope = &self.scopes[scope];
        let function = |index: &u32| at(&scope.core[FUNCTIONS], *index).map(Some);
        let mut options = Options::default();
        for option in written {
            match option {
                CanonicalOption::UTF8 => {}
                CanonicalOption::Memory(index) => options.memory = Some(at(&scope.core[MEMORIES], *index)?),
                CanonicalOption::Realloc(index) => options.realloc = function(index)?,
                CanonicalOption::PostReturn(index) => options.post_return = function(index)?,
                CanonicalOption::Callback(index) => options.callback = function(index)?,
                CanonicalOption::Async => options.asynchronous = true,
                CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => {
                    return Err(NotRewritable::new("its strings are not UTF-8"));
                }
                CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                    return Err(NotRewritable::new("its values are not in a linear memory"));
                }
            }
        }
        Ok(options)
    }
}
