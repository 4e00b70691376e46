//! `linkspan inspect`: a component from the outside.

use super::failed::{Failed, print};
use crate::component::inspect::Import;
use crate::component::{Component, Role, Schema, Shape, is_older};
use crate::direct;
use crate::host::catalog::HANDLER;
use crate::host::{Offer, Reach, Without, imports};
use crate::plan::Grant;
use std::path::Path;

/// Runs the command.
pub(super) fn run(path: &Path, json: bool) -> Result<(), Failed> {
    let component =
        Component::load(path).map_err(|error| Failed::wrong(format!("{error}\nhelp: {}", error.help())))?;
    let text = match json {
        true => format!("{:#}\n", to_json(&component)),
        false => to_text(&component)?,
    };
    print(&text)
}

/// The world of `component` as WIT. A composition with imports under plain names has none: WIT can't say that two
/// imports have one interface.
fn world(component: &Component) -> Result<String, Failed> {
    let named = |import: &Import| import.interface.is_some() && !import.name.contains('/');
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
        Ok((_, true)) => {
            "can be rewritten to sync; `lift = \"auto\"` does where its segment loses nothing".to_owned()
        }
        Ok((_, false)) => {
            "can be rewritten to sync, with `lift = \"sync\"` on trial: it makes streams or futures, \
                           and may have to write them after its answer"
                .to_owned()
        }
        Err(refusal) => format!("stays as it is: {refusal}"),
    }
}

/// What form a segment with `component` can have.
fn form(component: &Component) -> String {
    match direct::read(component) {
        Ok(_) => "direct, where the other stages of its segment are".to_owned(),
        Err(reason) => format!("component: {reason}"),
    }
}

/// What an import is to linkspan.
fn status(import: &Import, offer: Option<&Offer>) -> String {
    match offer {
        None if import.is_named_next() => "a pipeline by name; needs `next`".to_owned(),
        None if import.name.contains("wasi:http/handler@") => "the next stage".to_owned(),
        None => "not offered".to_owned(),
        Some(offer) => {
            let whose = match offer.reach {
                Reach::Shared => "shared",
                Reach::Stage => "the stage's own",
            };
            let Some(grant) = offer.grant else { return whose.to_owned() };
            let calls = if grant == Grant::Egress { " or `calls`" } else { "" };
            match offer.without {
                _ if !import.calls => format!("{whose}; types only"),
                Without::Refused => format!("{whose}; needs `grant = {{ {grant} }}`{calls}"),
                Without::Inert => {
                    format!("{whose}; empty unless `{}`{calls} is granted", grant.key())
                }
                Without::Less => format!("{whose}; more with `grant = {{ {grant} }}`"),
            }
        }
    }
}

fn offers(shape: &Shape) -> impl Iterator<Item = (&Import, Option<&'static Offer>)> {
    shape.imports.iter().map(|import| {
        let interface = import.interface.as_ref().filter(|i| !i.is(HANDLER.0, HANDLER.1));
        (import, interface.and_then(imports::find))
    })
}

/// Grants as TOML.
pub(super) struct Asked {
    /// Without these, the component can't be a stage.
    pub(super) needed: Vec<String>,
    /// Without these it can, and finds nothing or less there.
    optional: Vec<String>,
}

