//! The component with its async lift replaced: everything else is copied.
//!
//! Sections are taken over one by one. Where a replaced function stood, nothing is written; before the first section
//! that uses it come the function that it wraps, the module that wraps it, an instance of that, and the replacement.
//! Indices after that are moved up.

use super::analyse::{Watched, Wiring};
use super::glue::{self, Glue, watched_name};
use crate::NotRewritable;
use crate::moved::{Given, Moved, instantiate};
use crate::section::copy_section;
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption as Option_, Component, ComponentAliasSection,
    ExportKind, InstanceSection, Module,
};
use wasmparser::{
    CanonicalFunction as Canonical, CanonicalOption, ComponentAlias, ExternalKind, Parser, Payload,
};

/// Rewrites the component in `bytes`, whose parts are `wiring`.
///
/// # Errors
/// [`NotRewritable`] if its sections come in an order that is not known here.
pub fn rewrite(bytes: &[u8], wiring: &Wiring) -> Result<Vec<u8>, NotRewritable> {
    let mut rewriter = Rewriter::new(wiring);
    let mut component = Component::new();
    rewriter.parse_component(&mut component, Parser::new(0), bytes).map_err(|error| match error {
        Error::UserError(refusal) => refusal,
        Error::ParseError(error) => error.into(),
        other => NotRewritable::new(format!("it can't be encoded again: {other}")),
    })?;
    if !rewriter.lifted {
        return Err(NotRewritable::new("its parts come in an order that is not known here"));
    }
    Ok(component.finish())
}

struct Rewriter<'a> {
    wiring: &'a Wiring,
    functions: Moved,
    modules: Moved,
    instances: Moved,
    /// Replaced functions that are still to be defined, by their old indices.
    pending: Vec<(u32, Canonical)>,
    /// The instance that has the counters.
    counters: Option<u32>,
    /// The glue's export.
    handle: Option<u32>,
    lifted: bool,
}

impl<'a> Rewriter<'a> {
    fn new(wiring: &'a Wiring) -> Self {
        Self {
            wiring,
            functions: Moved::default(),
            modules: Moved::default(),
            instances: Moved::default(),
            pending: Vec::new(),
            counters: None,
            handle: None,
            lifted: false,
        }
    }

    fn watched(&self, index: u32) -> Option<Watched> {
        self.wiring.watched.iter().find(|(known, _)| *known == index).map(|(_, kind)| *kind)
    }

    fn is_replaced(&self, index: u32) -> bool {
        index == self.wiring.task_return
            || self.wiring.lower.is_some_and(|(lower, _)| lower == index)
            || self.watched(index).is_some()
    }

    /// The options of a sync lift or lower, without what belongs to the async form.
    fn options(
        &self,
        options: &[CanonicalOption],
        asynchronous: bool,
    ) -> Result<Vec<Option_>, NotRewritable> {
        let mut kept = Vec::new();
        for option in options {
            match option {
                CanonicalOption::UTF8 => kept.push(Option_::UTF8),
                CanonicalOption::Memory(memory) => kept.push(Option_::Memory(*memory)),
                CanonicalOption::Realloc(function) => kept.push(Option_::Realloc(self.function(*function)?)),
                CanonicalOption::Async if asynchronous => kept.push(Option_::Async),
                CanonicalOption::Async | CanonicalOption::Callback(_) => {}
                _ => return Err(NotRewritable::new("it has options that are not known here")),
            }
        }
        Ok(kept)
    }

    fn function(&self, index: u32) -> Result<u32, NotRewritable> {
        let place = self.functions.get(index);
        place.ok_or_else(|| NotRewritable::new("its parts come in an order that is not known here"))
    }

    fn canonicals(
        &mut self,
        component: &mut Component,
        section: wasmparser::ComponentCanonicalSectionReader<'_>,
    ) -> Result<(), Error<NotRewritable>> {
        let mut kept = CanonicalFunctionSection::new();
        for function in section {
            let function = function?;
            if let Canonical::Lift { core_func_index, .. } = &function
                && self.wiring.plain.contains(core_func_index)
            {
                self.parse_component_canonical(&mut kept, function)?;
                continue;
            }
            if let Canonical::Lift { type_index, options, .. } = &function {
                let handle = self.handle.ok_or_else(|| NotRewritable::new("it exports what is not made yet"));
                let handle = handle.map_err(Error::UserError)?;
                let options = self.options(options, false).map_err(Error::UserError)?;
                kept.lift(handle, *type_index, options);
                self.lifted = true;
                continue;
            }
            let index = self.functions.next();
            if self.is_replaced(index) {
                self.functions.withhold();
                self.pending.push((index, function));
            } else {
                self.parse_component_canonical(&mut kept, function)?;
                self.functions.keep();
            }
        }
        if !kept.is_empty() {
            component.section(&kept);
        }
        Ok(())
    }

