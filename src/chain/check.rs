//! Whether a component may stand at a stage: the last word before composing.
//!
//! Everything wrong is told, at the place in the TOML, with a next step. What
//! passes here composes and links; the few things that only the composer or the
//! compiler can find are told by them.

use crate::component::{Component, Entry, Interface, Role};
use crate::config::Diagnostics;
use crate::host::catalog::{Grant, HANDLER, OFFERS, Offer};
use crate::plan::Stage;

/// The place of a stage in its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In front of another stage.
    Middleware,
    /// At the end.
    Service,
}

/// Checks that `component` can stand where `stage` does, with the grants that the
/// stage has, and adds what is wrong to `diagnostics`.
pub fn check_stage(stage: &Stage, position: Position, component: &Component, diagnostics: &mut Diagnostics) {
    check_role(stage, position, component, diagnostics);
    let mut missing: Vec<(Grant, &str)> = Vec::new();
    for import in &component.shape.imports {
        let Some(interface) = &import.interface else {
            unknown_import(stage, &import.name, None, diagnostics);
            continue;
        };
        if interface.is(HANDLER.0, HANDLER.1) {
            continue;
        }
        match Offer::find(interface) {
            None => unknown_import(stage, &import.name, Some(interface), diagnostics),
            // Types alone do nothing.
            Some(offer) if import.calls && offer.is_refused(&stage.grants) => {
                missing.push((offer.grant, &import.name));
            }
            Some(_) => {}
        }
    }
    missing_grants(stage, &missing, diagnostics);
}

fn check_role(stage: &Stage, position: Position, component: &Component, diagnostics: &mut Diagnostics) {
    let name = &stage.id.component;
    let shape = &component.shape;
    if let Some(Entry::Handler(export)) = shape.entry()
        && Interface::parse(export).is_some_and(|interface| interface.track() != "0.3")
    {
        diagnostics
            .error(stage.component_span, format!("component `{name}` exports `{export}`"))
            .label("linkspan links `wasi:http/handler@0.3.x`")
            .help("rebuild the component against the released WASI 0.3");
        return;
    }
    match (position, shape.role()) {
        (Position::Middleware, Role::Middleware) | (Position::Service, Role::Service) => {}
        (_, Role::None) => {
            diagnostics
                .error(stage.component_span, format!("component `{name}` exports no `wasi:http/handler`"))
                .label("not a stage")
                .help(
                    "a stage has the world `wasi:http/middleware` or `wasi:http/service`, or, at the end, \
                     `wasi:http/proxy` of WASI 0.2; `linkspan inspect` shows what a component exports",
                );
        }
        (Position::Middleware, Role::Service) => {
            diagnostics
                .error(stage.component_span, format!("component `{name}` is a service, not a middleware"))
                .label("it never calls the next stage")
                .help("a service stands at the end: name it in `service`");
        }
        (Position::Service, Role::Middleware) => {
            diagnostics
                .error(stage.component_span, format!("component `{name}` is a middleware, not a service"))
                .label("it calls a next stage, and there is none after it")
                .help("name it in `stages`, and end the pipeline with a service");
        }
    }
}

fn unknown_import(stage: &Stage, name: &str, interface: Option<&Interface>, diagnostics: &mut Diagnostics) {
    let versions: Vec<_> = OFFERS
        .iter()
        .filter(|offer| interface.is_some_and(|interface| interface.is(offer.package, offer.name)))
        .map(|offer| offer.track)
        .collect();
    let help = match interface {
        None => "a stage imports interfaces, under their own names".to_owned(),
        Some(_) if versions.is_empty() => {
            "`linkspan inspect` lists what a component imports and which grants it needs".to_owned()
        }
        Some(Interface { package, name, .. }) => {
            format!("linkspan has `{package}/{name}` of version {}", versions.join(" and "))
        }
    };
    diagnostics
        .error(
            stage.component_span,
            format!("component `{}` imports `{name}`, which linkspan does not offer", stage.id.component),
        )
        .label("can't be linked")
        .help(help);
}

/// One diagnostic for each grant that is missing, whatever number of imports need
/// it.
fn missing_grants(stage: &Stage, missing: &[(Grant, &str)], diagnostics: &mut Diagnostics) {
    for (at, (grant, first)) in missing.iter().enumerate() {
        if missing[..at].iter().any(|(earlier, _)| earlier == grant) {
            continue;
        }
        let help = match stage.grants.span {
            Some(_) => format!("add `{grant}` to the stage's `grant`, if it should have it"),
            None => format!("add `grant = {{ {grant} }}` to the stage, if it should have it"),
        };
        diagnostics
            .error(
                stage.grants.span.unwrap_or(stage.component_span),
                format!("component `{}` imports `{first}` and has no grant for it", stage.id.component),
            )
            .label("not granted")
            .help(help);
    }
}