impl Asked {
    pub(super) fn by(shape: &Shape) -> Self {
        let grants = |without: Without| {
            let asked = offers(shape)
                .filter(|(import, _)| import.calls)
                .filter_map(|(_, offer)| offer)
                .filter(|offer| offer.without == without);
            let mut grants: Vec<String> =
                asked.filter_map(|offer| offer.grant).map(|grant| grant.to_string()).collect();
            grants.sort();
            grants.dedup();
            grants
        };
        let needed = grants(Without::Refused);
        let mut optional = [grants(Without::Inert), grants(Without::Less)].concat();
        optional.retain(|grant| !needed.contains(grant));
        Self { needed, optional }
    }
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
        lines.push(format!("form       {}", form(component)));
    }
    if let Some(version) = &shape.release_candidate {
        lines.push(match is_older(version) {
            true => {
                format!("built for  WASI {version}, linked as 0.3.0 if it uses nothing that changed since")
            }
            false => format!("built for  WASI {version}, linked as 0.3.0"),
        });
    }
    if let Some(made_with) = shape.detached() {
        lines.push(format!(
            "adapted    leaves a waitable set before it waits synchronously (made with {made_with})"
        ));
    }
    if shape.stands_alone() {
        lines.push("store      of its own, however it is linked".to_owned());
    }
    lines.push(format!(
        "needs      core instances {}, memories {}, tables {}",
        shape.core_instances, shape.memories, shape.tables,
    ));
    lines.push("\nimports".to_owned());
    let width = shape.imports.iter().map(|import| import.name.len()).max().unwrap_or(0);
    lines.extend(offers(shape).map(|(import, offer)| {
        let (name, status) = (&import.name, status(import, offer));
        format!("  {name:width$}  {status}")
    }));
    lines.push("\nexports".to_owned());
    lines.extend(shape.exports.iter().map(|name| format!("  {name}")));
    let Asked { needed, optional } = Asked::by(shape);
    if !needed.is_empty() {
        lines.push(format!("\nthe stage's grants\n  grant = {{ {} }}", needed.join(", ")));
    }
    if !optional.is_empty() {
        let keys: Vec<_> = optional.iter().filter_map(|grant| grant.split(' ').next()).collect();
        lines.push(format!(
            "\nworks without {}\n  these imports of WASI 0.2 are available and empty, which suffices for a libc",
            keys.join(", "),
        ));
    }
    match &shape.schema {
        None => {}
        Some(Ok(schema)) => lines.push(format!("\nconfig     {}\n{}", schema.doc, keys(schema, ""))),
        Some(Err(reason)) => {
            lines.push(format!("\nconfig     unknown: its schema {}", reason.escape_debug()))
        }
    }
    let nexts: Vec<_> = shape.named_nexts().map(|name| format!("{name} = \"…\"")).collect();
    if !nexts.is_empty() {
        lines.push(format!("\nthe stage's pipelines\n  next = {{ {} }}", nexts.join(", ")));
    }
    lines.push(format!("\nworld\n{}", world(component)?.trim_end()));
    Ok(lines.join("\n") + "\n")
}

/// The keys of a configuration, one a line: type, default, what it is for. What a component says is escaped.
pub(super) fn keys(schema: &Schema, prefix: &str) -> String {
    let mut lines = String::new();
    for (key, value) in &schema.keys {
        let default = match (&value.default, schema.required.contains(key)) {
            (_, true) => "; required".to_owned(),
            (Some(default), _) => format!("; default {default}"),
            (None, _) => String::new(),
        };
        let line = format!("{prefix}{key}  {}{default}  {}", value.type_name(), value.doc);
        lines +=
            &format!("  {}\n", line.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"));
        lines += &keys(value, &format!("{prefix}{key}."));
    }
    lines
}

fn to_json(component: &Component) -> serde_json::Value {
    let shape = &component.shape;
    let imports: Vec<_> = offers(shape)
        .map(|(import, offer)| serde_json::json!({ "name": import.name, "status": status(import, offer) }))
        .collect();
    let Asked { needed, optional } = Asked::by(shape);
    serde_json::json!({
        "path": component.path.display().to_string(),
        "size": component.bytes.len(),
        "sha256": component.digest.to_string(),
        "role": shape.role().to_string(),
        "lift": shape.lift().to_string(),
        "relift": relift(component),
        "form": form(component),
        "release_candidate": shape.release_candidate,
        "detached": shape.detached(),
        "core_instances": shape.core_instances,
        "memories": shape.memories,
        "tables": shape.tables,
        "imports": imports,
        "exports": shape.exports,
        "config": shape.schema.as_ref().and_then(|schema| schema.as_ref().ok()).map(|it| it.to_json(&|scalar| scalar)),
        "judges": shape.judge().is_some(),
        "grants": needed,
        "optional_grants": optional,
        "own_store": shape.stands_alone(),
        "next": shape.named_nexts().collect::<Vec<_>>(),
    })
}