    /// Defines what is pending, before something uses it.
    fn settle(&mut self, component: &mut Component) -> Result<(), NotRewritable> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let has = |wanted: u32| pending.iter().any(|(index, _)| *index == wanted);
        let lower = self.wiring.lower.map(|(lower, _)| lower);
        match (has(self.wiring.task_return), lower.is_none_or(has), lower.is_some_and(has)) {
            (true, true, _) => self.glue(component, pending),
            (false, _, false) => self.count(component, &pending),
            _ => Err(NotRewritable::new("its parts come in an order that is not known here")),
        }
    }

    /// Defines `pending`, all of them watched, by a module of counters.
    fn count(
        &mut self,
        component: &mut Component,
        pending: &[(u32, Canonical)],
    ) -> Result<(), NotRewritable> {
        let mut canonicals = CanonicalFunctionSection::new();
        let (kinds, given) = self.watch(&mut canonicals, pending)?;
        if !canonicals.is_empty() {
            component.section(&canonicals);
        }
        let first = self.counters;
        let module = glue::counters(&kinds, &self.wiring.slots, first.is_some());
        let instance = self.instantiate(component, &module, &given, first);
        self.counters = first.or(Some(instance));
        let mut aliases = ComponentAliasSection::new();
        for (place, (old, _)) in pending.iter().enumerate() {
            self.replace(&mut aliases, instance, &watched_name(place), *old);
        }
        component.section(&aliases);
        Ok(())
    }

    /// Defines the functions that watched ones wrap.
    fn watch(
        &mut self,
        canonicals: &mut CanonicalFunctionSection,
        watched: &[(u32, Canonical)],
    ) -> Result<(Vec<Watched>, Given), NotRewritable> {
        let (mut kinds, mut given) = (Vec::new(), Vec::new());
        for (place, (old, function)) in watched.iter().enumerate() {
            let kind = self.watched(*old);
            kinds.extend(kind);
            if kind.is_some_and(|kind| !kind.wraps()) {
                continue;
            }
            self.parse_component_canonical(canonicals, function.clone())
                .map_err(|error| NotRewritable::new(format!("it can't be encoded again: {error}")))?;
            given.push((watched_name(place), ExportKind::Func, self.functions.add()));
        }
        Ok((kinds, given))
    }

    /// Defines `pending`, the answer and the next stage among them, by the glue.
    fn glue(
        &mut self,
        component: &mut Component,
        pending: Vec<(u32, Canonical)>,
    ) -> Result<(), NotRewritable> {
        let wiring = self.wiring;
        let (watched, others): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|(index, _)| self.watched(*index).is_some());
        let mut given = self.guest_exports(component)?;
        let mut canonicals = CanonicalFunctionSection::new();
        let (kinds, watched_given) = self.watch(&mut canonicals, &watched)?;
        given.extend(watched_given);
        let mut add = |name: &str, functions: &mut Moved| {
            given.push((name.to_owned(), ExportKind::Func, functions.add()));
        };
        canonicals.waitable_set_wait(false, wiring.memory);
        add("waitable-set.wait", &mut self.functions);
        canonicals.waitable_set_poll(false, wiring.memory);
        add("waitable-set.poll", &mut self.functions);
        canonicals.thread_yield(false);
        add("thread.yield", &mut self.functions);
        for (_, function) in &others {
            let Canonical::Lower { func_index, options } = function else { continue };
            canonicals.lower(*func_index, self.options(options, false)?);
            add("next", &mut self.functions);
            canonicals.lower(*func_index, self.options(options, true)?);
            add("next-async", &mut self.functions);
        }
        component.section(&canonicals);
        given.push(("memory".to_owned(), ExportKind::Memory, wiring.memory));
        given.push(("realloc".to_owned(), ExportKind::Func, self.function(wiring.realloc)?));

        let glue = Glue {
            result: &wiring.result,
            slots: &wiring.slots,
            watched: &kinds,
            counted: self.counters.is_some(),
            lowers: wiring.lower.is_some(),
        };
        let instance = self.instantiate(component, &glue.module(), &given, self.counters);
        let mut aliases = ComponentAliasSection::new();
        for (place, (old, _)) in watched.iter().enumerate() {
            self.replace(&mut aliases, instance, &watched_name(place), *old);
        }
        self.replace(&mut aliases, instance, "task-return", wiring.task_return);
        if let Some((lower, _)) = wiring.lower {
            self.replace(&mut aliases, instance, "next", lower);
        }
        aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name: "handle" });
        self.handle = Some(self.functions.add());
        component.section(&aliases);
        Ok(())
    }

    /// The guest's entry and callback, which the original names only later.
    fn guest_exports(&mut self, component: &mut Component) -> Result<Given, NotRewritable> {
        let mut aliases = ComponentAliasSection::new();
        let mut given = Vec::new();
        for (name, (instance, export)) in [("entry", &self.wiring.entry), ("callback", &self.wiring.callback)]
        {
            let instance = self.instances.get(*instance);
            let instance = instance
                .ok_or_else(|| NotRewritable::new("its parts come in an order that is not known here"))?;
            aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name: export });
            given.push((name.to_owned(), ExportKind::Func, self.functions.add()));
        }
        component.section(&aliases);
        Ok(given)
    }

    fn instantiate(
        &mut self,
        component: &mut Component,
        module: &Module,
        given: &Given,
        counters: Option<u32>,
    ) -> u32 {
        instantiate(component, module, given, counters, &mut self.modules, &mut self.instances)
    }

    /// Puts an export of `instance` in the place of the old function `old`.
    fn replace(&mut self, aliases: &mut ComponentAliasSection, instance: u32, name: &str, old: u32) {
        aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name });
        let new = self.functions.add();
        self.functions.put(old, new);
    }
}

