//! A middleware of WASI 0.3 that was built for wasm32-wasip2, so that its standard
//! library speaks WASI 0.2: it tells in fields of the response what that sees.
//!
//! With `x-panic` in the request it panics.

use linkspan_sdk::{Error, Next, Request, Response, middleware};
use std::collections::HashMap;

fn handle(request: Request, next: Next) -> Result<Response, Error> {
    println!("std: {}", request.path_with_query().unwrap_or_default());
    assert!(!request.has_header("x-panic"), "as asked");
    let mut response = next.call(request)?;
    let variables: HashMap<_, _> = std::env::vars().collect();
    let fields = response.headers_mut();
    fields.set("x-std-who", variables.get("WHO").map_or("nobody", String::as_str));
    fields.set(
        "x-std-file",
        std::fs::read_to_string("/data/file").unwrap_or_else(|error| error.kind().to_string()),
    );
    fields.set(
        "x-std-connect",
        match std::net::TcpStream::connect("127.0.0.1:9") {
            Ok(_) => "connected".to_owned(),
            Err(error) => error.kind().to_string(),
        },
    );
    Ok(response)
}
middleware!(handle);
