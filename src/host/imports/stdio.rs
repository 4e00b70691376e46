//! `stdio`: a stage's output goes to the log, line by line, and its input is empty.
//!
//! Bounds: a line of more than [`MAX_LOG_MESSAGE`] bytes is logged in pieces; lines count against the stage's log
//! quota. Bytes that are not UTF-8 are shown as U+FFFD. A line carries the id of the request whose call made the
//! stream, as long as no other call is in progress in the store: a guest may keep a stream and print other requests'
//! lines into it. Streams of WASI 0.2 belong to no call.

use crate::host::bindings::named_imports as own3;
use crate::host::context::Behalf;
use crate::host::kept::Outside;
use crate::host::next;
use crate::host::pulse::Pulse;
use crate::host::scope::{MAX_LOG_MESSAGE, Scope};
use crate::host::state::InstanceState;
use crate::host::wasi2::bindings::named_imports as own2;
use crate::telemetry::HostCall;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Access, FutureReader, HasSelf, Resource, Source, StreamConsumer, StreamReader, StreamResult,
};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::pipe::{ClosedInputStream, SinkOutputStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, OutputStream, Pollable};
use wasmtime_wasi::p3::bindings::cli::types::ErrorCode;

offers! {
    own "wasi:cli/stdin" "0.3" (own3::wasi::cli::stdin) needs Stdio;
    own "wasi:cli/stdout" "0.3" (own3::wasi::cli::stdout) needs Stdio;
    own "wasi:cli/stderr" "0.3" (own3::wasi::cli::stderr) needs Stdio;
    own "wasi:cli/stdin" "0.2" (own2::wasi::cli::stdin) inert_without Stdio;
    own "wasi:cli/stdout" "0.2" (own2::wasi::cli::stdout) inert_without Stdio;
    own "wasi:cli/stderr" "0.2" (own2::wasi::cli::stderr) inert_without Stdio;
}

/// The most that a guest of WASI 0.2 can print at once, in bytes.
const MAX_WRITE: usize = 64 << 10;

/// Takes the bytes that a guest prints and logs each line.
struct LineLog {
    scope: Scope,
    name: &'static str,
    line: Vec<u8>,
    /// The request whose call made the stream, and the store's pulse, which knows the calls in progress.
    made_for: Option<(Behalf, Arc<Pulse>)>,
    /// The bytes of an incomplete line, where no resource of the store stands for it.
    kept: Option<Outside>,
}

impl LineLog {
    /// A log for the stream called `name` (`stdout` or `stderr`).
    fn new(scope: Scope, name: &'static str) -> Self {
        Self { scope, name, line: Vec::new(), made_for: None, kept: None }
    }

    /// The same for a stream that is no resource of the store of `state`.
    ///
    /// # Errors
    /// If the host keeps too much for the store's guests.
    fn outside(scope: Scope, name: &'static str, state: &mut InstanceState) -> wasmtime::Result<Self> {
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
            let made_for = self.made_for.as_ref();
            let request = made_for.filter(|(behalf, pulse)| pulse.only_call() == Some(behalf.origin.id));
            self.scope.log(request.map(|(behalf, _)| behalf), tracing::Level::INFO, self.name, text);
            self.line.clear();
        }
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The log as an output stream of WASI 0.2.
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

impl own3::wasi::cli::stdin::Host for InstanceState {}
impl own3::wasi::cli::stdout::Host for InstanceState {}
impl own3::wasi::cli::stderr::Host for InstanceState {}

impl<T: 'static> own3::wasi::cli::stdin::HostWithStore<T> for HasSelf<InstanceState> {
    fn read_via_stream(
        mut store: Access<'_, T, Self>,
        _scope: Scope,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), ErrorCode>>)> {
        let stream = StreamReader::new(&mut store, std::iter::empty::<u8>())?;
        Ok((stream, done(&mut store)?))
    }
}

impl own3::wasi::cli::stdout::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    fn write_via_stream(
        store: Access<'_, InstanceState, Self>,
        scope: Scope,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        print(store, scope, "stdout", data)
    }
}

impl own3::wasi::cli::stderr::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    fn write_via_stream(
        store: Access<'_, InstanceState, Self>,
        scope: Scope,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        print(store, scope, "stderr", data)
    }
}

/// Logs the bytes from `data`.
fn print(
    mut store: Access<'_, InstanceState>,
    scope: Scope,
    name: &'static str,
    data: StreamReader<u8>,
) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
    store.get().count_call(HostCall::Stdio);
    let behalf = next::behalf(&mut store)?;
    let mut log = LineLog::outside(scope, name, store.get())?;
    log.made_for = behalf.map(|behalf| (behalf, store.get().pulse()));
    data.pipe(&mut store, log)?;
    done(&mut store)
}

/// A future that is already there: writing to the log can't fail.
fn done<T: 'static>(
    store: &mut Access<'_, T, HasSelf<InstanceState>>,
) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
    FutureReader::new(store, async { wasmtime::error::Ok(Ok(())) })
}

impl own2::wasi::cli::stdin::Host for InstanceState {
    fn get_stdin(&mut self, _scope: Scope) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.table.push(stream)?)
    }
}

/// With the grant, printed text goes to the stage's log; without it, nowhere.
fn output(scope: Scope, name: &'static str) -> DynOutputStream {
    match scope.grants.stdio {
        true => Box::new(LineLog::new(scope, name)),
        false => Box::new(SinkOutputStream),
    }
}

impl own2::wasi::cli::stdout::Host for InstanceState {
    fn get_stdout(&mut self, scope: Scope) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.count_call(HostCall::Stdio);
        Ok(self.table.push(output(scope, "stdout"))?)
    }
}

impl own2::wasi::cli::stderr::Host for InstanceState {
    fn get_stderr(&mut self, scope: Scope) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.count_call(HostCall::Stdio);
        Ok(self.table.push(output(scope, "stderr"))?)
    }
}
