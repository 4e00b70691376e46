//! First instances, made before their generation serves.
//!
//! `gateway` asks all workers at once ([`Ahead::make`]) before a new generation is live, and goes on when they are done, or
//! when the time for it is over. A worker makes one instance after the other in a task of its own: in between, its other
//! tasks have their turns, so a request waits for one instance at most.
//!
//! Only what is likely to be needed is made: an instance of a hop that takes the place of one with an instance on the same worker.

use super::hop::Hop;
use super::instance::Instance;
use super::worker::Worker;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TrySendError};

/// A hop that is about to serve.
pub struct Successor {
    /// The hop.
    pub hop: Arc<Hop>,
    /// Those whose requests it is expected to get.
    pub before: Vec<Arc<Hop>>,
}

/// What a worker is asked for.
struct Order {
    successors: Arc<[Successor]>,
    /// The most instances.
    most: usize,
    until: Instant,
    /// Gone with the order: then the worker is done.
    _done: std::sync::mpsc::SyncSender<()>,
}

/// The way to the workers that make instances ahead.
#[derive(Default)]
pub struct Ahead(Mutex<Vec<mpsc::Sender<Order>>>);

impl Ahead {
    /// Has `worker` take part from now on, on its own thread.
    pub fn join(&self, worker: &Rc<Worker>) {
        let (sender, orders) = mpsc::channel(1);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        tokio::task::spawn_local(work(Rc::downgrade(worker), orders));
    }

    /// Has each worker make up to `most` instances, and waits for that, at most so long. A worker that has not finished
    /// an earlier order gets none.
    pub fn make(&self, successors: Vec<Successor>, most: usize, time: Duration) {
        if !successors.is_empty() && !time.is_zero() {
            self.order(successors.into(), most, time);
        }
    }

    fn order(&self, successors: Arc<[Successor]>, most: usize, time: Duration) {
        let (done, all_done) = std::sync::mpsc::sync_channel(0);
        let until = Instant::now() + time;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|worker| {
            let order = Order { successors: Arc::clone(&successors), most, until, _done: done.clone() };
            !matches!(worker.try_send(order), Err(TrySendError::Closed(_)))
        });
        drop(done);
        // Nobody sends anything: the wait ends with the last order, or with its time.
        let _ = all_done.recv_timeout(time);
    }
}

/// Carries out orders until the worker is gone.
async fn work(worker: Weak<Worker>, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        let mut made = 0;
        for successor in &*order.successors {
            let Some(worker) = worker.upgrade() else { return };
            if made >= order.most || Instant::now() >= order.until {
                break;
            }
            let Some(instance) = make_first(&worker, successor) else { continue };
            drop(worker);
            made += 1;
            if !is_made(&instance, order.until).await {
                // There is no room.
                break;
            }
        }
    }
}

fn make_first(worker: &Worker, Successor { hop, before }: &Successor) -> Option<Rc<Instance>> {
    let is_used = before.iter().any(|hop| hop.has_instance(worker));
    (is_used && !hop.has_instance(worker)).then(|| hop.make_instance(worker)).flatten()
}

/// Waits until `instance` is made, which its own task does when this one lets it; whether it was.
async fn is_made(instance: &Instance, until: Instant) -> bool {
    tokio::task::yield_now().await;
    // Its start may wait for something.
    while instance.is_starting() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    instance.is_made()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_answer_is_no_obstacle() {
        let ahead = Ahead::default();
        let (sender, mut orders) = mpsc::channel(1);
        ahead.0.lock().expect("not poisoned").push(sender);
        ahead.order(Arc::new([]), 1, Duration::from_millis(10));
        // It has not finished that one.
        ahead.order(Arc::new([]), 1, Duration::from_secs(3600));
        assert!(orders.try_recv().is_ok() && orders.try_recv().is_err(), "one order");
        drop(orders);
        ahead.order(Arc::new([]), 1, Duration::from_secs(3600));
        assert!(ahead.0.lock().expect("not poisoned").is_empty(), "it is gone");
    }
}
