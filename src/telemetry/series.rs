//! Counts by name: each worker's counts of one thing, kept to the end of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most names with a series of their own.
pub(super) const MOST: usize = 10_000;

/// The name of those beyond. Nothing configured has this name, nor the next one: theirs are in kebab case.
const OTHER: &str = "_other";

/// The pipeline of requests that reached none.
pub(super) const NONE: &str = "_none";

/// By names, then by worker.
pub(super) type Counts<const N: usize, T> = BTreeMap<[Arc<str>; N], BTreeMap<usize, Arc<T>>>;

/// The counts of all workers of what `N` names together name.
#[derive(Debug, Default)]
pub(super) struct Series<const N: usize, T>(Mutex<Counts<N, T>>);

impl<const N: usize, T: Default> Series<N, T> {
    /// What `worker` counts of `names`: the same for the same ones, across generations. Of one too many, as of all
    /// those.
    pub(super) fn of(&self, names: [&str; N], worker: usize) -> Arc<T> {
        let mut counts = self.lock();
        let key = names.map(Arc::from);
        let known = counts.len() < MOST || counts.contains_key(&key) || names == [NONE; N];
        let key = if known { key } else { [OTHER; N].map(Arc::from) };
        Arc::clone(counts.entry(key).or_default().entry(worker).or_default())
    }

    /// What all workers count of `names` alone.
    pub(super) fn find(&self, names: [&str; N]) -> Vec<Arc<T>> {
        let counts = self.lock();
        counts.get(&names.map(Arc::from)).map(|of| of.values().cloned().collect()).unwrap_or_default()
    }

    /// All of it, as it is now: the lock is not held while somebody reads it.
    pub(super) fn all(&self) -> Counts<N, T> {
        self.lock().clone()
    }

    /// What is behind the lock is whole at any time, whoever panicked.
    fn lock(&self) -> MutexGuard<'_, Counts<N, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_keeps_its_counts_and_names_are_bounded() {
        let series = Series::<1, u8>::default();
        let first = series.of(["edge"], 0);
        assert!(Arc::ptr_eq(&first, &series.of(["edge"], 0)));
        assert!(!Arc::ptr_eq(&first, &series.of(["edge"], 1)));
        for number in 1..MOST {
            drop(series.of([&format!("p-{number}")], 0));
        }
        let beyond = series.of(["one-more"], 0);
        assert!(Arc::ptr_eq(&beyond, &series.of(["and-another"], 0)));
        assert!(Arc::ptr_eq(&first, &series.of(["edge"], 0)));
        assert!(!Arc::ptr_eq(&beyond, &series.of(["p-7"], 0)));
        assert!(!Arc::ptr_eq(&beyond, &series.of([NONE], 0)));
        assert_eq!(series.all().len(), MOST + 2);
        assert_eq!((series.find(["edge"]).len(), series.find(["one-more"]).len()), (2, 0));
    }
}
