//! A middleware of the same time as `hello-p3`: it passes requests on and responses back. While it waits for the next
//! stage it reads the stream over which its other tasks could wake it, and cancels that read when the answer is there.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]
#![allow(clippy::undocumented_unsafe_blocks, reason = "generated code")]

wit_bindgen::generate!({ path: "../hello-p3-0-57/wit", world: "pass", generate_all });

use exports::wasi::http::handler::Guest;
use wasi::http::types::{ErrorCode, Request, Response};

struct Pass;

impl Guest for Pass {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        wasi::http::handler::handle(request).await
    }
}

export!(Pass);
