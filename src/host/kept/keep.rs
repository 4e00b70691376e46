//! Noting what a store's guests make the host keep.

use super::account::HostMemoryExceeded;
use super::count::{Seen, held};
use crate::host::pulse::Pulse;
use crate::host::state::InstanceState;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wasmtime::StoreContextMut;

impl InstanceState {
    /// Notes that up to `bytes` more are about to be kept for the guests.
    ///
    /// # Errors
    /// [`HostMemoryExceeded`], which is to end them.
    pub fn keep(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.keep_with(bytes, |_| 0)
    }

    /// The same for a store with further tables, whose resources `beside` counts.
    ///
    /// # Errors
    /// As above.
    pub fn keep_with(
        &mut self,
        bytes: usize,
        beside: impl FnOnce(&mut Seen) -> usize,
    ) -> wasmtime::Result<()> {
        self.account.since = self.account.since.saturating_add(bytes);
        if self.account.since <= self.account.resources() / 16 {
            return Ok(());
        }
        let mut seen = Seen::default();
        let beside = beside(&mut seen);
        self.count(bytes, seen, beside)
    }

    /// The same for bytes that will be in no table, for as long as the result lives.
    pub(in crate::host) fn keep_outside(&mut self, bytes: usize) -> wasmtime::Result<Outside> {
        self.keep(bytes)?;
        Ok(self.outside(bytes))
    }

    /// Counts bytes that were noted already, for as long as the result lives.
    pub fn outside(&self, bytes: usize) -> Outside {
        let kept = Arc::clone(&self.pulse);
        kept.outside.fetch_add(bytes, Ordering::Relaxed);
        Outside { kept, bytes }
    }

    #[cold]
    fn count(&mut self, more: usize, seen: Seen, beside: usize) -> wasmtime::Result<()> {
        self.account.since = 0;
        let outside = self.pulse.outside.load(Ordering::Relaxed);
        let fields = self.field_bytes();
        let kept = held(&mut self.table, self.account.head, fields, seen);
        let kept = kept.saturating_add(beside).saturating_add(outside).saturating_add(more);
        self.pulse.most_kept.fetch_max(kept, Ordering::Relaxed);
        match kept > self.account.resources() {
            true => Err(HostMemoryExceeded(self.account.bound).into()),
            false => Ok(()),
        }
    }
}

/// Notes that a call of the store's guests ended. If the store should have no further calls, its pulse says so then.
pub fn after_call(mut store: StoreContextMut<'_, InstanceState>) {
    if !store.data_mut().wear.is_due() {
        return;
    }
    let Some(table) = store.concurrent_resource_table() else { return };
    let (held, bound) = (table.iter_mut().count(), table.max_capacity() / 2);
    let state = store.data_mut();
    if state.wear.look(held, bound) {
        state.pulse.wear_out();
    }
}

/// Bytes that the host keeps for a store's guests outside of its tables.
pub struct Outside {
    kept: Arc<Pulse>,
    bytes: usize,
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.kept.outside.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
