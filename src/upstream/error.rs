//! Why an upstream gave no response.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;

/// Why a request has no response from its upstream. `http` decides what the client is told; the texts here are for the
/// log.
#[derive(Clone, Debug)]
pub struct Error {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The server, if one was chosen.
    pub server: Option<Arc<str>>,
    /// What failed.
    pub kind: ErrorKind,
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No server is up.
    Down,
    /// No server had a free connection, and too many requests waited, or this one waited too long.
    Busy,
    /// No connection could be made: the name, TCP or TLS.
    Unreachable(String),
    /// No connection within `connect-timeout`.
    ConnectTimeout,
    /// No response head within `response-timeout`.
    ResponseTimeout,
    /// No end within `total-timeout`.
    TotalTimeout,
    /// No response within the caller's deadline.
    Deadline,
    /// The request's generation had to end.
    CutOff,
    /// The connection ended, or something other than HTTP arrived, before there was a response's head.
    Broken(String),
    /// The request's body broke off before it was sent.
    Request(String),
    /// The request can't be sent as it is.
    Unsendable(&'static str),
}

impl ErrorKind {
    /// Its name in spans.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Busy => "busy",
            Self::Unreachable(_) => "unreachable",
            Self::ConnectTimeout => "connect-timeout",
            Self::ResponseTimeout => "response-timeout",
            Self::TotalTimeout => "total-timeout",
            Self::Deadline => "deadline",
            Self::CutOff => "cut-off",
            Self::Broken(_) => "broken",
            Self::Request(_) => "request-broken",
            Self::Unsendable(_) => "unsendable",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream `{}`", self.upstream)?;
        if let Some(server) = &self.server {
            write!(f, ", {server}")?;
        }
        match &self.kind {
            ErrorKind::Down => f.write_str(": no server is up"),
            ErrorKind::Busy => f.write_str(
                ": no connection was free: `limits.pending` is reached, or `limits.pending-timeout` passed",
            ),
            ErrorKind::Unreachable(why) => write!(f, ": cannot connect: {why}"),
            ErrorKind::ConnectTimeout => f.write_str(": no connection within `limits.connect-timeout`"),
            ErrorKind::ResponseTimeout => f.write_str(": no response head within `limits.response-timeout`"),
            ErrorKind::TotalTimeout => f.write_str(": not answered within `limits.total-timeout`"),
            ErrorKind::Deadline => f.write_str(": no response head within the pipeline's `limits.deadline`"),
            ErrorKind::CutOff => f.write_str(": the configuration was replaced too long ago"),
            ErrorKind::Broken(why) => write!(f, ": no response: {why}"),
            ErrorKind::Request(why) => write!(f, ": the request's body broke off: {why}"),
            ErrorKind::Unsendable(why) => write!(f, ": the request can't be sent: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Why a response's body broke off.
#[derive(Clone, Debug)]
pub struct BodyError {
    pub(super) upstream: Arc<str>,
    pub(super) server: Arc<str>,
    pub(super) why: String,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream `{}`, {}: the response broke off: {}", self.upstream, self.server, self.why)
    }
}

impl std::error::Error for BodyError {}

/// An error of hyper with its causes, in one line.
pub(super) fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
