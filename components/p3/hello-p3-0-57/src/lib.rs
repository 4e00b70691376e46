//! A service as the first tutorials of WASI 0.3 had it: made for the release candidate of 2026-03-15, by wit-bindgen
//! with `async-spawn` and `inter-task-wakeup`. A spawned task writes the body into a stream and the trailers into a
//! future.
//!
//! A path that ends in `/N` gives N parts of 16 KiB instead of a greeting. The trailer `x-parts` says how many there were.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]
#![allow(clippy::undocumented_unsafe_blocks, reason = "generated code")]

wit_bindgen::generate!({ path: "../hello-p3-0-57/wit", world: "hello", generate_all });

use exports::wasi::http::handler::Guest;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Hello;

impl Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let parts = match path.rsplit('/').next().unwrap_or_default().parse::<usize>() {
            Ok(parts) => vec![vec![b'p'; 16 * 1024]; parts],
            Err(_) => vec![format!("Hello from P3, {path}!\n").into_bytes()],
        };
        let headers =
            Fields::from_list(&[("trailer".to_owned(), b"x-parts".to_vec())]).expect("valid fields");
        let (mut body, contents) = wit_stream::new();
        let (trailers, received) = wit_future::new(|| Ok(None));
        wit_bindgen::spawn(async move {
            let mut written = 0_usize;
            for part in parts {
                // What is left over was not wanted.
                if !body.write_all(part).await.is_empty() {
                    break;
                }
                written += 1;
            }
            drop(body);
            let count = [("x-parts".to_owned(), written.to_string().into_bytes())];
            let _ = trailers.write(Ok(Some(Fields::from_list(&count).expect("valid fields")))).await;
        });
        let (response, _sent) = Response::new(headers, Some(contents), received);
        Ok(response)
    }
}

export!(Hello);
