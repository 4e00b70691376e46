//! What is seen of one stage while it works on an observed request.
//!
//! An observed request meets each stage in a store of its own, so the host sees when the stage begins, when it calls what
//! comes after it, when it has the answer, and when its own answer is out. The stage's own time is what is left of that
//! without the time in which it waited for what comes after it. A stage may call several times, and at once; times in which
//! two calls were under way count once.
//!
//! Beside these times of the clock, the time is kept in which its store was polled: its computation, with the functions of
//! the host that it called, and with the time in which another thread had the core. Polls of what comes after it happen
//! within these, on the same stack, and are not counted ([`apart`]). Where a store had several requests at once, nobody knows
//! whose computation it was, or for whom it called the host: there is neither then.
//!
//! An observation ends with the body of the stage's response, and tells once what it saw.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::host_calls::{CountedCalls, HostCall, HostCalls};
use super::trace::{BodyCopy, SpanId};

/// How a stage's work on a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its response was sent.
    Sent,
    /// The body of its response broke off, or was not read to its end.
    BrokeOff,
    /// It gave no response.
    Failed {
        /// One word for why.
        kind: &'static str,
        /// Why.
        reason: String,
    },
    /// It handed on the error of what comes after it.
    HandedOn,
    /// Nobody waited for its response any more.
    Abandoned,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// From the request's arrival until the stage began: for a place in an instance, or for an instance.
    pub queued: Duration,
    /// From then on until the head of its response was there, without the waiting for what comes after it.
    pub own: Duration,
    /// The part of it before the stage first called what comes after it: all of it, if it did not.
    pub down: Duration,
    /// The part of it after the last answer from there.
    pub back: Duration,
    /// From the request's arrival to the end.
    pub whole: Duration,
    /// Computation, if that is known.
    pub busy: Option<Duration>,
    /// Calls of what comes after it.
    pub calls: u32,
    /// Calls of the host, if it is known that they were for this request.
    pub host_calls: Option<CountedCalls>,
    /// Bytes of its response's body that were read.
    pub response_bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// Whom an observation tells.
type Tell = Box<dyn FnOnce(Sight) + Send>;

/// What is seen so far. Times are nanoseconds since the beginning; where there is none yet, 0.
pub struct Observation {
    /// The span under which hangs what comes out of the stage, if there is one.
    pub span: Option<SpanId>,
    /// The body of its response, if an operator wants to see it.
    pub response: Option<Arc<BodyCopy>>,
    since: Instant,
    begun: AtomicU64,
    asked: AtomicU64,
    told: AtomicU64,
    head: AtomicU64,
    /// Calls of what comes after the stage that have no answer, since when there are any, and for how long there were.
    asking: AtomicU32,
    asking_since: AtomicU64,
    waited: AtomicU64,
    /// The same when the head was there.
    waited_for_head: AtomicU64,
    calls: AtomicU32,
    host_calls: HostCalls,
    busy: AtomicU64,
    /// Whether its store worked on something else meanwhile, and whether it is polled now.
    shared: AtomicBool,
    polled: AtomicBool,
    polled_since: AtomicU64,
    end: Mutex<End>,
}

/// The end of an observation.
enum End {
    /// It has not come.
    Ahead(Tell),
    /// It came while the store was polled: how long that takes is to be told, too.
    Within(Tell, Box<Sight>),
    Told,
}

