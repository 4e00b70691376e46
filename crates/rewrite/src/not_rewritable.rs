//! Why something is left as it is.

use crate::nesting::Malformed;
use wasm_encoder::reencode;
use wasmparser::CanonicalFunction;

/// Why a component stays as it is, in words that follow its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotRewritable(String);

impl NotRewritable {
    /// With the reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// For a canonical function that is not known.
    pub(crate) fn unknown(function: &CanonicalFunction) -> Self {
        let text = format!("{function:?}");
        let name = text.split([' ', '{', '(']).next().unwrap_or_default();
        Self(format!("it uses a part of the component model that is not known here ({name})"))
    }
}

impl From<wasmparser::BinaryReaderError> for NotRewritable {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self(format!("it is not valid: {error}"))
    }
}

impl From<Malformed> for NotRewritable {
    fn from(error: Malformed) -> Self {
        Self(format!("it is not valid: {error}"))
    }
}

impl From<reencode::Error> for NotRewritable {
    fn from(error: reencode::Error) -> Self {
        match error {
            reencode::Error::ParseError(error) => error.into(),
            other => Self(format!("it can't be encoded again: {other}")),
        }
    }
}
