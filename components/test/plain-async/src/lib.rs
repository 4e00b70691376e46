//! A middleware as others make it: wit-bindgen's bindings with its defaults,
//! and nothing of ours. It passes requests on and responses back.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]
#![allow(clippy::undocumented_unsafe_blocks, reason = "generated code")]

wit_bindgen::generate!({
    inline: "
        package test:plain;
        world plain {
            import wasi:http/handler@0.3.0;
            export wasi:http/handler@0.3.0;
        }
    ",
    path: "../../../wit",
    generate_all,
});

struct Plain;

impl exports::wasi::http::handler::Guest for Plain {
    async fn handle(
        request: wasi::http::types::Request,
    ) -> Result<wasi::http::types::Response, wasi::http::types::ErrorCode> {
        wasi::http::handler::handle(request).await
    }
}

export!(Plain);
