//! Components built against a release candidate that is the release in all but name.
//!
//! Interfaces are told apart by their names, versions among them, and a release candidate
//! is a version of its own. Where its WIT is that of the release, the names of a
//! component's imports and exports are all that keeps it from being linked: they are
//! changed when it is loaded. Everything else is copied. Should a type differ after all,
//! composing or linking says so with the interface's name.

use std::borrow::Cow;
use wasm_encoder::reencode::{ReencodeComponent as _, RoundtripReencoder};
use wasm_encoder::{
    Component, ComponentExportSection, ComponentExternName, ComponentImportSection, RawSection,
};
use wasmparser::{BinaryReaderError, Chunk, Parser, Payload};

/// Release candidates, and the release that each is. Compared with the WIT of the crate
/// `wasip3` 0.5.0, which has `cli`, `clocks`, `filesystem`, `http`, `random` and `sockets`.
const RELEASED: [(&str, &str); 1] = [("0.3.0-rc-2026-03-15", "0.3.0")];

/// The component in `bytes` with the names of the release, if it has a release
/// candidate's.
///
/// # Errors
/// If `bytes` are malformed.
pub fn adapt(bytes: &[u8]) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    for (candidate, release) in RELEASED {
        let named = bytes.windows(candidate.len()).any(|window| window == candidate.as_bytes());
        if named && let Some(adapted) = rename(bytes, candidate, release)? {
            return Ok(Some(adapted));
        }
    }
    Ok(None)
}

/// The component in `bytes` with imports and exports of the interfaces of `wasi:` of
/// version `old` as ones of version `new`; `None` if it has none.
///
/// # Errors
/// If `bytes` are malformed.
pub fn rename(bytes: &[u8], old: &str, new: &str) -> Result<Option<Vec<u8>>, BinaryReaderError> {
    let mut component = Component::new();
    let mut renamed = false;
    let mut change = |name: &mut ComponentExternName<'_>| {
        renamed |= change_version(&mut name.name, old, new);
        if let Some(implements) = &mut name.implements {
            renamed |= change_version(implements, old, new);
        }
    };
    let (mut parser, mut at) = (Parser::new(0), 0);
    while let Chunk::Parsed { payload, consumed } = parser.parse(&bytes[at..], true)? {
        at += consumed;
        match payload {
            Payload::End(_) => break,
            Payload::ComponentImportSection(section) => {
                let mut imports = ComponentImportSection::new();
                for import in section {
                    let import = import?;
                    let mut name = import.name.into();
                    change(&mut name);
                    let Ok(ty) = RoundtripReencoder.component_type_ref(import.ty) else { return Ok(None) };
                    imports.import(name, ty);
                }
                component.section(&imports);
            }
            Payload::ComponentExportSection(section) => {
                let mut exports = ComponentExportSection::new();
                for export in section {
                    let export = export?;
                    let mut name = export.name.into();
                    change(&mut name);
                    let ty = export.ty.map(|ty| RoundtripReencoder.component_type_ref(ty)).transpose();
                    let Ok(ty) = ty else { return Ok(None) };
                    exports.export(name, export.kind.into(), export.index, ty);
                }
                component.section(&exports);
            }
            other => {
                let Some((id, range)) = other.as_section() else { continue };
                let range =
                    usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
                let section = bytes.get(range.clone()).unwrap_or_default();
                component.section(&RawSection { id, data: section });
                // What is nested in it is not looked at.
                if let Payload::ModuleSection { .. } | Payload::ComponentSection { .. } = other {
                    at = range.end;
                }
            }
        }
    }
    Ok(renamed.then(|| component.finish()))
}

fn change_version(name: &mut Cow<'_, str>, old: &str, new: &str) -> bool {
    let Some(interface) = name.strip_suffix(old).and_then(|name| name.strip_suffix('@')) else {
        return false;
    };
    if !interface.starts_with("wasi:") {
        return false;
    }
    let changed = format!("{interface}@{new}");
    *name = Cow::Owned(changed);
    true
}
