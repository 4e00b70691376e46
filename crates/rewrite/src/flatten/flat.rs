//! The result of evaluation.

use super::operations::Operation;
use super::types::{FunctionType, Type};
use crate::outline::Module;

/// The parts of a component that run. Indices are places in its lists.
#[derive(Clone, Debug, Default)]
pub struct Flat<'a> {
    /// The core modules that are instantiated.
    pub modules: Vec<Module<'a>>,
    /// The core instances, in the order in which they are made.
    pub instances: Vec<CoreInstance<'a>>,
    /// The canonical functions that core instances import, and those that others name.
    pub canonicals: Vec<CanonicalFunction<'a>>,
    /// The core functions that are lifted.
    pub lifts: Vec<Lift<'a>>,
    /// The component's imports.
    pub imports: Vec<Import<'a>>,
    /// The resource types that occur.
    pub resources: Vec<Resource<'a>>,
    /// The functions that the component exports.
    pub exports: Vec<Export<'a>>,
    /// The number of component instances that have core instances or canonical functions: each has a handle table of
    /// its own, and a task of one can't be entered while it is in another.
    pub parts: usize,
}

/// A core module, instantiated.
#[derive(Clone, Debug)]
pub struct CoreInstance<'a> {
    /// The component instance that it belongs to, below [`Flat::parts`].
    pub part: usize,
    /// Its module, in [`Flat::modules`].
    pub module: usize,
    /// The value of each import of the module, in order.
    pub imports: Vec<Item<'a>>,
}

/// The value of a core import, or of an option of a canonical function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item<'a> {
    /// A canonical function, in [`Flat::canonicals`].
    Canonical(usize),
    /// A definition that a core instance exports.
    Export {
        /// The instance, in [`Flat::instances`].
        instance: usize,
        /// The export's name.
        name: &'a str,
    },
}

/// A canonical function, and the component instance on whose handles it works.
#[derive(Clone, Debug)]
pub struct CanonicalFunction<'a> {
    /// The component instance that it belongs to.
    pub part: usize,
    /// The function.
    pub canonical: Canonical<'a>,
}

/// The effect of a canonical function.
#[derive(Clone, Debug)]
pub enum Canonical<'a> {
    /// Calls a function of a component.
    Lower {
        /// The function.
        function: Function,
        /// The function's type, as the caller knows it.
        ty: FunctionType,
        /// The options.
        options: Options<'a>,
    },
    /// `resource.new` of a type, in [`Flat::resources`].
    ResourceNew(usize),
    /// `resource.rep`.
    ResourceRep(usize),
    /// `resource.drop`.
    ResourceDrop(usize),
    /// `task.return`.
    TaskReturn {
        /// What is returned.
        result: Option<Type>,
        /// The options.
        options: Options<'a>,
    },
    /// Tasks, streams, futures and sets of them.
    Operation {
        /// The operation.
        operation: Operation,
        /// The stream or future on which it works.
        ty: Option<Type>,
        /// The options.
        options: Options<'a>,
    },
}

/// A function of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// An imported one, in [`Flat::imports`].
    Imported(usize),
    /// A lifted one, in [`Flat::lifts`].
    Lifted(usize),
}

/// A core function that is lifted.
#[derive(Clone, Debug)]
pub struct Lift<'a> {
    /// The component instance that it belongs to.
    pub part: usize,
    /// The core function.
    pub core: Item<'a>,
    /// The type that it is lifted to.
    pub ty: FunctionType,
    /// The options.
    pub options: Options<'a>,
}

/// The options of a canonical function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// The memory of its values.
    pub memory: Option<Item<'a>>,
    /// The allocator in it.
    pub realloc: Option<Item<'a>>,
    /// The function that is called after the result was read.
    pub post_return: Option<Item<'a>>,
    /// The function that continues a task.
    pub callback: Option<Item<'a>>,
    /// Whether it is lifted, lowered or called asynchronously.
    pub asynchronous: bool,
    /// Whether a wait may end with the task's cancellation.
    pub cancellable: bool,
}

/// An import of the outermost component: an interface's function, or one that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Import<'a> {
    /// The instance that has it; `None` for a function that stands alone.
    pub instance: Option<ImportedInstance<'a>>,
    /// Its name.
    pub name: &'a str,
}

/// An imported instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImportedInstance<'a> {
    /// Its name, which is mostly its interface's.
    pub name: &'a str,
    /// The interface, where the name is another one.
    pub implements: Option<&'a str>,
}

impl<'a> ImportedInstance<'a> {
    /// The interface's name.
    pub fn interface(self) -> &'a str {
        self.implements.unwrap_or(self.name)
    }
}

/// A resource type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A resource of the host. If several instances export it, it is that of the first one.
    Imported {
        /// The instance that has it; `None` for a type that is imported alone.
        instance: Option<ImportedInstance<'a>>,
        /// Its name.
        name: String,
    },
    /// A resource of a component.
    Defined {
        /// The component instance that it belongs to.
        part: usize,
        /// The core function that destroys a resource.
        destructor: Option<Item<'a>>,
    },
}

/// A function that the component exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export<'a> {
    /// The exported instance that has it; `None` for a function that stands alone.
    pub instance: Option<&'a str>,
    /// Its name.
    pub name: String,
    /// The function.
    pub function: Function,
}

impl<'a> Flat<'a> {
    /// All items that are named, to be replaced.
    pub(super) fn items(&mut self) -> impl Iterator<Item = &mut Item<'a>> {
        let imports = self.instances.iter_mut().flat_map(|instance| &mut instance.imports);
        let canonicals = self.canonicals.iter_mut().flat_map(|function| match &mut function.canonical {
            Canonical::Lower { options, .. }
            | Canonical::TaskReturn { options, .. }
            | Canonical::Operation { options, .. } => Some(options.items()).into_iter().flatten(),
            _ => None.into_iter().flatten(),
        });
        let lifts = self
            .lifts
            .iter_mut()
            .flat_map(|lift| std::iter::once(&mut lift.core).chain(lift.options.items()));
        let destructors = self.resources.iter_mut().filter_map(|resource| match resource {
            Resource::Defined { destructor, .. } => destructor.as_mut(),
            Resource::Imported { .. } => None,
        });
        imports.chain(canonicals).chain(lifts).chain(destructors)
    }
}

impl<'a> Options<'a> {
    fn items(&mut self) -> impl Iterator<Item = &mut Item<'a>> {
        let items = [&mut self.memory, &mut self.realloc, &mut self.post_return, &mut self.callback];
        items.into_iter().flatten()
    }
}
