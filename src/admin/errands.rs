//! Reloads and rollbacks, which take time: they run one after the other, on a thread of their own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;

use super::{Control, ReloadOutcome};

/// The most errands that wait while one runs.
const WAITING: usize = 4;

/// An errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Reload,
    Rollback,
}

impl Errand {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Rollback => "rollback",
        }
    }
}

/// Why an errand was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many errands wait already.
    Busy,
    /// The gateway panicked over this errand, or the thread is gone: a defect.
    Failed,
}

struct Job {
    errand: Errand,
    reply: oneshot::Sender<ReloadOutcome>,
}

/// The way to the thread, which ends when this is dropped.
pub(super) struct Errands(SyncSender<Job>);

impl Errands {
    pub(super) fn start(control: Arc<dyn Control>) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(WAITING);
        let work = move || run(&*control, &jobs);
        std::thread::Builder::new().name("linkspan-reload".to_owned()).spawn(work)?;
        Ok(Self(queue))
    }

    /// Runs an errand when its turn comes. If its caller is gone by then, the errand does not begin; one that runs
    /// continues without its caller.
    pub(super) async fn run(&self, errand: Errand) -> Result<ReloadOutcome, Refused> {
        let (reply, outcome) = oneshot::channel();
        self.0.try_send(Job { errand, reply }).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Busy,
            TrySendError::Disconnected(_) => Refused::Failed,
        })?;
        outcome.await.map_err(|_| Refused::Failed)
    }
}

fn run(control: &dyn Control, jobs: &Receiver<Job>) {
    while let Ok(Job { errand, reply }) = jobs.recv() {
        if reply.is_closed() {
            continue;
        }
        // After an errand that panics, further ones must be possible.
        let outcome = catch_unwind(AssertUnwindSafe(|| match errand {
            Errand::Reload => control.reload(),
            Errand::Rollback => control.rollback(),
        }));
        match outcome {
            Ok(outcome) => _ = reply.send(outcome),
            Err(_) => tracing::error!(?errand, "panicked; this is a defect of linkspan"),
        }
    }
}
