//! Whether a component is complete, and nested no deeper than its readers can follow.
//!
//! Validation accepts a nested module or component that is shorter than its length says, if the file ends with it; a
//! reader that relies on the length then reads beyond the end. Readers of types call themselves at each level of
//! nesting, so a file of some kilobytes could exhaust a thread's stack, which ends the process. Both are therefore
//! checked first, here, without a call for each level.
//!
//! Bounds: [`MAX_NESTING`] levels.

use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentAlias, ComponentExternName, ComponentImport, ComponentType,
    ComponentTypeRef, CoreType, Parser, Payload, Validator, WasmFeatures, types::Types,
};

/// The most levels of components within components, or of types within types. A composition adds a level of the first;
/// WIT has three of the second.
pub const MAX_NESTING: usize = 100;

/// Why bytes are no component that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The bytes end within a nested module or component.
    #[error("it is cut short: what begins at byte {at} needs {missing} bytes more")]
    CutShort {
        /// Where the nested part begins.
        at: u64,
        /// The number of missing bytes.
        missing: u64,
    },
    /// More levels than [`MAX_NESTING`].
    #[error("it nests more than {MAX_NESTING} components or types in one another")]
    Nested,
    /// The bytes are not valid, with all features of WebAssembly and of the component model.
    #[error("{0}")]
    Invalid(#[from] BinaryReaderError),
}

/// Checks the component in `bytes`, and returns its parts. All other readers can rely on the result.
///
/// # Errors
/// [`Malformed`], with the place.
pub fn validate(bytes: &[u8]) -> Result<Types, Malformed> {
    check(bytes)?;
    Ok(Validator::new_with_features(WasmFeatures::all()).validate_all(bytes)?)
}

/// Checks that every part is there, and that nothing is nested too deep.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                let missing = unchecked_range.end.saturating_sub(bytes.len() as u64);
                if missing > 0 {
                    return Err(Malformed::CutShort { at: unchecked_range.start, missing });
                }
                depth += 1;
                if depth > MAX_NESTING {
                    return Err(Malformed::Nested);
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentTypeSection(section) => {
                let range = section.range();
                let within = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
                let section = within.and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default();
                check_types(BinaryReader::new(section, range.start))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Follows the types of a section through those that contain others.
fn check_types(mut reader: BinaryReader<'_>) -> Result<(), Malformed> {
    // The rest of each level: types of the section, then declarations of a type.
    let mut left = vec![reader.read_var_u32()?];
    while let Some(last) = left.last_mut() {
        if *last == 0 {
            left.pop();
            continue;
        }
        *last -= 1;
        if left.len() > 1 && !begins_type(&mut reader)? {
            continue;
        }
        let mut ahead = reader.clone();
        match ahead.read_u8()? {
            // A component's type, or an instance's.
            0x41 | 0x42 => {
                left.push(ahead.read_var_u32()?);
                reader = ahead;
                if left.len() > MAX_NESTING {
                    return Err(Malformed::Nested);
                }
            }
            _ => {
                reader.read::<ComponentType<'_>>()?;
            }
        }
    }
    Ok(())
}

/// Reads a declaration; of a type, only that it is one.
fn begins_type(reader: &mut BinaryReader<'_>) -> Result<bool, BinaryReaderError> {
    match reader.read_u8()? {
        0x00 => drop(reader.read::<CoreType<'_>>()?),
        0x01 => return Ok(true),
        0x02 => {
            reader.read::<ComponentAlias<'_>>()?;
        }
        0x03 => drop(reader.read::<ComponentImport<'_>>()?),
        // Validation reports impossible values.
        _ => drop((reader.read::<ComponentExternName<'_>>()?, reader.read::<ComponentTypeRef>()?)),
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a component, and `sections`.
    fn component(sections: &[u8]) -> Vec<u8> {
        [b"\0asm\x0d\0\x01\0", sections].concat()
    }

    fn leb(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    #[test]
    fn a_part_that_is_missing_is_told() {
        let bytes = component(b"\x01\x20\0asm\x01\0\0\0");
        assert_eq!(bytes.len(), 18);
        let error = validate(&bytes).map(drop).expect_err("most of its module is missing").to_string();
        assert_eq!(error, "it is cut short: what begins at byte 10 needs 24 bytes more");
        validate(&component(b"\x01\x08\0asm\x01\0\0\0")).expect("an empty module is one");
    }

    #[test]
    fn types_are_not_followed_without_end() {
        // Each a component type with one declaration, which is a type.
        let nested = |levels: usize| {
            let types = [&[1][..], &b"\x41\x01\x01".repeat(levels), b"\x41\0"].concat();
            component(&[&[7][..], &leb(types.len()), &types].concat())
        };
        validate(&nested(MAX_NESTING - 2)).expect("as deep as can be");
        for levels in [MAX_NESTING, 1_000_000] {
            let error = validate(&nested(levels)).map(drop).expect_err("too deep").to_string();
            assert_eq!(error, "it nests more than 100 components or types in one another", "{levels}");
        }
    }

    #[test]
    fn components_are_not_followed_without_end() {
        let nested = |levels: usize| {
            (0..levels)
                .fold(component(&[]), |inner, _| component(&[&[4][..], &leb(inner.len()), &inner].concat()))
        };
        validate(&nested(MAX_NESTING)).expect("as deep as can be");
        assert!(matches!(validate(&nested(5_000)), Err(Malformed::Nested)));
    }
}
