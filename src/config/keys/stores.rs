//! Stores: where state is that stages share.

use std::time::Duration;

use crate::config::declare::{choices, count, keys, node, one_of, path, text, time};
use crate::config::kinds::{Kind, TextForm};
use crate::config::syntax::Node;
use crate::config::typed::At;
use crate::config::units::{MINUTE, MS};

keys! {
    /// State that stages share, by [`grant.stores`](#stages).
    Store = "store", "a store";

    /// `"memory"`: this process's own. `"redis"`: that of a Redis or Valkey server, which many gateways share.
    kind: Option<StoreKind> = one_of().required("\"redis\"");
    /// Memory: keys that the store remembers, rounded up to a multiple of 16.
    entries: usize = count(1, 16_777_216).default("65536");
    /// Redis: `redis://host:port/database`, or `rediss://` for TLS; without a port, 6379; without a database, 0.
    url: Option<At<String>> = text(TextForm::RedisUrl).optional("\"redis://10.0.0.5:6379\"", "required for Redis");
    /// Redis: the user of its access control list.
    username: Option<At<String>> = text(TextForm::FieldValue).optional("\"linkspan\"", "Redis's `default`");
    /// Redis: the user's password. Keep it in a variable or a file: a finding shows its line of the configuration.
    password: Option<Node> = node(Kind::Secret).optional("{ env = \"REDIS_PASSWORD\" }", "none");
    /// Redis: PEM file with the authorities that must have issued the server's certificate.
    roots: Option<At<String>> = path().optional("\"ca.pem\"", "the web's authorities");
    /// Redis: what all keys of the store begin with: at most 64 visible characters.
    prefix: At<String> = text(TextForm::FieldValue).default("linkspan:");
    /// Redis: how long a request waits for the store, at most. Then the store has failed for this request.
    timeout: Duration = time(MS, MINUTE).default("100ms");
    /// Redis: look-up, connecting, TLS handshake and login of a connection, of which each worker has one.
    connect_timeout: Duration = time(MS, MINUTE).default("1s");
    /// Redis: the first pause after a connection could not be made. Each further pause is twice as long; a quarter of it is left
    /// to chance. Meanwhile the store fails at once.
    retry_interval: Duration = time(MS, MINUTE).default("100ms");
    /// Redis: the longest pause.
    retry_interval_max: Duration = time(MS, MINUTE).default("5s");
    /// Redis: operations of one worker that wait to be sent. For one more, the store has failed.
    queue: usize = count(1, 1_000_000).default("4096");
    /// Redis: operations that go in one command. Whatever has come since the last one was sent goes in the next one.
    batch: usize = count(1, 1000).default("64");
    /// Redis: commands of one worker that may be under way at once.
    in_flight: usize = count(1, 1000).default("4");
}

choices! {
    /// What a store is.
    StoreKind {
        /// This process's memory.
        Memory = "memory",
        /// A server.
        Redis = "redis",
    }
}
