//! Waiting, and the time; the component imports `wasi:clocks/monotonic-clock` or `system-clock`, which need the grant
//! `clocks`.

use crate::bindings::wasi::clocks::{monotonic_clock, system_clock};
use std::time::Duration;

/// Wait; async form. More than 584 years is for ever.
pub async fn sleep(duration: Duration) {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::wait_for(nanoseconds).await;
}

/// The time since 1970-01-01T00:00:00Z; zero before that.
pub fn now() -> Duration {
    let now = system_clock::now();
    u64::try_from(now.seconds).map_or(Duration::ZERO, |seconds| Duration::new(seconds, now.nanoseconds))
}
