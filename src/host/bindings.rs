//! Bindings made from `wit/`. An id that Wasmtime passes to each call distinguishes a stage's own import from another
//! stage's.

#![allow(missing_docs, reason = "generated code, documented in wit/")]
#![allow(clippy::all, clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "wit",
    world: "linkspan:gateway/stage",
    imports: {
        "wasi:http/client.send": store | trappable,
        "wasi:cli/stdin": store | trappable,
        "wasi:cli/stdout": store | trappable,
        "wasi:cli/stderr": store | trappable,
        "wasi:clocks/monotonic-clock.wait-until": store | trappable,
        "wasi:clocks/monotonic-clock.wait-for": store | trappable,
        "wasi:logging/logging.log": store | trappable,
        "wasi:sockets/ip-name-lookup.resolve-addresses": store | trappable,
        "linkspan:gateway/rate-limiter.take-shared": store | trappable,
        default: trappable,
    },
    exports: { default: async | store },
    named_imports: {
        "wasi:http/client": crate::host::Scope,
        "wasi:cli/environment": crate::host::Scope,
        "wasi:cli/stdin": crate::host::Scope,
        "wasi:cli/stdout": crate::host::Scope,
        "wasi:cli/stderr": crate::host::Scope,
        "wasi:clocks/monotonic-clock": crate::host::Scope,
        "wasi:clocks/system-clock": crate::host::Scope,
        "wasi:filesystem/preopens": crate::host::Scope,
        "wasi:sockets/ip-name-lookup": crate::host::Scope,
        "wasi:config/store": crate::host::Scope,
        "wasi:logging/logging": crate::host::Scope,
        "linkspan:gateway/rate-limiter": crate::host::Scope,
    },
    with: {
        "wasi:http/types": wasmtime_wasi_http::p3::bindings::http::types,
        "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
        "wasi:filesystem/types": wasmtime_wasi::p3::bindings::filesystem::types,
        "wasi:sockets/types": wasmtime_wasi::p3::bindings::sockets::types,
        "wasi:random": wasmtime_wasi::p3::bindings::random,
        "wasi:cli/types": wasmtime_wasi::p3::bindings::cli::types,
    },
});

pub mod otel {
    //! Those of `wasi:otel`, with what it takes of WASI 0.2.0.

    wasmtime::component::bindgen!({
        path: "wit/otel",
        inline: "
            package linkspan:otel;
            world host {
                import wasi:otel/tracing@0.2.0-rc.2;
                import wasi:otel/logs@0.2.0-rc.2;
                import wasi:otel/metrics@0.2.0-rc.2;
            }
        ",
        world: "linkspan:otel/host",
        imports: {
            "wasi:otel/tracing": store | trappable,
            "wasi:otel/logs": store | trappable,
            default: trappable,
        },
        named_imports: {
            "wasi:otel/tracing": crate::host::Scope,
            "wasi:otel/logs": crate::host::Scope,
            "wasi:otel/metrics": crate::host::Scope,
        },
        with: {
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        },
    });
}
