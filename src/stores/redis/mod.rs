//! A store that is a Redis or Valkey server.
//!
//! Each worker has a [`Link`] to it: a connection, and the operations that wait for it. Links are made when a worker first
//! needs one, and end when no generation has the store any more.

mod connect;
mod link;
mod script;

use self::connect::Settings;
use self::link::Link;
pub(super) use self::script::Ask;
#[cfg(test)]
pub(super) use self::script::{SCRIPT, command, decisions};
use super::quota::{Decision, Quota};
use crate::plan::RedisPlan;
use crate::telemetry::{StoreMetrics, StoreOutcome};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

thread_local! {
    /// The links of this worker, by the number of their store.
    static LINKS: RefCell<HashMap<u64, Rc<Link>>> = RefCell::default();
}

/// A Redis server.
pub struct Redis {
    /// Tells the servers of this process apart.
    number: u64,
    settings: Arc<Settings>,
    /// When it is dropped, the links end.
    alive: watch::Sender<()>,
}

impl Redis {
    /// The server of `plan`, to which nobody connects yet.
    pub fn new(name: &str, plan: &RedisPlan, counts: Arc<StoreMetrics>) -> Result<Self, rustls::Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            settings: Arc::new(Settings::new(name, plan, counts)?),
            alive: watch::Sender::new(()),
        })
    }

    /// Takes one request from the rest of `key` in `bucket` under `quota`.
    pub async fn take(&self, bucket: &str, key: &str, quota: Quota) -> Result<Decision, StoreOutcome> {
        // A bucket's name has no `|`, so no two are the same.
        self.link().take(Ask { key: format!("{bucket}|{key}"), quota }).await
    }

    /// This worker's link.
    fn link(&self) -> Rc<Link> {
        LINKS.with_borrow_mut(|links| {
            let link = links.entry(self.number).or_insert_with(|| {
                let link = Link::new(Arc::clone(&self.settings));
                let (running, alive, number) = (Rc::clone(&link), self.alive.subscribe(), self.number);
                tokio::task::spawn_local(async move {
                    running.run(alive).await;
                    LINKS.with_borrow_mut(|links| links.remove(&number));
                });
                link
            });
            Rc::clone(link)
        })
    }
}
