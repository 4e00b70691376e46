//! A middleware with a next stage, and a pipeline called `side` beside it.
//!
//! The field `x-fork` says which of them gets the request: `next` (the default),
//! `side`, or `both`: then the client gets the response of the next stage, with the
//! status of the other one in `x-side`.

use linkspan_sdk::{AsyncNext, Error, Method, Request, Response, call_named_async, middleware};

mod bindings {
    #![allow(missing_docs, unused_qualifications, clippy::all, clippy::undocumented_unsafe_blocks)]
    wit_bindgen::generate!({
        inline: "
            package linkspan:fork;
            world fork {
                import side: wasi:http/handler@0.3.0;
            }
        ",
        path: "../../../wit",
        with: {
            "wasi:http/types@0.3.0": linkspan_sdk::bindings::wasi::http::types,
            "wasi:clocks/types@0.3.0": linkspan_sdk::bindings::wasi::clocks::types,
        },
        generate_all,
    });
}

async fn handle(request: Request, next: AsyncNext) -> Result<Response, Error> {
    match request.header("x-fork").as_deref() {
        Some("side") => call_named_async(bindings::side::handle, request).await,
        Some("both") => {
            let path = request.path_with_query().unwrap_or_default();
            let side = call_named_async(bindings::side::handle, Request::new(Method::Get, path)).await?;
            let mut response = next.call(request).await?;
            response.headers_mut().set("x-side", side.status().to_string());
            Ok(response)
        }
        _ => next.call(request).await,
    }
}
middleware!(async handle);
