//! Many requests, from many connections.

use super::body::TestBody;
use super::{Answer, Client, Gateway, Protocol};
use http::Request;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub connections: usize,
    /// In all; `u64::MAX` where the time counts.
    pub requests: u64,
    pub time: Duration,
}

impl Load {
    /// So many requests, however long they take.
    pub fn requests(connections: usize, requests: u64) -> Self {
        Self { connections, requests, time: Duration::from_secs(24 * 3600) }
    }

    /// As many requests as fit in `time`.
    pub fn time(connections: usize, time: Duration) -> Self {
        Self { connections, requests: u64::MAX, time }
    }
}

/// Sends requests one after the other on each connection, opening it anew when the gateway has closed it, and has
/// `check` look at each answer, by the request's number; returns how many there were.
pub async fn drive(
    gateway: &Gateway,
    protocol: Protocol,
    load: Load,
    make: impl Fn(u64) -> Request<TestBody> + Clone + 'static,
    check: impl Fn(u64, hyper::Result<Answer>) + Clone + 'static,
) -> u64 {
    let next = Rc::new(Cell::new(0));
    let until = Instant::now() + load.time;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..load.connections {
        let address = protocol.address(gateway);
        let mut client = Client::open(address, protocol).await;
        let (next, make, check) = (Rc::clone(&next), make.clone(), check.clone());
        tasks.spawn_local(async move {
            while next.get() < load.requests && Instant::now() < until {
                let number = next.get();
                next.set(number + 1);
                if !client.is_open().await {
                    client = Client::open(address, protocol).await;
                }
                check(number, client.try_ask(make(number)).await);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    next.get()
}
