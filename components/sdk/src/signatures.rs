//! Signatures that the gateway verifies; the component imports `linkspan:gateway/signatures`, which linkspan alone has.

use crate::bindings::linkspan::gateway::signatures;
pub use crate::bindings::linkspan::gateway::signatures::{Algorithm, Error};

/// Whether `signature` is that of `message`, by a key in the form that `wit/gateway.wit` says for each algorithm.
///
/// # Errors
/// As there: a key that is none of the algorithm's, or more bytes than may be.
pub fn verify(algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, Error> {
    signatures::verify(algorithm, key, message, signature)
}
