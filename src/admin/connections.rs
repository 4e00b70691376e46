//! The open connections, and the connection that makes room for a new one.
//!
//! Health must be answered whatever other clients do, so no connection waits for another to end. When all places are
//! taken, the oldest connection without a complete head is closed, else the oldest one that is being answered. Only a
//! connection that waits for a reload keeps its place; there are always fewer of these than places.

use std::cell::Cell;
use std::rc::Rc;

use tokio::task::AbortHandle;

/// The phase of a connection. Earlier phases make room first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConnectionState {
    /// The request's head has not arrived.
    #[default]
    Head,
    /// The request is being answered, or the response is on its way.
    Answer,
    /// The request waits for a reload or a rollback.
    Errand,
}

/// The phase of one connection, shared with the code that answers it.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Rc<Cell<ConnectionState>>);

impl Place {
    pub(super) fn set(&self, phase: ConnectionState) {
        self.0.set(phase);
    }
}

/// All connections, the oldest first.
pub(super) struct Connections {
    most: usize,
    open: Vec<(Place, AbortHandle)>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Vec::with_capacity(most) }
    }

    /// Closes a connection if there are as many as there may be.
    pub(super) fn make_room(&mut self) {
        self.open.retain(|(_, task)| !task.is_finished());
        if self.open.len() < self.most {
            return;
        }
        // The oldest connection in the earliest phase.
        let first = self.open.iter().enumerate().min_by_key(|(_, (place, _))| place.0.get());
        if let Some(at) = first.map(|(at, _)| at) {
            self.open.remove(at).1.abort();
        }
    }

    pub(super) fn add(&mut self, place: Place, task: AbortHandle) {
        self.open.push((place, task));
    }
}
