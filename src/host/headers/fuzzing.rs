//! Edits in place, compared with the equivalent functions of `wasi:http/types`.

use super::Change;
use crate::host::hooks::Hooks;
use http::{HeaderName, HeaderValue};
use wasmtime_wasi_http::{FieldMap, FieldMapError};

/// The first byte bounds the fields' size; then edits: a byte for the kind, a byte and a name, a byte and a value.
pub fn run(data: &[u8]) {
    let Some((&limit, mut rest)) = data.split_first() else { return };
    let limit = 64 * (1 + usize::from(limit));
    let (mut edited, mut called) = (FieldMap::new_mutable(limit), FieldMap::new_mutable(limit));
    while let Some((&kind, behind)) = rest.split_first() {
        let (name, behind) = part(behind);
        let (value, behind) = if kind % 4 == 3 { (&[][..], behind) } else { part(behind) };
        rest = behind;
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let by_edit = change(kind, name, value).and_then(|change| change.apply(&mut edited, &mut Hooks));
        let by_call = call(kind, name, value, &mut called);
        let edit = (kind % 4, name, value);
        assert_eq!(by_edit.is_ok(), by_call.is_ok(), "{edit:?}: {by_edit:?}, {by_call:?}, {edited:?}");
        assert_eq!(*edited, *called, "{edit:?}");
    }
}

/// A length and as many bytes.
fn part(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((&length, rest)) = bytes.split_first() else { return (&[], &[]) };
    rest.split_at(rest.len().min(usize::from(length)))
}

fn change(kind: u8, name: &str, value: &[u8]) -> Result<Change, FieldMapError> {
    let name = HeaderName::from_bytes(name.as_bytes())?;
    let value = HeaderValue::from_bytes(value)?;
    Ok(match kind % 4 {
        0 => Change::Set(name, value),
        1 => Change::Append(name, value),
        2 => Change::Default(name, value),
        _ => Change::Remove(name),
    })
}

fn call(kind: u8, name: &str, value: &[u8], fields: &mut FieldMap) -> Result<(), FieldMapError> {
    let hooks = &mut Hooks;
    match kind % 4 {
        0 => fields.set(hooks, name.to_owned(), vec![value.to_vec()]),
        2 if HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| fields.contains_key(&name)) => {
            HeaderValue::from_bytes(value)?;
            Ok(())
        }
        1 | 2 => fields.append(hooks, name.to_owned(), value.to_vec()).map(drop),
        _ => fields.remove_all(hooks, name.to_owned()).map(drop),
    }
}
