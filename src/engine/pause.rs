//! How long a body may rest that comes from no instance.

use super::request::CutOff;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Why a body is cut that rests for too long.
pub(super) const PAUSED: &str = "no byte moved within `limits.body-idle-timeout`";

/// Why a body is cut whose generation had to end.
pub(super) const CUT_OFF: &str = "its generation was replaced too long ago";

/// How long nothing moved in a body, and what ends it early.
pub(super) struct Pause {
    patience: Duration,
    end: Instant,
    cut_off: Option<CutOff>,
    /// Until it is looked again.
    look: Pin<Box<Sleep>>,
}

/// How often a body that waits looks whether its time is over, where nobody would tell it.
const LOOK: Duration = Duration::from_millis(500);

impl Pause {
    pub fn new(patience: Duration, cut_off: Option<CutOff>) -> Self {
        let end = Instant::now() + patience;
        Self { patience, end, look: Box::pin(tokio::time::sleep_until(end)), cut_off }
    }

    pub fn begin(&mut self) {
        self.end = Instant::now() + self.patience;
    }

    /// Whether it is over, and why.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Option<&'static str> {
        loop {
            let now = Instant::now();
            if self.cut_off.as_ref().is_some_and(CutOff::is_cut) {
                return Some(CUT_OFF);
            }
            if now >= self.end {
                return Some(PAUSED);
            }
            let next = if self.cut_off.is_some() { self.end.min(now + LOOK) } else { self.end };
            self.look.as_mut().reset(next);
            if self.look.as_mut().poll(cx).is_pending() {
                return None;
            }
        }
    }
}
