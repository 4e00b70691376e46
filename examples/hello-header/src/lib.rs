//! Says hello in a field of every response.
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `name` | who is greeted | |

use linkspan_sdk::{Config, Error, FromConfig, HeaderValue, Next, Request, Response, middleware};

struct Options {
    name: HeaderValue,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let name = config.required("name");
        Some(Self { name: name? })
    }
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let mut response = next.call(request)?;
    response.headers_mut().set("x-hello", options.name.as_str());
    Ok(response)
}
middleware!(handle, Options);
