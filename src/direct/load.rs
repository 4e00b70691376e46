//! Which components are on the list.
//!
//! A component that is not gets a reason ([`NotDirect`]), and its segment keeps the component form. What is compared is
//! the type of each function that it imports, letter by letter, and how it is lowered; not only its name.

use super::callbacks;
use super::calls;
use super::functions;
use super::signature;
use super::waiting::ASYNC;
use crate::component::flatten::{self, Canonical, Flat, Function, Item, Operation, Options, Resource};
use crate::component::{Component, Interface, NotRewritable};
use std::borrow::Borrow;

/// Why a component is not on the list, in words that follow its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotDirect(String);

impl NotDirect {
    /// For `reason`.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<NotRewritable> for NotDirect {
    fn from(reason: NotRewritable) -> Self {
        Self(reason.to_string())
    }
}

/// What is known of a component once it is read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its core modules.
    pub(super) modules: Vec<Vec<u8>>,
    /// Its core instances: each with its place among the modules, and what its imports are.
    pub(super) instances: Vec<(usize, Vec<Import>)>,
    /// The functions of the host that it imports, by their places in the list.
    pub(super) functions: Vec<usize>,
    /// Whether it calls a next stage.
    pub passes_on: bool,
    /// Whether it calls something else that it may have to wait for.
    pub(super) waits: bool,
    /// The names of its own under which it imports handlers.
    pub named: Vec<String>,
    pub(super) memory: Place,
    pub(super) handle: Place,
    pub(super) post_return: Option<Place>,
    /// If `handle` is lifted asynchronously: what continues its task.
    pub(super) callback: Option<Place>,
    pub(super) realloc: Option<Place>,
}

/// What a core instance exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub instance: usize,
    pub name: String,
}

/// What a core import is.
#[derive(Clone, Debug)]
pub(super) enum Import {
    /// The next stage's `handle`.
    Next,
    /// That of a handler with a name of the stage's own.
    Named(usize),
    /// A function of the list.
    Host(usize),
    /// Another instance's.
    Export(Place),
}

/// Reads `component`.
///
/// # Errors
/// Why it is not on the list.
pub fn read(component: &Component) -> Result<Reading, NotDirect> {
    // What is not on it for its outline, as many components are not, is not looked into.
    for import in component.shape.imports.iter().filter(|import| import.calls) {
        let known = |interface: &Interface| {
            let name = format!("{}/{}#", interface.package, interface.name);
            HANDLE.starts_with(&name) || functions::list().iter().any(|it| it.name.starts_with(&name))
        };
        if !import.interface.as_ref().is_some_and(known) {
            return Err(NotDirect::new(format!("`{}` is not on the list", import.name)));
        }
    }
    read_bytes(&component.bytes)
}

fn read_bytes(bytes: &[u8]) -> Result<Reading, NotDirect> {
    let flat = flatten::flatten(bytes)?;
    if flat.parts != 1 {
        return Err(NotDirect::new("it is composed of several components"));
    }
    if flat.instances.iter().any(|instance| flat.modules[instance.module].starts) {
        return Err(NotDirect::new("code of it runs when it is instantiated"));
    }
    let lift = &flat.lifts[handler(&flat)?];
    let callback = own(lift.options.callback)?;
    if lift.options.asynchronous && callback.is_none() {
        return Err(NotDirect::new("it is lifted asynchronously, without a callback"));
    }
    if signature::of(&flat, &lift.ty) != signature::HANDLE {
        return Err(NotDirect::new("its `handle` is not that of `wasi:http/handler`"));
    }
    let memory = own(lift.options.memory)?.ok_or_else(|| NotDirect::new("it has no memory"))?;
    let handle = own(Some(lift.core))?.ok_or_else(|| NotDirect::new("it lifts nothing"))?;
    let mut read = Reading {
        modules: flat
            .modules
            .iter()
            .map(|module| bytes.get(module.bytes.clone()).unwrap_or_default().to_vec())
            .collect(),
        instances: Vec::new(),
        functions: Vec::new(),
        passes_on: false,
        waits: false,
        named: Vec::new(),
        memory,
        handle,
        post_return: own(lift.options.post_return)?,
        callback,
        realloc: None,
    };
    for instance in &flat.instances {
        let mut imports = Vec::new();
        for import in &instance.imports {
            imports.push(match import {
                Item::Canonical(canonical) => {
                    let canonical = &flat.canonicals[*canonical].canonical;
                    let (name, options) = resolve(&flat, canonical, read.callback.is_some())?;
                    if let Some(options) = options {
                        read.check(options)?;
                    }
                    read.import(&name)?
                }
                Item::Export { instance, name } => {
                    Import::Export(Place { instance: *instance, name: (*name).to_owned() })
                }
            });
        }
        read.instances.push((instance.module, imports));
    }
    Ok(read)
}

