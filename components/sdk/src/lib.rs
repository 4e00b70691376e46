//! Write a `wasi:http` middleware or service as one short function.
//!
//! ```no_run
//! use linkspan_sdk::{Error, Next, Request, Response, middleware};
//!
//! fn handle(mut request: Request, next: Next) -> Result<Response, Error> {
//!     request.headers_mut().set("x-hello", "world");
//!     next.call(request)
//! }
//! middleware!(handle);
//! ```
//!
//! A stage has one of two forms:
//!
//! * **sync**, the fast path: `handle` is a plain `fn`, lifted synchronously,
//!   and calls the next stage synchronously. Ten times cheaper a hop, and the
//!   natural choice for what only looks at heads. Its instance is held while
//!   the call waits, so the gateway gives each waiting request its own.
//! * **async**: `handle` is an `async fn`. It can read, write and transform
//!   bodies while they flow, wait for timers and send requests of its own.
//!
//! Bodies and trailers pass through a stage untouched, and without a call to
//! the host, unless it asks for them. A head that is only read is never
//! rebuilt; edits of a head are collected and applied in the fewest calls. With
//! the crate's feature `in-place` that is one call, and reading a field another,
//! of an interface that only linkspan has (`linkspan:gateway/headers`): the same
//! source makes the portable component and the fast one.
//!
//! A stage that takes a typed configuration implements [`FromConfig`] for it, most
//! simply with [`configuration!`]. It is read once per instance. The component then
//! carries the configuration's schema, and exports `linkspan:config/check`: linkspan
//! refuses a configuration that is wrong when it is loaded. On another host, every
//! request is answered with `internal-error` naming the key, and the stage's function
//! never runs.
//!
//! The component imports only what the stage uses: log with [`info!`] and it
//! imports `wasi:logging/logging`, don't and it does not.

// The macros name this crate by its own name, also from within.
extern crate self as linkspan_sdk;

pub mod bindings;
mod body;
pub mod clock;
mod config;
mod configuration;
mod error;
mod header;
#[cfg(feature = "in-place")]
mod in_place;
pub mod json;
pub mod limiter;
pub mod log;
mod media;
pub mod network;
mod next;
#[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
mod outstanding;
mod poll;
mod problem;
pub mod random;
mod request;
mod response;
#[doc(hidden)]
pub mod rt;
#[doc(hidden)]
pub mod schema;
pub mod secret;
pub mod signatures;
pub mod template;
mod value;

pub use bindings::wasi::http::types::{Fields, Method, Scheme};
pub use body::{Body, BodyText, BodyWriter, Trailers};
pub use config::{Config, Finding, FromConfig};
pub use error::{Error, internal};
pub use header::{HeaderEdits, HeaderName, HeaderValue, Quotable, bearer};
pub use media::MediaRange;
pub use network::Network;
pub use next::{AsyncNext, Next, call, call_named, call_named_async, is_denied, send};
pub use poll::at_once;
pub use request::Request;
pub use response::Response;
pub use template::{Location, Template};
pub use value::{Rate, Size, Value};
/// Wait for a future in a sync function; the instance is held meanwhile.
pub use wit_bindgen::block_on;
/// Let a task go on with `future` after its function has returned; async form
/// only. The gateway bounds how long it may.
pub use wit_bindgen::spawn_local;
pub use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

/// Export a function as a middleware.
///
/// * `middleware!(handle)` for `fn(Request, Next) -> Result<Response, Error>`
/// * `middleware!(handle, Options)` for
///   `fn(&Options, Request, Next) -> Result<Response, Error>`
/// * `middleware!(async handle)` and `middleware!(async handle, Options)` for
///   the same as `async fn`, with [`AsyncNext`]. `Options` is borrowed for
///   `'static`.
#[macro_export]
macro_rules! middleware {
    (async $handle:path) => {
        $crate::__stage!(async |request| $handle(request, $crate::AsyncNext::new()));
    };
    (async $handle:path, $options:ty) => {
        $crate::__stage!(async $options, |options, request| {
            $handle(options, request, $crate::AsyncNext::new())
        });
    };
    ($handle:path) => {
        $crate::__stage!(|request| $handle(request, $crate::Next::new()));
    };
    ($handle:path, $options:ty) => {
        $crate::__stage!($options, |options, request| {
            $handle(options, request, $crate::Next::new())
        });
    };
}

/// Export a function as a service, the end of a pipeline. The same forms as
/// [`middleware!`] without the `next`; the component does not import a handler.
#[macro_export]
macro_rules! service {
    (async $handle:path) => {
        $crate::__stage!(async |request| $handle(request));
    };
    (async $handle:path, $options:ty) => {
        $crate::__stage!(async $options, |options, request| $handle(options, request));
    };
    ($handle:path) => {
        $crate::__stage!(|request| $handle(request));
    };
    ($handle:path, $options:ty) => {
        $crate::__stage!($options, |options, request| $handle(options, request));
    };
}

