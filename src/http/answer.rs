//! The body of a response, and what is kept to its end.

use super::headers::clean_trailers;
use super::record::Record;
use super::request_id::RequestId;
use super::respond::{Refusal, refuse};
use crate::engine::{BodyError, ResponseBody, UploadState};
use crate::gateway::Generation;
use crate::host::RequestName;
use crate::plan::{Pipeline, PipelineIndex};
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The body of a response.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the ordinary one: a box would cost each request an allocation"
)]
pub enum AnswerBody {
    /// The gateway's own short body.
    Gateway {
        /// The bytes.
        body: Full<Bytes>,
        /// Written when the body is dropped.
        record: Record,
    },
    /// The chain's body, streamed.
    Chain {
        /// The bytes; none for a response without a body, by its status or its request's method.
        body: Option<ResponseBody>,
        /// Kept to the end of the body, as `gateway` demands.
        here: Here,
        /// What becomes of the request's body.
        upload: UploadState,
        /// Written when the body is dropped.
        record: Record,
    },
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (mut frame, record) = match self.get_mut() {
            Self::Gateway { body, record } => {
                (Pin::new(body).poll_frame(cx).map_err(|never| match never {}), record)
            }
            Self::Chain { body: None, .. } => return Poll::Ready(None),
            Self::Chain { body: Some(body), here, upload, record } => {
                let frame = poll_chain(body, here, record, cx);
                if upload.has_left() {
                    record.left();
                }
                if is_over(body) {
                    record.over();
                }
                (frame, record)
            }
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut frame {
            if let Some(trailers) = frame.trailers_mut() {
                clean_trailers(trailers);
            } else if let Some(data) = frame.data_ref() {
                record.sent(data.len());
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Gateway { body, .. } => body.is_end_stream(),
            Self::Chain { body, .. } => body.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Gateway { body, .. } => body.size_hint(),
            Self::Chain { body, .. } => {
                body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
            }
        }
    }
}

/// Whether all of `body` was read; a reader that knows the length does not ask for the end.
pub(super) fn is_over(body: &ResponseBody) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

fn poll_chain(
    body: &mut ResponseBody,
    here: &Here,
    record: &mut Record,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let frame = Pin::new(body).poll_frame(cx);
    if let Poll::Ready(Some(Err(error))) = &frame {
        record.cut_short();
        here.generation.broke_off();
        tracing::warn!(
            request_id = here.id.as_str(),
            trace_id = here.name.trace_id(),
            span_id = here.name.span_id(),
            pipeline = %here.generation.plan.pipeline(here.pipeline).name,
            reason = %error,
            "a response was cut short",
        );
    }
    frame
}

/// A request's place: what its response keeps to the end of its body.
pub struct Here {
    pub(super) generation: Arc<Generation>,
    pub(super) pipeline: PipelineIndex,
    pub(super) id: RequestId,
    /// How log lines name the request.
    pub(super) name: RequestName,
}

impl Here {
    /// The pipeline, as planned.
    pub(super) fn plan(&self) -> &Pipeline {
        self.generation.plan.pipeline(self.pipeline)
    }
}

/// The gateway's own answer to a request.
pub(super) fn refused(refusal: &Refusal, mut record: Record, id: &RequestId) -> Response<AnswerBody> {
    record.refused(refusal);
    record.over();
    refuse(refusal, id.as_str()).map(|body| AnswerBody::Gateway { body: Full::new(body), record })
}
