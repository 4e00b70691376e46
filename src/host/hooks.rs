//! linkspan's choices inside `wasi:http`.

use http::HeaderName;
use std::sync::{Arc, LazyLock};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode as ErrorCodeOf02;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

/// The most that a guest can write of a body, or a service of WASI 0.2 of anything, at once, in bytes.
pub const OUTGOING_CHUNK: usize = 64 << 10;

/// What `wasi:http` asks of its host.
pub(super) struct Hooks;

fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

impl WasiHttpHooks for Hooks {
    // The default asks `forbidden_header_filter`, which would allocate for each field of each request.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        static FILTER: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));
        Arc::clone(&FILTER)
    }

    // Stages see the authority; what goes into the network gets its field there.
    fn set_host_header(&mut self) -> bool {
        false
    }

    // What broke is logged with its request, by whoever answers it; the default writes a line that names none.
    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCodeOf02 {
        ErrorCodeOf02::HttpProtocolError
    }

    fn p3_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    // Twice as much waits in the gateway for a client that is slow to take it.
    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        OUTGOING_CHUNK
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        OUTGOING_CHUNK
    }

    // Never called: outgoing requests are answered by `imports`, per stage.
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _result: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
    ) -> Box<
        dyn Future<
                Output = wasmtime_wasi_http::Result<(
                    http::Response<WasiBody>,
                    Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
                )>,
            > + Send,
    > {
        Box::new(async { Err(wasmtime_wasi_http::Error::HttpRequestDenied) })
    }
}
