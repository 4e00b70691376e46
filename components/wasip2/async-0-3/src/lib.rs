//! An async middleware as others make it for wasm32-wasip2: bindings with their defaults, and a standard library that
//! speaks WASI 0.2. It sets the request's path to what its environment says, and the status of the answer to 203.
//!
//! With `panic` in the path it panics, before the next stage is called; with `panic-after`, when that has answered.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]
#![allow(clippy::undocumented_unsafe_blocks, reason = "generated code")]

use std::collections::HashMap;

wit_bindgen::generate!({
    inline: "
        package test:std;
        world std {
            import wasi:http/handler@0.3.0;
            export wasi:http/handler@0.3.0;
        }
    ",
    path: "../../../wit",
    generate_all,
});

struct Std;

impl exports::wasi::http::handler::Guest for Std {
    async fn handle(
        request: wasi::http::types::Request,
    ) -> Result<wasi::http::types::Response, wasi::http::types::ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        println!("std: {path}");
        assert!(!path.ends_with("panic"), "as asked");
        // Its hashing takes random numbers.
        let variables: HashMap<_, _> = std::env::vars().collect();
        let who = variables.get("WHO").map_or("nobody", String::as_str);
        let _ = request.set_path_with_query(Some(&format!("{path}/{who}")));
        let response = wasi::http::handler::handle(request).await?;
        assert!(!path.ends_with("panic-after"), "as asked");
        let _ = response.set_status_code(203);
        Ok(response)
    }
}

export!(Std);
