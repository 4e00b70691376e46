//! Answers requests while a service is worked on, but lets those pass who work on it. See [`Keys`].
//!
//! It is switched by a reload, as everything else: `enabled = false` makes it a stage that does nothing.

use linkspan_sdk::{
    Body, BodyText, Error, HeaderName, HeaderValue, Network, Next, Request, Response, configuration,
    middleware, network,
};
use std::time::Duration;

configuration! {
    /// Answers every request with 503 while a service is worked on, but those from some networks.
    struct Keys {
        /// Whether it is worked on; where not, all requests pass.
        default(true) enabled: bool,
        /// When clients may come again (`Retry-After`).
        default("5m") retry_after: Duration,
        /// The body, of at most 16 KiB: a page for people. Without it, a problem (RFC 9457) that says why.
        optional body: BodyText,
        /// The type of the body.
        default("text/html; charset=utf-8") content_type: HeaderValue,
        /// Networks whose clients pass.
        list allow: Network,
        /// The field that has the client's address: linkspan writes `x-real-ip`.
        default("x-real-ip") header: HeaderName,
    }
}

fn handle(keys: &'static Keys, request: Request, next: Next) -> Result<Response, Error> {
    let passes = |allowed: &[Network]| {
        let client = network::client(&request, keys.header.as_str());
        client.is_some_and(|client| allowed.iter().any(|network| network.contains(client)))
    };
    if !keys.enabled || keys.allow.as_deref().is_some_and(passes) {
        return next.call(request);
    }
    let response = match &keys.body {
        None => Response::problem(503, "The service is being worked on"),
        Some(body) => Response::new(503)
            .with_header("content-type", keys.content_type.as_str())
            .with_body(Body::bytes(body.as_str().as_bytes())),
    };
    Ok(response
        .with_header("retry-after", keys.retry_after.as_secs().to_string())
        .with_header("cache-control", "no-store"))
}
middleware!(handle, Keys);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_sdk::Config;

    #[test]
    fn mistakes_are_named() {
        let long = "a".repeat(Body::MAX_BYTES + 1);
        for (key, value, start) in [
            ("body", long.as_str(), "`body` is longer"),
            ("allow", "10.0.0.0/40", "`allow` is not a network"),
            ("retry-after", "soon", "`retry-after` is not a time"),
            ("content-type", "a\nb", "`content-type` holds a character"),
        ] {
            let error = Config::read::<Keys>([(key.into(), value.into())]).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
