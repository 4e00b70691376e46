//! linkspan: an in-process middleware composition gateway.
//!
//! A pipeline is an ordered list of `wasi:http/middleware` components that ends in a service. Its stages are composed
//! into one WebAssembly component, or linked by the host, and a request walks through all of them inside this process.
//!
//! The library is the product; the `linkspan` binary is a thin shell around [`cli`]. ARCHITECTURE.md says what lives
//! where and what never happens.

pub mod admin;
pub mod chain;
pub mod cli;
pub mod component;
pub mod config;
pub mod direct;
pub mod embed;
pub mod engine;
pub mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
pub mod host;
pub mod http;
pub mod measure;
pub mod net;
pub mod plan;
pub mod server;
pub mod standard;
pub mod stores;
pub mod telemetry;
pub mod upstream;
