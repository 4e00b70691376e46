//! One worker's part of a Redis store: its connection, and the operations that wait for it.
//!
//! What has come since the last command was sent goes in the next one, so that under load a round trip serves many
//! requests, and a single request waits for nobody. A request waits `timeout` at most, whatever happens here. While there
//! is no connection and the last attempt failed, an operation fails at once.

use super::connect::{Connection, Settings, connect};
use super::script::{Ask, command, decisions};
use crate::stores::quota::Decision;
use crate::telemetry::StoreOutcome;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{sleep, timeout};

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A connection is being made, and nothing speaks against it: operations wait for it.
    Connecting,
    /// There is a connection.
    Up,
    /// There is none, and the server is known to be away.
    Away,
}

/// An operation that waits.
struct Waiting {
    ask: Ask,
    answer: oneshot::Sender<Result<Decision, StoreOutcome>>,
}

/// One worker's part of a store.
pub struct Link {
    settings: Arc<Settings>,
    state: Cell<State>,
    waiting: RefCell<VecDeque<Waiting>>,
    /// Something waits.
    wake: Notify,
}

/// Why a connection is not used any more.
enum Ended {
    /// The store is not wanted any more.
    Unwanted,
    /// The server ended it, or it broke.
    Broken(String),
    /// There was no answer in time.
    Late,
}

impl Link {
    /// A link that `run` is to run.
    pub fn new(settings: Arc<Settings>) -> Rc<Self> {
        let (waiting, wake) = (RefCell::default(), Notify::new());
        Rc::new(Self { settings, state: Cell::new(State::Connecting), waiting, wake })
    }

