//! The orderly end: what every worker, accept loop and connection watches, and the signals that set it off.
//!
//! Four phases, only ever forward.
//!
//! - `Serving`.
//! - `NotReady`: nothing changes for clients, only [`Shutdown::is_ready`] does, which the readiness check tells. Whoever
//!   sends clients here has the drain delay to notice and to send them elsewhere. Answers don't say `Connection: close` yet:
//!   a client that is told to go while it is still being sent here would only come back over a new connection.
//! - `Draining`: listening sockets close (how, so that nothing is lost: `super::listen::accept`), HTTP/1.1 answers with
//!   `Connection: close`, HTTP/2 sends GOAWAY, requests in flight go on, for at most `shutdown-timeout`.
//! - `Cutting`: what is left is dropped at once, and clients see that as a broken connection, never as a complete answer.
//!
//! A listener that is removed while the others stay goes through the last two by itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::coop;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ShutdownPhase {
    Serving,
    NotReady,
    Draining,
    Cutting,
}

/// Sets the stop off, from any thread. Dropped without being used, it leaves the server serving.
#[derive(Clone, Debug)]
pub struct Trigger(Arc<watch::Sender<ShutdownPhase>>);

/// Learns of the stop. One for each who waits.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<ShutdownPhase>);

/// A trigger and what it triggers.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(ShutdownPhase::Serving);
    (Trigger(Arc::new(sender)), Shutdown(receiver))
}

impl Trigger {
    /// Have the readiness check fail; go on as before.
    pub fn not_ready(&self) {
        self.advance(ShutdownPhase::NotReady);
    }

    /// Stop accepting; let requests finish.
    pub fn drain(&self) {
        self.advance(ShutdownPhase::Draining);
    }

    /// Stop now.
    pub fn cut(&self) {
        self.advance(ShutdownPhase::Cutting);
    }

    fn advance(&self, to: ShutdownPhase) {
        self.0.send_if_modified(|phase| {
            let forward = *phase < to;
            *phase = to.max(*phase);
            forward
        });
    }
}

impl Shutdown {
    /// Whether new clients are welcome: false from [`Trigger::not_ready`] on.
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == ShutdownPhase::Serving
    }

    /// Whether a stop has begun, for who wants to refuse new work.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= ShutdownPhase::Draining
    }

    /// Ends when the stop begins.
    pub async fn draining(&mut self) {
        self.reached(ShutdownPhase::Draining).await;
    }

    /// Ends when nothing more is waited for.
    pub async fn cutting(&mut self) {
        self.reached(ShutdownPhase::Cutting).await;
    }

    async fn reached(&mut self, wanted: ShutdownPhase) {
        if self.0.wait_for(|phase| *phase >= wanted).await.is_err() {
            // Nobody is left who could stop us.
            std::future::pending::<()>().await;
        }
    }
}

/// [`Shutdown::draining`] for a connection, which asks twice a request: the channel has a lock, and is asked once, and again
/// after a change. For one task only, whose waker stays the same.
pub(super) struct Draining {
    seen: watch::Receiver<ShutdownPhase>,
    wait: Pin<Box<dyn Future<Output = ()>>>,
    asked: bool,
}

impl Draining {
    pub(super) fn new(mut shutdown: Shutdown) -> Self {
        let seen = shutdown.0.clone();
        Self { seen, wait: Box::pin(async move { shutdown.draining().await }), asked: false }
    }

    /// Ready when the stop begins; not to be asked after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.asked && self.seen.has_changed().is_ok_and(|changed| !changed) {
            return Poll::Pending;
        }
        // Without it, the channel would only say that it is to be asked again.
        self.asked = coop::has_budget_remaining();
        self.wait.as_mut().poll(cx)
    }
}

/// SIGINT and SIGTERM, taken over from their default of ending the process.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over. From here on they do nothing unless [`Signals::next`] is awaited, so install them when there
    /// is something to stop. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the operating system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next signal's name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.interrupt.recv() => "SIGINT",
            Some(()) = self.terminate.recv() => "SIGTERM",
            // Both streams end only with their runtime.
            else => std::future::pending().await,
        }
    }
}

/// Turns signals into a stop: the first makes us not ready, and after `drain_delay` drains; a second one during the delay
/// drains at once; one after that cuts, and then this ends. It also ends the delay if somebody else drains.
pub async fn signals(mut signals: Signals, trigger: Trigger, drain_delay: Duration) {
    let name = signals.next().await;
    trigger.not_ready();
    if !drain_delay.is_zero() {
        tracing::info!(signal = name, delay = ?drain_delay, "not ready: still serving; a second signal skips the delay");
        let mut elsewhere = Shutdown(trigger.0.subscribe());
        tokio::select! {
            () = tokio::time::sleep(drain_delay) => {}
            () = elsewhere.draining() => {}
            _ = signals.next() => {}
        }
    }
    tracing::info!(
        signal = name,
        "stopping: no new connections, requests may finish; another signal stops at once"
    );
    trigger.drain();
    let name = signals.next().await;
    tracing::warn!(signal = name, "stopping at once");
    trigger.cut();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn phases_only_go_forward() {
        let (trigger, mut shutdown) = channel();
        assert!(shutdown.is_ready());
        trigger.not_ready();
        assert!(!shutdown.is_ready() && !shutdown.is_draining());
        trigger.cut();
        trigger.not_ready();
        trigger.drain();
        run(async {
            shutdown.draining().await;
            shutdown.cutting().await;
        });
    }

    #[test]
    fn who_asks_seldom_is_told_as_well() {
        let (trigger, shutdown) = channel();
        let mut draining = Draining::new(shutdown);
        let mut asked = 0;
        let told = std::future::poll_fn(|cx| {
            asked += 1;
            draining.poll(cx)
        });
        let others = async {
            for step in 0..6 {
                match step {
                    2 => trigger.not_ready(),
                    4 => trigger.drain(),
                    _ => {}
                }
                tokio::task::yield_now().await;
            }
        };
        run(async { tokio::join!(told, others) });
        assert!((4..=6).contains(&asked), "asked {asked} times");
    }

    #[test]
    fn a_dropped_trigger_stops_nothing() {
        let (trigger, mut shutdown) = channel();
        drop(trigger);
        run(async {
            let waited = tokio::time::timeout(Duration::from_millis(20), shutdown.draining()).await;
            assert!(waited.is_err());
        });
    }
}
