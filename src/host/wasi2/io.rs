//! `wasi:io` of WASI 0.2: a call that waits holds its store, and reports it.
//!
//! Nothing else in the store proceeds while a guest waits in `poll` or in a blocking read or write, so the pool must
//! send requests elsewhere meanwhile. Data in a stream counts against `limits.host-memory`, and a write takes no more
//! at once than was counted for it. The rest is `wasmtime-wasi`'s.

use crate::host::hooks::OUTGOING_CHUNK;
use crate::host::state::InstanceState;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::p2::bindings::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};

/// A store's streams and pollables, and whom to tell that it waits.
pub struct Io<'a>(&'a mut InstanceState);

pub struct HasIo;

impl HasData for HasIo {
    type Data<'a> = Io<'a>;
}

/// The most that one write takes.
const MAX_WRITE: u64 = OUTGOING_CHUNK as u64;

impl Io<'_> {
    pub fn of(state: &mut InstanceState) -> Io<'_> {
        Io(state)
    }

    /// Notes that a stream gets `bytes`.
    fn keep(&mut self, bytes: u64) -> StreamResult<()> {
        match usize::try_from(bytes) {
            Ok(bytes) if bytes <= OUTGOING_CHUNK => self.0.keep(bytes).map_err(StreamError::Trap),
            _ => Err(StreamError::trap("wrote more than `check-write` allowed")),
        }
    }
}

impl poll::Host for Io<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let _waits = self.0.pulse.wait();
        self.0.table.poll(pollables).await
    }
}

impl poll::HostPollable for Io<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.0.table.ready(pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let _waits = self.0.pulse.wait();
        self.0.table.block(pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(&mut self.0.table, pollable)
    }
}

impl streams::Host for Io<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        self.0.table.convert_stream_error(error)
    }
}

impl streams::HostInputStream for Io<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        self.0.table.read(stream, len)
    }

    async fn blocking_read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        let _waits = self.0.pulse.wait();
        self.0.table.blocking_read(stream, len).await
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        self.0.table.skip(stream, len)
    }

    async fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        let _waits = self.0.pulse.wait();
        self.0.table.blocking_skip(stream, len).await
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.0.keep(OUTGOING_CHUNK)?;
        streams::HostInputStream::subscribe(&mut self.0.table, stream)
    }

    async fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        streams::HostInputStream::drop(&mut self.0.table, stream).await
    }
}

impl streams::HostOutputStream for Io<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        self.0.table.check_write(stream).map(|bytes| bytes.min(MAX_WRITE))
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.keep(bytes.len() as u64)?;
        self.0.table.write(stream, bytes)
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.keep(bytes.len() as u64)?;
        let _waits = self.0.pulse.wait();
        self.0.table.blocking_write_and_flush(stream, bytes).await
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.0.table.flush(stream)
    }

    async fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        let _waits = self.0.pulse.wait();
        self.0.table.blocking_flush(stream).await
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostOutputStream::subscribe(&mut self.0.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        self.keep(len)?;
        self.0.table.write_zeroes(stream, len)
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        self.keep(len)?;
        let _waits = self.0.pulse.wait();
        self.0.table.blocking_write_zeroes_and_flush(stream, len).await
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let len = len.min(MAX_WRITE);
        self.keep(len)?;
        self.0.table.splice(to, from, len)
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let len = len.min(MAX_WRITE);
        self.keep(len)?;
        let _waits = self.0.pulse.wait();
        self.0.table.blocking_splice(to, from, len).await
    }

    async fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        streams::HostOutputStream::drop(&mut self.0.table, stream).await
    }
}
