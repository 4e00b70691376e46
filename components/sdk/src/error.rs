//! What a stage answers instead of a response.

pub use crate::bindings::wasi::http::types::ErrorCode as Error;

/// An `internal-error` with a message for the gateway's log. The client sees
/// a plain 500.
pub fn internal(message: impl Into<String>) -> Error {
    Error::InternalError(Some(message.into()))
}
