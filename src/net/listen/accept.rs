//! The loop that accepts from one listening socket, and how that socket is closed.
//!
//! Every worker has its own sockets for every address (`SO_REUSEPORT`; the kernel spreads connections over them). The
//! loop never waits for a client: the first step of a connection, its TLS handshake, happens in the connection's own
//! task.
//!
//! # Closing without loss
//! The kernel completes connections by itself and queues them for the process. When a listening socket is closed, the
//! kernel resets the connections in its queue, and those whose handshake completes later, even if another socket of the
//! same port could take them. Only with the sysctl `net.ipv4.tcp_migrate_req=1` (off by default, since Linux 5.14) does
//! the kernel move them there. The right way to close therefore depends on who else has the socket:
//!
//! - Another process has this very socket ([`Shared`]: the socket was handed over, or systemd holds it). The queue
//!   outlives this process's hold on the socket, which is simply released. Nothing is lost, nothing waits.
//! - Only this process has the socket. The socket gets a last call: a filter drops packets that would begin a
//!   connection. The client sends another after one second, which meets another socket of the port, if there is one.
//!   Connections that have begun are accepted for [`LAST_CALL`], and until the queue is empty; then the socket is
//!   closed. Two kinds of clients are still lost: those whose round trip is longer than that; and, if the kernel
//!   refuses the filter, those that connect between the last `accept` and the close.
//!
//! Measured (Linux 6.18, loopback, 8 clients that connect anew for each request, takeovers by a process that binds the
//! port beside the old one): closing at once failed 273 of 15,000 connections in 100 takeovers; `shutdown(2)` of the
//! socket, 244, as it empties the queue too; `listen(2)` with a backlog of 0, then accepting until the queue is empty,
//! 1, with others delayed by a second; only accepting until the queue is empty, 12 in 300 takeovers (more, the longer
//! the clients' round trips); the filter none, at the price of that second for the clients of [`LAST_CALL`]; the same
//! sockets in both processes none, and none delayed in 300. Hence `super::handover`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use rustix::net::SocketFlags;
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::shared::Shared;
use crate::net::BoxError;
use crate::net::conn::{self, ConnInfo, ListenerState, ServeContext};
use crate::net::limit_log::LimitLog;
use crate::net::shutdown::Shutdown;

/// How long a socket that closes accepts connections that had begun before: the time that a client may need to complete
/// TCP's handshake. The time is shorter than the second after which TCP sends again (RFC 6298 §2), so that another
/// socket is there when a client that was turned away returns.
pub const LAST_CALL: Duration = Duration::from_millis(300);

/// How long nothing is accepted after the process or the system has run out of a resource that connections need. Long
/// enough for connections to end, short enough that a client in the backlog does not notice.
const PAUSE: Duration = Duration::from_millis(100);

/// What a stop cut because it did not end in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Connections that were still open.
    pub connections: usize,
    /// Requests on these connections that had no complete response yet.
    pub requests: usize,
}

impl std::ops::AddAssign for Cut {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.requests += other.requests;
    }
}

/// Accepts until `shutdown` drains, closes the socket, and waits for the connections until `shutdown` cuts them.
/// `closing` ends when the socket is closed.
pub(super) async fn serve<F, Fut, B>(
    listener: Rc<ListenerState>,
    shared: Shared,
    socket: Rc<TcpListener>,
    closing: oneshot::Sender<()>,
    worker: Rc<ServeContext<F>>,
    shutdown: Shutdown,
) -> Cut
where
    F: Fn(http::Request<Incoming>, &Rc<ConnInfo>) -> Fut + 'static,
    Fut: Future<Output = http::Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let (connections, limit_log) = (JoinSet::new(), LimitLog::default());
    let mut accepting = AcceptLoop { listener, socket, worker, connections, limit_log, shutdown };
    accepting.accept_until_stopped().await;
    if !shared.get() {
        accepting.last_call().await;
    }
    let AcceptLoop { listener, socket, connections, shutdown, .. } = accepting;
    drop(socket);
    drop(closing);
    finish(connections, &listener, shutdown).await
}

/// An accept loop's state.
struct AcceptLoop<F> {
    listener: Rc<ListenerState>,
    socket: Rc<TcpListener>,
    worker: Rc<ServeContext<F>>,
    connections: JoinSet<()>,
    limit_log: LimitLog,
    shutdown: Shutdown,
}

