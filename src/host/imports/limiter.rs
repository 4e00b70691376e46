//! A stage's own counters.

use crate::host::bindings::linkspan::gateway::rate_limiter;
use crate::host::bindings::named_imports as own;
use crate::host::limiter::{Quota, TakeError};
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::telemetry::HostCall;

offers! {
    own "linkspan:gateway/rate-limiter" "0.1" (own::linkspan::gateway::rate_limiter);
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
        let quota = Quota { burst: quota.burst, interval: quota.interval };
        Ok(match scope.limiter.take(&key, quota) {
            Ok(decision) => Ok(rate_limiter::Decision {
                allowed: decision.allowed,
                remaining: decision.remaining,
                retry_after: decision.retry_after,
                reset_after: decision.reset_after,
            }),
            Err(TakeError::InvalidQuota) => Err(rate_limiter::Error::InvalidQuota),
            Err(TakeError::KeyTooLong) => Err(rate_limiter::Error::KeyTooLong),
            Err(TakeError::TooManyKeys) => Err(rate_limiter::Error::TooManyKeys),
        })
    }
}
