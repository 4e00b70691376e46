//! Bodies that never leave their worker, for interfaces that ask for bodies that could.

use super::outcome::BodyError;
use crate::host::CallContext;
use crate::telemetry::timed;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use send_wrapper::SendWrapper;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime_wasi_http::{Error, WasiBody};

/// `body`, on its way into another store of the same worker, or out of one. The call for which the body is learns what
/// becomes of it.
pub(super) fn crossing<B>(body: B, reader: Option<Arc<CallContext>>) -> WasiBody
where
    B: Body<Data = Bytes, Error: Into<Error>> + Unpin + 'static,
{
    Crossing { body: SendWrapper::new(body), reader }.boxed_unsync()
}

/// Panics on another thread, which there never is.
struct Crossing<B> {
    body: SendWrapper<B>,
    reader: Option<Arc<CallContext>>,
}

impl<B> Drop for Crossing<B> {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.on_body_end();
        }
    }
}

impl<B> Body for Crossing<B>
where
    B: Body<Data = Bytes, Error: Into<Error>> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let body = Pin::new(&mut *this.body);
        let Some(reader) = &this.reader else { return body.poll_frame(cx).map_err(Into::into) };
        let frame = match reader.is_observed() {
            false => body.poll_frame(cx),
            // It is another stage's work.
            true => timed(|| body.poll_frame(cx)).0,
        };
        let frame = frame.map_err(Into::into);
        reader.on_body(&frame);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Cut(why) => Self::InternalError(Some(why.to_owned())),
            BodyError::Chain(error) => error,
        }
    }
}

impl From<crate::upstream::BodyError> for Error {
    fn from(error: crate::upstream::BodyError) -> Self {
        Self::InternalError(Some(error.to_string()))
    }
}
