//! A middleware that edits heads, as one writes it with wit-bindgen alone: a request or response with other fields is a
//! new one, made of the body and the trailers of the old, and a spawned task says that the old body was taken.
//! With the field `x-body`, it also answers with a body of its own, without the next stage.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]
#![allow(clippy::undocumented_unsafe_blocks, reason = "generated code")]

wit_bindgen::generate!({ path: "../hello-p3-0-57/wit", world: "pass", generate_all });

use exports::wasi::http::handler::Guest;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Edit;

impl Guest for Edit {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = request.get_headers();
        if headers.has("x-body") {
            return Ok(own());
        }
        let headers = headers.clone();
        headers.append("x-edited", b"request").expect("a valid field");
        let (method, path) = (request.get_method(), request.get_path_with_query());
        let (scheme, authority) = (request.get_scheme(), request.get_authority());
        let (taken, is_taken) = wit_future::new(|| Ok(()));
        let (contents, trailers) = Request::consume_body(request, is_taken);
        wit_bindgen::spawn(async move { drop(taken.write(Ok(())).await) });
        let (edited, _sent) = Request::new(headers, Some(contents), trailers, None);
        edited.set_method(&method).expect("a valid method");
        edited.set_path_with_query(path.as_deref()).expect("a valid path");
        edited.set_scheme(scheme.as_ref()).expect("a valid scheme");
        edited.set_authority(authority.as_deref()).expect("a valid authority");

        let response = wasi::http::handler::handle(edited).await?;
        let headers = response.get_headers().clone();
        headers.append("x-edited", b"response").expect("a valid field");
        let status = response.get_status_code();
        let (taken, is_taken) = wit_future::new(|| Ok(()));
        let (contents, trailers) = Response::consume_body(response, is_taken);
        wit_bindgen::spawn(async move { drop(taken.write(Ok(())).await) });
        let (edited, sent) = Response::new(headers, Some(contents), trailers);
        // Whoever counts what was sent does it here.
        wit_bindgen::spawn(async move { drop(sent.await) });
        edited.set_status_code(status).expect("a valid status");
        Ok(edited)
    }
}

/// A response whose body is written by a spawned task.
fn own() -> Response {
    let (mut body, contents) = wit_stream::new();
    let (trailers, no_trailers) = wit_future::new(|| Ok(None));
    wit_bindgen::spawn(async move {
        body.write_all(b"a body of its own".to_vec()).await;
        drop((body, trailers));
    });
    Response::new(Fields::new(), Some(contents), no_trailers).0
}

export!(Edit);
