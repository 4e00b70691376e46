//! Error codes of `wasi:http` 0.2 as those of 0.3, which are the same.

use wasmtime_wasi_http::p2::bindings::http::types as old;
use wasmtime_wasi_http::p3::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload,
};

fn field(payload: old::FieldSizePayload) -> FieldSizePayload {
    FieldSizePayload { field_name: payload.field_name, field_size: payload.field_size }
}

macro_rules! same {
    ($code:expr; $($name:ident $(($($of:ident)?))?),+ $(,)?) => {
        match $code {
            old::ErrorCode::DnsError(old::DnsErrorPayload { rcode, info_code }) => {
                ErrorCode::DnsError(DnsErrorPayload { rcode, info_code })
            }
            old::ErrorCode::TlsAlertReceived(old::TlsAlertReceivedPayload { alert_id, alert_message }) => {
                ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert_id, alert_message })
            }
            old::ErrorCode::HttpRequestHeaderSize(payload) => {
                ErrorCode::HttpRequestHeaderSize(payload.map(field))
            }
            old::ErrorCode::HttpRequestTrailerSize(payload) => ErrorCode::HttpRequestTrailerSize(field(payload)),
            old::ErrorCode::HttpResponseHeaderSize(payload) => ErrorCode::HttpResponseHeaderSize(field(payload)),
            old::ErrorCode::HttpResponseTrailerSize(payload) => {
                ErrorCode::HttpResponseTrailerSize(field(payload))
            }
            $(old::ErrorCode::$name $(($($of)?))? => ErrorCode::$name $(($($of)?))?,)+
        }
    };
}

/// The same code in 0.3.
pub fn of_0_3(code: old::ErrorCode) -> ErrorCode {
    same!(code;
        DnsTimeout, DestinationNotFound, DestinationUnavailable, DestinationIpProhibited,
        DestinationIpUnroutable, ConnectionRefused, ConnectionTerminated, ConnectionTimeout,
        ConnectionReadTimeout, ConnectionWriteTimeout, ConnectionLimitReached, TlsProtocolError,
        TlsCertificateError, HttpRequestDenied, HttpRequestLengthRequired, HttpRequestBodySize(size),
        HttpRequestMethodInvalid, HttpRequestUriInvalid, HttpRequestUriTooLong,
        HttpRequestHeaderSectionSize(size), HttpRequestTrailerSectionSize(size), HttpResponseIncomplete,
        HttpResponseHeaderSectionSize(size), HttpResponseBodySize(size),
        HttpResponseTrailerSectionSize(size), HttpResponseTransferCoding(coding),
        HttpResponseContentCoding(coding), HttpResponseTimeout, HttpUpgradeFailed, HttpProtocolError,
        LoopDetected, ConfigurationError, InternalError(message),
    )
}
