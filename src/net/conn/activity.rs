//! What a connection does, as far as its timeouts need to know, and the one timer that enforces them.
//!
//! hyper has one timeout for HTTP/1.1, `header_read_timeout`, which runs from the moment at which hyper begins to wait
//! for a head: it does not distinguish an idle kept-alive connection from a head that dribbles in. For HTTP/2, hyper
//! has none. hyper therefore gets a [`HeadTimer`] that never fires and only reports when the wait for a head begins and
//! ends; [`Activity`] adds the reports of the transport and the requests; and [`Watchdog`] derives the connection's
//! deadline from both.
//!
//! The cost to a request is a few stores and one look at the clock: a recent event is [`UNREAD`] until the watchdog,
//! which is polled after hyper, sees it. The timer wheel is touched once per timeout, not once per request.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::task::coop;

use super::downloads::Downloads;
use super::info::Protocol;
use crate::config::keys::GatewayLimits;

/// Milliseconds since the connection's start.
type Millis = u64;

/// In place of a tick: this does not happen now.
const NEVER: Millis = Millis::MAX;

/// In place of a tick: since this turn of the connection's task, for which nobody has read the clock yet.
const UNREAD: Millis = Millis::MAX - 1;

/// Why the gateway ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A head did not end in time, or the first one did not begin in time.
    HeaderRead,
    /// The connection had no request for too long.
    Idle,
    /// The client does not read what is written to it.
    WriteStalled,
    /// The client reads a response too slowly.
    SlowDownload,
}

/// The state of one connection. The fields are atomic only because hyper wants its timer to be `Send + Sync`.
/// Everything happens on one thread, so loads and stores are relaxed, and a counter is a load and a store.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    header_read_ms: Millis,
    idle_ms: Millis,
    protocol: Protocol,
    in_flight: AtomicU64,
    /// Requests that the connection may still have.
    left: AtomicU64,
    /// Whether any request has been seen, or (HTTP/2) any byte.
    spoken: AtomicBool,
    /// When the last request ended (HTTP/2).
    idle_since: AtomicU64,
    /// Since when hyper waits for a head (HTTP/1.1).
    head_wait: AtomicU64,
    /// When the first byte of that head came.
    head_begun: AtomicU64,
    write_blocked: AtomicU64,
    /// Whether the last request may have left some of its body unread.
    had_body: AtomicBool,
    /// A response body ended in an error.
    broken: AtomicBool,
    /// A stop has begun.
    stopping: AtomicBool,
    /// The client was told that the connection speaks something else from now on.
    upgraded: AtomicBool,
    /// Why the gateway reads nothing more of what the client sends.
    fault: OnceLock<&'static str>,
}

