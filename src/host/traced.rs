//! Bodies whose end is the end of a span.

use crate::telemetry::trace::OpenSpan;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use wasmtime_wasi_http::{Error, WasiBody};

/// `body`, with which `span` ends, if there is one.
pub fn traced(body: WasiBody, span: Option<OpenSpan>) -> WasiBody {
    match span {
        Some(span) if !body.is_end_stream() => Traced { body, span: Some(span) }.boxed_unsync(),
        _ => body,
    }
}

struct Traced {
    body: WasiBody,
    span: Option<OpenSpan>,
}

impl Body for Traced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            // A guest may keep the body long after its end.
            None => self.span = None,
            Some(Err(error)) => {
                if let Some(mut span) = self.span.take() {
                    span.set_error("body", error);
                }
            }
            Some(Ok(_)) if self.body.is_end_stream() => self.span = None,
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
