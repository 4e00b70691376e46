//! The open-loop load.
//!
//! A clock issues requests at a fixed rate. Half of them go to HTTP/1.1 connections, each of which takes one at a time,
//! the others to HTTP/2 connections, which take any number. The time in which a request waits for a connection counts.

use crate::Result;
use crate::client::{CHUNK, Network, Payload, Sender};
use crate::variants;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::Incoming;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const HTTP1: usize = 24;
const HTTP2: usize = 4;
/// Requests after which a connection is replaced, so that there are always handshakes.
const RENEW: u64 = 400;
/// One in this number of requests is a streamed echo.
const ECHO: u64 = 10;
/// Frames of an echoed body: 64 KiB.
const FRAMES: usize = 64 * 1024 / CHUNK;
/// The longest time for an answer, from the time at which its request was due.
const LATE: Duration = Duration::from_secs(10);
/// The most requests that wait for a connection; a gateway that is further behind has failed.
const WAITING: usize = 1 << 16;

/// The configurations from which an answer may come.
#[derive(Default)]
pub struct Span {
    /// The last one that is known to be live.
    pub live: Cell<u64>,
    /// The last one that may be.
    pub asked: Cell<u64>,
}

/// The results of the requests.
#[derive(Default)]
pub struct Counts {
    pub sent: Cell<u64>,
    pub connections: Cell<u64>,
    /// The number of failures of each kind.
    pub failures: RefCell<BTreeMap<String, u64>>,
    /// Latencies of small requests and of echoes, in microseconds.
    pub small: RefCell<Vec<u64>>,
    pub echo: RefCell<Vec<u64>>,
}

impl Counts {
    fn fail(&self, why: String) {
        *self.failures.borrow_mut().entry(why).or_default() += 1;
    }
}

/// A request that is due.
#[derive(Clone, Copy)]
struct Due {
    number: u64,
    at: Instant,
}

struct Run {
    network: Network,
    span: Rc<Span>,
    counts: Rc<Counts>,
}

/// A load that continues until it is stopped.
pub struct Load {
    stop: Rc<Cell<bool>>,
    clock: tokio::task::JoinHandle<()>,
    connections: Vec<tokio::task::JoinHandle<()>>,
    pub counts: Rc<Counts>,
    pub start: Instant,
}

impl Load {
    /// Starts `rate` requests a second.
    pub fn start(network: Network, rate: u64, span: Rc<Span>) -> Self {
        let counts = Rc::new(Counts::default());
        let run = Rc::new(Run { network, span, counts: Rc::clone(&counts) });
        let (mut queues, mut connections) = ([Vec::new(), Vec::new()], Vec::new());
        for number in 0..HTTP1 + HTTP2 {
            let http2 = number >= HTTP1;
            let (queue, due) = mpsc::channel(WAITING / HTTP1);
            queues[usize::from(http2)].push(queue);
            connections.push(tokio::task::spawn_local(Rc::clone(&run).connection(http2, due)));
        }
        let (stop, start) = (Rc::new(Cell::new(false)), Instant::now());
        let clock =
            tokio::task::spawn_local(clock(start, rate, queues, Rc::clone(&stop), Rc::clone(&counts)));
        Self { stop, clock, connections, counts, start }
    }

    /// Sends no more requests, and waits for answers to those that were sent.
    pub async fn stop(self) -> Result<Rc<Counts>> {
        self.stop.set(true);
        self.clock.await?;
        for connection in self.connections {
            connection.await?;
        }
        Ok(self.counts)
    }
}

async fn clock(
    start: Instant,
    rate: u64,
    queues: [Vec<mpsc::Sender<Due>>; 2],
    stop: Rc<Cell<bool>>,
    counts: Rc<Counts>,
) {
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let mut number = 0;
    while !stop.get() {
        tick.tick().await;
        // Whatever is due by now, at the times at which it was.
        loop {
            let at = start + Duration::from_nanos(number * 1_000_000_000 / rate);
            if at > Instant::now() || stop.get() {
                break;
            }
            let turn = usize::try_from(number / 2).unwrap_or(0);
            let queues = &queues[usize::from(number % 2 == 1)];
            counts.sent.set(counts.sent.get() + 1);
            // The connection with the fewest requests, as a client with a pool would take a free one.
            let turned = queues.iter().cycle().skip(turn % queues.len()).take(queues.len());
            let free = turned.max_by_key(|queue| queue.capacity());
            if free.is_none_or(|queue| queue.try_send(Due { number, at }).is_err()) {
                counts.fail("no connection took it".to_owned());
            }
            number += 1;
        }
    }
}

