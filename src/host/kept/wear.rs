//! Tasks that stay in a store's table although nothing refers to them.
//!
//! Wasmtime (48) frees the task of a guest's call of another guest when its caller drops its handle. A callee that
//! returns before its caller goes on has no handle, and if the caller called asynchronously, nothing frees its task
//! (`start_call` in `runtime/component/concurrent.rs` deletes it for synchronous callers alone). A chain of async
//! stages leaves one such task for each request, mostly. They have no guest memory and do nothing, but each takes an
//! entry of the table, and a guest traps when the table is full. The entries are therefore counted from time to time,
//! and an instance whose table is half full takes no more requests: it finishes those that it has, and another instance
//! takes its place.

/// How a store's table of tasks, streams and futures has filled.
#[derive(Debug)]
pub struct Wear {
    /// The calls until the next count, and the calls between the last count and the next.
    left: usize,
    between: usize,
    /// The number of entries at the last count.
    held: usize,
}

impl Default for Wear {
    fn default() -> Self {
        Self { left: 1, between: 1, held: 0 }
    }
}

impl Wear {
    /// Notes that a call ended; `true` if it is time to count. If the entries are not counted then, it is time again
    /// after as many calls.
    pub(super) fn is_due(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return false;
        }
        self.left = self.between;
        true
    }

    /// Notes the number of entries, and says whether it has reached `bound`.
    ///
    /// The next count is after twice as many calls as this one, but early enough that at the pace so far, less than a
    /// fourth of the remaining entries is taken until then: some thirty counts in the life of an instance.
    pub(super) fn look(&mut self, held: usize, bound: usize) -> bool {
        let pace = held.saturating_sub(self.held).div_ceil(self.between).max(1);
        let soon = bound.saturating_sub(held) / (4 * pace);
        self.held = held;
        self.between = soon.min(2 * self.between).max(1);
        self.left = self.between;
        held >= bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of calls until a table for `bound` is worn if each call leaves so many entries, the number of counts,
    /// and the entries at the end.
    fn worn(bound: usize, leaves: usize) -> (usize, usize, usize) {
        let (mut wear, mut looks) = (Wear::default(), 0);
        for calls in 1.. {
            if wear.is_due() {
                looks += 1;
                if wear.look(calls * leaves, bound) {
                    return (calls, looks, calls * leaves);
                }
            }
        }
        unreachable!("calls have no end")
    }

    #[test]
    fn a_table_is_worn_at_its_bound_and_seldom_looked_at() {
        for (bound, leaves) in [(128, 1), (4_096, 1), (4_096, 7), (65_536, 1), (500_000, 300)] {
            let (calls, looks, held) = worn(bound, leaves);
            assert!(held >= bound && held < bound + bound / 4 + leaves, "{bound}, {leaves}: {held}");
            assert!(looks < 64 && looks <= calls, "{bound}, {leaves}: {looks} looks in {calls} calls");
        }
    }

    #[test]
    fn a_look_that_was_left_out_is_due_again() {
        let mut wear = Wear::default();
        assert!(wear.is_due() && wear.is_due());
        assert!(!wear.look(0, 4_096));
        // Twice as many calls as before the first look.
        assert_eq!([(); 4].map(|()| wear.is_due()), [false, true, false, true]);
    }

    #[test]
    fn a_table_that_does_not_fill_is_looked_at_ever_more_seldom() {
        let mut wear = Wear::default();
        let looks = (0..1_000_000).filter(|_| wear.is_due() && !wear.look(20, 4_096)).count();
        assert!(looks < 1_100, "{looks}");
    }
}
