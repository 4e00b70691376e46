//! Waiting, and the time; the component imports `wasi:clocks/monotonic-clock` or `system-clock`, which need the grant
//! `clocks`.

use crate::bindings::wasi::clocks::{monotonic_clock, system_clock};
use std::pin::pin;
use std::task::Poll;
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

/// The time since some moment, which never goes back: for the length of times alone.
pub fn steady() -> Duration {
    Duration::from_nanos(monotonic_clock::now())
}

/// What `future` comes to, if it does so in time; async form. What is late is dropped.
pub async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut late) = (pin!(future), pin!(sleep(time)));
    std::future::poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => late.as_mut().poll(context).map(|()| None),
    })
    .await
}
