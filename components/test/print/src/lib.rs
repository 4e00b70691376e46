//! A middleware that writes a line to its standard output and one to its
//! standard error, each with the request's path, before it calls the next
//! stage. Async, since both are streams.

use linkspan_sdk::bindings::wasi::cli::{stderr, stdout};
use linkspan_sdk::bindings::wit_stream;
use linkspan_sdk::{AsyncNext, Error, Request, Response, internal, middleware};

async fn handle(request: Request, next: AsyncNext) -> Result<Response, Error> {
    let path = request.path_with_query().unwrap_or_default();
    let (mut out, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    out.write_all(format!("stdout {path}\n").into_bytes()).await;
    drop(out);
    written.await.map_err(|_| internal("stdout is closed"))?;
    let (mut err, reader) = wit_stream::new();
    let written = stderr::write_via_stream(reader);
    err.write_all(format!("stderr {path}\n").into_bytes()).await;
    drop(err);
    written.await.map_err(|_| internal("stderr is closed"))?;
    next.call(request).await
}
middleware!(async handle);
