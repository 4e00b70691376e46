//! Requests and responses within a chain.

use super::abi::Code;
use super::pipes::PipeId;
use super::receipt::Teller;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode};
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, FieldMap, RequestOptions, WasiBody};

/// A request on its way through a chain.
pub struct Request {
    pub method: Method,
    pub scheme: Option<Scheme>,
    pub authority: Option<Authority>,
    pub path_with_query: Option<PathAndQuery>,
    pub headers: FieldMap,
    pub options: Option<Arc<RequestOptions>>,
    pub body: Body,
}

/// A response on its way back.
pub struct Response {
    pub status: StatusCode,
    pub headers: FieldMap,
    pub body: Body,
}

/// A request or a response.
pub trait Message {
    fn into_body(self) -> Body;
}

impl Message for Request {
    fn into_body(self) -> Body {
        self.body
    }
}

impl Message for Response {
    fn into_body(self) -> Body {
        self.body
    }
}

/// What the one who made a request wants of a transport; it can be set until it belongs to a request.
pub use wasmtime_wasi_http::p3::bindings::http::types::RequestOptions as Options;

/// A body.
pub enum Body {
    /// The host's. Whoever made a message around it may ask what becomes of it.
    Host(WasiBody, Option<Teller>),
    /// A stage's: its bytes, if there are any, and what is behind them.
    Stage { contents: Option<PipeId>, trailers: PipeId, teller: Teller },
}

/// What came of a request.
pub type Answer = Result<Box<Response>, Code>;

/// Tells a stage what became of the sending of a body.
pub type Sent = oneshot::Sender<Result<(), Error>>;

/// A response outside of the store, and who is to tell a stage that it was sent, if one may ask.
pub type Answered = (http::Response<WasiBody>, Option<Sent>);

/// What came of a request, outside of the store. A response that can't be sent has the reason.
pub type Reply = Result<wasmtime::Result<Answered>, ErrorCode>;
