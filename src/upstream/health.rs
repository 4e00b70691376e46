//! The servers that get requests, by the results of active checks and of requests.
//!
//! All workers share this state. A server is up unless its checks fail or it is ejected. At most a share of the servers
//! is ejected, so that a fault of the gateway, or of all servers, does not take out the last ones. A server that
//! returns is ejected again at its first failure.

use crate::plan::{Ejection, Server, ServerHost};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The state of one server.
pub struct ServerState {
    pub server: Server,
    /// The server's name in logs and metrics.
    pub name: Arc<str>,
    /// Its active checks fail.
    failing: AtomicBool,
    /// Failed checks in a row while the server is up, good ones while it is down.
    streak: AtomicUsize,
    /// Failed requests in a row.
    failures: AtomicUsize,
    /// The end of its ejection, in milliseconds of [`now`]; 0 if the server is not ejected.
    ejected_until: AtomicU64,
    /// Whether it gets requests, for metrics.
    pub up: Arc<AtomicBool>,
    addresses: Mutex<Addresses>,
}

/// The addresses of a server's name.
#[derive(Default)]
struct Addresses {
    known: Arc<[SocketAddr]>,
    /// When the addresses were last looked up, or a look-up began.
    at: Option<Instant>,
}

/// The state of a server, for the operator.
#[derive(Clone, Debug)]
pub struct ServerReport {
    /// The server.
    pub server: Arc<str>,
    /// Whether it gets requests.
    pub up: bool,
    /// Whether its active checks fail.
    pub failing: bool,
    /// Whether it is ejected.
    pub ejected: bool,
}

/// Milliseconds since the first call, from 1.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

impl ServerState {
    pub fn new(server: &Server) -> Self {
        let known: Arc<[SocketAddr]> = match &server.host {
            ServerHost::Address(address) => Arc::new([SocketAddr::new(*address, server.port)]),
            ServerHost::Name(_) => Arc::default(),
        };
        Self {
            server: server.clone(),
            name: server.to_string().into(),
            failing: AtomicBool::new(false),
            streak: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
            ejected_until: AtomicU64::new(0),
            up: Arc::new(AtomicBool::new(true)),
            addresses: Mutex::new(Addresses { known, at: None }),
        }
    }

    /// Whether the server gets requests. The first call after an ejection logs that the server is back.
    pub fn is_up(&self, upstream: &str) -> bool {
        let until = self.ejected_until.load(Relaxed);
        if until != 0 {
            if now() < until {
                return false;
            }
            if self.ejected_until.compare_exchange(until, 0, Relaxed, Relaxed).is_ok() {
                tracing::info!(upstream, server = &*self.name, "an ejected server gets requests again");
                self.note();
            }
        }
        !self.failing.load(Relaxed)
    }

    fn is_ejected(&self) -> bool {
        self.ejected_until.load(Relaxed) > now()
    }

    fn note(&self) {
        self.up.store(!self.failing.load(Relaxed) && !self.is_ejected(), Relaxed);
    }

    /// Notes that a request had a response.
    pub fn succeeded(&self) {
        // Read before written: all workers write to this cache line, which makes writes slow.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// Notes a check with a good answer, or without one.
    pub fn checked(&self, upstream: &str, result: Result<(), String>, healthy: usize, unhealthy: usize) {
        let failing = self.failing.load(Relaxed);
        if result.is_ok() != failing {
            self.streak.store(0, Relaxed);
            return;
        }
        let streak = self.streak.fetch_add(1, Relaxed) + 1;
        if streak < if failing { healthy } else { unhealthy } {
            return;
        }
        self.streak.store(0, Relaxed);
        self.failing.store(!failing, Relaxed);
        self.note();
        match result {
            Ok(()) => tracing::info!(upstream, server = &*self.name, "a server's checks succeed again"),
            Err(reason) => {
                tracing::warn!(
                    upstream,
                    server = &*self.name,
                    reason,
                    "a server's checks fail; it gets no requests"
                );
            }
        }
    }

    /// The state of the server.
    pub fn report(&self) -> ServerReport {
        let (failing, ejected) = (self.failing.load(Relaxed), self.is_ejected());
        ServerReport { server: Arc::clone(&self.name), up: !failing && !ejected, failing, ejected }
    }

    /// The addresses of its name, and whether they are older than `age`. Only one caller is told so, and has to look
    /// the name up.
    pub fn addresses(&self, age: Duration) -> (Arc<[SocketAddr]>, bool) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let literal = matches!(self.server.host, ServerHost::Address(_));
        let stale = !literal && addresses.at.is_none_or(|at| at.elapsed() >= age);
        if stale {
            addresses.at = Some(Instant::now());
        }
        (Arc::clone(&addresses.known), stale)
    }

