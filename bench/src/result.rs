//! Errors.

/// An error ends the run, with a text.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
