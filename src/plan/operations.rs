//! The operator's view of the gateway: the admin listener and the access log.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::ConfigValue;
use crate::config::Span;

pub use crate::config::keys::AccessFormat;
pub use crate::config::keys::Log as LogPlan;

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The address; not one of [`super::Plan::listeners`], except with port 0.
    pub address: SocketAddr,
    /// The token that callers must send: [`Admin::MIN_TOKEN`] to [`Admin::MAX_TOKEN`] visible ASCII characters. Always
    /// there if the address is not a loopback one.
    pub token: Option<ConfigValue>,
    /// Another one, with which nothing can be changed; not without [`Admin::token`], and not the same.
    pub read_token: Option<ConfigValue>,
    /// The place of the address.
    pub span: Span,
}

impl Admin {
    /// The shortest token: with 16 random characters, guessing is hopeless.
    pub const MIN_TOKEN: usize = 16;
    /// The longest token; it has to fit into a request's head.
    pub const MAX_TOKEN: usize = 1024;
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogPlan {
    /// The file, relative paths resolved against the configuration's folder, which existed when the plan was made;
    /// `None` is standard output.
    pub path: Option<PathBuf>,
    /// The form of a line.
    pub format: AccessFormat,
    /// Lines waiting to be written, 16 to 1,000,000.
    pub queue: usize,
    /// Whether queries are logged.
    pub query: bool,
    /// The place of the path.
    pub span: Span,
}
