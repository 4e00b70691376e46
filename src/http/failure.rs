//! A request without a response: the client's answer, and a line of the log with the reason.

use super::normalize::NormalHead;
use super::respond::{Refusal, Upstream};
use crate::engine::{Failure, UploadState, UpstreamFailure};
use crate::host::RequestName;
use crate::plan::Pipeline;
use std::time::Duration;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// The time that a client is told to wait when no instance has room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the client gets for a failure; the log gets the reason.
pub(super) fn explain(
    failure: &Failure,
    limit: &UploadState,
    plan: &Pipeline,
    head: &NormalHead,
    name: RequestName,
) -> Refusal {
    let too_large = limit.is_exceeded();
    let refusal = match failure {
        _ if too_large => Refusal::PayloadTooLarge,
        _ if limit.is_too_slow() => Refusal::RequestTimeout,
        // The client caused the failure, whatever the stage made of it.
        Failure::Guest(_) | Failure::Deadline if limit.is_malformed() => {
            Refusal::BadRequest("The request's body is malformed.")
        }
        Failure::OfAPart => Refusal::BadRequest("The request's body is malformed."),
        Failure::Guest(ErrorCode::HttpRequestBodySize(_)) => Refusal::PayloadTooLarge,
        Failure::Trap { .. } | Failure::Instantiate(_) => Refusal::GuestTrap,
        Failure::Guest(ErrorCode::HttpResponseTimeout) => Refusal::Deadline,
        Failure::Guest(ErrorCode::ConnectionLimitReached) => Refusal::NoCapacity { retry_after: RETRY_AFTER },
        Failure::Guest(_) => Refusal::GuestError,
        Failure::InvalidResponse(_) => Refusal::BadGateway,
        Failure::Deadline => Refusal::Deadline,
        Failure::Capacity => Refusal::NoCapacity { retry_after: RETRY_AFTER },
        Failure::BreakerOpen => Refusal::BreakerOpen { retry_after: RETRY_AFTER },
        Failure::Upstream(error) => of_upstream(&error.kind),
    };
    let stage = match failure {
        Failure::Trap { stage, .. } => stage.as_deref(),
        _ => None,
    };
    tracing::warn!(
        request_id = name.request_id(),
        trace_id = name.trace_id(),
        span_id = name.span_id(),
        pipeline = %plan.name,
        stage,
        method = %head.method,
        path = head.path(),
        status = refusal.status().as_u16(),
        reason = %failure,
        "the chain gave no response",
    );
    refusal
}

/// What the client gets when an upstream gave no response.
fn of_upstream(kind: &UpstreamFailure) -> Refusal {
    Refusal::Upstream(match kind {
        UpstreamFailure::Down => Upstream::Down { retry_after: RETRY_AFTER },
        UpstreamFailure::Busy => Upstream::Busy { retry_after: RETRY_AFTER },
        UpstreamFailure::Unreachable(_) => Upstream::Unreachable,
        UpstreamFailure::Broken(_) => Upstream::Broken,
        UpstreamFailure::ConnectTimeout
        | UpstreamFailure::ResponseTimeout
        | UpstreamFailure::TotalTimeout => Upstream::Timeout,
        UpstreamFailure::Deadline | UpstreamFailure::CutOff => return Refusal::Deadline,
        UpstreamFailure::Request(_) => return Refusal::BadRequest("The request's body broke off."),
        UpstreamFailure::Unsendable(_) => return Refusal::BadGateway,
    })
}
