//! The parts of a component that run: core modules, and the final value of each of their imports.
//!
//! Between a component's core modules stand instances, aliases, canonical functions, and components that rename or
//! link. None of these exist at run time. This module evaluates them by their definitions and not by their names: the
//! result for a composition equals that for its components one by one, and a toolchain's way of wiring does not matter.
//! The result is a [`Flat`]:
//!
//! - core instances, in the order in which they are made, each with its module and the value of each of the module's
//!   imports: an export of another core instance, or a canonical function;
//! - canonical functions, each with its options, and with the function or type on which it works;
//! - lifted functions, which the component exports, or which one component in it imports from another.
//!
//! Two kinds of modules are dissolved. Where a canonical function needs the memory of the instance that imports it,
//! toolchains put a *shim* in its place, which jumps through a table, and a *fix-up* that fills the table afterwards.
//! Modules that do nothing else are known by their code; the import becomes the function itself, which is only the same
//! if no code ran before the table was filled (that is checked). Anything else that looks like it stays what it is,
//! core modules, and so does a shim that stands for a core instance that is made later than it.
//!
//! # What bounds it
//!
//! A component can instantiate another one many times, and that one a third. The evaluation has a bound
//! ([`MAX_EVALUATED`]), and so has its depth ([`MAX_NESTING`](crate::nesting::MAX_NESTING)).
//!
//! # What is refused
//!
//! Start functions of components, values, imported core modules or components, instances within imported instances,
//! threads, strings that are not UTF-8, and everything that is not listed in [`Canonical`] and [`Operation`].
//!
//! This module never judges whether the imports exist, or what they mean: its caller gets their types to compare.

mod budget;
mod evaluate;
mod flat;
mod functions;
mod operations;
mod shim;
mod types;

pub use crate::outline::{Module, ModuleExport, ModuleImport};
pub use budget::MAX_EVALUATED;
pub use flat::{
    Canonical, CanonicalFunction, CoreInstance, Export, Flat, Function, Import, ImportedInstance, Item, Lift,
    Options, Resource,
};
pub use operations::Operation;
pub use types::{FunctionType, Type};

use crate::NotRewritable;
use crate::outline::Outline;
use evaluate::Evaluation;

/// Evaluates the component in `bytes`.
///
/// # Errors
/// [`NotRewritable`], if it is not valid, or has a part that can't be separated from those that run.
pub fn flatten(bytes: &[u8]) -> Result<Flat<'_>, NotRewritable> {
    let outline = Outline::read(bytes)?;
    let mut flat = Evaluation::run(&outline)?;
    shim::dissolve(bytes, &mut flat)?;
    Ok(flat)
}
