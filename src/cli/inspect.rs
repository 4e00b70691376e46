//! `linkspan inspect`: a component from the outside.

use super::Failed;
use crate::component::{Component, Role, Shape};
use crate::host::catalog::{Grant, HANDLER};
use crate::host::{Offer, Reach};
use std::path::Path;

/// Runs the command.
pub(super) fn run(path: &Path, json: bool) -> Result<(), Failed> {
    let component = Component::load(path).map_err(Failed::wrong)?;
    let text = match json {
        true => format!("{:#}\n", to_json(&component)),
        false => to_text(&component)?,
    };
    super::print(&text)
}

/// The world of `component` as WIT. A composition with imports under plain names has
/// none: WIT can't say that two imports have one interface.
fn world(component: &Component) -> Result<String, Failed> {
    let named =
        |import: &crate::component::inspect::Import| import.interface.is_some() && !import.name.contains('/');
    if component.shape.imports.iter().any(named) {
        return Ok("(not shown: it imports one interface under several names)".to_owned());
    }
    let wrong = |error| Failed::wrong(format!("the component's world can't be read: {error:#}"));
    let decoded = wit_component::decode(&component.bytes).map_err(wrong)?;
    let mut printer = wit_component::WitPrinter::default();
    printer.print(decoded.resolve(), decoded.package(), &[]).map_err(wrong)?;
    Ok(printer.output.to_string())
}

/// What `lift` would do to a stage with `component`.
fn relift(component: &Component) -> String {
    match component.relift() {
        Ok((_, true)) => "can be rewritten to sync, with `lift = \"auto\"`".to_owned(),
        Ok((_, false)) => {
            "can be rewritten to sync, with `lift = \"sync\"` on trial: it makes streams or futures, \
                           and may have to write them after its answer"
                .to_owned()
        }
        Err(refusal) => format!("stays as it is: {refusal}"),
    }
}

/// What an import is to linkspan.
fn status(name: &str, offer: Option<&Offer>) -> String {
    match offer {
        None if name.contains("wasi:http/handler@") => "the next stage".to_owned(),
        None => "not offered".to_owned(),
        Some(offer) => {
            let whose = match offer.reach {
                Reach::Shared => "shared",
                Reach::Stage => "the stage's own",
            };
            match offer.grant {
                Grant::None => whose.to_owned(),
                grant => format!("{whose}; needs `grant = {{ {grant} }}`"),
            }
        }
    }
}

fn offers(shape: &Shape) -> impl Iterator<Item = (&str, Option<&'static Offer>)> {
    shape.imports.iter().map(|import| {
        let interface = import.interface.as_ref().filter(|i| !i.is(HANDLER.0, HANDLER.1));
        (import.name.as_str(), interface.and_then(Offer::find))
    })
}

/// The grants that the component needs, as TOML.
fn grants(shape: &Shape) -> Vec<String> {
    let mut grants: Vec<String> = offers(shape)
        .filter_map(|(_, offer)| offer.map(|offer| offer.grant))
        .filter(|grant| *grant != Grant::None)
        .map(|grant| grant.to_string())
        .collect();
    grants.sort();
    grants.dedup();
    grants
}

fn to_text(component: &Component) -> Result<String, Failed> {
    let shape = &component.shape;
    let mut lines = vec![
        format!("component  {}", component.path.display()),
        format!("size       {} bytes", component.bytes.len()),
        format!("sha256     {}", component.digest),
        format!("role       {}", shape.role()),
    ];
    if shape.role() != Role::None {
        lines.push(format!("lift       {}", shape.lift()));
        lines.push(format!("relift     {}", relift(component)));
    }
    lines.push(format!(
        "needs      core instances {}, memories {}, tables {}",
        shape.core_instances, shape.memories, shape.tables,
    ));
    if component.adapted {
        lines.push("adapted    its names are a release candidate's, and taken for the release's".to_owned());
    }
    lines.push("\nimports".to_owned());
    let width = shape.imports.iter().map(|import| import.name.len()).max().unwrap_or(0);
    lines.extend(offers(shape).map(|(name, offer)| format!("  {name:width$}  {}", status(name, offer))));
    lines.push("\nexports".to_owned());
    lines.extend(shape.exports.iter().map(|name| format!("  {name}")));
    let grants = grants(shape);
    if !grants.is_empty() {
        lines.push(format!("\nthe stage's grants\n  grant = {{ {} }}", grants.join(", ")));
    }
    lines.push(format!("\nworld\n{}", world(component)?.trim_end()));
    Ok(lines.join("\n") + "\n")
}

fn to_json(component: &Component) -> serde_json::Value {
    let shape = &component.shape;
    let imports: Vec<_> = offers(shape)
        .map(|(name, offer)| serde_json::json!({ "name": name, "status": status(name, offer) }))
        .collect();
    serde_json::json!({
        "path": component.path.display().to_string(),
        "size": component.bytes.len(),
        "sha256": component.digest.to_string(),
        "role": shape.role().to_string(),
        "lift": shape.lift().to_string(),
        "relift": relift(component),
        "adapted": component.adapted,
        "core_instances": shape.core_instances,
        "memories": shape.memories,
        "tables": shape.tables,
        "imports": imports,
        "exports": shape.exports,
        "grants": grants(shape),
    })
}
