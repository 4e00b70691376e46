//! How a request can end without a response of the chain.

use crate::upstream;
pub use crate::upstream::ErrorKind as UpstreamFailure;
use std::fmt;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// Why a chain gave no response. What a client is told about it is decided in
/// `http::respond`; the words here are for the log.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The instance died: a trap, a spent budget, a host's refusal.
    Trap {
        /// What Wasmtime said, without a backtrace.
        reason: String,
        /// The stage whose code it was, where that is known.
        stage: Option<String>,
        /// It was the fault of a rewritten lift, and did nothing for this request: another form of the segment can take it.
        again: bool,
    },
    /// The handler answered with an error.
    Guest(ErrorCode),
    /// The handler gave a response that can't be sent.
    InvalidResponse(String),
    /// The request's body broke off, and a stage answered as if it had not.
    OfAPart,
    /// No response head within the deadline.
    Deadline,
    /// No instance had room, and the queue was full or took too long.
    Capacity,
    /// No instance could be made.
    Instantiate(String),
    /// The stage's breaker is open, and closes the pipeline.
    BreakerOpen,
    /// The upstream gave no response.
    Upstream(upstream::Error),
}

impl Failure {
    /// The instance was ended, for this reason.
    pub(super) fn killed(reason: &str) -> Self {
        Self::Trap { reason: reason.to_owned(), stage: None, again: false }
    }

    /// The segment's rewritten lift failed its trial before this request began.
    pub(super) fn disproved() -> Self {
        let reason = "the trial of a rewritten lift failed".to_owned();
        Self::Trap { reason, stage: None, again: true }
    }

    /// The same of a request for which something may have been done.
    pub(super) fn for_good(self) -> Self {
        match self {
            Self::Trap { reason, stage, .. } => Self::Trap { reason, stage, again: false },
            other => other,
        }
    }

    /// Whether another form of the segment can take the request.
    pub(super) fn is_for_another_form(&self) -> bool {
        matches!(self, Self::Trap { again: true, .. })
    }

    /// One word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Guest(_) => "guest-error",
            Self::InvalidResponse(_) => "invalid-response",
            Self::OfAPart => "partial-request",
            Self::Deadline => "deadline",
            Self::Capacity => "capacity",
            Self::Instantiate(_) => "instantiate",
            Self::BreakerOpen => "breaker-open",
            Self::Upstream(_) => "upstream",
        }
    }

    /// What the stage before learns of it. What happened is the log's.
    pub(super) fn into_code(self) -> ErrorCode {
        match self {
            Self::Guest(code) => code,
            Self::Deadline => ErrorCode::HttpResponseTimeout,
            Self::Capacity | Self::BreakerOpen => ErrorCode::ConnectionLimitReached,
            Self::InvalidResponse(_) | Self::OfAPart => ErrorCode::HttpProtocolError,
            Self::Upstream(error) => upstream_code(error.kind),
            Self::Trap { .. } | Self::Instantiate(_) => {
                ErrorCode::InternalError(Some("the next stage failed".to_owned()))
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap { reason, .. } => write!(f, "the instance died: {reason}"),
            Self::Guest(code) => write!(f, "the handler answered {}", error_text(code)),
            Self::InvalidResponse(reason) => write!(f, "the response can't be sent: {reason}"),
            Self::OfAPart => {
                f.write_str("the request's body broke off, and a stage answered as if it had not")
            }
            Self::Deadline => f.write_str("no response head within `limits.deadline`"),
            Self::Capacity => {
                f.write_str("no instance had room: `limits.queue` is full, or `limits.queue-timeout` passed")
            }
            Self::Instantiate(reason) => write!(f, "no instance could be made: {reason}"),
            Self::BreakerOpen => f.write_str("the stage's breaker is open"),
            Self::Upstream(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

/// Why a response's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The gateway cut it.
    #[error("{0}")]
    Cut(&'static str),
    /// The chain ended it with an error.
    #[error("{}", in_words(.0))]
    Chain(#[from] Error),
}

/// An error of a body. wasmtime-wasi-http has two for a length that is not the announced one, which speak of a limit.
fn in_words(error: &Error) -> String {
    let (whose, bytes) = match error {
        Error::HttpRequestBodySize(Some(bytes)) => ("the request's", bytes),
        Error::HttpResponseBodySize(Some(bytes)) => ("the", bytes),
        other => return other.to_string(),
    };
    format!("{whose} body has {bytes} bytes, and its `content-length` says another number")
}

/// What a stage learns of an upstream that gave no response.
fn upstream_code(kind: upstream::ErrorKind) -> ErrorCode {
    use upstream::ErrorKind;
    match kind {
        ErrorKind::Down | ErrorKind::Unreachable(_) => ErrorCode::DestinationUnavailable,
        ErrorKind::Busy => ErrorCode::ConnectionLimitReached,
        ErrorKind::ConnectTimeout => ErrorCode::ConnectionTimeout,
        ErrorKind::ResponseTimeout | ErrorKind::TotalTimeout | ErrorKind::Deadline => {
            ErrorCode::HttpResponseTimeout
        }
        ErrorKind::CutOff | ErrorKind::Broken(_) => ErrorCode::ConnectionTerminated,
        ErrorKind::Request(_) | ErrorKind::Unsendable(_) => ErrorCode::HttpProtocolError,
    }
}

/// Most of an error's text that is told, in bytes: a guest says it, and can say 50 MB.
const MAX_TEXT: usize = 1024;

/// An error code as WIT spells it, with its payload.
fn error_text(code: &ErrorCode) -> String {
    let start = |text: &str| text[..text.floor_char_boundary(MAX_TEXT)].to_owned();
    match code {
        ErrorCode::InternalError(Some(message)) => format!("internal-error: {}", start(message)),
        other => start(&format!("{other:?}")),
    }
}

/// The chain of causes of a Wasmtime error in one line, without backtraces.
pub(super) fn reason(error: &wasmtime::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // The backtrace is a cause of its own; the stage says where it was.
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with("error while executing at wasm backtrace") {
            continue;
        }
        if parts.last().is_none_or(|last| last != line) {
            parts.push(line.to_owned());
        }
    }
    parts.join(": ")
}
