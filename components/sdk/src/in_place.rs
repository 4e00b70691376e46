//! Edits of a head that stays where it is: one call, with names and values lent
//! to the host from where they are.

use crate::bindings::in_place::linkspan::gateway::headers::{Edit, Refusal};
use crate::error::Error;
use crate::header::{HeaderEdits, Kind, refused};

/// Make `edits` with one call of `host`.
///
/// # Errors
/// `internal-error` that names the field that the host refused.
pub(crate) fn edit(
    edits: HeaderEdits,
    host: impl FnOnce(&[Edit<'_>]) -> Result<(), Refusal>,
) -> Result<(), Error> {
    let edits = edits.into_edits();
    let mut list = Vec::with_capacity(edits.len());
    for edit in &edits {
        let name = &*edit.name;
        match (edit.kind, &edit.value) {
            (Kind::Replace, Some(value)) => list.push(Edit::Set((name, value))),
            (Kind::Default, Some(value)) => list.push(Edit::Default((name, value))),
            (Kind::Append, Some(value)) => list.push(Edit::Append((name, value))),
            (_, None) => list.push(Edit::Remove(name)),
        }
        list.extend(edit.more.iter().map(|value| Edit::Append((name, value))));
    }
    host(&list).map_err(|Refusal { index, reason }| {
        let name = list.get(index as usize).map_or("fields", name_of);
        refused(name, &reason)
    })
}

fn name_of<'a>(edit: &Edit<'a>) -> &'a str {
    match edit {
        Edit::Set((name, _)) | Edit::Append((name, _)) | Edit::Default((name, _)) | Edit::Remove(name) => {
            name
        }
    }
}