impl Reencode for Rewriter<'_> {
    type Error = NotRewritable;

    fn function_index(&mut self, index: u32) -> Result<u32, Error<NotRewritable>> {
        self.function(index).map_err(Error::UserError)
    }
}

impl ReencodeComponent for Rewriter<'_> {
    fn module_index(&mut self, index: u32) -> u32 {
        self.modules.get(index).unwrap_or(u32::MAX)
    }

    fn instance_index(&mut self, index: u32) -> u32 {
        self.instances.get(index).unwrap_or(u32::MAX)
    }

    fn parse_component_payload(
        &mut self,
        component: &mut Component,
        payload: Payload<'_>,
        whole: &[u8],
    ) -> Result<(), Error<NotRewritable>> {
        match payload {
            Payload::ModuleSection { .. } => {
                copy_section(&payload, whole, component);
                self.modules.keep();
                Ok(())
            }
            Payload::ComponentSection { .. } => {
                copy_section(&payload, whole, component);
                Ok(())
            }
            Payload::ComponentCanonicalSection(section) => self.canonicals(component, section),
            Payload::ComponentAliasSection(section) => {
                let mut aliases = ComponentAliasSection::new();
                for alias in section {
                    let alias = alias?;
                    let is_function = matches!(
                        alias,
                        ComponentAlias::CoreInstanceExport {
                            kind: ExternalKind::Func | ExternalKind::FuncExact,
                            ..
                        }
                    );
                    aliases.alias(self.component_alias(alias)?);
                    if is_function {
                        self.functions.keep();
                    }
                }
                component.section(&aliases);
                Ok(())
            }
            Payload::InstanceSection(section) => {
                self.settle(component).map_err(Error::UserError)?;
                let mut instances = InstanceSection::new();
                for instance in section {
                    self.parse_instance(&mut instances, instance?)?;
                    self.instances.keep();
                }
                component.section(&instances);
                Ok(())
            }
            // Names of what was moved.
            Payload::CustomSection(section) if section.name() == "component-name" => Ok(()),
            payload => wasm_encoder::reencode::component_utils::parse_component_payload(
                self, component, payload, whole,
            ),
        }
    }
}
