//! A stage's own interfaces from which others take types. A composition then imports them under their own names as well, with the
//! functions that its components use; no call is made there.

use crate::host::state::InstanceState;
use wasmtime::component::Linker;

/// Adds `interfaces`, each with its functions.
pub(super) fn for_their_types(
    linker: &mut Linker<InstanceState>,
    interfaces: &[(&str, &[&str])],
) -> wasmtime::Result<()> {
    for (name, functions) in interfaces {
        let mut instance = linker.instance(name)?;
        for function in *functions {
            instance.func_new(function, |_, _, _, _| {
                Err(wasmtime::format_err!("an import that is for its types was called"))
            })?;
        }
    }
    Ok(())
}
