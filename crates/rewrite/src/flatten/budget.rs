//! The bound on the evaluation of a component.

use crate::NotRewritable;

/// The most definitions, arguments, exports and parts of types that are evaluated. A composition of a hundred
/// components takes a tenth of it.
pub const MAX_EVALUATED: usize = 1 << 20;

/// The rest of the budget.
#[derive(Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_EVALUATED)
    }
}

impl Budget {
    pub fn spend(&mut self, count: usize) -> Result<(), NotRewritable> {
        let left = self.0.checked_sub(count);
        self.0 = left.ok_or_else(|| {
            NotRewritable::new(format!(
                "it has more than {MAX_EVALUATED} definitions once the components in it are instantiated"
            ))
        })?;
        Ok(())
    }
}