/// The handler's implementation behind [`middleware!`] and [`service!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __stage {
    (async |$request:ident| $call:expr) => {
        $crate::__export_async!(|raw| {
            let $request = $crate::rt::enter_async(raw);
            $crate::rt::leave($call.await)
        });
    };
    (async $options:ty, |$opt:ident, $request:ident| $call:expr) => {
        $crate::__export_async!(|raw| {
            static __OPTIONS: $crate::rt::Options<$options> = $crate::rt::Options::new();
            let $request = $crate::rt::enter_async(raw);
            let $opt = __OPTIONS.get()?;
            $crate::rt::leave($call.await)
        });
        $crate::__configured!($options);
    };
    (|$request:ident| $call:expr) => {
        $crate::__export_sync!(|raw| {
            let $request = $crate::rt::enter(raw);
            $crate::rt::leave($call)
        });
    };
    ($options:ty, |$opt:ident, $request:ident| $call:expr) => {
        $crate::__export_sync!(|raw| {
            static __OPTIONS: $crate::rt::Options<$options> = $crate::rt::Options::new();
            let $request = $crate::rt::enter(raw);
            let $opt = __OPTIONS.get()?;
            $crate::rt::leave($call)
        });
        $crate::__configured!($options);
    };
}

/// What a component with a typed configuration has beside its handler: the schema, in a
/// custom section, and a judgement.
#[doc(hidden)]
#[macro_export]
macro_rules! __configured {
    ($options:ty) => {
        const _: () = {
            const PARTS: &[$crate::schema::Part] = <$options as $crate::FromConfig>::SCHEMA;
            #[cfg_attr(target_family = "wasm", unsafe(link_section = "linkspan:config-schema"))]
            #[allow(dead_code)]
            static SCHEMA: [u8; $crate::schema::length(PARTS)] = $crate::schema::write(PARTS);
        };
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::judging::exports::linkspan::config::check as __export;
            struct __Judge;
            impl __export::Guest for __Judge {
                fn check() -> Result<(), Vec<__export::Finding>> {
                    $crate::rt::judge::<$options>()
                }
            }
    $crate::bindings::judging::export_check!(__Judge with_types_in $crate::bindings::judging);
        };
    };
}

/// The sync-lifted export. Natively there is nothing to export, so that the
/// unit tests of a stage link like any others.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_sync {
    (|$raw:ident| $body:block) => {
        const _: () = {
            use $crate::bindings::exports::wasi::http::handler as __export;
            struct __Stage;
            impl __export::Guest for __Stage {
                fn handle($raw: __export::Request) -> Result<__export::Response, __export::ErrorCode> {
                    $body
                }
            }
            #[cfg_attr(target_family = "wasm", unsafe(export_name = "wasi:http/handler@0.3.0#handle"))]
            #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
            unsafe extern "C" fn __lifted(request: i32) -> *mut u8 {
                // SAFETY: called by the canonical ABI alone, with an owned handle.
                unsafe { __export::_export_handle_cabi::<__Stage>(request) }
            }
            #[cfg_attr(
                target_family = "wasm",
                unsafe(export_name = "cabi_post_wasi:http/handler@0.3.0#handle")
            )]
            #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
            unsafe extern "C" fn __post(result: *mut u8) {
                // SAFETY: called by the canonical ABI alone, with what `handle` returned.
                unsafe { __export::__post_return_handle::<__Stage>(result) }
            }
        };
    };
}

/// The async-lifted export with its callback.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_async {
    (|$raw:ident| $body:block) => {
        const _: () = {
            use $crate::bindings::asynchronous::exports::wasi::http::handler as __export;
            struct __Stage;
            impl __export::Guest for __Stage {
                async fn handle($raw: __export::Request) -> Result<__export::Response, __export::ErrorCode> {
                    $body
                }
            }
            #[cfg_attr(
                target_family = "wasm",
                unsafe(export_name = "[async-lift]wasi:http/handler@0.3.0#handle")
            )]
            #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
            unsafe extern "C" fn __lifted(request: i32) -> i32 {
                // SAFETY: called by the canonical ABI alone, with an owned handle.
                unsafe { __export::_export_handle_cabi::<__Stage>(request) }
            }
            #[cfg_attr(
                target_family = "wasm",
                unsafe(export_name = "[callback][async-lift]wasi:http/handler@0.3.0#handle")
            )]
            #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
            unsafe extern "C" fn __callback(event: u32, waitable: u32, code: u32) -> u32 {
                // SAFETY: called by the canonical ABI alone, with an event.
                unsafe { __export::__callback_handle(event, waitable, code) }
            }
        };
    };
}
