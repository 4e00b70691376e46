//! Bindings made from `wit/wasi-0.2`, as those of 0.3 are.

#![allow(missing_docs, reason = "generated code, documented in wit/")]
#![allow(clippy::all, clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "wit/wasi-0.2",
    world: "linkspan:wasi2/stage",
    imports: {
        "wasi:sockets/udp-create-socket.create-udp-socket": async | trappable,
        "wasi:http/outgoing-handler.handle": store | trappable,
        default: trappable,
    },
    named_imports: {
        "wasi:cli/environment": crate::host::Scope,
        "wasi:cli/stdin": crate::host::Scope,
        "wasi:cli/stdout": crate::host::Scope,
        "wasi:cli/stderr": crate::host::Scope,
        "wasi:clocks/monotonic-clock": crate::host::Scope,
        "wasi:clocks/wall-clock": crate::host::Scope,
        "wasi:filesystem/preopens": crate::host::Scope,
        "wasi:sockets/tcp-create-socket": crate::host::Scope,
        "wasi:sockets/udp-create-socket": crate::host::Scope,
        "wasi:http/outgoing-handler": crate::host::Scope,
    },
    with: {
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:clocks/monotonic-clock": wasmtime_wasi::p2::bindings::clocks::monotonic_clock,
        "wasi:clocks/wall-clock": wasmtime_wasi::p2::bindings::clocks::wall_clock,
        "wasi:filesystem/types": wasmtime_wasi::p2::bindings::filesystem::types,
        "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
        "wasi:sockets/tcp": wasmtime_wasi::p2::bindings::sockets::tcp,
        "wasi:sockets/udp": wasmtime_wasi::p2::bindings::sockets::udp,
        "wasi:http/types": wasmtime_wasi_http::p2::bindings::http::types,
    },
});
