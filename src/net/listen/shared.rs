//! Who else holds a listening socket, and sockets that came from there.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use socket2::{SockRef, Type};

/// Whether another process (or another of our workers) holds the same listening socket, and so accepts what is left in its
/// queue when we close it. Nothing may then be done to the socket itself, only to our hold on it. All clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    always: bool,
    now: Arc<AtomicBool>,
}

impl Shared {
    /// For sockets that outlive this process: whoever started it holds them.
    pub fn always() -> Self {
        Self { always: true, now: Arc::default() }
    }

    /// Says that another process has come to hold it, or does no more.
    pub fn set(&self, shared: bool) {
        self.now.store(shared, SeqCst);
    }

    /// What was last said.
    pub fn get(&self) -> bool {
        self.always || self.now.load(SeqCst)
    }

    pub(super) fn is_always(&self) -> bool {
        self.always
    }
}

/// A duplicate of a socket that is being served, for another process. Whoever has it sets `shared` back if no other process
/// gets it; it has been set when this was made.
#[derive(Debug)]
pub struct Duplicate {
    /// The socket, once more.
    pub socket: TcpListener,
    /// Its endpoint's.
    pub shared: Shared,
}

/// A descriptor that came from another process, if it is what it should be: a TCP socket that listens.
///
/// # Errors
/// `InvalidInput` if it is something else.
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
    // If a process was killed during its last call (`super::accept`), the socket has been deaf since. Fails if not.
    let _ = socket.detach_filter();
    Ok((address, TcpListener::from(descriptor)))
}
