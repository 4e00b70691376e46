//! Says hello in a field of every response.

use linkspan_sdk::{Error, HeaderValue, Next, Request, Response, configuration, middleware};

configuration! {
    /// Says hello in a field of every response.
    struct Options {
        /// Who is greeted.
        required name: HeaderValue,
    }
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let mut response = next.call(request)?;
    response.headers_mut().set("x-hello", options.name.as_str());
    Ok(response)
}
middleware!(handle, Options);
