//! What can't be true.

/// The error of an instance in which something is not as it must be, whatever its guests do.
#[derive(Debug, thiserror::Error)]
#[error("the direct form disagrees with itself: {0}")]
pub struct Disagreement(pub(super) &'static str);

impl Disagreement {
    /// A second call begins in an instance, which has one at a time.
    pub fn two_calls() -> Self {
        Self("two calls at once")
    }
}
