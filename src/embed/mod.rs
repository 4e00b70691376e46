//! linkspan inside of another program: pipelines as `tower` services and layers.
//!
//! ```no_run
//! use linkspan::embed::{Pipeline, Stage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `handler` is a `tower::Service<http::Request<B>>`, cheap to clone, for any tokio runtime.
//! let handler = Pipeline::new("edge")
//!     .stage(Stage::new("key-auth", "key-auth.wasm").config("keys.alice", "s3cret"))
//!     .stage(Stage::new("request-id", "request-id.wasm").grant("random", true).set("link", "dynamic"))
//!     .service(Stage::new("hello", "hello.wasm").limit("memory", "16MiB"))
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! A [`Pipeline`] and its [`Stage`]s describe what a `[pipelines.<name>]` of the configuration file describes. It ends
//! in a component ([`Pipeline::service`]), or in a service of the program: [`Pipeline::layer`] makes a [`Layer`], with
//! which an axum `Router`, say, gets WebAssembly in front of its routes, and [`Pipeline::around`] puts the pipeline in
//! front of one service. A [`Gateway`] has several pipelines, from a file, a text or code, whose routes it can follow
//! ([`Gateway::routes`]), and can be given another configuration while it serves ([`Gateway::reload`],
//! [`Gateway::replace`]). What is called is a [`Service`] in any case.
//!
//! Keys and their bounds are those of the file, described in docs/configuration.md, because what is built in code is
//! written as TOML and read as a file is: so the defaults are the same, and what is wrong is told by the same
//! [`Diagnostics`], with the line and a caret. Values of a stage's `config` are not part of that text.
//!
//! # How it works
//!
//! The engine keeps a request on one thread, and its instances never leave theirs. So a [`Gateway`] has worker threads
//! of its own (`gateway.workers`), each with an event loop; a [`Service`] is `Send`, hands a request to the worker that
//! has the fewest, and streams both bodies across with backpressure, trailers included. A native service runs on the
//! tokio runtime of whoever called the pipeline, with the extensions that the request had there; if nobody wants the
//! response any more, or past the deadline, its future is dropped.
//!
//! A [`Service`] never fails: what the chain does not answer becomes the `application/problem+json` that the gateway
//! would send (docs/answers.md). The request's head is brought into the gateway's normal form first; a request that
//! names no host is for `localhost`. Every limit of the configuration holds, from the body's size to the number of
//! instances, and one is the embedding's own: `gateway.calls` requests wait for each worker, one more is answered 503.
//!
//! Dropping the last handle ends the workers, once their requests are done. Nothing here listens, reads signals or
//! watches files; `listeners` and `admin` in a file are not used.

mod body;
mod builder;
mod description;
mod gateway;
mod native;
mod service;
mod shared;
mod workers;

pub use crate::config::Diagnostics;
pub use body::{Body, BodyError};
pub use builder::{GatewayBuilder, Pipeline, Source, Stage};
pub use gateway::Gateway;
pub use service::{Layer, ResponseFuture, Service};
pub use toml::Value;

/// The error of a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
