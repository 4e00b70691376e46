//! A component as what runs of it: core modules, and what each import of theirs finally is.
//!
//! Between a component's core modules stand instances, aliases, canonical functions, and components that rename or
//! link. None of that is there at run time. It is evaluated here, by its definitions and not by its names: a
//! composition becomes the same as its components one by one, and a toolchain's way of wiring does not matter. What is
//! left is a [`Flat`]:
//!
//! - core instances, in the order in which they are made, each with its module and what each of the module's imports
//!   is: an export of another core instance, or a canonical function;
//! - canonical functions, each with its options, and with the function or type that it is about;
//! - what is lifted, which is what the component exports, or what one component in it imports of another.
//!
//! Two kinds of modules are dissolved. Where a canonical function needs the memory of the instance that imports it,
//! toolchains put a *shim* in its place, which jumps through a table, and a *fix-up* that fills the table afterwards.
//! Modules that do nothing else are known by their code; the import becomes the function itself, which is only the same
//! if no code ran before the table was filled (that is checked). Anything else that looks like it stays what it is,
//! core modules, and so does a shim that stands for a core instance that is made later than it.
//!
//! # What bounds it
//!
//! A component can instantiate another one many times, and that one another: what is evaluated has a bound
//! ([`MAX_EVALUATED`]), and so has its depth ([`MAX_NESTING`](crate::nesting::MAX_NESTING)).
//!
//! # What is refused
//!
//! Start functions of components, values, core modules or components that are imported, instances within imported
//! instances, threads, strings that are not UTF-8, and whatever else is not listed in [`Canonical`] and [`Operation`].
//!
//! It never judges whether the imports exist, or what they mean: that is the business of its caller, who gets their
//! types to compare.

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
/// [`NotRewritable`], if it is not valid, or has something that can't be told apart from what runs.
pub fn flatten(bytes: &[u8]) -> Result<Flat<'_>, NotRewritable> {
    let outline = Outline::read(bytes)?;
    let mut flat = Evaluation::run(&outline)?;
    shim::dissolve(bytes, &mut flat)?;
    Ok(flat)
}