impl std::fmt::Debug for Observation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observation").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Observation {
    /// A request arrives at a stage, whose work is `span`. `tell` gets what is seen, once.
    pub fn new(span: Option<SpanId>, tell: impl FnOnce(Sight) + Send + 'static) -> Self {
        Self {
            span,
            response: None,
            since: Instant::now(),
            begun: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            told: AtomicU64::new(0),
            head: AtomicU64::new(0),
            asking: AtomicU32::new(0),
            asking_since: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            waited_for_head: AtomicU64::new(0),
            calls: AtomicU32::new(0),
            host_calls: HostCalls::default(),
            busy: AtomicU64::new(0),
            shared: AtomicBool::new(false),
            polled: AtomicBool::new(false),
            polled_since: AtomicU64::new(0),
            end: Mutex::new(End::Ahead(Box::new(tell))),
        }
    }

    /// The same, with a copy of the body of its response.
    #[must_use]
    pub fn with_copy(mut self, response: Option<Arc<BodyCopy>>) -> Self {
        self.response = response;
        self
    }

    fn now(&self) -> u64 {
        nanoseconds(self.since.elapsed()).max(1)
    }

    /// The stage begins.
    pub fn begin(&self) {
        self.begun.store(self.now(), Relaxed);
    }

    /// The stage calls what comes after it.
    pub fn ask(&self) {
        let now = self.now();
        let _ = self.asked.compare_exchange(0, now, Relaxed, Relaxed);
        self.calls.fetch_add(1, Relaxed);
        if self.asking.fetch_add(1, Relaxed) == 0 {
            self.asking_since.store(now, Relaxed);
        }
    }

    /// The stage calls the host.
    pub fn count(&self, call: HostCall) {
        self.host_calls.count(call);
    }

    /// A call has its answer, or was given up.
    pub fn answered(&self) {
        let now = self.now();
        self.told.store(now, Relaxed);
        if self.asking.fetch_sub(1, Relaxed) == 1 {
            self.waited.fetch_add(now.saturating_sub(self.asking_since.load(Relaxed)), Relaxed);
        }
    }

    /// How long it has waited for what comes after it.
    fn waited(&self, now: u64) -> u64 {
        let under_way = match self.asking.load(Relaxed) {
            0 => 0,
            _ => now.saturating_sub(self.asking_since.load(Relaxed)),
        };
        self.waited.load(Relaxed) + under_way
    }

    /// The head of its response is there.
    pub fn head(&self) {
        let now = self.now();
        if self.head.compare_exchange(0, now, Relaxed, Relaxed).is_ok() {
            self.waited_for_head.store(self.waited(now), Relaxed);
        }
    }

    /// Its store is polled from here on.
    pub fn poll(&self) {
        self.polled.store(true, Relaxed);
        self.polled_since.store(self.now(), Relaxed);
    }

    /// Its store was polled for so long for it alone; or not, if there was another request.
    pub fn polled(&self, busy: Option<Duration>) {
        match busy {
            Some(busy) => {
                // Until it begins, an instance is made for it.
                let most = match self.begun.load(Relaxed) {
                    0 => 0,
                    begun if begun > self.polled_since.load(Relaxed) => self.now() - begun,
                    _ => u64::MAX,
                };
                self.busy.fetch_add(nanoseconds(busy).min(most), Relaxed);
            }
            None => self.shared.store(true, Relaxed),
        }
        self.polled.store(false, Relaxed);
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *end, End::Told) {
            End::Within(tell, sight) => {
                drop(end);
                tell(Sight { busy: self.busy(), host_calls: self.host_calls(), ..*sight });
            }
            other => *end = other,
        }
    }

    /// Computation so far, if it is known.
    fn busy(&self) -> Option<Duration> {
        (!self.shared.load(Relaxed)).then(|| Duration::from_nanos(self.busy.load(Relaxed)))
    }

    /// Calls of the host so far, likewise.
    fn host_calls(&self) -> Option<CountedCalls> {
        (!self.shared.load(Relaxed)).then(|| self.host_calls.counted())
    }

    /// Ends the observation; later ends are none.
    pub fn end(&self, response_bytes: u64, outcome: Outcome) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *end, End::Told) {
            End::Ahead(tell) if self.polled.load(Relaxed) => {
                *end = End::Within(tell, Box::new(self.sight(response_bytes, outcome)));
            }
            End::Ahead(tell) => {
                drop(end);
                tell(self.sight(response_bytes, outcome));
            }
            other => *end = other,
        }
    }

    /// What was seen until now, which is the end.
    fn sight(&self, response_bytes: u64, outcome: Outcome) -> Sight {
        self.head();
        let (whole, head) = (self.now(), self.head.load(Relaxed));
        let begun = match self.begun.load(Relaxed) {
            0 => head,
            begun => begun,
        };
        let own = head.saturating_sub(begun).saturating_sub(self.waited_for_head.load(Relaxed));
        let (down, back) = match self.asked.load(Relaxed) {
            0 => (own, 0),
            // Of a stage that answered before what it called did, there is no way back.
            asked => (
                asked.min(head).saturating_sub(begun),
                match self.told.load(Relaxed) {
                    0 => 0,
                    told => head.saturating_sub(told),
                },
            ),
        };
        let [queued, own, down, back, whole] = [begun, own, down, back, whole].map(Duration::from_nanos);
        let (busy, calls, host_calls) = (self.busy(), self.calls.load(Relaxed), self.host_calls());
        Sight { queued, own, down, back, whole, busy, calls, host_calls, response_bytes, outcome }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.polled(Some(Duration::ZERO));
        self.end(0, Outcome::Abandoned);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

thread_local! {
    /// Nanoseconds of what was done within the work that is timed now, and is timed apart.
    static WITHIN: Cell<u64> = const { Cell::new(0) };
}

/// Does `work`, and says how long that took without what was timed within it.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let outside = WITHIN.replace(0);
    let done = work();
    let all = nanoseconds(start.elapsed());
    let within = WITHIN.replace(outside.saturating_add(all));
    (done, Duration::from_nanos(all.saturating_sub(within)))
}