impl Activity {
    pub(super) fn new(protocol: Protocol, limits: &GatewayLimits) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            header_read_ms: millis(limits.header_read_timeout),
            idle_ms: millis(limits.idle_timeout),
            protocol,
            in_flight: AtomicU64::new(0),
            left: AtomicU64::new(limits.requests_per_connection.max(1)),
            spoken: AtomicBool::new(false),
            idle_since: AtomicU64::new(0),
            head_wait: AtomicU64::new(NEVER),
            head_begun: AtomicU64::new(NEVER),
            write_blocked: AtomicU64::new(NEVER),
            had_body: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            fault: OnceLock::new(),
        })
    }

    fn now(&self) -> Millis {
        millis(self.start.elapsed())
    }

    /// The protocol of the connection.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The answer is 101: what follows is not HTTP.
    pub(super) fn upgrade(&self) {
        self.upgraded.store(true, Relaxed);
    }

    /// Whether that response was made.
    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Relaxed)
    }

    /// What the client sent is not HTTP.
    pub(super) fn note_fault(&self, reason: &'static str) {
        let _ = self.fault.set(reason);
    }

    /// Why the client's bytes are not HTTP, if they are not.
    pub(super) fn fault(&self) -> Option<&'static str> {
        self.fault.get().copied()
    }

    /// The transport read something.
    pub(super) fn bytes_read(&self) {
        match self.protocol {
            Protocol::Http1 => {
                if self.head_wait.load(Relaxed) != NEVER && self.head_begun.load(Relaxed) == NEVER {
                    self.head_begun.store(UNREAD, Relaxed);
                }
            }
            Protocol::Http2 => self.spoken.store(true, Relaxed),
        }
    }

    /// The transport would not accept a write; it wakes a task when it does.
    pub(super) fn write_blocked(&self) {
        if self.write_blocked.load(Relaxed) == NEVER {
            self.write_blocked.store(self.now(), Relaxed);
        }
    }

    pub(super) fn write_progress(&self) {
        self.write_blocked.store(NEVER, Relaxed);
    }

    /// A response body ended in an error: the response must not look complete.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Relaxed);
    }

    /// A stop has begun: from now on, each answer of HTTP/1.1 is the connection's last.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Ready once the connection has had all of its requests, if its protocol can announce the end.
    pub(super) fn poll_worn_out(&self) -> Poll<()> {
        if self.protocol == Protocol::Http2 && self.left.load(Relaxed) == 0 {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Whether hyper can be asked to end the connection without the loss of a request that is on its way. Between two
    /// requests of HTTP/1.1 it would close at once.
    pub(super) fn may_be_told_to_go(&self) -> bool {
        self.protocol == Protocol::Http2 || self.in_flight.load(Relaxed) > 0
    }

    /// Whether a request has no complete answer yet.
    pub(super) fn is_serving(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// Whether a client of HTTP/1.1 sends nothing and waits for nothing.
    pub(super) fn is_silent(&self) -> bool {
        self.protocol == Protocol::Http1
            && self.in_flight.load(Relaxed) == 0
            && self.head_begun.load(Relaxed) == NEVER
    }

    /// Whether dropping the connection now cuts an answer short.
    pub(super) fn cut_short(&self) -> bool {
        self.broken.load(Relaxed) || self.in_flight.load(Relaxed) > 0
    }

    /// Whether the client may still be sending what nobody will read: a head that was refused, or a request's body.
    pub(super) fn owes_reading(&self) -> bool {
        self.head_begun.load(Relaxed) != NEVER || self.had_body.load(Relaxed)
    }

    /// Reads the clock for events of this turn that still matter: mostly the end of a response, since a head that
    /// arrived has become a request meanwhile.
    fn settle(&self) {
        let unread = |tick: &&AtomicU64| tick.load(Relaxed) == UNREAD;
        let mut ticks = [&self.head_wait, &self.head_begun].into_iter().filter(unread).peekable();
        if ticks.peek().is_some() {
            let now = self.now();
            ticks.for_each(|tick| tick.store(now, Relaxed));
        }
    }

    /// When this connection is to end if nothing happens until then, and why.
    fn deadline(&self) -> Option<(Millis, Overdue)> {
        let blocked = self.write_blocked.load(Relaxed);
        let stalled =
            (blocked != NEVER).then(|| (blocked.saturating_add(self.idle_ms), Overdue::WriteStalled));
        let waiting = match self.protocol {
            Protocol::Http1 => self.head_deadline(),
            Protocol::Http2 => self.stream_deadline(),
        };
        match (stalled, waiting) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        }
    }

    fn head_deadline(&self) -> Option<(Millis, Overdue)> {
        let wait = self.head_wait.load(Relaxed);
        let begun = self.head_begun.load(Relaxed);
        if wait == NEVER {
            None
        } else if !self.spoken.load(Relaxed) {
            Some((self.header_read_ms, Overdue::HeaderRead))
        } else if begun != NEVER {
            Some((begun.saturating_add(self.header_read_ms), Overdue::HeaderRead))
        } else {
            Some((wait.saturating_add(self.idle_ms), Overdue::Idle))
        }
    }

    fn stream_deadline(&self) -> Option<(Millis, Overdue)> {
        if self.in_flight.load(Relaxed) > 0 {
            None
        } else if !self.spoken.load(Relaxed) {
            Some((self.header_read_ms, Overdue::HeaderRead))
        } else {
            Some((self.idle_since.load(Relaxed).saturating_add(self.idle_ms), Overdue::Idle))
        }
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX).min(UNREAD - 1)
}

/// A request, from its head to the end of its response's body or to an earlier end.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    /// The requests of the listening socket, to count those that a stop cuts.
    total: Rc<Cell<usize>>,
}

