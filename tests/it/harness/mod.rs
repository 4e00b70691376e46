//! What the tests stand on: a gateway that runs as users run it, clients for it, and what all tests need to be bounded
//! in time.
//!
//! [`Setup`] writes a configuration, [`Gateway`] is the real binary serving it, [`Client`] speaks to it over HTTP/1.1
//! or HTTP/2, [`body`] has request bodies of every kind. [`chain_test!`](crate::chain_test) runs a case once for each
//! way in which a chain can be built.

pub mod body;
mod chain;
mod client;
mod gateway;
pub mod inside;
mod load;
mod python;
mod seeded;
mod setup;
mod tls;

pub use chain::Chain;
pub use client::{Answer, Client, ENCRYPTED, PROTOCOLS, Protocol, get, request};
pub use gateway::{Gateway, Line, binary};
pub use load::{Load, drive};
pub use python::python;
pub use seeded::Seeded;
pub use setup::{Folder, Pipeline, Setup, dist, free, repository, there};
pub use tls::{client as client_tls, identity};

use std::time::{Duration, Instant};

pub const MS: Duration = Duration::from_millis(1);

/// Long enough for anything that happens at once, on a machine that does other things too, and never waited for when it
/// does.
pub const SOON: Duration = Duration::from_secs(120);

/// Whether the long forms of the tests are wanted.
pub fn full() -> bool {
    std::env::var_os("LINKSPAN_TEST_FULL").is_some_and(|value| value == "1")
}

/// `short` in the suite, `long` with `LINKSPAN_TEST_FULL=1`.
pub fn scaled<T>(short: T, long: T) -> T {
    if full() { long } else { short }
}

/// Runs a test's clients on this thread.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// Ends the test if `future` takes longer than [`SOON`].
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time"),
    }
}

/// Waits until `holds`, or ends the test.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "not in time: {what}");
        std::thread::sleep(10 * MS);
    }
}

/// The same, while the test's clients go on.
pub async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(5 * MS).await;
    }
}
