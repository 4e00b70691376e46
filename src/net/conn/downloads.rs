//! How fast clients read the bodies of responses.
//!
//! A client's time runs from the moment at which a piece of a body is given to the connection to the moment at which
//! the connection asks for the next piece: the transport, or the stream's window, takes no more meanwhile. Time in
//! which a service makes the next piece does not count.
//!
//! A client has [`GatewayLimits::download_grace`] of time. Bytes that the client reads add time at
//! [`GatewayLimits::download_rate`], but never beyond the grace: kernels buffer megabytes that the client has not read
//! yet.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::keys::GatewayLimits;

/// The response bodies in progress on one connection.
#[derive(Debug)]
pub(super) struct Downloads {
    rate: u64,
    grace: Duration,
    bodies: RefCell<Vec<Rc<Download>>>,
}

#[derive(Debug)]
struct Download {
    /// The client's time, at the last piece.
    left: Cell<Duration>,
    /// When the client got a piece that it has not read yet.
    since: Cell<Option<Instant>>,
}

/// A body in progress; the client's time counts from its first piece on.
#[derive(Debug)]
pub(super) struct Pace {
    downloads: Rc<Downloads>,
    this: Option<Rc<Download>>,
}

impl Downloads {
    pub(super) fn new(limits: &GatewayLimits) -> Rc<Self> {
        let (rate, grace) = (limits.download_rate, limits.download_grace);
        Rc::new(Self { rate, grace, bodies: RefCell::default() })
    }

    /// Whether the client's time is over for any of the bodies.
    pub(super) fn are_too_slow(&self) -> bool {
        let bodies = self.bodies.borrow();
        if bodies.is_empty() {
            return false;
        }
        let now = Instant::now();
        bodies.iter().any(|one| one.is_too_slow(now))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bodies.borrow().is_empty()
    }
}

impl Download {
    fn is_too_slow(&self, now: Instant) -> bool {
        self.since.get().is_some_and(|since| now.saturating_duration_since(since) > self.left.get())
    }
}

impl Pace {
    pub(super) fn new(downloads: &Rc<Downloads>) -> Self {
        Self { downloads: Rc::clone(downloads), this: None }
    }

    /// The connection asks for a piece.
    pub(super) fn asked(&self) {
        if let Some(this) = &self.this
            && let Some(since) = this.since.take()
        {
            this.left.set(this.left.get().saturating_sub(since.elapsed()));
        }
    }

    /// The connection gets a piece, and may ask for another.
    pub(super) fn given(&mut self, bytes: usize) {
        let Downloads { rate, grace, bodies } = &*self.downloads;
        if *rate == 0 {
            return;
        }
        let this = self.this.get_or_insert_with(|| {
            let new = Rc::new(Download { left: Cell::new(*grace), since: Cell::default() });
            bodies.borrow_mut().push(Rc::clone(&new));
            new
        });
        let earned = Duration::from_millis((bytes as u64).saturating_mul(1000) / rate);
        this.left.set(this.left.get().min(*grace).saturating_add(earned));
        this.since.set(Some(Instant::now()));
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        if let Some(this) = self.this.take() {
            self.downloads.bodies.borrow_mut().retain(|one| !Rc::ptr_eq(one, &this));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clients_time_counts_and_bytes_buy_time() {
        let limits = GatewayLimits {
            download_rate: 1000,
            download_grace: Duration::from_secs(5),
            ..GatewayLimits::default()
        };
        let downloads = Downloads::new(&limits);
        let mut pace = Pace::new(&downloads);
        assert!(downloads.is_empty());
        pace.given(10_000);
        let one = Rc::clone(&downloads.bodies.borrow()[0]);
        let slow_after = |seconds| one.is_too_slow(one.since.get().unwrap() + Duration::from_secs(seconds));
        assert!(!slow_after(15) && slow_after(16));
        pace.asked();
        assert!(!one.is_too_slow(Instant::now() + Duration::from_secs(1000)), "the service's time");
        pace.given(1000);
        assert!(!slow_after(6) && slow_after(7), "what was not used is no more than the grace");
        pace.asked();
        one.left.set(Duration::from_secs(1));
        pace.given(1000);
        assert!(!slow_after(2) && slow_after(3), "what was used is used");
        drop(pace);
        assert!(downloads.is_empty());
        let mut unbounded = Pace::new(&Downloads::new(&GatewayLimits { download_rate: 0, ..limits }));
        unbounded.given(1);
        assert!(unbounded.downloads.is_empty());
    }
}
