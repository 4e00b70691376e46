//! The values of futures, while the host has them.

use super::abi::Code;
use wasmtime_wasi_http::FieldMap;

/// A value on its way through a future.
pub enum Value {
    /// How a body was received.
    Receipt(Result<(), Code>),
    /// What is behind a body.
    Trailers(Result<Option<Box<FieldMap>>, Code>),
}

impl Value {
    /// Bytes of its text.
    pub fn size(&self) -> usize {
        match self {
            Self::Receipt(Err(code)) | Self::Trailers(Err(code)) => code.size(),
            _ => 0,
        }
    }
}
