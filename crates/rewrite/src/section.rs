//! Sections that are taken over as they are.

/// Copies a section of the component in `bytes` as it is, with all that is nested in it.
pub fn copy_section(section: &wasmparser::Payload<'_>, bytes: &[u8], into: &mut wasm_encoder::Component) {
    let Some((id, range)) = section.as_section() else { return };
    let range = usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
    into.section(&wasm_encoder::RawSection { id, data: bytes.get(range).unwrap_or_default() });
}