impl<F, Fut, B> AcceptLoop<F>
where
    F: Fn(http::Request<Incoming>, &Rc<ConnInfo>) -> Fut + 'static,
    Fut: Future<Output = http::Response<B>> + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    async fn accept_until_stopped(&mut self) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.draining() => return,
                Some(ended) = self.connections.join_next() => {
                    report(ended);
                    continue;
                }
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((tcp, peer)) => self.start(tcp, peer).await,
                Err(error) => self.accept_failed(&error).await,
            }
        }
    }

    /// Accepts the connections in the queue, and no more. See the module's documentation.
    async fn last_call(&mut self) {
        let mut cutting = self.shutdown.clone();
        if let Err(error) = turn_away_new_connections(&self.socket) {
            tracing::debug!(listener = &*self.listener.name, %error, "no last call");
        } else {
            let mut over =
                std::pin::pin!(tokio::time::sleep(LAST_CALL.min(self.worker.limits.shutdown_timeout / 2)));
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = cutting.cutting() => return,
                    () = &mut over => break,
                    accepted = self.socket.accept() => accepted,
                };
                match accepted {
                    Ok((tcp, peer)) => self.start(tcp, peer).await,
                    Err(error) => self.accept_failed(&error).await,
                }
            }
        }
        // The runtime's knowledge of the socket may be older than the kernel's queue: ask the kernel.
        loop {
            match accept_now(&self.socket) {
                Ok(Some((tcp, peer))) => self.start(tcp, peer).await,
                Ok(None) => return,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let listener = &*self.listener.name;
                    tracing::warn!(listener, %error, "cannot accept the last connections; they will be reset");
                    return;
                }
            }
        }
    }

    async fn accept_failed(&self, error: &io::Error) {
        let listener = &*self.listener.name;
        if is_of_one_connection(error) {
            tracing::debug!(listener, %error, "a connection was gone before it was accepted");
        } else {
            tracing::warn!(listener, %error, pause = ?PAUSE, "cannot accept connections");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Serves a connection as soon as it has a slot. At the limit, this waits until a connection ends. Each listening
    /// socket has one connection that waits like that; the others stay in the kernel's backlog. A stop does not end the
    /// wait, since the client sees itself connected; only the cut does.
    async fn start(&mut self, tcp: TcpStream, peer: SocketAddr) {
        // Behind a proxy, the client is unknown until its header was read.
        let place = match &self.listener.proxy {
            Some(_) => None,
            None => match self.worker.capacity.addresses.enter(peer.ip()) {
                Some(place) => Some(place),
                None => {
                    let what = "an address has reached `limits.connections-per-address`; its further connections are closed";
                    self.limit_log.note(&self.listener.name, what, &peer.ip());
                    // Without a trace: it is the client that is to remember.
                    let _ = tcp.set_zero_linger();
                    return;
                }
            },
        };
        let Some(slot) = self.slot().await else { return };
        let (listener, worker) = (Rc::clone(&self.listener), Rc::clone(&self.worker));
        let task = conn::serve(tcp, peer, listener, worker, self.shutdown.clone());
        self.connections.spawn_local(async move {
            task.await;
            drop((slot, place));
        });
    }

    async fn slot(&mut self) -> Option<OwnedSemaphorePermit> {
        let semaphore = &self.worker.capacity.connections;
        if let Ok(slot) = Arc::clone(semaphore).try_acquire_owned() {
            return Some(slot);
        }
        let limit = self.worker.limits.connections;
        self.limit_log.note(
            &self.listener.name,
            "`limits.connections` is reached; new connections wait",
            &limit,
        );
        // All workers share the semaphore, which hands out slots in order, so no worker starves.
        let mut slot = std::pin::pin!(Arc::clone(semaphore).acquire_owned());
        loop {
            tokio::select! {
                // Nobody closes the semaphore.
                slot = &mut slot => return slot.ok(),
                Some(ended) = self.connections.join_next() => report(ended),
                () = self.shutdown.cutting() => return None,
            }
        }
    }
}

/// Waits for the connections, which watch the stop and end by themselves when their requests end; then cuts the rest.
async fn finish(mut connections: JoinSet<()>, listener: &ListenerState, mut shutdown: Shutdown) -> Cut {
    loop {
        tokio::select! {
            // What has ended is not cut.
            biased;
            ended = connections.join_next() => match ended {
                Some(ended) => report(ended),
                None => return Cut::default(),
            },
            () = shutdown.cutting() => break,
        }
    }
    let cut = Cut { connections: connections.len(), requests: listener.in_flight.get() };
    let name = &*listener.name;
    tracing::warn!(
        listener = name,
        connections = cut.connections,
        requests = cut.requests,
        "requests did not finish in time and were cut"
    );
    connections.shutdown().await;
    // The tasks of HTTP/2 streams notice the end of their connection when they are polled once more.
    for _ in 0..64 {
        if listener.in_flight.get() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    cut
}

/// Makes the kernel drop TCP segments with SYN and without ACK for this socket. Everything else passes: the rest of
/// handshakes that have begun, and all that accepted connections receive, since they inherit the filter.
fn turn_away_new_connections(socket: &TcpListener) -> io::Result<()> {
    // Classic BPF (linux/filter.h). A TCP socket's filter sees the segment from its header on.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_OFFSET),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// A connection from the kernel's queue, `None` if that is empty.
fn accept_now(socket: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    match rustix::net::accept_with(socket.as_fd(), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(tcp) => {
            let tcp = std::net::TcpStream::from(tcp);
            let peer = tcp.peer_addr()?;
            Ok(Some((TcpStream::from_std(tcp)?, peer)))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A connection ends in silence, whatever its client did. Only a panic is worth a line, and it ends only that
/// connection.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended by a panic");
    }
}

/// Whether an error of `accept` is about the connection that would have been accepted: Linux reports pending network
/// errors of the new socket here (accept(2)). All other errors are about this process, and an immediate retry would
/// only spin.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_descriptors_is_ours_and_an_aborted_connection_is_not() {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_of_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
    }
}
