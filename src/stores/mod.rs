//! Stores: state that stages share, on one machine or on many.
//!
//! A [`Store`] is one of `[stores]`: memory of this process, or a Redis server, which many gateways share. What a store has
//! to do is the same in each, to the nanosecond: the decision on a request is [`Quota`]'s. `host` asks a store on behalf
//! of a stage that is granted it, and `gateway` has [`Stores`], in which a store outlives the generation that made it.
//!
//! Guarantees: no answer takes longer than the store's `timeout`, whatever its server does; a store whose server is away
//! says so at once; making a store needs no network, so that no start and no reload waits for one. Connections are one for
//! each worker, and stay on their worker.
//!
//! Bounds: keys in memory; operations that wait, operations in a command, commands under way, and all times, from
//! `[stores.NAME]`; [`MAX_KEY_BYTES`] and [`MAX_BUCKET_BYTES`].
//!
//! This room never imports wasmtime, and knows nothing of requests.

mod limiter;
mod quota;
mod redis;

pub use limiter::{KeyBound, Limiter, Limiters};
pub use quota::{Cell, Decision, MAX_KEY_BYTES, Quota, TakeError};

use crate::plan::{StoreKind, StorePlan};
pub use crate::telemetry::StoreCounts;
use crate::telemetry::{StoreMetrics, StoreOutcome};
use redis::Redis;
use send_wrapper::SendWrapper;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The longest name of a bucket, in bytes.
pub const MAX_BUCKET_BYTES: usize = 128;

/// Why a store gave no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It can't be decided on.
    Take(TakeError),
    /// The bucket has no name that a bucket can have: 1 to [`MAX_BUCKET_BYTES`] visible characters of ASCII, without `|`.
    InvalidBucket,
    /// The store is away, did not answer in time, or has too much to do.
    Unavailable,
}

impl From<TakeError> for StoreError {
    fn from(error: TakeError) -> Self {
        Self::Take(error)
    }
}

/// State that stages share.
pub struct Store {
    name: String,
    kind: Kind,
    counts: Arc<StoreMetrics>,
}

enum Kind {
    Memory(Box<Limiter>),
    Redis(Redis),
}

impl Store {
    /// The store that `plan` describes. It connects when it is first needed.
    ///
    /// # Errors
    /// If the authorities' certificates can't be used.
    pub fn new(plan: &StorePlan, counts: &StoreCounts) -> Result<Self, rustls::Error> {
        let (name, counts) = (plan.name.to_string(), counts.of(&plan.name));
        let kind = match &plan.kind {
            StoreKind::Memory { entries } => Kind::Memory(Box::new(Limiter::new(KeyBound::new(*entries)))),
            StoreKind::Redis(redis) => Kind::Redis(Redis::new(&name, redis, Arc::clone(&counts))?),
        };
        Ok(Self { name, kind, counts })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes one request from the rest of `key` in `bucket` under `quota`, atomically among all that share the store.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take(&self, bucket: &str, key: &str, quota: Quota) -> Result<Decision, StoreError> {
        quota.check(key)?;
        let is_good = |byte: u8| byte.is_ascii_graphic() && byte != b'|';
        if !(1..=MAX_BUCKET_BYTES).contains(&bucket.len()) || !bucket.bytes().all(is_good) {
            return Err(StoreError::InvalidBucket);
        }
        match &self.kind {
            Kind::Memory(limiter) => {
                // A bucket's name has no `|`, so no two are the same.
                let taken = limiter.take_checked(&format!("{bucket}|{key}"), quota);
                self.counts.ended(StoreOutcome::Done, Duration::ZERO);
                Ok(taken?)
            }
            Kind::Redis(redis) => {
                let began = Instant::now();
                // The future of a host function must be `Send`. A request never leaves its worker.
                let taken = SendWrapper::new(redis.take(bucket, key, quota)).await;
                let outcome = taken.as_ref().err().copied().unwrap_or(StoreOutcome::Done);
                self.counts.ended(outcome, began.elapsed());
                taken.map_err(|_| StoreError::Unavailable)
            }
        }
    }
}

/// All stores that a generation has, by what identifies them. A store that continues in a new generation keeps its
/// connections and, in memory, its state; when no generation has it any more, it is dropped.
#[derive(Default)]
pub struct Stores {
    by_identity: Mutex<HashMap<[u8; 32], Weak<Store>>>,
    /// What is counted of them.
    pub counts: StoreCounts,
}

impl Stores {
    /// The store of `plan`, which has this identity, made if there is none.
    ///
    /// # Errors
    /// Those of [`Store::new`].
    pub fn of(&self, identity: [u8; 32], plan: &StorePlan) -> Result<Arc<Store>, rustls::Error> {
        let mut stores = self.by_identity.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = stores.get(&identity).and_then(Weak::upgrade) {
            return Ok(known);
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let made = Arc::new(Store::new(plan, &self.counts)?);
        stores.insert(identity, Arc::downgrade(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests;