impl Run {
    async fn connection(self: Rc<Self>, http2: bool, mut due: mpsc::Receiver<Due>) {
        let (mut sender, mut used) = (None, 0);
        let mut streams = tokio::task::JoinSet::new();
        while let Some(next) = due.recv().await {
            let Some(open) = self.opened(&mut sender, &mut used, http2).await else { continue };
            let request = match request(open.origin(), next.number) {
                Ok(request) => request,
                Err(error) => {
                    self.counts.fail(error.to_string());
                    continue;
                }
            };
            // From here on, the request can't meet an earlier configuration than this.
            let least = self.span.live.get();
            let answer = open.send(request);
            let run = Rc::clone(&self);
            let ended = async move { run.check(next, least, answer).await };
            if http2 {
                streams.spawn_local(ended);
                while streams.try_join_next().is_some() {}
            } else {
                ended.await;
            }
        }
        while streams.join_next().await.is_some() {}
    }

    /// The connection, made again if it is due or if the gateway has closed it.
    async fn opened<'s>(
        &self,
        sender: &'s mut Option<Sender>,
        used: &mut u64,
        http2: bool,
    ) -> Option<&'s mut Sender> {
        *used += 1;
        let keep = match sender.as_mut() {
            Some(open) => *used <= RENEW && open.ready().await,
            None => false,
        };
        if !keep {
            *used = 1;
            match self.network.open(http2).await {
                Ok(mut open) => {
                    self.counts.connections.set(self.counts.connections.get() + 1);
                    open.ready().await;
                    *sender = Some(open);
                }
                Err(error) => {
                    *sender = None;
                    self.counts.fail(format!("no connection: {error}"));
                }
            }
        }
        sender.as_mut()
    }

    async fn check(
        &self,
        due: Due,
        least: u64,
        answer: impl Future<Output = hyper::Result<hyper::Response<Incoming>>>,
    ) {
        let checked = async {
            let response = answer.await.map_err(|error| format!("no answer: {error}"))?;
            self.read(due.number, least, response).await
        };
        match tokio::time::timeout_at((due.at + LATE).into(), checked).await {
            Ok(Ok(())) => {
                let latencies = if is_echo(due.number) { &self.counts.echo } else { &self.counts.small };
                let micros = u64::try_from(due.at.elapsed().as_micros()).unwrap_or(u64::MAX);
                latencies.borrow_mut().push(micros);
            }
            Ok(Err(why)) => self.counts.fail(why),
            Err(_) => self.counts.fail("no answer in time".to_owned()),
        }
    }

    /// Reads an answer to its end; it must be complete, correct, and from one configuration that could be live.
    async fn read(
        &self,
        number: u64,
        least: u64,
        response: hyper::Response<Incoming>,
    ) -> std::result::Result<(), String> {
        let (head, body) = response.into_parts();
        if head.status != 200 {
            return Err(format!("status {}", head.status.as_u16()));
        }
        let stamp = |name: &str| head.headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        let outer = stamp("x-probe-outer").ok_or("no stamp")?;
        let most = self.span.asked.get();
        let body = body.collect().await.map_err(|error| format!("cut: {error}"))?.to_bytes();
        if is_echo(number) {
            if body.len() != FRAMES * CHUNK || body.iter().any(|byte| *byte != fill(number)) {
                return Err("an echo is not what was sent".to_owned());
            }
            if !(variants::shared(least)..=variants::shared(most)).contains(&outer) {
                return Err("from a configuration that was not live".to_owned());
            }
            return Ok(());
        }
        let text = std::str::from_utf8(&body).ok().and_then(|text| text.trim().parse::<u64>().ok());
        if stamp("x-probe-inner") != Some(outer) || text != Some(outer) {
            return Err("from more than one configuration".to_owned());
        }
        if !(least..=most).contains(&outer) {
            return Err("from a configuration that was not live".to_owned());
        }
        Ok(())
    }
}

fn is_echo(number: u64) -> bool {
    // The protocol alternates between numbers.
    (number / 2).is_multiple_of(ECHO)
}

fn fill(number: u64) -> u8 {
    u8::try_from(number % 251).unwrap_or(0)
}

fn request(origin: &str, number: u64) -> Result<Request<Payload>> {
    let echo = is_echo(number);
    let path = if echo { "/echo" } else { "/" };
    let mut request =
        Request::builder().method(if echo { "POST" } else { "GET" }).uri(format!("{origin}{path}"));
    if origin.is_empty() {
        request = request.header("host", "localhost");
    }
    let payload = if echo { Payload::stream(FRAMES, fill(number)) } else { Payload::empty() };
    Ok(request.body(payload)?)
}
