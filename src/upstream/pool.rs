//! One worker's part of an upstream: which server gets a request, the connections, and the requests that wait for one.
//!
//! A request holds a [`Permit`] of a server from before it has a connection until the connection is given back. There
//! are as many permits as allowed connections (with HTTP/2, times streams), so that permits bound connections, too: a
//! new connection is made only by a request that has a permit and finds no idle connection.

use super::body::Payload;
use super::connect::{self, OpenGuard};
use super::error::{Error, ErrorKind};
use super::health::{self, ServerState};
use super::link::{Http1, Http2, Link};
use super::timer::{Awaited, RequestTimer};
use super::{Core, Upstream};
use crate::plan::{Balance, ServerHost, UpstreamLimits, UpstreamProtocol};
use crate::telemetry::{Metrics, UpstreamMetrics};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The time between looks at idle connections and old addresses.
const TIDY_EVERY: Duration = Duration::from_millis(500);

/// The connections of one worker to the servers of an upstream.
pub struct ConnectionPool<B: Payload> {
    core: Arc<Core>,
    /// Gone when no generation has the upstream any more.
    owner: Weak<Upstream>,
    name: Arc<str>,
    pub(super) servers: Vec<Connections<B>>,
    /// The server at which the next round begins.
    next: Cell<usize>,
    waiting: RefCell<VecDeque<oneshot::Sender<Permit<B>>>>,
    exchanges: RefCell<Vec<std::rc::Weak<RequestTimer>>>,
    /// Retries that may be made, in hundredths of a retry.
    budget: Cell<usize>,
    now: Cell<Instant>,
    tidied: Cell<Instant>,
}

/// Retries that may be made at once, however few requests came before.
const RESERVE: usize = 10 * 100;

/// The requests that wait for the connection that is being made, if one is.
pub(super) type Connecting = RefCell<Option<Vec<oneshot::Sender<Result<(), Error>>>>>;

/// The connections with one server.
pub(super) struct Connections<B: 'static> {
    /// Requests that have a permit.
    active: Cell<usize>,
    /// Connections that are open, or being closed.
    open: Rc<Cell<usize>>,
    /// Idle connections, each with the beginning of its idle time; the last one is used first.
    idle: RefCell<Vec<(Http1<B>, Instant)>>,
    pub(super) http2: RefCell<Vec<Rc<Http2<B>>>>,
    /// Whether it speaks HTTP/2, once that is known.
    pub(super) speaks_http2: Cell<Option<bool>>,
    /// The requests that wait for a connection that is being made, and that may serve many.
    pub(super) connecting: Connecting,
    metrics: Arc<UpstreamMetrics>,
}

/// A server's fault, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Connect,
    Timeout,
    Broken,
}

/// The right to send one request to a server.
pub(super) struct Permit<B: Payload> {
    pool: Rc<ConnectionPool<B>>,
    server: usize,
}

impl<B: Payload> Permit<B> {
    pub fn pool(&self) -> &Rc<ConnectionPool<B>> {
        &self.pool
    }

    pub fn server(&self) -> usize {
        self.server
    }
}

impl<B: Payload> Drop for Permit<B> {
    fn drop(&mut self) {
        let connections = &self.pool.servers[self.server];
        connections.active.set(connections.active.get() - 1);
        connections.metrics.ended();
        self.pool.hand_out();
    }
}

