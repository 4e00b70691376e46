//! The orderly end: what every worker, accept loop and connection watches, and the signals that start it.
//!
//! Four phases, in this order:
//!
//! - `Serving`.
//! - `NotReady`: nothing changes for clients; only [`Shutdown::is_ready`] changes, and with it the readiness check. The
//!   load balancer has the drain delay to notice and to send clients elsewhere. Responses don't say `Connection: close`
//!   yet: a client that is told to go while the balancer still sends it here would only return over a new connection.
//! - `Draining`: listening sockets close (without loss, see `super::listen::accept`), HTTP/1.1 answers with
//!   `Connection: close`, HTTP/2 sends GOAWAY, and requests in progress continue for at most `shutdown-timeout`.
//! - `Cutting`: the rest is dropped at once. Clients see a broken connection, never a complete response.
//!
//! A listener that is removed while others stay goes through the last two phases alone.

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

/// Starts the stop, from any thread. If it is dropped unused, the server continues to serve.
#[derive(Clone, Debug)]
pub struct Trigger(Arc<watch::Sender<ShutdownPhase>>);

/// Watches the stop. Each task that waits has its own.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<ShutdownPhase>);

/// A trigger and the stop that it triggers.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(ShutdownPhase::Serving);
    (Trigger(Arc::new(sender)), Shutdown(receiver))
}

impl Trigger {
    /// Makes the readiness check fail; everything else continues.
    pub fn not_ready(&self) {
        self.advance(ShutdownPhase::NotReady);
    }

    /// Stops accepting, and lets requests finish.
    pub fn drain(&self) {
        self.advance(ShutdownPhase::Draining);
    }

    /// Stops at once.
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
    /// Whether new clients are welcome: not after [`Trigger::not_ready`].
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == ShutdownPhase::Serving
    }

    /// Whether a stop has begun, for tasks that then refuse new work.
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
            // No trigger is left that could begin a stop.
            std::future::pending::<()>().await;
        }
    }
}

/// [`Shutdown::draining`] for a connection, which asks twice for each request. The channel has a lock, so it is asked
/// once, and again after a change. For one task only, whose waker stays the same.
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

    /// Ready when the stop begins; must not be polled after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.asked && self.seen.has_changed().is_ok_and(|changed| !changed) {
            return Poll::Pending;
        }
        // Without this poll, the channel would not wake the task.
        self.asked = coop::has_budget_remaining();
        self.wait.as_mut().poll(cx)
    }
}

/// SIGINT and SIGTERM, which no longer end the process by default.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes over the signals. From here on they have no effect unless [`Signals::next`] is awaited, so install them
    /// when there is something to stop. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// If the operating system refuses a handler.
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

/// Turns signals into a stop: the first one makes the gateway not ready, and drains after `drain_delay`; a second one
/// during the delay drains at once; a later one cuts, and ends this function. The delay also ends if another task
/// begins to drain.
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
