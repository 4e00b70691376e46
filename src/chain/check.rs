//! Whether a component may stand at a stage: the last check before composing.
//!
//! Every mistake is reported, at its place in the TOML, with a next step. A pipeline that passes composes and links;
//! the composer and the compiler report the few mistakes that only they can find.

use super::settings::check_settings;
use crate::component::{Component, EntryPoint, Interface, Role, is_older};
use crate::config::{Diagnostics, suggest};
use crate::host::catalog::{HANDLER, Offer};
use crate::host::imports;
use crate::plan::{Grant, Stage};

/// The place of a stage in its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In front of another stage.
    Middleware,
    /// At the end.
    Service,
}

/// Checks that `component` can stand where `stage` does, with the grants that the stage has, and adds what is wrong to
/// `diagnostics`.
pub fn check_stage(stage: &Stage, position: Position, component: &Component, diagnostics: &mut Diagnostics) {
    check_role(stage, position, component, diagnostics);
    let mut missing: Vec<(Grant, &str)> = Vec::new();
    for import in &component.shape.imports {
        let Some(interface) = &import.interface else {
            unknown_import(stage, component, &import.name, None, diagnostics);
            continue;
        };
        if import.is_named_next() {
            check_named_next(stage, &import.name, interface, diagnostics);
            continue;
        }
        if interface.is(HANDLER.0, HANDLER.1) {
            continue;
        }
        match imports::find(interface) {
            None => unknown_import(stage, component, &import.name, Some(interface), diagnostics),
            // Types alone do nothing.
            Some(offer) if import.calls && offer.is_refused(&stage.grants) => {
                missing.extend(offer.grant.map(|grant| (grant, &*import.name)));
            }
            Some(_) => {}
        }
    }
    if !stage.refused {
        missing_grants(stage, &missing, diagnostics);
        unused_grants(stage, component, diagnostics);
        check_settings(stage, component.shape.schema.as_ref(), diagnostics);
    }
    unknown_nexts(stage, component, diagnostics);
    unused_calls(stage, component, diagnostics);
}

/// Reports pipelines that the stage may call but never does, since its component sends no requests.
fn unused_calls(stage: &Stage, component: &Component, diagnostics: &mut Diagnostics) {
    if let Some(call) = stage.grants.egress.calls.first()
        && !needs(component, Grant::Egress)
    {
        diagnostics
            .error(call.span, format!("component `{}` sends no requests of its own", stage.id.component))
            .label("never called")
            .help("remove `calls`: the component imports neither `wasi:http/client` nor `outgoing-handler` of 0.2");
    }
}

/// Whether a function that the component calls is answered under `grant`.
fn needs(component: &Component, grant: Grant) -> bool {
    let imports = component.shape.imports.iter().filter(|import| import.calls);
    imports.filter_map(|import| imports::find(import.interface.as_ref()?)).any(|it| it.grant == Some(grant))
}

/// Reports grants that no import of the component needs.
fn unused_grants(stage: &Stage, component: &Component, diagnostics: &mut Diagnostics) {
    let grants = &stage.grants;
    for grant in Grant::ALL.iter().copied() {
        // Pipelines that can't be called are an error of their own.
        let given = grant.is_in(grants) && (grant != Grant::Egress || grants.egress.rules.is_some());
        if let (true, false, Some(span)) = (given, needs(component, grant), stage.grants_span) {
            diagnostics
                .warning(span, format!("the grant `{}` of `{}` is not used", grant.key(), stage.id.component))
                .label("the component imports nothing that needs it")
                .help("remove the grant: a capability that is not granted can't be misused");
        }
    }
}

/// Checks a handler that a component imports under a name of its own.
fn check_named_next(stage: &Stage, name: &str, interface: &Interface, diagnostics: &mut Diagnostics) {
    let component = &stage.id.component;
    if interface.track() != "0.3" {
        diagnostics
            .error(stage.component_span, format!("component `{component}` imports `{interface}` as `{name}`"))
            .label("linkspan links `wasi:http/handler@0.3.x`")
            .help("rebuild the component against the released WASI 0.3");
    } else if !stage.next.iter().any(|next| next.name == name) {
        let help = match stage.next.is_empty() {
            true => format!("add `next = {{ {name} = \"…\" }}` to the stage, with the name of a pipeline"),
            false => format!("add `{name} = \"…\"` to the stage's `next`, with the name of a pipeline"),
        };
        diagnostics
            .error(stage.component_span, format!("component `{component}` imports a handler as `{name}`"))
            .label(format!("no pipeline is named for `{name}`"))
            .help(help);
    }
}

