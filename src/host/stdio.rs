//! Standard streams of a stage: what it prints goes to the log, line by line.
//!
//! Bounds: a line of more than [`MAX_LOG_MESSAGE`] bytes is logged in pieces;
//! lines count against the stage's log quota. Bytes that are no UTF-8 are shown
//! as U+FFFD.

use super::kept::Outside;
use super::scope::{MAX_LOG_MESSAGE, Scope};
use super::state::InstanceState;
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime::StoreContextMut;
use wasmtime::component::{Source, StreamConsumer, StreamResult};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable};

/// The most that a guest of WASI 0.2 can print at once, in bytes.
const MAX_WRITE: usize = 64 << 10;

/// Takes the bytes that a guest prints and logs each line.
pub struct LineLog {
    scope: Scope,
    name: &'static str,
    line: Vec<u8>,
    /// Of a line that is not complete, where no resource of the store stands for it.
    kept: Option<Outside>,
}

impl LineLog {
    /// A log for the stream called `name` (`stdout` or `stderr`).
    pub fn new(scope: Scope, name: &'static str) -> Self {
        Self { scope, name, line: Vec::new(), kept: None }
    }

    /// The same for a stream that is no resource of the store of `state`.
    ///
    /// # Errors
    /// If the host keeps too much for its guests.
    pub(super) fn outside(
        scope: Scope,
        name: &'static str,
        state: &mut InstanceState,
    ) -> wasmtime::Result<Self> {
        let mut log = Self::new(scope, name);
        log.kept = Some(state.keep_outside(MAX_LOG_MESSAGE)?);
        Ok(log)
    }

    fn accept(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            for piece in text.chunks(MAX_LOG_MESSAGE) {
                if self.line.len() + piece.len() > MAX_LOG_MESSAGE {
                    self.flush();
                }
                self.line.extend_from_slice(piece);
            }
            if ends {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            let text = String::from_utf8_lossy(&self.line);
            let text = text.strip_suffix('\r').unwrap_or(&text);
            self.scope.log(tracing::Level::INFO, self.name, text);
            self.line.clear();
        }
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// As an output stream of WASI 0.2.
#[async_trait]
impl Pollable for LineLog {
    async fn ready(&mut self) {}
}

impl OutputStream for LineLog {
    fn write(&mut self, bytes: Bytes) -> wasmtime_wasi::p2::StreamResult<()> {
        self.accept(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> wasmtime_wasi::p2::StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> wasmtime_wasi::p2::StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

impl<D> StreamConsumer<D> for LineLog {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let count = source.remaining().len();
        // A zero-length write asks whether more can be written: it always can.
        self.accept(source.remaining());
        source.mark_read(count);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
