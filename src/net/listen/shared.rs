//! Who else holds a listening socket.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

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
