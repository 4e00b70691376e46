//! What goes wrong.

/// What goes wrong here ends the run, with a text.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
