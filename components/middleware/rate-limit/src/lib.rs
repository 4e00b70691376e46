//! Limits the request rate; requests over the limit get 429. What it is configured with stands at [`Keys`].
//!
//! The gateway counts, for all instances of the stage in a process, so that the
//! limit holds however many there are. A request without the field counts with
//! all others without it. Use a field that an earlier stage sets: a client that
//! chooses its own key has no limit.
//!
//! Every response tells the state, in the fields `RateLimit-Policy` and
//! `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10; a 429 also has
//! `Retry-After` (RFC 9110 §10.2.3). Where the gateway has no room for a further
//! key, or the key is longer than 256 bytes, the answer is 429 as well: a limit
//! that can't be kept is not kept open.

use linkspan_sdk::limiter::{self, Decision, Quota};
use linkspan_sdk::{
    Config, Error, FromConfig, HeaderName, Next, Rate, Request, Response, Value, configuration, internal,
    middleware, schema, warn,
};

const SECOND: u64 = 1_000_000_000;

configuration! {
    /// Limits the request rate; requests over the limit get 429.
    struct Keys {
        /// Requests per time: `"10/s"`, `"600/m"`, `"5000/h"`.
        required rate: Rate,
        /// Requests that may arrive at once. Default: the number in `rate`.
        optional burst: u32 where 1..=1_000_000_000,
        /// The field by whose value requests are counted; empty to count all requests together.
        default("x-consumer") key_header: String,
        /// The name of the policy in the response.
        default("default") name: String,
    }
}

struct Options {
    quota: Quota,
    key: Option<HeaderName>,
    name: String,
    policy: String,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { rate, burst, key_header, name } = Keys::from_config(config)?;
        let key = match key_header.as_str() {
            "" => None,
            key => HeaderName::parse(key).map_err(|reason| config.reject("key-header", &reason)).ok(),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            config.reject("name", "is not made of letters, digits and -_.");
        }
        let burst = burst.unwrap_or(rate.count());
        if burst > 1_000_000_000 {
            config.reject(
                "rate",
                "has more than 1000000000 requests: say with `burst` how many may come at once",
            );
        }
        let quota = rate.quota(burst);
        let window = seconds(u64::from(burst).saturating_mul(quota.interval));
        let policy = format!("\"{name}\";q={burst};w={window}");
        Some(Self { quota, key, name, policy })
    }
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let key = options.key.as_ref().and_then(|name| request.header(name.as_str()));
    let decision = match limiter::take(key.as_deref().unwrap_or(""), options.quota) {
        Ok(decision) => decision,
        Err(limiter::Error::InvalidQuota) => {
            return Err(internal("configuration: `rate` is out of the gateway's bounds"));
        }
        Err(limiter::Error::KeyTooLong) => return Ok(refuse(1)),
        Err(limiter::Error::TooManyKeys) => {
            warn!("refused a request: all of the rate limiter's keys are in use");
            return Ok(refuse(1));
        }
    };
    let mut response =
        if decision.allowed { next.call(request)? } else { refuse(seconds(decision.retry_after)) };
    let headers = response.headers_mut();
    headers.set("ratelimit-policy", &options.policy);
    headers.set("ratelimit", options.state(&decision));
    Ok(response)
}
middleware!(handle, Options);

impl Options {
    fn state(&self, decision: &Decision) -> String {
        let Decision { remaining, reset_after, .. } = decision;
        format!("\"{}\";r={remaining};t={}", self.name, seconds(*reset_after))
    }
}

fn refuse(retry_after: u64) -> Response {
    Response::problem(429, "Too many requests").with_header("retry-after", retry_after.max(1).to_string())
}

/// Whole seconds, rounded up: who waits that long does not come too early.
fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn a_policy_tells_its_quota_and_window() {
        let policy = |entries: &[(&str, &str)]| read(entries).map(|options| options.policy);
        assert_eq!(policy(&[("rate", "10/s")]), Ok("\"default\";q=10;w=1".into()));
        let entries = [("rate", "600/m"), ("burst", "25"), ("name", "api")];
        assert_eq!(policy(&entries), Ok("\"api\";q=25;w=3".into()));
    }

    #[test]
    fn a_state_rounds_up() {
        let options = read(&[("rate", "10/s")]).expect("good");
        let decision = Decision { allowed: true, remaining: 9, retry_after: 0, reset_after: 1 };
        assert_eq!(options.state(&decision), "\"default\";r=9;t=1");
    }

    #[test]
    fn mistakes_are_named() {
        let errors = [
            (&[][..], "`rate` is missing"),
            (&[("rate", "10")], "`rate` is not a rate"),
            (&[("rate", "10/s"), ("burst", "0")], "`burst` is not from 1"),
            (&[("rate", "10/s"), ("key-header", "a b")], "`key-header` is not the name"),
            (&[("rate", "10/s"), ("name", "\"")], "`name` is not made"),
        ];
        for (entries, start) in errors {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
