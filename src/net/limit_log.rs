//! Log lines about bounds that were reached.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// The time in which a listening socket has at most one line about the same bound.
const INTERVAL: Duration = Duration::from_secs(10);

/// Says that a bound was reached, but not for each connection that reaches it.
#[derive(Debug, Default)]
pub(in crate::net) struct LimitLog {
    last: Option<Instant>,
    unsaid: u64,
}

impl LimitLog {
    pub(in crate::net) fn note(&mut self, listener: &str, message: &'static str, what: &dyn Display) {
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            self.unsaid += 1;
            return;
        }
        tracing::warn!(listener, %what, also_since_last = self.unsaid, "{message}");
        self.last = Some(Instant::now());
        self.unsaid = 0;
    }
}