/// `work`, none of whose time is that of whoever polls it.
pub async fn apart<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| timed(|| work.as_mut().poll(cx)).0).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    fn observation() -> (Observation, Arc<Mutex<Vec<Sight>>>) {
        let seen = Arc::<Mutex<Vec<Sight>>>::default();
        let to = Arc::clone(&seen);
        (Observation::new(None, move |sight| to.lock().unwrap().push(sight)), seen)
    }

    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn the_own_time_is_without_waiting() {
        let (observation, seen) = observation();
        sleep(SHORT);
        observation.begin();
        observation.count(HostCall::Log);
        sleep(SHORT * 2);
        observation.ask();
        observation.ask();
        sleep(SHORT * 20);
        observation.answered();
        observation.answered();
        sleep(SHORT * 3);
        observation.head();
        sleep(SHORT * 4);
        observation.poll();
        observation.end(7, Outcome::Sent);
        observation.count(HostCall::Log);
        assert!(seen.lock().unwrap().is_empty(), "it is not known yet for how long it is polled");
        observation.polled(Some(SHORT));
        observation.end(8, Outcome::Abandoned);
        drop(observation);
        let seen = seen.lock().unwrap();
        let [sight] = &seen[..] else { panic!("{seen:?}") };
        assert!(sight.queued >= SHORT && sight.down >= SHORT * 2 && sight.back >= SHORT * 3, "{sight:?}");
        assert!(sight.own >= SHORT * 5 && sight.own < SHORT * 20, "{sight:?}");
        assert!(sight.whole >= SHORT * 30, "{sight:?}");
        assert_eq!((sight.busy, sight.calls, sight.response_bytes), (Some(SHORT), 2, 7));
        assert_eq!(sight.outcome, Outcome::Sent);
        assert_eq!(sight.host_calls.map(|calls| calls.of(HostCall::Log)), Some(2), "as long as it is polled");
    }

    #[test]
    fn one_that_does_not_call_has_no_way_back_and_one_that_never_began_no_time() {
        let (refuses, seen) = observation();
        refuses.begin();
        sleep(SHORT);
        refuses.head();
        refuses.poll();
        refuses.polled(None);
        refuses.end(0, Outcome::Sent);
        let sight = seen.lock().unwrap().remove(0);
        assert!(sight.down >= SHORT && sight.down == sight.own && sight.back.is_zero(), "{sight:?}");
        assert_eq!((sight.busy, sight.calls, sight.host_calls), (None, 0, None), "another one was there");

        let (waits, seen) = observation();
        sleep(SHORT);
        drop(waits);
        let sight = seen.lock().unwrap().remove(0);
        assert!(sight.queued >= SHORT && sight.own.is_zero(), "{sight:?}");
        assert_eq!(sight.outcome, Outcome::Abandoned);
    }

    #[test]
    fn what_is_timed_within_is_not_counted() {
        let ((), all) = timed(|| {
            sleep(SHORT);
            let ((), inner) = timed(|| sleep(SHORT * 20));
            assert!(inner >= SHORT * 20);
            futures::executor::block_on(apart(async { sleep(SHORT * 20) }));
        });
        assert!(all >= SHORT && all < SHORT * 20, "{all:?}");
    }
}
