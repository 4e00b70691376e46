//! A service that was written against a release candidate of WASI 0.3.0, as the
//! first published tutorials were: it names `wasi:http/handler@0.3.0-rc-2026-03-15`.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (mut body, contents) = wit_stream::new();
        let (trailers, no_trailers) = wit_future::new(|| Ok(None));
        drop(trailers);
        let (response, _sent) = Response::new(Fields::new(), Some(contents), no_trailers);
        wit_bindgen::spawn(async move {
            // What is left over was not wanted.
            body.write_all(format!("Hello from a release candidate, {path}!\n").into_bytes()).await;
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Hello);
