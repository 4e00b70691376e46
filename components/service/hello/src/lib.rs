//! A service that greets.
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `greeting` | what it says, at most 16 KiB | `Hello!` |

use linkspan_sdk::{Body, Config, Error, FromConfig, Request, Response, service};

struct Options {
    greeting: String,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let mut greeting = config.or("greeting", String::from("Hello!"));
        greeting.push('\n');
        if greeting.len() > Body::MAX_BYTES {
            config.reject("greeting", "is longer than 16 KiB");
        }
        Some(Self { greeting })
    }
}

fn handle(options: &'static Options, _: Request) -> Result<Response, Error> {
    Ok(Response::new(200)
        .with_header("content-type", "text/plain; charset=utf-8")
        .with_body(Body::bytes(options.greeting.as_bytes())))
}
service!(handle, Options);
