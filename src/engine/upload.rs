//! How fast a client sends the body of its request.
//!
//! The client's time is the time in which somebody waits for the next piece and none has arrived. Time in which a stage
//! computes between two pieces does not count.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What is asked of an upload.
#[derive(Clone, Copy, Debug)]
pub struct UploadPace {
    /// Bytes a second, at least; 0 for no bound.
    pub rate: u64,
    /// How long it may send nothing before that.
    pub grace: Duration,
}

/// An upload, so far.
pub(super) struct Upload {
    pace: UploadPace,
    /// The client's time. What comes gives time back, but never more than the grace.
    left: Duration,
    /// Since when a piece is waited for, and until when that may go on.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Upload {
    pub(super) fn new(pace: UploadPace) -> Self {
        Self { pace, left: pace.grace, waiting: None }
    }

    /// A piece has come.
    pub(super) fn moved(&mut self, bytes: usize) {
        if let Some((since, until)) = self.waiting.take() {
            let now = Instant::now();
            // If nobody has looked when the time was over, nobody has waited: the piece may have been there for long.
            if now <= until.deadline() {
                self.left = self.left.saturating_sub(now - since);
            }
        }
        if let Some(earned) = (bytes as u64).saturating_mul(1000).checked_div(self.pace.rate) {
            self.left = self.left.saturating_add(Duration::from_millis(earned)).min(self.pace.grace);
        }
    }

    /// Nothing is there: whether that is too long now.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pace.rate == 0 {
            return Poll::Pending;
        }
        let (_, until) = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(tokio::time::sleep_until(now + self.left)))
        });
        until.as_mut().poll(cx)
    }
}
