//! Waiting; the component imports `wasi:clocks/monotonic-clock`, which needs
//! the grant `clocks`.

use crate::bindings::wasi::clocks::monotonic_clock;
use std::time::Duration;

/// Wait; async form. More than 584 years is for ever.
pub async fn sleep(duration: Duration) {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::wait_for(nanoseconds).await;
}
