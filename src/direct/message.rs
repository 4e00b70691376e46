//! Requests and responses within a chain.

use super::abi::Code;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode};
use std::sync::Arc;
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiBody};

/// A request on its way through a chain.
pub struct Request {
    pub method: Method,
    pub scheme: Option<Scheme>,
    pub authority: Option<Authority>,
    pub path_with_query: Option<PathAndQuery>,
    pub headers: FieldMap,
    pub options: Option<Arc<RequestOptions>>,
    pub body: WasiBody,
}

/// A response on its way back.
pub struct Response {
    pub status: StatusCode,
    pub headers: FieldMap,
    pub body: WasiBody,
}

/// What came of a request.
pub type Answer = Result<Box<Response>, Code>;