impl<B: Payload> ConnectionPool<B> {
    /// The pool of the worker with this number, without connections.
    pub fn new(upstream: &Arc<Upstream>, metrics: &Metrics, worker: usize) -> Rc<Self> {
        let core = Arc::clone(&upstream.core);
        let connections = |server: &ServerState| Connections {
            active: Cell::new(0),
            open: Rc::default(),
            idle: RefCell::default(),
            http2: RefCell::default(),
            speaks_http2: Cell::new(match (core.plan.protocol, server.server.tls) {
                (UpstreamProtocol::Http1, _) | (UpstreamProtocol::Auto, false) => Some(false),
                (UpstreamProtocol::Http2, _) => Some(true),
                (UpstreamProtocol::Auto, true) => None,
            }),
            connecting: RefCell::default(),
            metrics: metrics.upstream(&core.plan.name, &server.name, worker, &server.up),
        };
        let servers = core.servers.iter().map(connections).collect();
        Rc::new(Self {
            owner: Arc::downgrade(upstream),
            name: core.plan.name.to_string().into(),
            servers,
            // Workers begin at different servers.
            next: Cell::new(worker),
            waiting: RefCell::default(),
            exchanges: RefCell::default(),
            budget: Cell::new(if core.plan.retry.budget == 0 { 0 } else { RESERVE }),
            now: Cell::new(Instant::now()),
            tidied: Cell::new(Instant::now()),
            core,
        })
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    pub(super) fn limits(&self) -> &UpstreamLimits {
        &self.core.plan.limits
    }

    /// The time of the last tick.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(super) fn names(&self, server: usize) -> (Arc<str>, Arc<str>) {
        (Arc::clone(&self.name), Arc::clone(&self.core.servers[server].name))
    }

    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error { upstream: Arc::clone(&self.name), server: None, kind }
    }

    /// The error of a failed attempt with a server, for the caller.
    pub(super) fn error_of(&self, server: usize, kind: ErrorKind) -> Error {
        let (upstream, name) = self.names(server);
        Error { upstream, server: Some(name), kind }
    }

    pub(super) fn metrics(&self, server: usize) -> &UpstreamMetrics {
        &self.servers[server].metrics
    }

    /// Watches the time of `timer` from now on.
    pub(super) fn watch(&self, timer: &Rc<RequestTimer>) {
        self.exchanges.borrow_mut().push(Rc::downgrade(timer));
    }

    /// Notes a request, which earns a share of a retry.
    pub(super) fn earn(&self) {
        let most = if self.core.plan.retry.budget == 0 { 0 } else { RESERVE };
        self.budget.set((self.budget.get() + self.core.plan.retry.budget).min(most));
    }

    /// Takes a retry from the budget, if there is one.
    pub(super) fn spend(&self) -> bool {
        let left = self.budget.get().checked_sub(100);
        self.budget.set(left.unwrap_or(self.budget.get()));
        left.is_some()
    }

    /// Counts a fault of a server.
    pub(super) fn failed(&self, server: usize, why: &str, fault: Fault) {
        let metrics = &self.servers[server].metrics;
        match fault {
            Fault::Connect => metrics.connect_failed(),
            Fault::Timeout => metrics.timed_out(),
            Fault::Broken => metrics.broke(),
        }
        health::failed(&self.name, &self.core.servers, server, &self.core.plan.ejection, why);
    }

    /// Notes that a server answered.
    pub(super) fn succeeded(&self, server: usize) {
        self.core.servers[server].succeeded();
    }

    // ---- Permits ------------------------------------------------------------------------------------------------------

    /// A permit for a server, preferably not `avoid`, as soon as there is one.
    pub(super) async fn permit(
        self: &Rc<Self>,
        timer: &RequestTimer,
        avoid: Option<usize>,
    ) -> Result<Permit<B>, Error> {
        if !(0..self.servers.len()).any(|server| self.is_up(server)) {
            return Err(self.error(ErrorKind::Down));
        }
        // Requests that already wait come first.
        if self.waiting.borrow().is_empty()
            && let Some(permit) = self.try_permit(avoid)
        {
            return Ok(permit);
        }
        let receiver = {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() >= self.limits().pending {
                waiting.retain(|waiter| !waiter.is_closed());
            }
            if waiting.len() >= self.limits().pending {
                return Err(self.error(ErrorKind::Busy));
            }
            let (sender, receiver) = oneshot::channel();
            waiting.push_back(sender);
            receiver
        };
        timer.enter(Awaited::Permit, self.now());
        let permit = timer.or_stopped(receiver).await.map_err(|kind| self.error(kind))?;
        permit.map_err(|_| self.error(ErrorKind::Busy))
    }

    fn is_up(&self, server: usize) -> bool {
        self.core.servers[server].is_up(&self.name)
    }

    fn try_permit(self: &Rc<Self>, avoid: Option<usize>) -> Option<Permit<B>> {
        let server = self.choose(avoid).or_else(|| avoid.and_then(|_| self.choose(None)))?;
        let connections = &self.servers[server];
        connections.active.set(connections.active.get() + 1);
        connections.metrics.began();
        Some(Permit { pool: Rc::clone(self), server })
    }

    /// The next server in turn among those that are up and have room.
    fn choose(&self, avoid: Option<usize>) -> Option<usize> {
        let count = self.servers.len();
        let first = self.next.get() % count;
        let mut round = (0..count).map(|step| (first + step) % count).filter(|server| {
            let connections = &self.servers[*server];
            Some(*server) != avoid && connections.active.get() < self.room(connections) && self.is_up(*server)
        });
        let chosen = match self.core.plan.balance {
            Balance::RoundRobin => round.next(),
            // The first of several equals, so that these take turns as well.
            Balance::LeastRequests => round.min_by_key(|server| self.servers[*server].active.get()),
        }?;
        self.next.set(chosen + 1);
        Some(chosen)
    }

    fn room(&self, connections: &Connections<B>) -> usize {
        let limits = self.limits();
        match connections.speaks_http2.get() {
            Some(true) => limits.connections.saturating_mul(limits.streams),
            _ => limits.connections,
        }
    }

    /// Gives permits to waiting requests, as long as there are permits.
    fn hand_out(self: &Rc<Self>) {
        loop {
            let waiter = {
                let mut waiting = self.waiting.borrow_mut();
                while waiting.front().is_some_and(oneshot::Sender::is_closed) {
                    waiting.pop_front();
                }
                if waiting.is_empty() {
                    return;
                }
                drop(waiting);
                let Some(permit) = self.try_permit(None) else { return };
                self.waiting.borrow_mut().pop_front().map(|waiter| (waiter, permit))
            };
            if let Some((waiter, permit)) = waiter {
                // The channel was open a moment ago, on this thread.
                drop(waiter.send(permit));
            }
        }
    }

    // ---- Connections --------------------------------------------------------------------------------------------------

    pub(super) async fn open(&self, server: usize) -> Result<Link<B>, Error> {
        let connections = &self.servers[server];
        let guard = OpenGuard::new(&connections.open, &connections.metrics);
        let connected = connect::connect(&self.core, &self.core.servers[server]).await;
        let link = match connected {
            Ok(connected) => connect::start(connected, guard).await,
            Err(kind) => Err(kind),
        };
        link.map_err(|kind| self.error_of(server, kind))
    }

    pub(super) fn idle(&self, server: usize) -> Option<Http1<B>> {
        let mut idle = self.servers[server].idle.borrow_mut();
        while let Some((link, _)) = idle.pop() {
            if link.sender.is_ready() && self.core.servers[server].has(&link.address) {
                return Some(link);
            }
            link.task.abort();
        }
        None
    }

    pub(super) fn shared(&self, server: usize) -> Option<Rc<Http2<B>>> {
        let mut links = self.servers[server].http2.borrow_mut();
        let state = &self.core.servers[server];
        links.retain(|link| !link.draining.get() && !link.sender.is_closed() && state.has(&link.address));
        let free = links.iter().find(|link| link.has_room(self.limits().streams)).cloned();
        // If a server allows fewer streams than the configuration, requests wait on its connections, whose number is
        // bounded.
        let full = links.len() >= self.limits().connections;
        free.or_else(|| links.iter().filter(|_| full).min_by_key(|link| link.streams.get()).cloned())
    }

    /// Keeps a connection for a later request.
    pub(super) fn keep(&self, server: usize, link: Http1<B>) {
        let mut idle = self.servers[server].idle.borrow_mut();
        if idle.len() >= self.limits().keep_alive || self.owner.strong_count() == 0 {
            link.task.abort();
            return;
        }
        idle.push((link, self.now()));
    }

    // ---- The clock ----------------------------------------------------------------------------------------------------

    /// Checks the time of all requests, and every half second the connections.
    pub fn on_tick(self: &Rc<Self>, now: Instant) {
        self.now.set(now);
        let exchanges: Vec<_> = {
            let mut exchanges = self.exchanges.borrow_mut();
            exchanges.retain(|timer| timer.strong_count() > 0);
            exchanges.iter().filter_map(std::rc::Weak::upgrade).collect()
        };
        for timer in exchanges {
            timer.on_tick(now, self.limits());
        }
        self.hand_out();
        if now.duration_since(self.tidied.get()) >= TIDY_EVERY {
            self.tidied.set(now);
            self.tidy(now);
        }
    }

    /// Sets the time where no tick may have come for long.
    pub fn set_now(&self, now: Instant) {
        self.now.set(now);
    }

    /// Whether there is no request, but at most idle connections.
    pub fn is_at_rest(&self) -> bool {
        self.exchanges.borrow().is_empty()
    }

    fn tidy(&self, now: Instant) {
        let patience = match self.owner.strong_count() {
            0 => Duration::ZERO,
            _ => self.limits().keep_alive_timeout,
        };
        for (server, connections) in self.servers.iter().enumerate() {
            connections.idle.borrow_mut().retain(|(link, since)| {
                let stays = !link.sender.is_closed() && now.duration_since(*since) < patience;
                if !stays {
                    link.task.abort();
                }
                stays
            });
            connections.http2.borrow_mut().retain(|link| {
                let idle = link.streams.get() == 0 && now.duration_since(link.idle_since.get()) >= patience;
                !(link.sender.is_closed() || idle)
            });
            self.look_up(server);
        }
    }

    /// Looks a name up again when its addresses are old, so that connections to former addresses end.
    fn look_up(&self, server: usize) {
        let state = &self.core.servers[server];
        let in_use = self.servers[server].open.get() > 0;
        if !in_use || !matches!(state.server.host, ServerHost::Name(_)) {
            return;
        }
        let core = Arc::clone(&self.core);
        if state.is_stale(self.limits().resolve) {
            tokio::task::spawn_local(
                async move { drop(connect::resolve(&core, &core.servers[server]).await) },
            );
        }
    }

    /// Whether nobody will use the pool any more.
    pub fn is_over(&self) -> bool {
        self.owner.strong_count() == 0
            && self.exchanges.borrow().iter().all(|timer| timer.strong_count() == 0)
    }
}
