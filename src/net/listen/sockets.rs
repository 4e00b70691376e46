//! Where listening sockets come from: the process that is taken over, the program that started this one, or the kernel.
//!
//! All sockets exist before the first one serves, so that a port in use is an error at the start. A socket that another
//! process of the same user has bound with `SO_REUSEPORT` can be shared, so that a new process can start before the old
//! one stops. A port that is held without it is an error.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::activation::Inherited;
use super::handover::Received;
use super::shared::Shared;

/// Connections that the kernel keeps for us until they are accepted; it cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The sources beside binding, in the order of their use.
#[derive(Debug, Default)]
pub struct Sources {
    /// From the process that is taken over.
    pub received: Option<Received>,
    /// From the program that started this process.
    pub inherited: Inherited,
}

/// The sockets of one address, for each worker.
#[derive(Debug)]
pub struct Listening {
    /// The address as configured, but with the port that the kernel chose if the configured port was 0.
    pub address: SocketAddr,
    /// One list per worker, none of them empty.
    pub sockets: Vec<Vec<TcpListener>>,
    /// For [`super::endpoint::Endpoint::shared`].
    pub shared: Shared,
}

impl Sources {
    /// The sockets for `address`, of the first source that has any. Sockets that were received or inherited are used as
    /// they are, all of them: a socket that nobody accepts from would be sent connections that nobody serves.
    ///
    /// # Errors
    /// If the address can't be bound, or there are no descriptors left.
    pub fn listen(&mut self, address: SocketAddr, workers: usize) -> Result<Listening, BindError> {
        let failed = |source| BindError { address, source };
        let mut shared = Shared::default();
        let mut sockets = Vec::new();
        if let Some(received) = &mut self.received {
            (sockets, shared) = received.take(address);
        }
        if sockets.is_empty() {
            sockets = self.inherited.take(address).map_err(failed)?;
            shared = if sockets.is_empty() { Shared::default() } else { Shared::always() };
        }
        if sockets.is_empty() {
            sockets = bind(address, workers)?;
        }
        let actual = sockets.first().map_or(Ok(address), TcpListener::local_addr).map_err(failed)?;
        Ok(Listening { address: actual, sockets: spread(sockets, workers).map_err(failed)?, shared })
    }
}

/// Gives every worker at least one socket, and every socket to at least one worker. Workers beyond the number of
/// sockets share sockets with other workers.
fn spread(sockets: Vec<TcpListener>, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let workers = workers.max(1);
    let again: Vec<_> =
        sockets.iter().cycle().take(workers).skip(sockets.len()).map(TcpListener::try_clone).collect();
    let mut spread: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
    for (number, socket) in sockets.into_iter().map(Ok).chain(again).enumerate() {
        spread[number % workers].push(socket?);
    }
    Ok(spread)
}

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Binds `address` once for each of `workers` (at least once). With port 0 the kernel chooses one, and all sockets have
/// it. An IPv6 address is IPv6 only: `[::]` does not take IPv4 with it.
///
/// # Errors
/// If any of the sockets can't be made; then none stays bound.
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
    // A restart need not wait until the last process's connections leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::super::shared::listening;
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

    fn port(socket: &TcpListener) -> u16 {
        socket.local_addr().unwrap().port()
    }

    #[test]
    fn every_socket_has_a_worker_and_every_worker_a_socket() {
        for (sockets, workers) in [(1, 3), (3, 1), (2, 2), (5, 2), (2, 5)] {
            let made = bind("127.0.0.1:0".parse().unwrap(), sockets).unwrap();
            let spread = spread(made, workers).unwrap();
            assert_eq!(spread.len(), workers);
            assert!(spread.iter().all(|of_one| !of_one.is_empty()), "{sockets} sockets, {workers} workers");
            assert_eq!(spread.iter().map(Vec::len).sum::<usize>(), sockets.max(workers));
        }
    }

    #[test]
    fn an_inherited_socket_is_used_before_another_is_bound() {
        let held = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = held[0].local_addr().unwrap();
        let inherited = Inherited::from_sockets(vec![held[0].try_clone().unwrap()]).unwrap();
        let mut sources = Sources { received: None, inherited };
        let first = sources.listen(address, 2).unwrap();
        assert!(first.shared.get());
        assert!(first.sockets.iter().flatten().all(|socket| port(socket) == address.port()));
        sources.inherited.keep();
        let second = sources.listen(address, 2).unwrap();
        assert!(!second.shared.get(), "the one inherited socket is taken");
    }

    #[test]
    fn an_inherited_socket_that_is_given_back_can_be_taken_again() {
        // The program that started this process holds the socket as well, and no other process can bind its address.
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let inherited = Inherited::from_sockets(vec![held.try_clone().unwrap()]).unwrap();
        let mut sources = Sources { received: None, inherited };
        for _ in 0..3 {
            drop(sources.listen(address, 2).unwrap());
            sources.inherited.give_back();
        }
        let _serving = sources.listen(address, 2).unwrap();
        sources.inherited.keep();
        assert_eq!(sources.inherited.left().count(), 0);
    }

    #[test]
    fn only_listening_tcp_sockets_are_taken() {
        let listening_one = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = std::net::TcpStream::connect(listening_one.local_addr().unwrap()).unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(listening(listening_one.into()).is_ok());
        for other in [connected.into(), udp.into(), file.into()] {
            listening(other).unwrap_err();
        }
    }
}
