//! A middleware that tells its own configuration, so that a test sees whether
//! two stages of one component each see their own.
//!
//! It adds `x-probe-<name>: <value>` to the response, where `name` and `value`
//! are its configuration, and with `env = true` also `x-probe-<name>-env`, its
//! environment as `A=1;B=2`.

use linkspan_sdk::bindings::wasi::cli::environment;
use linkspan_sdk::{Config, Error, FromConfig, HeaderName, HeaderValue, Next, Request, Response, middleware};

struct Options {
    name: HeaderName,
    value: HeaderValue,
    env: bool,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let name = config.required("name");
        let value = config.required("value");
        let env = config.or("env", false);
        Some(Self { name: name?, value: value?, env })
    }
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let mut response = next.call(request)?;
    let name = format!("x-probe-{}", options.name.as_str());
    if options.env {
        let environment: Vec<_> =
            environment::get_environment().iter().map(|(k, v)| format!("{k}={v}")).collect();
        response.headers_mut().set(format!("{name}-env"), environment.join(";"));
    }
    response.headers_mut().set(name, options.value.as_str());
    Ok(response)
}
middleware!(handle, Options);