impl InFlight {
    pub(super) fn begin(activity: &Arc<Activity>, total: &Rc<Cell<usize>>, has_body: bool) -> Self {
        activity.in_flight.store(activity.in_flight.load(Relaxed) + 1, Relaxed);
        activity.spoken.store(true, Relaxed);
        activity.head_wait.store(NEVER, Relaxed);
        activity.head_begun.store(NEVER, Relaxed);
        activity.had_body.store(has_body, Relaxed);
        activity.left.store(activity.left.load(Relaxed).saturating_sub(1), Relaxed);
        total.set(total.get() + 1);
        Self { activity: Arc::clone(activity), total: Rc::clone(total) }
    }

    pub(super) fn break_off(&self) {
        self.activity.break_off();
    }

    /// Whether the response says that the connection ends with it.
    pub(super) fn is_last(&self) -> bool {
        let activity = &self.activity;
        let last = activity.stopping.load(Relaxed) || activity.left.load(Relaxed) == 0;
        activity.protocol == Protocol::Http1 && last
    }

    /// The connection speaks another protocol after this response.
    pub(super) fn upgrade(&self) {
        self.activity.upgrade();
    }

    /// The protocol of the request.
    pub(super) fn protocol(&self) -> Protocol {
        self.activity.protocol
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let left = self.activity.in_flight.load(Relaxed).saturating_sub(1);
        self.activity.in_flight.store(left, Relaxed);
        if left == 0 && self.activity.protocol == Protocol::Http2 {
            self.activity.idle_since.store(self.activity.now(), Relaxed);
        }
        self.total.set(self.total.get().saturating_sub(1));
    }
}

/// hyper's timer for HTTP/1.1. hyper starts one sleep for each head that it waits for; the wait ends when a request
/// begins.
#[derive(Debug)]
pub(super) struct HeadTimer(pub(super) Arc<Activity>);

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.0.head_wait.store(UNREAD, Relaxed);
        self.0.head_begun.store(NEVER, Relaxed);
        // Without a size, so that nothing is allocated.
        Box::pin(HeadWait)
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(Duration::ZERO)
    }

    /// hyper makes a deadline of this value, and passes the deadline to `sleep_until`.
    fn now(&self) -> Instant {
        self.0.start
    }
}

#[derive(Debug)]
struct HeadWait;

impl Future for HeadWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Sleep for HeadWait {}

/// The timer of one connection, polled by the task that also polls hyper: whatever changes the deadline has woken that
/// task, except the end of an HTTP/2 request, which only moves the deadline back.
#[derive(Debug)]
pub(super) struct Watchdog {
    activity: Arc<Activity>,
    downloads: Rc<Downloads>,
    grace: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
    armed: Millis,
    /// Whether `sleep` knows the task since it was armed.
    asked: bool,
}

