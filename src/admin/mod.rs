//! The admin listener: health, metrics, the state of the gateway, reload and rollback, and a page that shows them, on an
//! address of its own.
//!
//! `server` starts the listener, which asks the gateway through [`Control`]. Guarantees: the listener has its own
//! thread, so that it answers while the workers are busy, and costs them nothing; an address in use is an error at the
//! start; every answer except the text of metrics and the dashboard (`page`) is JSON, and an error is an
//! `application/problem+json` (RFC 9457). `guard` decides who may ask what.
//!
//! Bounds: [`MAX_CONNECTIONS`] at once, of which one makes room for each further one; one request per connection, its
//! head within 5 s and 16 KiB, its body within 64 KiB, its answer within two minutes; reloads and rollbacks run one
//! after the other, and the fifth that would wait is answered with 429.
//!
//! This room never touches a store, a pipeline or a request of the gateway, never reads a file, and never imports
//! wasmtime.

mod answer;
mod connections;
mod endpoint;
mod errands;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod guard;
mod page;
mod problem;
mod redact;
mod server;
mod watch;

pub use redact::redacted;
pub use server::{AdminHandle, MAX_CONNECTIONS, start};

use std::fmt;
use std::net::SocketAddr;

use std::time::Duration;

use serde_json::Value;

use crate::plan::{Admin, ConfigValue};
use crate::telemetry::trace::{Show, Wanted};

/// What the admin listener may do with the gateway.
///
/// [`Control::reload`] and [`Control::rollback`] may take seconds; they are called on a thread of their own, never two
/// at once. All other functions are called on the listener's thread, for each request that asks, and return at once:
/// they read what was published, and never wait for a reload.
pub trait Control: Send + Sync + 'static {
    /// Whether new requests are welcome: a generation is live, and the gateway is not draining.
    fn ready(&self) -> bool;
    /// Reads the configuration again, and makes it live if it is valid and not the live one.
    fn reload(&self) -> ReloadOutcome;
    /// Makes the generation before the live one live again.
    fn rollback(&self) -> ReloadOutcome;
    /// The live generation, those that retire and those that are remembered.
    fn generations(&self) -> Value;
    /// The live configuration without its secrets, as [`redacted`] gives it.
    fn config(&self) -> Value;
    /// The description of the running program.
    fn version(&self) -> Value;
    /// The configuration of a generation that is live or remembered, likewise.
    fn config_of(&self, generation: u64) -> Option<Value>;
    /// What is counted and known of the gateway, with `count` of its pipelines from the one at the place `from` on.
    fn overview(&self, from: usize, count: usize) -> Value;
    /// The traces that are kept.
    fn traces(&self) -> Value;
    /// The kept trace with this id.
    fn trace(&self, id: &str) -> Option<Value>;
    /// Asks for the trace of the next request that is `wanted`, which is to `show` so much, for some `time`. Returns the name
    /// of the watch; `None` if there are too many.
    fn watch(&self, wanted: Wanted, show: Show, time: Duration) -> Option<String>;
    /// What became of the watch with this name, if its time is not over.
    fn watched(&self, id: &str) -> Option<WatchReport>;
}

/// What became of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchReport {
    /// It waits: one word for what.
    Waits(&'static str),
    /// The trace that was asked for.
    Trace(Value),
}

/// The result of a reload or a rollback.
#[derive(Clone, Debug)]
pub struct ReloadOutcome {
    /// The requested configuration is live now, whether or not it was before.
    pub ok: bool,
    /// The requested configuration was live before.
    pub unchanged: bool,
    /// The number of the live generation.
    pub generation: u64,
    /// The findings and actions, for programs.
    pub report: Value,
    /// The findings and actions, for people.
    pub text: String,
}

/// The admin listener's address, and what its callers need.
#[derive(Clone)]
pub struct AdminConfig {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// The bearer token. [`start`] demands one unless the address is a loopback one.
    pub token: Option<String>,
    /// Another one, with which nothing can be changed.
    pub read_token: Option<String>,
}

impl From<&Admin> for AdminConfig {
    fn from(admin: &Admin) -> Self {
        let text = |token: &Option<ConfigValue>| token.as_ref().map(|token| token.expose().to_owned());
        Self { address: admin.address, token: text(&admin.token), read_token: text(&admin.read_token) }
    }
}

impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |token: &Option<String>| token.as_ref().map(|_| "<secret>");
        f.debug_struct("AdminConfig")
            .field("address", &self.address)
            .field("token", &secret(&self.token))
            .field("read_token", &secret(&self.read_token))
            .finish()
    }
}
