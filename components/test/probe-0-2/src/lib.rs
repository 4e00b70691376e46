//! A middleware of WASI 0.3 that imports 0.2 beside it, as one with a libc does.
//!
//! It does what its configuration's list `look` says, each a [`look`], before it
//! calls the next stage, and tells it in the response: `x-<name>-<at>`, from 0 on,
//! where `name` is its configuration's. What a request says in `x-look` comes after.
//! `monotonic-0-3` is the `monotonic` of 0.3. Async, so that an instance could take several requests, if none held it.

use linkspan_sdk::bindings::wasi::clocks::monotonic_clock;
use linkspan_sdk::{AsyncNext, Config, Error, FromConfig, HeaderName, Request, Response, middleware};
use linkspan_wasi2::look;

struct Options {
    name: HeaderName,
    look: Vec<String>,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let name = config.required("name");
        let look = config.list("look").unwrap_or_default();
        Some(Self { name: name?, look })
    }
}

async fn handle(options: &'static Options, request: Request, next: AsyncNext) -> Result<Response, Error> {
    let asked = request.header("x-look");
    let seen = options.look.iter().map(String::as_str).chain(asked.as_deref());
    let seen: Vec<_> = seen.map(look_at_both).collect();
    let mut response = next.call(request).await?;
    for (at, seen) in seen.into_iter().enumerate() {
        response.headers_mut().set(format!("x-{}-{at}", options.name.as_str()), seen);
    }
    Ok(response)
}
middleware!(async handle, Options);

/// A [`look`], or one at an interface that 0.3 has as well.
fn look_at_both(what: &str) -> String {
    match what {
        "monotonic-0-3" => (monotonic_clock::now() % 1_000_000).to_string(),
        other => look(other),
    }
}
