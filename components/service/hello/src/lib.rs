//! A service that greets.
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `greeting` | what it says | `Hello!` |
//!
//! Async, so that the host sees it alive until the greeting has been read: see
//! the SDK's notes on bodies from sync functions.

use linkspan_sdk::{Body, Config, Error, FromConfig, Request, Response, service};

struct Options {
    greeting: String,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let mut greeting = config.or("greeting", String::from("Hello!"));
        greeting.push('\n');
        Some(Self { greeting })
    }
}

async fn handle(options: &'static Options, _: Request) -> Result<Response, Error> {
    Ok(Response::new(200)
        .with_header("content-type", "text/plain; charset=utf-8")
        .with_body(Body::bytes(options.greeting.as_bytes())))
}
service!(async handle, Options);
