//! Streams whose requests h2 refuses itself: hyper never sees them, only their clients do.
//!
//! h2 gives requests to hyper in the order of their streams, without those that it refuses. The streams that a client
//! has opened therefore wait here until a request comes, which belongs to the first of them, or until a frame goes out
//! for one of them: an answer or a reset for a stream whose request never came is h2's own. A frame that ends the
//! connection belongs to the last of them.

use std::cell::RefCell;
use std::collections::VecDeque;

use http::StatusCode;

use crate::net::conn::rejection::Rejection;

/// Streams that are remembered. h2 has fewer that it has neither refused nor passed on; beyond, the oldest are
/// forgotten.
const MOST: usize = 1024;

const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 0xb;

const TOO_LARGE: Rejection = Rejection::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the head has too many fields, or too large ones",
);

/// The streams of one connection whose requests have not come yet.
pub(in crate::net::conn) struct Streams {
    waiting: RefCell<VecDeque<u32>>,
    report: Box<dyn Fn(Rejection)>,
}

impl Streams {
    /// `report` is told of each request that h2 refused.
    pub(in crate::net::conn) fn new(report: impl Fn(Rejection) + 'static) -> Self {
        Self { waiting: RefCell::default(), report: Box::new(report) }
    }

    /// The client opened a stream.
    pub(super) fn opened(&self, stream: u32) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MOST {
            waiting.pop_front();
        }
        waiting.push_back(stream);
    }

    /// A request came.
    pub(in crate::net::conn) fn delivered(&self) {
        self.waiting.borrow_mut().pop_front();
    }

    /// A response's head went out.
    pub(super) fn answered(&self, stream: u32) {
        if self.refused(stream) {
            (self.report)(TOO_LARGE);
        }
    }

    /// A stream was reset.
    pub(super) fn reset(&self, stream: u32, code: u32) {
        if self.refused(stream) {
            (self.report)(match code {
                REFUSED_STREAM => Rejection::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "more streams at once than the connection may have",
                ),
                _ => Rejection::new(StatusCode::BAD_REQUEST, "a malformed request: its stream was reset"),
            });
        }
    }

    /// The connection is ended with this code.
    pub(super) fn gone(&self, code: u32) {
        if code == NO_ERROR || self.waiting.borrow_mut().pop_back().is_none() {
            return;
        }
        (self.report)(match code {
            ENHANCE_YOUR_CALM => TOO_LARGE,
            _ => Rejection::new(StatusCode::BAD_REQUEST, "a malformed request: its connection was ended"),
        });
    }

    /// Whether the request of a stream never came.
    fn refused(&self, stream: u32) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let found = waiting.iter().position(|one| *one == stream);
        found.is_some_and(|at| waiting.remove(at).is_some())
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn only_what_never_came_is_told() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&told);
        let streams = Streams::new(move |one| kept.borrow_mut().push(one.status.as_u16()));
        for stream in [1, 3, 5, 7] {
            streams.opened(stream);
        }
        // 3 is malformed; 1, 5 and 7 come, and whatever becomes of them is no matter here.
        streams.reset(3, 1);
        (0..3).for_each(|_| streams.delivered());
        streams.answered(1);
        streams.reset(5, 2);
        streams.reset(7, 1);
        streams.gone(0);
        assert_eq!(*told.borrow(), [400]);
        // Too large; too many; and one that ends the connection.
        for stream in [9, 11, 13] {
            streams.opened(stream);
        }
        streams.answered(9);
        streams.reset(11, REFUSED_STREAM);
        streams.gone(9);
        streams.gone(9);
        assert_eq!(*told.borrow(), [400, 431, 503, 400]);
        (0..MOST as u32 + 5).for_each(|number| streams.opened(2 * number + 15));
        assert_eq!(streams.waiting.borrow().len(), MOST);
    }
}
