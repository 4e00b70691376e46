//! A service that greets. What it is configured with stands at [`Keys`].
//!
//! Async, so that the host sees it alive until the greeting has been read: see
//! the SDK's notes on bodies from sync functions.

use linkspan_sdk::{Body, Config, Error, FromConfig, Request, Response, configuration, schema, service};

configuration! {
    /// Answers every request with a greeting.
    struct Keys {
        /// The text of the answer.
        default("Hello!") greeting: String,
    }
}

struct Options {
    greeting: String,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { mut greeting } = Keys::from_config(config)?;
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
