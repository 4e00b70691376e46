//! The log of bounds that are reached.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// At most one line about the same bound in this time, per listening socket.
const INTERVAL: Duration = Duration::from_secs(10);

/// Says that a bound is reached, but not for each connection that meets it.
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