/// Whether stages like these may stand in this order: behind one that goes on while the next one works, none may hold the
/// fiber on which both run, which one that is lifted synchronously does while it waits. It never waits if all stages behind it
/// are lifted like it, none of them waits for something else, and the last of them is a service.
///
/// # Errors
/// The place of a stage that may not stand there, and why.
pub fn order(stages: &[impl Borrow<Reading>]) -> Result<(), (usize, NotDirect)> {
    let stages: Vec<&Reading> = stages.iter().map(Borrow::borrow).collect();
    let goes_on = |stage: &&Reading| stage.callback.is_some() && stage.passes_on;
    let Some(first) = stages.iter().position(goes_on) else { return Ok(()) };
    let behind = || stages.iter().enumerate().skip(first + 1);
    let Some((at, _)) = behind().find(|(_, stage)| stage.callback.is_none()) else { return Ok(()) };
    let may_wait = stages[at..].iter().any(|stage| stage.callback.is_some() || stage.waits)
        || stages.last().is_some_and(|last| last.passes_on);
    match may_wait {
        true => Err((at, NotDirect::new("it may wait in a call of a stage that is lifted asynchronously"))),
        false => Ok(()),
    }
}

impl Reading {
    /// All functions work in one memory, with one allocator.
    fn check(&mut self, options: &Options<'_>) -> Result<(), NotDirect> {
        let memory = own(options.memory)?;
        if memory.is_some_and(|memory| memory != self.memory) {
            return Err(NotDirect::new("it has several memories"));
        }
        let Some(realloc) = own(options.realloc)? else { return Ok(()) };
        match &self.realloc {
            Some(known) if *known != realloc => Err(NotDirect::new("it has several allocators")),
            _ => {
                self.realloc = Some(realloc);
                Ok(())
            }
        }
    }

    /// What an import of the function `name` of the list is.
    fn import(&mut self, name: &str) -> Result<Import, NotDirect> {
        let mut of_tasks = callbacks::FUNCTIONS.iter().chain(calls::FUNCTIONS);
        let mut of_tasks = || of_tasks.any(|function| function.name == name);
        if self.callback.is_none() && of_tasks() {
            return Err(NotDirect::new(format!("it uses `{name}`, and is lifted synchronously")));
        }
        if name == HANDLE {
            self.passes_on = true;
            return Ok(Import::Next);
        }
        if let Some(name) = name.strip_prefix(NAMED) {
            self.waits = true;
            let known = self.named.iter().position(|known| known == name);
            return Ok(Import::Named(known.unwrap_or_else(|| {
                self.named.push(name.to_owned());
                self.named.len() - 1
            })));
        }
        let index = functions::list().iter().position(|function| function.name == name);
        let index = index.ok_or_else(|| NotDirect::new(format!("`{name}` is not on the list")))?;
        self.waits |= functions::waits(name);
        if !self.functions.contains(&index) {
            self.functions.push(index);
        }
        Ok(Import::Host(index))
    }
}

/// What a core instance of the component exports, which `item` is, if it is there.
fn own(item: Option<Item<'_>>) -> Result<Option<Place>, NotDirect> {
    match item {
        Some(Item::Export { instance, name }) => Ok(Some(Place { instance, name: name.to_owned() })),
        None => Ok(None),
        Some(Item::Canonical(_)) => Err(NotDirect::new("an option of it is a canonical function")),
    }
}

/// What the component lifts as `wasi:http/handler`. What else it may export is for the component form, which proves a
/// segment.
fn handler(flat: &Flat<'_>) -> Result<usize, NotDirect> {
    let mut found = None;
    for export in &flat.exports {
        let interface = export.instance.and_then(Interface::parse);
        let is = |package, name| interface.as_ref().is_some_and(|it: &Interface| it.is(package, name));
        match export.function {
            Function::Lifted(lift) if is("wasi:http", "handler") && export.name == "handle" => {
                found = Some(lift);
            }
            _ if is("linkspan:config", "check") => {}
            _ => return Err(NotDirect::new("it exports something else than `wasi:http/handler`")),
        }
    }
    found.ok_or_else(|| NotDirect::new("it exports no `wasi:http/handler`"))
}

const HANDLE: &str = "wasi:http/handler#handle";

/// What stands in front of the name of a handler that has one of the stage's own.
const NAMED: &str = "next ";

/// The type of the function `name` of the list.
fn expected(name: &str) -> Result<&'static str, NotDirect> {
    let host = || functions::list().into_iter().find(|function| function.name == name);
    match name {
        HANDLE => Ok(signature::HANDLE),
        _ => host().map(|it| it.ty).ok_or_else(|| NotDirect::new(format!("`{name}` is not on the list"))),
    }
}

