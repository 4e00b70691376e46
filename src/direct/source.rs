//! A body of the host as a stage reads it: a stream, and the trailers behind it.

use crate::host::kept::size_of_fields;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wasmtime_wasi_http::{Error, WasiBody};

/// What is behind a body, or what it broke off with.
type Behind = Result<Option<HeaderMap>, Error>;

/// The trailers of a body, once its end was read.
#[derive(Clone, Default)]
pub struct Trailers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    behind: Option<Behind>,
    /// Who waits for them.
    reader: Option<Waker>,
}

impl Trailers {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is behind the body, once. As long as its end was not read, `reader` is woken when it is.
    pub fn take(&self, reader: &Waker) -> Option<Behind> {
        let mut state = self.locked();
        let behind = state.behind.take();
        if behind.is_none() {
            state.reader = Some(reader.clone());
        }
        behind
    }

    /// Bytes that it keeps.
    pub fn size(&self) -> usize {
        match &self.locked().behind {
            Some(Ok(Some(trailers))) => size_of_fields(trailers),
            _ => 0,
        }
    }
}

/// A body that is read.
pub struct Source {
    body: WasiBody,
    /// What was read and did not fit.
    rest: Bytes,
    trailers: Option<Trailers>,
}

/// What a body has for a reader.
pub enum Produced {
    Bytes(Bytes),
    End,
    /// Nothing yet.
    Nothing,
}

impl Source {
    pub fn new(body: WasiBody) -> (Self, Trailers) {
        let trailers = Trailers::default();
        (Self { body, rest: Bytes::new(), trailers: Some(trailers.clone()) }, trailers)
    }

    /// The body, to be read elsewhere. There are no trailers for who reads here.
    pub fn into_body(mut self) -> WasiBody {
        std::mem::take(&mut self.body)
    }

    /// Up to `room` bytes. If there is nothing yet, `reader` is woken when there is.
    pub fn produce(&mut self, room: usize, reader: &Waker) -> Produced {
        if self.rest.is_empty() {
            match self.read(room, reader) {
                Produced::Bytes(bytes) => self.rest = bytes,
                other => return other,
            }
        }
        Produced::Bytes(self.rest.split_to(room.min(self.rest.len())))
    }

    fn read(&mut self, room: usize, reader: &Waker) -> Produced {
        if room == 0 && self.body.is_end_stream() {
            return self.end(Ok(None));
        }
        let mut context = Context::from_waker(reader);
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => return self.end(Err(error)),
                Poll::Ready(None) => return self.end(Ok(None)),
                Poll::Pending => return Produced::Nothing,
            };
            match frame.into_data().map_err(Frame::into_trailers) {
                Ok(bytes) if !bytes.is_empty() => return Produced::Bytes(bytes),
                Ok(_) if self.body.is_end_stream() => return self.end(Ok(None)),
                Ok(_) => {}
                Err(Ok(trailers)) => return self.end(Ok(Some(trailers))),
                Err(Err(_)) => return self.end(Err(Error::HttpProtocolError)),
            }
        }
    }

    fn end(&mut self, behind: Behind) -> Produced {
        if let Some(trailers) = self.trailers.take() {
            let mut state = trailers.locked();
            state.behind = Some(behind);
            if let Some(reader) = state.reader.take() {
                reader.wake();
            }
        }
        Produced::End
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.end(Ok(None));
    }
}
