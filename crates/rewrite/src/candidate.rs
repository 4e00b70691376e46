//! Components that were built against a release candidate of WASI 0.3.0.
//!
//! The last candidate (`0.3.0-rc-2026-03-15`, which the first published tutorials use) has the interfaces of the
//! release under another version, and a pre-release links to itself alone. So the names of a component's imports and
//! exports get the released version when it is loaded; nothing else in it changes. Earlier candidates differ: their
//! `header-error` and `request-options-error` have fewer cases. Composing or linking finds that, and says which
//! interface it is and how it differs.
//!
//! [`detach`](super::detach) handles what the canonical ABI allowed at the time, and forbids since.
//!
//! The digest of a component stays that of its file.

use crate::nesting::validate;
use crate::section::copy_section;
use crate::{Interface, NotRewritable};
use std::borrow::Cow;
use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent};
use wasm_encoder::{Component, ComponentExportSection, ComponentExternName, ComponentImportSection};
use wasmparser::{Parser, Payload};

/// The version of which the candidates are candidates.
const RELEASE: &str = "0.3.0";

/// The last candidate: its interfaces are those of the release.
const LAST: &str = "0.3.0-rc-2026-03-15";

/// Whether interfaces changed between the candidate `version` and the release.
pub fn is_older(version: &str) -> bool {
    version != LAST
}

/// The first candidate in the name of an import or export of the component in `bytes`, which need not be valid.
pub fn named(bytes: &[u8]) -> Option<String> {
    let names = |payload| match payload {
        Payload::ComponentImportSection(section) => {
            section.into_iter().flatten().map(|import| import.name.name.to_owned()).collect()
        }
        Payload::ComponentExportSection(section) => {
            section.into_iter().flatten().map(|export| export.name.name.to_owned()).collect()
        }
        _ => Vec::new(),
    };
    let names = Parser::new(0).parse_all(bytes).map_while(Result::ok).flat_map(names);
    names.filter_map(|name| candidate(&name).map(str::to_owned)).next()
}

/// `name` with the released version, if it names an interface of WASI in a release candidate of 0.3.0.
fn released(name: &str) -> Option<String> {
    candidate(name)?;
    let (path, _) = name.split_once('@')?;
    Some(format!("{path}@{RELEASE}"))
}

/// The release candidate of WASI 0.3.0 from which the interface `name` is.
pub fn candidate(name: &str) -> Option<&str> {
    let interface = Interface::parse(name)?;
    let version = name.split_once('@')?.1;
    let of_release = version.strip_prefix(RELEASE)?.starts_with("-rc-");
    (interface.package.starts_with("wasi:") && of_release).then_some(version)
}

/// The component in `bytes`, with the release in the names of its imports and exports instead of a candidate.
///
/// # Errors
/// [`NotRewritable`], if `bytes` are no component.
pub fn adapt(bytes: &[u8]) -> Result<Vec<u8>, NotRewritable> {
    validate(bytes)?;
    let mut adapted = Component::new();
    Renamer.parse_component(&mut adapted, Parser::new(0), bytes)?;
    Ok(adapted.finish())
}

/// Copies all of a component except for the names.
struct Renamer;

impl Reencode for Renamer {
    type Error = Infallible;
}

impl ReencodeComponent for Renamer {
    fn parse_component_payload(
        &mut self,
        component: &mut Component,
        payload: Payload<'_>,
        whole: &[u8],
    ) -> Result<(), Error> {
        match payload {
            Payload::ComponentImportSection(section) => {
                let mut imports = ComponentImportSection::new();
                for import in section {
                    let import = import?;
                    imports.import(renamed(&import.name), self.component_type_ref(import.ty)?);
                }
                component.section(&imports);
            }
            Payload::ComponentExportSection(section) => {
                let mut exports = ComponentExportSection::new();
                for export in section {
                    let export = export?;
                    let ty = export.ty.map(|ty| self.component_type_ref(ty)).transpose()?;
                    exports.export(renamed(&export.name), export.kind.into(), export.index, ty);
                }
                component.section(&exports);
            }
            payload => copy_section(&payload, whole, component),
        }
        Ok(())
    }
}

fn renamed<'a>(name: &wasmparser::ComponentExternName<'a>) -> ComponentExternName<'a> {
    let new = |name: &'a str| released(name).map_or(Cow::Borrowed(name), Cow::Owned);
    let mut renamed = ComponentExternName::from(*name);
    renamed.name = new(name.name);
    renamed.implements = name.implements.map(new);
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_told_from_releases() {
        for (name, version) in [
            ("wasi:http/types@0.3.0-rc-2026-03-15", Some("0.3.0-rc-2026-03-15")),
            ("wasi:http/types@0.3.0", None),
            ("wasi:config/store@0.2.0-rc.1", None),
            ("other:http/types@0.3.0-rc-2026-03-15", None),
            ("wasi:http/types@0.3.1-rc-2026-09-01", None),
            ("run", None),
        ] {
            assert_eq!(candidate(name), version, "{name}");
        }
    }

    #[test]
    fn names_change_and_nothing_else() {
        let text = |version: &str| {
            let text = format!(
                r#"(component
                    (import "wasi:http/types@{version}" (instance $types (export "fields" (type (sub resource)))))
                    (import "next" (implements "wasi:cli/types@{version}") (instance))
                    (component $inner (import "wasi:http/types@0.3.0-rc-2026-03-15" (instance)))
                    (core module $m (func (export "f")))
                    (core instance $i (instantiate $m))
                    (func $f (canon lift (core func $i "f")))
                    (instance $h (export "f" (func $f)))
                    (export "wasi:http/other@{version}" (instance $h))
                )"#
            );
            wat::parse_str(text).expect("a component")
        };
        let adapted = adapt(&text("0.3.0-rc-2026-03-15")).expect("it is a component");
        assert_eq!(sections(&adapted), sections(&text("0.3.0")));
    }

    /// The sections, without the names of the text, which are a custom section.
    fn sections(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let found = Parser::new(0).parse_all(bytes).filter_map(|payload| {
            let payload = payload.expect("valid");
            let (id, range) = payload.as_section()?;
            (id != 0).then(|| (id, bytes[range.start as usize..range.end as usize].to_vec()))
        });
        found.collect()
    }
}
