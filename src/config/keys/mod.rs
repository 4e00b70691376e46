//! Every key of the file: its name, type, default, bounds and meaning.
//!
//! Each part of the configuration has a file, and each table in it a declaration (see `declare`). The decoder checks a
//! configuration against the declarations. The structs that `plan` works on, the JSON Schema, the tables in
//! `docs/configuration.md` and the list of keys that need a restart are made from them, so that they can't drift apart.

mod file;
mod grants;
mod http;
mod limits;
mod listeners;
mod operations;
mod pipelines;
mod routes;
mod stores;
mod telemetry;
mod upstreams;
mod when;

pub use self::file::{Component, File, Gateway};
pub use self::grants::{Clocks, Grant, MAX_CALLS, Mount};
pub use self::http::{EncodedSlash, ForwardedForm, Http, RequestIdPolicy, Sni, Traceparent, Underscores};
pub use self::limits::{GatewayLimits, PipelineLimits, StageLimits};
pub use self::listeners::{
    Alpn, Certificate, CipherSuite, ClientAuth, ClientAuthMode, Fallback, Listener, MAX_CERTIFICATES,
    ProxyVersion, Redirect, Tls, TlsVersion,
};
pub use self::operations::{AccessFormat, AccessLog, Admin, Log};
pub use self::pipelines::{
    Breaker, BreakerThen, Form, Isolation, Link, MAX_COMBINATIONS, MAX_MIDDLEWARE, MAX_NEXT, OnFailure,
    Pipeline, Relift, Stage,
};
pub use self::routes::{Pin, Route, Split};
pub use self::stores::{Store, StoreKind};
pub use self::telemetry::Telemetry;
pub use self::upstreams::{
    Balance, Ejection, Health, MAX_SERVERS, Retry, Upstream, UpstreamLimits, UpstreamProtocol, UpstreamTls,
};
pub use self::when::{When, WhenHeader};
pub use super::kinds::{Change, Key, Kind, Presence, Table, TextForm};