    /// Whether the addresses are older than `age`.
    pub fn is_stale(&self, age: Duration) -> bool {
        let at = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).at;
        at.is_none_or(|at| at.elapsed() >= age)
    }

    /// Notes the addresses of its name.
    pub fn resolved(&self, found: Vec<SocketAddr>) -> Arc<[SocketAddr]> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.known = found.into();
        Arc::clone(&addresses.known)
    }

    /// Whether `address` is still one of its addresses.
    pub fn has(&self, address: &SocketAddr) -> bool {
        matches!(self.server.host, ServerHost::Address(_))
            || self.addresses.lock().unwrap_or_else(PoisonError::into_inner).known.contains(address)
    }
}

/// Counts a failed request against server `at` of `servers`, and ejects the server if it has failed too often and
/// others are left.
pub fn failed(upstream: &str, servers: &[ServerState], at: usize, ejection: &Ejection, reason: &str) {
    /// Two ejections at once must not both take the last place that is allowed.
    static ONE: Mutex<()> = Mutex::new(());
    let state = &servers[at];
    let failures = state.failures.fetch_add(1, Relaxed) + 1;
    if ejection.failures == 0 || failures < ejection.failures {
        return;
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let ejected = servers.iter().filter(|server| server.is_ejected()).count();
    if state.is_ejected() || (ejected + 1) * 100 > servers.len() * ejection.share {
        return;
    }
    // After its return, the next failure ejects it again.
    state.failures.store(ejection.failures - 1, Relaxed);
    let millis = u64::try_from(ejection.time.as_millis()).unwrap_or(u64::MAX).max(1);
    state.ejected_until.store(now().saturating_add(millis), Relaxed);
    state.note();
    tracing::warn!(
        upstream,
        server = &*state.name,
        failures,
        reason,
        milliseconds = millis,
        "a server failed and is ejected"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(number: usize) -> Vec<ServerState> {
        let server = |at| Server::parse(&format!("http://10.0.0.{at}")).unwrap();
        (1..=number).map(|at| ServerState::new(&server(at))).collect()
    }

    #[test]
    fn failures_in_a_row_eject_and_a_response_forgives() {
        let servers = servers(2);
        let ejection = Ejection { failures: 2, time: Duration::from_secs(3600), share: 50 };
        let fail = |at| failed("a", &servers, at, &ejection, "");
        fail(0);
        servers[0].succeeded();
        fail(0);
        assert!(servers[0].is_up("a"));
        fail(0);
        assert!(!servers[0].is_up("a") && servers[0].report().ejected && !servers[0].up.load(Relaxed));
        // The other server's ejection uses up the share.
        fail(1);
        fail(1);
        assert!(servers[1].is_up("a"));
    }

    #[test]
    fn a_server_that_is_back_is_on_probation() {
        let servers = servers(2);
        let ejection = Ejection { failures: 3, time: Duration::from_millis(1), share: 50 };
        let fail = || failed("a", &servers, 0, &ejection, "");
        (0..3).for_each(|_| fail());
        std::thread::sleep(Duration::from_millis(5));
        assert!(servers[0].is_up("a") && servers[0].up.load(Relaxed));
        let ejection = Ejection { time: Duration::from_secs(3600), ..ejection };
        failed("a", &servers, 0, &ejection, "");
        assert!(!servers[0].is_up("a"));
    }

    #[test]
    fn addresses_are_looked_up_again_by_one_who_finds_them_old() {
        let server = ServerState::new(&Server::parse("http://a.example").unwrap());
        let age = Duration::from_secs(3600);
        assert!(server.is_stale(age));
        assert!(server.addresses(age).1, "never looked up");
        let address = SocketAddr::from(([10, 0, 0, 1], 80));
        server.resolved(vec![address]);
        let (known, stale) = server.addresses(age);
        assert_eq!((&*known, stale), (&[address][..], false));
        assert!(server.has(&address) && !server.has(&SocketAddr::from(([10, 0, 0, 2], 80))));
        assert!(server.addresses(Duration::ZERO).1);
        let literal = ServerState::new(&Server::parse("http://10.0.0.1").unwrap());
        assert!(!literal.addresses(Duration::ZERO).1);
    }

    #[test]
    fn checks_count_in_a_row() {
        let servers = servers(1);
        let check = |good: bool| {
            let result = if good { Ok(()) } else { Err(String::new()) };
            servers[0].checked("a", result, 2, 3);
            servers[0].is_up("a")
        };
        let seen: Vec<bool> = [false, false, true, false, false, false, true, false, true, true]
            .into_iter()
            .map(check)
            .collect();
        assert_eq!(seen, [true, true, true, true, true, false, false, false, false, true]);
    }
}
