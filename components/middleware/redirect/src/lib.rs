//! Sends clients to another URL. What it is configured with stands at [`Keys`].
//!
//! Where a request already has the URL that it would be sent to, it passes: so one stage sends clients from `http` to `https`,
//! or from many names to one, and no client is sent in a circle. The URL can't be chosen by a client: its host is what the
//! configuration says, or the host that was asked for.

use linkspan_sdk::{
    Config, Error, FromConfig, Location, Next, Request, Response, configuration, middleware, schema, template,
};

configuration! {
    /// Sends clients to another URL. A request that has this URL already passes.
    struct Keys {
        /// The URL, a template: `"https://{host}{path-and-query}"`, `"/new{path}"`.
        required to: Location,
        /// The status: 301 and 308 are kept by clients, 302, 303 and 307 are not; 307 and 308 keep the method.
        default(308) status: u16 where 301..=308,
    }
}

struct Options(Keys);

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let keys = Keys::from_config(config)?;
        if matches!(keys.status, 304..=306) {
            config.reject("status", "is not the status of a redirect: 301, 302, 303, 307 or 308");
        }
        Some(Self(keys))
    }
}

fn handle(Options(keys): &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    match keys.to.of(&request) {
        Ok(Some(url)) => {
            Ok(Response::new(keys.status).with_header("location", url).with_header("content-length", "0"))
        }
        Ok(None) => next.call(request),
        Err(template::TooLong) => Ok(Response::problem(414, "The URL is too long to be redirected")),
    }
}
middleware!(handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        for (to, status, start) in [
            ("//evil.example/", "308", "`to` is neither a path"),
            ("https://{header.x}/", "308", "`to` may only have {host}"),
            ("/", "305", "`status` is not the status of a redirect"),
            ("/", "200", "`status` is not from 301 to 308"),
        ] {
            let entries = [("to", to), ("status", status)].map(|(key, value)| (key.into(), value.into()));
            let error = Config::read::<Options>(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
