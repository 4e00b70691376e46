//! Other holders of a listening socket, and sockets that came from them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use socket2::{SockRef, Type};

/// Whether another process (or another worker) holds the same listening socket, and so accepts the rest of its queue
/// after a close here. Nothing may then be done to the socket itself, only to this process's hold on it. All clones
/// share the answer.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    always: bool,
    now: Arc<AtomicBool>,
}

impl Shared {
    /// For sockets that outlive this process: the program that started it holds them.
    pub fn always() -> Self {
        Self { always: true, now: Arc::default() }
    }

    /// Says whether another process holds the socket.
    pub fn set(&self, shared: bool) {
        self.now.store(shared, SeqCst);
    }

    /// Whether another process holds the socket, as last set.
    pub fn get(&self) -> bool {
        self.always || self.now.load(SeqCst)
    }

    pub(super) fn is_always(&self) -> bool {
        self.always
    }
}

/// A duplicate of a socket that is served, for another process. `shared` was set when the duplicate was made; its owner
/// resets it if no other process gets the socket.
#[derive(Debug)]
pub struct Duplicate {
    /// The socket, once more.
    pub socket: TcpListener,
    /// Its endpoint's.
    pub shared: Shared,
}

/// A descriptor that came from another process, if it is a listening TCP socket.
///
/// # Errors
/// `InvalidInput` for any other descriptor.
pub(super) fn listening(descriptor: OwnedFd) -> io::Result<(SocketAddr, TcpListener)> {
    let not = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("not {what}"));
    let socket = SockRef::from(&descriptor);
    if socket.r#type().map_err(|_| not("a socket"))? != Type::STREAM {
        return Err(not("a stream socket"));
    }
    let address = socket.local_addr()?.as_socket().ok_or_else(|| not("a TCP socket"))?;
    if !socket.is_listener()? {
        return Err(not("a listening socket"));
    }
    // A process that was killed during its last call (`super::accept`) left a filter, with which the socket gets no new
    // connections. This fails if there is none.
    let _ = socket.detach_filter();
    Ok((address, TcpListener::from(descriptor)))
}
