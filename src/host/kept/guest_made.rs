//! Which messages of a store are its guests' own.

/// The requests and responses that guests made, by their places in the table. A place that was given away since is
/// harmless: its next owner costs a little more.
#[derive(Default)]
pub(in crate::host) struct GuestMade(Vec<u64>);

impl GuestMade {
    pub(super) fn insert(&mut self, rep: u32) {
        let (word, bit) = (rep as usize / 64, rep % 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << bit;
    }

    pub(super) fn remove(&mut self, rep: u32) -> bool {
        let Some(word) = self.0.get_mut(rep as usize / 64) else { return false };
        let bit = 1 << (rep % 64);
        let had = *word & bit != 0;
        *word &= !bit;
        had
    }
}
