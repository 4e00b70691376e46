//! Listening sockets, and the loop that accepts from one.
//!
//! Every worker has its own socket for every address (`SO_REUSEPORT`; the kernel spreads connections over them), and all of
//! them are bound before the first one serves, so that a port that is taken is an error at start. The loop never waits for
//! a client: what a connection does first, its TLS handshake, is done in the connection's own task.
//!
//! A socket that another process of the same user has bound with `SO_REUSEPORT` can be shared: that is what lets a new
//! process start before the old one stops. A port that is held without it is an error.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};

use super::{BoxError, ConnInfo, Cut, Shutdown, Worker, conn};

/// Connections that the kernel keeps for us until they are accepted; it cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long nothing is accepted after the process or the system has run out of what a connection needs. Long enough for
/// connections to end, short enough not to be noticed by a client that waits in the backlog.
const PAUSE: Duration = Duration::from_millis(100);

/// At most one line about the connection limit in this time, per listening socket.
const LIMIT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Binds `address` once for each of `workers` (at least once). With port 0 the kernel chooses one, and all sockets have it.
/// An IPv6 address is IPv6 only: `[::]` does not take IPv4 with it.
///
/// # Errors
/// When any of the sockets cannot be had; none is left bound then.
pub fn bind(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    let mut sockets = Vec::with_capacity(workers);
    let mut actual = address;
    for _ in 0..workers.max(1) {
        let socket = bind_one(actual).map_err(|source| BindError { address, source })?;
        actual = socket.local_addr().map_err(|source| BindError { address, source })?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart need not wait for the last process's connections to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Where a connection came in.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) name: Arc<str>,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Accepts until the stop begins, then waits for the connections as [`super::shutdown`] says. `in_flight` counts this
/// socket's requests.
pub(super) async fn serve<F, Fut, B>(
    origin: Rc<Origin>,
    socket: tokio::net::TcpListener,
    worker: Rc<Worker<F>>,
    in_flight: Rc<Cell<usize>>,
    mut shutdown: Shutdown,
) -> Cut
where
    F: Fn(::http::Request<Incoming>, &Rc<ConnInfo>) -> Fut + 'static,
    Fut: Future<Output = ::http::Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let mut connections = JoinSet::new();
    let mut limit_log = LimitLog::default();
    let mut stop = shutdown.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.draining() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = socket.accept() => accepted,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(listener = &*origin.name, %error, "a connection was gone before it was accepted");
                continue;
            }
            Err(error) => {
                tracing::warn!(listener = &*origin.name, %error, pause = ?PAUSE, "cannot accept connections");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let slot = tokio::select! {
            biased;
            () = stop.draining() => break,
            slot = slot(&worker, &origin, &mut connections, &mut limit_log) => slot,
        };
        let task = conn::serve(tcp, peer, Rc::clone(&origin), Rc::clone(&worker), Rc::clone(&in_flight), stop.clone());
        connections.spawn_local(async move {
            task.await;
            drop(slot);
        });
    }
    // Closes the socket. What the kernel still holds in the backlog goes to another process that shares the port, or is
    // reset.
    drop(socket);
    drain(connections, &in_flight, worker.limits.shutdown_timeout, &mut shutdown).await
}

/// A slot for a connection that has been accepted; at the limit this waits until one ends, and the connection with it. One
/// per listening socket is held like that; the others stay in the kernel's backlog.
async fn slot<F>(
    worker: &Worker<F>,
    origin: &Origin,
    connections: &mut JoinSet<()>,
    limit_log: &mut LimitLog,
) -> Option<OwnedSemaphorePermit> {
    let semaphore = &worker.capacity.connections;
    if let Ok(slot) = Arc::clone(semaphore).try_acquire_owned() {
        return Some(slot);
    }
    limit_log.reached(&origin.name, worker.limits.connections);
    // The semaphore is shared by all workers and hands slots out in order, so that none of them starves.
    let mut slot = std::pin::pin!(Arc::clone(semaphore).acquire_owned());
    loop {
        tokio::select! {
            // Nobody closes the semaphore; if somebody did, a connection without a slot would be the lesser harm.
            slot = &mut slot => return slot.ok(),
            Some(ended) = connections.join_next() => report(ended),
        }
    }
}

/// Waits for the connections, which know of the stop and end by themselves as their requests do; then cuts the rest.
async fn drain(
    mut connections: JoinSet<()>,
    in_flight: &Cell<usize>,
    timeout: Duration,
    shutdown: &mut Shutdown,
) -> Cut {
    let mut deadline = std::pin::pin!(tokio::time::sleep(timeout));
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                Some(ended) => report(ended),
                None => return Cut::default(),
            },
            () = &mut deadline => break,
            () = shutdown.cutting() => break,
        }
    }
    let cut = Cut { connections: connections.len(), requests: in_flight.get() };
    connections.shutdown().await;
    // The tasks of HTTP/2 streams learn of their connection's end by being polled once more.
    for _ in 0..64 {
        if in_flight.get() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    cut
}

/// A connection ends in silence whatever its client did; only a panic is worth a line, and only that connection's end.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended by a panic");
    }
}

/// Whether an error of `accept` is about the connection that would have been accepted: Linux reports pending network errors
/// of the new socket here (accept(2)). All else is about us, and trying again at once would only spin.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut, WouldBlock,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
            | WouldBlock
    )
}

/// Says that the limit is reached, but not for each connection that meets it.
#[derive(Debug, Default)]
struct LimitLog {
    last: Option<Instant>,
    unsaid: u64,
}

impl LimitLog {
    fn reached(&mut self, listener: &str, limit: usize) {
        if self.last.is_some_and(|last| last.elapsed() < LIMIT_LOG_INTERVAL) {
            self.unsaid += 1;
            return;
        }
        tracing::warn!(listener, limit, also_since_last = self.unsaid, "connection limit reached; new ones wait");
        self.last = Some(Instant::now());
        self.unsaid = 0;
    }
}

/// Has the accepted stream send small answers at once.
pub(super) fn prepare(tcp: &TcpStream) {
    // Fails only if the client is gone, which the first read reports.
    let _ = tcp.set_nodelay(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_port_that_the_kernel_chose() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        assert_ne!(port, 0);
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap().port() == port));
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_the_address() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address, 2).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
    }

    #[test]
    fn both_families_can_have_the_same_port() {
        let Ok(six) = bind("[::]:0".parse().unwrap(), 1) else { return };
        let port = six[0].local_addr().unwrap().port();
        bind(SocketAddr::from(([0, 0, 0, 0], port)), 1).unwrap();
    }

    #[test]
    fn running_out_of_descriptors_is_ours_and_an_aborted_connection_is_not() {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_of_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
    }
}