/// What a canonical function is called on the list. A stage that is lifted asynchronously calls the next one so, and no other.
fn resolve<'f, 'a>(
    flat: &'f Flat<'a>,
    canonical: &'f Canonical<'a>,
    has_tasks: bool,
) -> Result<(String, Option<&'f Options<'a>>), NotDirect> {
    match canonical {
        Canonical::ResourceDrop(resource) => match &flat.resources[*resource] {
            Resource::Imported { instance: Some(instance), name }
                if signature::without_version(instance.interface()) == "wasi:http/types" =>
            {
                Ok((format!("drop {name}"), None))
            }
            _ => Err(NotDirect::new("it has resources of its own")),
        },
        Canonical::Lower { function: Function::Imported(import), ty, options } => {
            let import = flat.imports[*import];
            let Some(instance) = import.instance else {
                return Err(NotDirect::new(format!("`{}` belongs to no interface", import.name)));
            };
            let name = format!("{}#{}", signature::without_version(instance.interface()), import.name);
            if instance.implements.is_some() && name != HANDLE {
                return Err(NotDirect::new(format!("it imports `{name}` under another name")));
            }
            let expected = expected(&name)?;
            let waits = functions::waits(&name);
            if options.asynchronous != (has_tasks && (waits || name == HANDLE)) {
                return Err(NotDirect::new(match options.asynchronous {
                    true => format!("it calls `{name}` asynchronously"),
                    false => format!("it is lifted asynchronously, and calls `{name}` synchronously"),
                }));
            }
            let actual = signature::of(flat, ty);
            if actual != expected {
                return Err(NotDirect::new(format!("its `{name}` has another type than the host's")));
            }
            let name = match instance.implements {
                Some(_) => format!("{NAMED}{}", instance.name),
                None if waits && options.asynchronous => name + ASYNC,
                None => name,
            };
            Ok((name, Some(options)))
        }
        Canonical::TaskReturn { result, options } => {
            let result = result.as_ref().map(|ty| signature::of_type(flat, ty));
            if result.as_deref() != Some(signature::ANSWER) {
                return Err(NotDirect::new("a task of it returns something else than a response"));
            }
            Ok(("task.return".to_owned(), Some(options)))
        }
        Canonical::Operation { operation, ty, options } => {
            let text = ty.as_ref().map(|ty| signature::of_type(flat, ty));
            match canonical_name(*operation, text.as_deref(), options) {
                Some(name) => Ok((name, Some(options))),
                None => Err(NotDirect::new(format!("it uses tasks, streams or futures ({operation:?})"))),
            }
        }
        _ => Err(NotDirect::new("it uses a canonical function that is not on the list")),
    }
}

/// The name on the list of an operation on tasks, streams or futures, where it is there. No stage may wait in one, but where
/// it cancels a subtask.
fn canonical_name(operation: Operation, ty: Option<&str>, options: &Options<'_>) -> Option<String> {
    use Operation as O;
    let (function, waits) = match operation {
        O::TaskCancel => return Some("task.cancel".to_owned()),
        O::SubtaskDrop => return Some("subtask.drop".to_owned()),
        O::SubtaskCancel if options.asynchronous => return Some("subtask.cancel async".to_owned()),
        O::SubtaskCancel => return Some("subtask.cancel".to_owned()),
        O::ContextGet(0) => return Some("context.get".to_owned()),
        O::ContextSet(0) => return Some("context.set".to_owned()),
        O::WaitableSetNew => return Some("waitable-set.new".to_owned()),
        O::WaitableSetPoll if !options.cancellable => return Some("waitable-set.poll".to_owned()),
        O::WaitableSetDrop => return Some("waitable-set.drop".to_owned()),
        O::WaitableJoin => return Some("waitable.join".to_owned()),
        O::StreamNew | O::FutureNew => ("new", false),
        O::StreamRead | O::FutureRead => ("read", true),
        O::StreamWrite | O::FutureWrite => ("write", true),
        O::StreamCancelRead | O::FutureCancelRead if options.asynchronous => ("cancel-read async", true),
        O::StreamCancelWrite | O::FutureCancelWrite if options.asynchronous => ("cancel-write async", true),
        O::StreamCancelRead | O::FutureCancelRead => ("cancel-read", false),
        O::StreamCancelWrite | O::FutureCancelWrite => ("cancel-write", false),
        O::StreamDropReadable | O::FutureDropReadable => ("drop-readable", false),
        O::StreamDropWritable | O::FutureDropWritable => ("drop-writable", false),
        _ => return None,
    };
    let kind = match ty? {
        signature::STREAM => "stream",
        signature::UNITS => "units",
        signature::TRAILERS => "trailers",
        signature::RECEIPT => "receipt",
        _ => return None,
    };
    (options.asynchronous == waits).then(|| format!("{kind}.{function}"))
}
