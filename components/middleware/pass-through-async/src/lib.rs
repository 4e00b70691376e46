//! A middleware that does nothing, in the async form that wit-bindgen emits by
//! default: the cost of a hop.

use linkspan_sdk::{AsyncNext, Error, Request, Response, middleware};

async fn handle(request: Request, next: AsyncNext) -> Result<Response, Error> {
    next.call(request).await
}
middleware!(async handle);