/// Reports pipelines under names that the component does not import.
fn unknown_nexts(stage: &Stage, component: &Component, diagnostics: &mut Diagnostics) {
    let names: Vec<&str> = component.shape.named_nexts().collect();
    for next in stage.next.iter().filter(|next| !names.contains(&next.name.as_str())) {
        diagnostics
            .error(
                next.name_span,
                format!("component `{}` imports no handler as `{}`", stage.id.component, next.name),
            )
            .label("never called")
            .help(suggest(&next.name, &names, "it imports", "remove it"));
    }
}

fn check_role(stage: &Stage, position: Position, component: &Component, diagnostics: &mut Diagnostics) {
    let name = &stage.id.component;
    let shape = &component.shape;
    if let Some(EntryPoint::Handler(export)) = shape.entry()
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
                .label("never calls the next stage")
                .help("a service stands at the end: name it in `service`");
        }
        (Position::Service, Role::Middleware) => {
            diagnostics
                .error(stage.component_span, format!("component `{name}` is a middleware, not a service"))
                .label("calls a next stage, but no stage follows")
                .help("name it in `stages`, and end the pipeline with a service");
        }
    }
}

fn unknown_import(
    stage: &Stage,
    component: &Component,
    name: &str,
    interface: Option<&Interface>,
    diagnostics: &mut Diagnostics,
) {
    let help = match interface {
        None => "a stage imports interfaces, under their own names".to_owned(),
        Some(interface) => of_older_candidate(stage, component).unwrap_or_else(|| other_version(interface)),
    };
    diagnostics
        .error(
            stage.component_span,
            format!("component `{}` imports `{name}`, which linkspan does not offer", stage.id.component),
        )
        .label("can't be linked")
        .help(help);
}

/// What to do about an interface that is on offer in other versions, or not at all.
fn other_version(interface: &Interface) -> String {
    let is_it = |offer: &&Offer| offer.is_of(interface);
    let versions: Vec<_> = imports::offers().filter(is_it).map(|offer| offer.track).collect();
    let Interface { package, name, .. } = interface;
    match (&versions[..], interface.track()) {
        ([], _) => "`linkspan inspect` lists what a component imports and which grants it needs".to_owned(),
        // A component built against 0.3 can't go back to 0.2 for one interface.
        (["0.2"], "0.3") => {
            format!(
                "linkspan does not offer `{package}/{name}` of WASI 0.3: build the component without the code that calls it"
            )
        }
        _ => format!("build the component against `{package}/{name}` {}", versions.join(" or ")),
    }
}

/// What to do about a component that does not fit, if it is of an older release candidate.
pub fn of_older_candidate(stage: &Stage, component: &Component) -> Option<String> {
    let version = component.shape.release_candidate.as_deref().filter(|version| is_older(version))?;
    let name = &stage.id.component;
    Some(format!(
        "`{name}` was built for WASI {version}, and interfaces have changed since then: rebuild the component for 0.3.0"
    ))
}

/// One diagnostic for each missing grant, however many imports need it.
fn missing_grants(stage: &Stage, missing: &[(Grant, &str)], diagnostics: &mut Diagnostics) {
    for (at, (grant, first)) in missing.iter().enumerate() {
        if missing[..at].iter().any(|(earlier, _)| earlier == grant) {
            continue;
        }
        let mut help = match stage.grants_span {
            Some(_) => format!("add `{grant}` to the stage's `grant`, if it should have it"),
            None => format!("add `grant = {{ {grant} }}` to the stage, if it should have it"),
        };
        if *grant == Grant::Egress {
            help += "; or `calls`, if it should reach pipelines";
        }
        diagnostics
            .error(
                stage.grants_span.unwrap_or(stage.component_span),
                format!("component `{}` imports `{first}` and has no grant for it", stage.id.component),
            )
            .label("not granted")
            .help(help);
    }
}
