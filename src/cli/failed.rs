//! Why a command failed, and what one prints.

use crate::server;
use std::fmt;

/// Why a command failed: what to print, and how to exit.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) message: String,
    pub(super) code: u8,
}

impl Failed {
    /// The configuration or a component is wrong.
    pub(super) fn wrong(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// The command line or a variable is wrong.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// The system refused something.
    pub(super) fn system(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 3 }
    }
}

impl From<server::Error> for Failed {
    fn from(error: server::Error) -> Self {
        let code = match &error {
            server::Error::Wrong(_) => 1,
            server::Error::System(_) => 3,
            server::Error::Cut(_) => 4,
        };
        Self { message: error.to_string(), code }
    }
}

/// Prints what a command was asked for. Whoever reads it may stop early, as `head` does.
pub(super) fn print(text: &str) -> Result<(), Failed> {
    use std::io::Write as _;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failed::system(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}