impl Watchdog {
    pub(super) fn new(activity: Arc<Activity>, downloads: Rc<Downloads>, grace: Duration) -> Self {
        let armed = activity.header_read_ms.min(activity.idle_ms);
        let sleep = Box::pin(tokio::time::sleep_until(at(&activity, armed)));
        Self { activity, downloads, grace, sleep, armed, asked: false }
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// The longest time between two looks if nothing is due earlier: no deadline that begins later is nearer than that.
    fn step(&self) -> Millis {
        let activity = &self.activity;
        activity.header_read_ms.min(activity.idle_ms).min(millis(self.grace)).max(1)
    }

    /// Ready once the connection has outlived its deadline. For one task only, whose waker stays the same.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Overdue> {
        self.activity.settle();
        let deadline = self.activity.deadline();
        if let Some((tick, _)) = deadline
            && tick < self.armed
        {
            self.arm(tick);
        }
        // The timer is polled twice for each request, and each poll that registers the same task again takes 80 ns.
        if self.asked && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            // Without this poll, the timer would not wake the task.
            let budget = coop::has_budget_remaining();
            if self.sleep.as_mut().poll(cx).is_pending() {
                self.asked = budget;
                return Poll::Pending;
            }
            let now = self.activity.now();
            if self.downloads.are_too_slow() {
                return Poll::Ready(Overdue::SlowDownload);
            }
            let next = match deadline {
                Some((tick, why)) if tick <= now => return Poll::Ready(why),
                Some((tick, _)) if self.downloads.is_empty() => tick,
                Some((tick, _)) => tick.min(now.saturating_add(self.step())),
                // A request is being served.
                None => now.saturating_add(self.step()),
            };
            self.arm(next);
        }
    }

    fn arm(&mut self, tick: Millis) {
        self.armed = tick;
        self.asked = false;
        let at = at(&self.activity, tick);
        self.sleep.as_mut().reset(at);
    }
}

/// A tick as the runtime's time. Ticks beyond the clock's range are a year away.
fn at(activity: &Activity, tick: Millis) -> tokio::time::Instant {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    let offset = Duration::from_millis(tick).min(activity.start.elapsed() + YEAR);
    tokio::time::Instant::from_std(activity.start + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> GatewayLimits {
        GatewayLimits {
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            ..GatewayLimits::default()
        }
    }

    fn total() -> Rc<Cell<usize>> {
        Rc::new(Cell::new(0))
    }

    #[test]
    fn the_first_head_is_due_from_the_start_and_later_ones_from_their_first_byte() {
        let activity = Activity::new(Protocol::Http1, &limits());
        let timer = HeadTimer(Arc::clone(&activity));
        drop(timer.sleep_until(timer.now()));
        activity.settle();
        assert_eq!(activity.deadline(), Some((10_000, Overdue::HeaderRead)));
        let request = InFlight::begin(&activity, &total(), false);
        assert_eq!(activity.deadline(), None, "a request being served has no deadline here");

        drop(request);
        drop(timer.sleep_until(timer.now()));
        assert_eq!(activity.head_wait.load(Relaxed), UNREAD);
        activity.settle();
        assert!(matches!(activity.deadline(), Some((75_000..80_000, Overdue::Idle))));
        activity.head_wait.store(5_000, Relaxed);
        assert_eq!(activity.deadline(), Some((80_000, Overdue::Idle)));
        activity.bytes_read();
        assert_eq!(activity.head_begun.load(Relaxed), UNREAD);
        activity.head_begun.store(20_000, Relaxed);
        assert_eq!(activity.deadline(), Some((30_000, Overdue::HeaderRead)));
    }

    #[test]
    fn an_h2_connection_is_idle_only_without_requests() {
        let activity = Activity::new(Protocol::Http2, &limits());
        assert_eq!(activity.deadline(), Some((10_000, Overdue::HeaderRead)));
        activity.bytes_read();
        assert_eq!(activity.deadline(), Some((75_000, Overdue::Idle)));
        let total = total();
        let (one, two) =
            (InFlight::begin(&activity, &total, true), InFlight::begin(&activity, &total, false));
        assert_eq!((activity.deadline(), total.get()), (None, 2));
        drop(one);
        assert_eq!(activity.deadline(), None);
        drop(two);
        assert!(matches!(activity.deadline(), Some((_, Overdue::Idle))));
        assert_eq!(total.get(), 0);
    }

    #[test]
    fn a_stalled_write_is_due_even_while_a_request_is_served() {
        let activity = Activity::new(Protocol::Http2, &limits());
        let _request = InFlight::begin(&activity, &total(), false);
        activity.write_blocked.store(1_000, Relaxed);
        assert_eq!(activity.deadline(), Some((76_000, Overdue::WriteStalled)));
        activity.write_progress();
        assert_eq!(activity.deadline(), None);
    }
}
