//! Load on one server, from this thread.
//!
//! Closed: each connection sends its next request when it has the answer to the one before, which shows what the server
//! can do. Open: requests are due at fixed times, whatever became of those before, and latency counts from then, so
//! that a server which stalls can't hide it. This thread spins while it waits for the next one: a timer would be as
//! much as a millisecond late.

use crate::Result;
use crate::wire::Target;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The longest wait for answers to requests that were sent.
const LATE: Duration = Duration::from_secs(20);

/// The most requests that wait for one connection; a server that is further behind has failed.
const WAITING: usize = 1 << 12;

/// Requests and their results.
#[derive(Clone, Debug, Default)]
pub struct Round {
    pub requests: u64,
    pub failed: u64,
    /// Why the first one failed.
    pub failure: Option<String>,
    pub elapsed: Duration,
    /// Of an open load, sorted, in microseconds.
    pub latencies: Vec<u32>,
}

impl Round {
    /// How many requests failed, and why the first one did, if any did.
    pub fn failures(&self) -> Option<String> {
        let why = self.failure.as_deref().unwrap_or_default();
        (self.failed > 0)
            .then(|| format!("{} of {} requests failed: {why}", self.failed, self.failed + self.requests))
    }
}

/// The expected answers.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub status: u16,
    pub length: usize,
}

/// How many connections, and whether each request has one of its own.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub connections: usize,
    pub fresh: bool,
}

struct Shared {
    target: Rc<Target>,
    expected: Expected,
    round: RefCell<Round>,
}

impl Shared {
    fn failed(&self, why: String) {
        let mut round = self.round.borrow_mut();
        round.failed += 1;
        round.failure.get_or_insert(why);
    }

    /// Sends one request over `connection`, which is made if it is missing and removed if it failed.
    async fn send(&self, connection: &mut Option<crate::wire::Connection>) {
        let sent = async {
            let mut open = match connection.take() {
                // As clients do: a connection that was closed while nothing was sent is no failure.
                Some(open) if !open.was_closed() => open,
                _ => self.target.open().await?,
            };
            let answer = open.send(&self.target).await?;
            *connection = Some(open);
            if answer != (self.expected.status, self.expected.length) {
                return Err(format!("answered {} with {} bytes", answer.0, answer.1).into());
            }
            Result::Ok(())
        };
        match sent.await {
            Ok(()) => self.round.borrow_mut().requests += 1,
            Err(error) => self.failed(error.to_string()),
        }
    }
}

fn shared(target: &Rc<Target>, expected: Expected) -> Rc<Shared> {
    Rc::new(Shared { target: Rc::clone(target), expected, round: RefCell::default() })
}

/// Sends as many requests as possible in `time`. Returns, with the round, the result of `begin`, which runs when the
/// connections are there.
pub async fn closed<T>(
    target: &Rc<Target>,
    expected: Expected,
    shape: Shape,
    time: Duration,
    begin: impl FnOnce() -> Result<T>,
) -> Result<(Round, T)> {
    let shared = shared(target, expected);
    let mut connections = Vec::new();
    for _ in 0..shape.connections {
        let wanted = !shape.fresh;
        connections.push(if wanted { Some(target.open().await?) } else { None });
    }
    let begun = begin()?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let shared = Rc::clone(&shared);
        tasks.spawn_local(async move {
            while start.elapsed() < time {
                shared.send(&mut connection).await;
                if shape.fresh {
                    connection = None;
                }
                if connection.is_none() && !shape.fresh {
                    // After a failure, the next request waits.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        });
    }
    join(tasks).await?;
    let mut round = shared.round.take();
    round.elapsed = start.elapsed();
    Ok((round, begun))
}

/// Sends `rate` requests a second for `time`. Returns, with the round, the result of `begin`, which runs when the
/// connections are there.
pub async fn open<T>(
    target: &Rc<Target>,
    expected: Expected,
    connections: usize,
    rate: f64,
    time: Duration,
    begin: impl FnOnce() -> Result<T>,
) -> Result<(Round, T)> {
    let shared = shared(target, expected);
    let mut tasks = JoinSet::new();
    let mut queues = Vec::new();
    for _ in 0..connections {
        let (queue, mut due) = mpsc::channel::<Instant>(WAITING);
        // The number of requests that wait for this connection.
        let waiting = Rc::new(Cell::new(0_usize));
        queues.push((queue, Rc::clone(&waiting)));
        let shared = Rc::clone(&shared);
        let mut connection = Some(target.open().await?);
        tasks.spawn_local(async move {
            while let Some(due) = due.recv().await {
                shared.send(&mut connection).await;
                let micros = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
                shared.round.borrow_mut().latencies.push(micros);
                waiting.set(waiting.get() - 1);
            }
        });
    }
    let begun = begin()?;
    let start = Instant::now();
    let total = (rate * time.as_secs_f64()) as u64;
    for number in 0..total {
        let due = start + Duration::from_secs_f64(number as f64 / rate);
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        // The connection with the least to do, as a client with a pool would take a free one; the search begins with
        // another one each time.
        let turned = queues.iter().cycle().skip(number as usize % queues.len()).take(queues.len());
        if let Some((queue, waiting)) = turned.min_by_key(|(_, waiting)| waiting.get()) {
            waiting.set(waiting.get() + 1);
            if queue.try_send(due).is_err() {
                waiting.set(waiting.get() - 1);
                shared.failed("no connection took it".to_owned());
            }
        }
    }
    drop(queues);
    join(tasks).await?;
    let mut round = shared.round.take();
    round.elapsed = start.elapsed();
    round.latencies.sort_unstable();
    Ok((round, begun))
}

async fn join(mut tasks: JoinSet<()>) -> Result<()> {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Result::Ok(())
    };
    // A load that is not over by then hangs; a closed load has a time of its own.
    tokio::time::timeout(LATE * 6, all).await.map_err(|_| "requests without an answer")?
}

/// The value below which `part` of the sorted values are.
pub fn percentile(sorted: &[u32], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1)).map_or(f64::NAN, |value| f64::from(*value))
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
