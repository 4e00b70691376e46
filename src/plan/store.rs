//! Stores: where state is that stages share.

use std::hash::{Hash, Hasher};

use rustls::pki_types::CertificateDer;

use super::upstream::authority;
use super::{ConfigValue, Name, ServerHost};
use crate::config::keys::Store;
use crate::config::{Fault, Span};

/// The port of Redis where none is given.
const PORT: u16 = 6379;

/// `[stores.<name>]`. Its `Hash` covers what makes two stores the same: everything except places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlan {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: StoreKind,
    /// The place of its name.
    pub span: Span,
}

impl Hash for StorePlan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { name, kind, span: _ } = self;
        (name, kind).hash(state);
    }
}

/// What a store is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// This process's memory.
    Memory {
        /// The most keys.
        entries: usize,
    },
    /// A server.
    Redis(Box<RedisPlan>),
}

/// A Redis server, and the bounds of its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPlan {
    /// Where it is.
    pub server: RedisServer,
    /// The user.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<ConfigValue>,
    /// The authorities of its certificate; `None` are the web's.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// What its keys begin with.
    pub prefix: String,
    /// The keys with bounds.
    pub bounds: Store,
}

impl Hash for RedisPlan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { server, username, password, roots, prefix, bounds } = self;
        let Store {
            // It is this one.
            kind: _,
            entries: _,
            // They have their checked forms.
            url: _,
            username: _,
            password: _,
            roots: _,
            prefix: _,
            timeout,
            connect_timeout,
            retry_interval,
            retry_interval_max,
            queue,
            batch,
            in_flight,
        } = bounds;
        (server, username, password, prefix, queue, batch, in_flight).hash(state);
        (timeout, connect_timeout, retry_interval, retry_interval_max).hash(state);
        roots.as_ref().map(|roots| roots.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>()).hash(state);
    }
}

/// `redis://host:port/database`, or `rediss://`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisServer {
    /// Whether it is `rediss`.
    pub tls: bool,
    /// The host.
    pub host: ServerHost,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: u16,
}

impl RedisServer {
    /// Reads `scheme://host[:port][/database]`.
    ///
    /// # Errors
    /// What is wrong with it. A name and a password in it are not shown.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let shape = "write redis://host[:port][/database], such as \"redis://10.0.0.5:6379\"";
        let fault = |label: &str, help: &str| Fault::new("invalid URL of Redis", label, help);
        let (scheme, rest) = text.split_once("://").ok_or_else(|| fault("the scheme is missing", shape))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(fault("unknown scheme", "the scheme is redis, or rediss for TLS")),
        };
        if rest.contains('@') {
            return Err(fault("a name or a password in a URL", "write them as `username` and `password`"));
        }
        let (address, database) = rest.split_once('/').unwrap_or((rest, ""));
        let database = match database {
            "" => 0,
            text => super::decimal(text)
                .ok_or_else(|| fault("invalid database", "a database is a number from 0 to 65535"))?,
        };
        let (host, port) = authority(address).map_err(|(label, help)| fault(label, help))?;
        Ok(Self { tls, host: host.into(), port: port.unwrap_or(PORT), database })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parse = |text| {
            let server = RedisServer::parse(text).map_err(|fault| fault.label.clone())?;
            Ok::<_, String>((server.tls, server.host.to_string(), server.port, server.database))
        };
        let server =
            |tls, host: &str, port, database| Ok::<_, String>((tls, host.to_owned(), port, database));
        assert_eq!(parse("redis://10.0.0.5"), server(false, "10.0.0.5", 6379, 0));
        assert_eq!(parse("REDISS://Redis.Example.com:7000/3"), server(true, "redis.example.com", 7000, 3));
        assert_eq!(parse("redis://[::1]:1/"), server(false, "[::1]", 1, 0));
        for (text, label) in [
            ("10.0.0.5:6379", "the scheme is missing"),
            ("http://a", "unknown scheme"),
            ("redis://u:secret@a", "a name or a password in a URL"),
            ("redis://a/x", "invalid database"),
            ("redis://a/65536", "invalid database"),
            ("redis://a:0", "invalid port"),
        ] {
            assert_eq!(parse(text), Err(label.to_owned()), "{text}");
        }
        assert!(RedisServer::parse("redis://").is_err());
        assert!(!format!("{:?}", RedisServer::parse("redis://u:secret@a")).contains("secret"));
    }
}
