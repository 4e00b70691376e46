//! A stage's counters: its own, and those in the stores that it is granted.

use crate::host::bindings::linkspan::gateway::rate_limiter::{self, SharedError};
use crate::host::bindings::named_imports as own;
use crate::host::scope::{Scope, StageScope};
use crate::host::state::InstanceState;
use crate::stores::{self, Quota, Store, StoreError, TakeError};
use crate::telemetry::HostCall;
use wasmtime::component::{Accessor, HasSelf};

offers! {
    own "linkspan:gateway/rate-limiter" "0.1" (own::linkspan::gateway::rate_limiter) more_with Stores;
}

impl From<rate_limiter::Quota> for Quota {
    fn from(quota: rate_limiter::Quota) -> Self {
        Self { burst: quota.burst, interval: quota.interval }
    }
}

impl From<stores::Decision> for rate_limiter::Decision {
    fn from(decision: stores::Decision) -> Self {
        Self {
            allowed: decision.allowed,
            remaining: decision.remaining,
            retry_after: decision.retry_after,
            reset_after: decision.reset_after,
        }
    }
}

impl From<StoreError> for SharedError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Take(TakeError::InvalidQuota) => Self::InvalidQuota,
            StoreError::Take(TakeError::KeyTooLong) => Self::KeyTooLong,
            StoreError::Take(TakeError::TooManyKeys) => Self::TooManyKeys,
            StoreError::InvalidBucket => Self::InvalidBucket,
            StoreError::Unavailable => Self::Unavailable,
        }
    }
}

impl own::linkspan::gateway::rate_limiter::Host for InstanceState {
    fn take(
        &mut self,
        scope: Scope,
        key: String,
        quota: rate_limiter::Quota,
    ) -> wasmtime::Result<Result<rate_limiter::Decision, rate_limiter::Error>> {
        self.count_call(HostCall::Limiter);
        self.pulse.act();
        Ok(match scope.counters.limiter.take(&key, quota.into()) {
            Ok(decision) => Ok(decision.into()),
            Err(TakeError::InvalidQuota) => Err(rate_limiter::Error::InvalidQuota),
            Err(TakeError::KeyTooLong) => Err(rate_limiter::Error::KeyTooLong),
            Err(TakeError::TooManyKeys) => Err(rate_limiter::Error::TooManyKeys),
        })
    }

    fn is_granted(&mut self, scope: Scope, store: String) -> wasmtime::Result<bool> {
        Ok(is_granted(&scope, &store))
    }
}

impl own::linkspan::gateway::rate_limiter::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    async fn take_shared(
        accessor: &Accessor<InstanceState, Self>,
        scope: Scope,
        store: String,
        bucket: String,
        key: String,
        quota: rate_limiter::Quota,
    ) -> wasmtime::Result<Result<rate_limiter::Decision, SharedError>> {
        accessor.with(|mut accessor| {
            accessor.get().count_call(HostCall::Limiter);
            accessor.get().pulse.act();
        });
        Ok(take_shared(&scope, &store, &bucket, &key, quota).await)
    }
}

/// The store of this name, if the stage is granted it.
fn granted<'a>(scope: &'a StageScope, store: &str) -> Option<&'a Store> {
    scope.counters.stores.iter().map(|store| &**store).find(|granted| granted.name() == store)
}

/// Whether the stage is granted a store of this name.
pub fn is_granted(scope: &StageScope, store: &str) -> bool {
    granted(scope, store).is_some()
}

/// Takes one request from what `key` has left in a store.
///
/// # Errors
/// As `wit/gateway.wit` says.
pub async fn take_shared(
    scope: &StageScope,
    store: &str,
    bucket: &str,
    key: &str,
    quota: rate_limiter::Quota,
) -> Result<rate_limiter::Decision, SharedError> {
    let granted = granted(scope, store).ok_or(SharedError::NotGranted)?;
    // Nobody takes anything before there is a request, and there is no worker.
    if scope.is_alone() {
        return Err(SharedError::Unavailable);
    }
    let own;
    let bucket = match bucket {
        "" => {
            own = scope.id.to_string();
            &own
        }
        named => named,
    };
    Ok(granted.take(bucket, key, quota.into()).await?.into())
}