    /// Has the script decide.
    pub async fn take(&self, ask: Ask) -> Result<Decision, StoreOutcome> {
        if self.state.get() == State::Away {
            return Err(StoreOutcome::Away);
        }
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() >= self.settings.plan.bounds.queue {
                return Err(StoreOutcome::Full);
            }
            waiting.push_back(Waiting { ask, answer });
        }
        self.wake.notify_one();
        match timeout(self.settings.plan.bounds.timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreOutcome::Failed),
            Err(_) => Err(StoreOutcome::Late),
        }
    }

    /// Connects, works and connects again until `alive` ends.
    pub async fn run(self: Rc<Self>, mut alive: watch::Receiver<()>) {
        let mut pause = None;
        loop {
            let connected = tokio::select! {
                biased;
                _ = alive.changed() => return,
                connected = connect(&self.settings) => connected,
            };
            self.settings.counts.connecting();
            let ended = match connected {
                Ok(connection) => {
                    self.report_there();
                    pause = None;
                    self.settings.counts.connected();
                    let ended = self.work(connection, &mut alive).await;
                    self.settings.counts.disconnected();
                    ended
                }
                Err(error) => {
                    self.report_away(&error);
                    self.fail(State::Away, StoreOutcome::Away);
                    if self.rest(&mut pause, &mut alive).await.is_break() {
                        return;
                    }
                    continue;
                }
            };
            match ended {
                Ended::Unwanted => return,
                // A server that was started again takes a connection at once: operations wait for that.
                Ended::Broken(reason) => {
                    tracing::info!(target: "linkspan::store", store = self.settings.name, reason, "the connection ended");
                    self.state.set(State::Connecting);
                }
                Ended::Late => {
                    self.report_away(&"no answer in `timeout`");
                    self.fail(State::Away, StoreOutcome::Late);
                }
            }
        }
    }

    /// Rests before the next attempt; longer than the last time.
    async fn rest(
        &self,
        pause: &mut Option<Duration>,
        alive: &mut watch::Receiver<()>,
    ) -> std::ops::ControlFlow<()> {
        let bounds = &self.settings.plan.bounds;
        let length = pause.map_or(bounds.retry_interval, |last| last * 2).min(bounds.retry_interval_max);
        *pause = Some(length);
        tokio::select! {
            biased;
            _ = alive.changed() => std::ops::ControlFlow::Break(()),
            () = sleep(jittered(length)) => std::ops::ControlFlow::Continue(()),
        }
    }

    fn report_there(&self) {
        if self.state.replace(State::Up) == State::Away {
            tracing::info!(target: "linkspan::store", store = self.settings.name, "the store is there again");
        }
    }

    /// Says once that the store is away.
    fn report_away(&self, reason: &dyn std::fmt::Display) {
        if self.state.get() != State::Away {
            let (store, server) = (&self.settings.name, self.settings.address());
            tracing::warn!(target: "linkspan::store", store, server, reason = %reason, "the store is away");
        }
    }

    /// Answers all that waits.
    fn fail(&self, state: State, outcome: StoreOutcome) {
        self.state.set(state);
        for waiting in self.waiting.borrow_mut().drain(..) {
            // Who is gone needs no answer.
            let _ = waiting.answer.send(Err(outcome));
        }
    }

    /// Sends what waits over `connection`, until that ends.
    async fn work(&self, mut connection: Connection, alive: &mut watch::Receiver<()>) -> Ended {
        let (redis, script) = (connection.redis.clone(), connection.script.clone());
        let mut under_way = FuturesUnordered::new();
        loop {
            let most = self.settings.plan.bounds.in_flight;
            while under_way.len() < most
                && let Some(batch) = self.batch()
            {
                under_way.push(self.send(redis.clone(), &script, batch));
            }
            tokio::select! {
                biased;
                _ = alive.changed() => return Ended::Unwanted,
                Some(ended) = under_way.next(), if !under_way.is_empty() => match ended {
                    Ok(()) => {}
                    Err(ended) => return ended,
                },
                _ = &mut connection.driver => return Ended::Broken("closed".to_owned()),
                () = self.wake.notified(), if under_way.len() < most => {}
            }
        }
    }

    /// What goes in the next command: nothing for those who do not wait any more.
    fn batch(&self) -> Option<Vec<Waiting>> {
        let mut waiting = self.waiting.borrow_mut();
        let mut batch = Vec::new();
        while batch.len() < self.settings.plan.bounds.batch
            && let Some(next) = waiting.pop_front()
        {
            if !next.answer.is_closed() {
                batch.push(next);
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Sends a command, and hands out its answer. An error means that the connection is of no use any more.
    async fn send(
        &self,
        mut redis: MultiplexedConnection,
        script: &str,
        batch: Vec<Waiting>,
    ) -> Result<(), Ended> {
        self.settings.counts.sent();
        let prefix = &self.settings.plan.prefix;
        let asked: Vec<&Ask> = batch.iter().map(|waiting| &waiting.ask).collect();
        let deciding = async {
            let mut ask = async |script| {
                let answer = redis.send_packed_command(&command(script, prefix, &asked)).await;
                answer.and_then(Value::extract_error)
            };
            match ask(Some(script)).await {
                // The server was emptied of its scripts.
                Err(error) if is(&error, ServerErrorKind::NoScript) => ask(None).await,
                answer => answer,
            }
        };
        let answer = timeout(self.settings.plan.bounds.timeout, deciding).await;
        let decided = match answer {
            Err(_) => {
                hand_out(batch, std::iter::repeat(Err(StoreOutcome::Late)));
                return Err(Ended::Late);
            }
            Ok(answer) => answer,
        };
        match decided {
            Ok(answer) => match decisions(answer, &asked) {
                Some(decisions) => hand_out(batch, decisions.into_iter().map(Ok)),
                None => {
                    hand_out(batch, std::iter::repeat(Err(StoreOutcome::Failed)));
                    return Err(Ended::Broken("the answer is not the script's".to_owned()));
                }
            },
            Err(error) => {
                hand_out(batch, std::iter::repeat(Err(StoreOutcome::Failed)));
                // Another server may be behind the name by now, to which one may write.
                let is_elsewhere = is(&error, ServerErrorKind::ReadOnly);
                if is_elsewhere || !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
                    return Err(Ended::Broken(error.to_string()));
                }
                tracing::warn!(target: "linkspan::store", store = self.settings.name, reason = %error, "the store refused");
            }
        }
        Ok(())
    }
}

fn hand_out(batch: Vec<Waiting>, answers: impl Iterator<Item = Result<Decision, StoreOutcome>>) {
    for (waiting, answer) in batch.into_iter().zip(answers) {
        // Who is gone needs no answer.
        let _ = waiting.answer.send(answer);
    }
}

fn is(error: &RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind)
}

/// Three quarters of `pause`, and up to a quarter by chance, so that gateways do not all come back at once.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0) as u32;
    pause * 3 / 4 + (pause / 4).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}
