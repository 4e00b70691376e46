//! Limits the request rate; requests over the limit get 429. What it is configured with stands at [`Keys`].
//!
//! The gateway counts, for all instances of the stage in a process, so that the
//! limit holds however many there are; or a store does, for all gateways that
//! share it. A request without the field counts with all others without it. Use
//! a field that an earlier stage sets: a client that chooses its own key has no
//! limit.
//!
//! Every response tells the state, in the fields `RateLimit-Policy` and
//! `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10; a 429 also has
//! `Retry-After` (RFC 9110 §10.2.3). Where the gateway has no room for a further
//! key, or the key is longer than 256 bytes, the answer is 429 as well: a limit
//! that can't be kept is not kept open.

use linkspan_sdk::limiter::{self, Decision, Quota, SharedError};
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
        default("x-consumer") key_header: Option<HeaderName>,
        /// The name of the policy in the response.
        default("default") name: String,
        /// The store in which requests are counted, so that the limit holds for all gateways that share it. The stage must be granted the store: `grant = { stores = ["shared"] }`. Empty: the gateway's own memory.
        default("") store: String,
        /// Stages that name the same bucket of a store count together, and should have the same limit. Empty: a bucket of the stage's own, by pipeline, place and component.
        default("") bucket: String,
        /// While the store is away, or has no answer in time: `"local"` counts in the gateway's own memory, so that the limit holds for each gateway alone; `"open"` lets requests through; `"closed"` answers 503.
        default("local") on_store_failure: OnStoreFailure,
    }
}

/// What happens while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnStoreFailure {
    Local,
    Open,
    Closed,
}

impl Value for OnStoreFailure {
    const FORM: &'static str = ",\"enum\":[\"local\",\"open\",\"closed\"]";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err("is not `local`, `open` or `closed`".into()),
        }
    }
}

/// Where requests are counted, if that is not the gateway's own memory.
struct Shared {
    store: String,
    bucket: String,
    on_failure: OnStoreFailure,
}

struct Options {
    quota: Quota,
    key: Option<HeaderName>,
    name: String,
    policy: String,
    shared: Option<Shared>,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { rate, burst, key_header, name, store, bucket, on_store_failure } =
            Keys::from_config(config)?;
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
        let shared = shared(config, store, bucket, on_store_failure);
        Some(Self { quota, key: key_header, name, policy, shared })
    }
}

fn shared(config: &mut Config, store: String, bucket: String, on_failure: OnStoreFailure) -> Option<Shared> {
    if store.is_empty() {
        if !bucket.is_empty() {
            config.reject("bucket", "needs a `store`");
        }
        return None;
    }
    if bucket.len() > 128 || !bucket.bytes().all(|b| b.is_ascii_graphic() && b != b'|') {
        config.reject("bucket", "is not at most 128 visible characters without `|`");
    }
    // Natively, there is no gateway to ask.
    if cfg!(target_family = "wasm") && !limiter::is_granted(&store) {
        config.reject("store", "is not a store that the stage is granted: add it to `grant.stores`");
    }
    Some(Shared { store, bucket, on_failure })
}

/// Why there is no decision.
enum Undecided {
    Refused(Response),
    Failed(Error),
    /// The store is away, and requests go on.
    Open,
}

impl Options {
    fn decide(&self, key: &str) -> Result<Decision, Undecided> {
        let Some(Shared { store, bucket, on_failure }) = &self.shared else { return self.decide_alone(key) };
        match (limiter::take_shared(store, bucket, key, self.quota), on_failure) {
            (Ok(decision), _) => Ok(decision),
            (Err(SharedError::Unavailable), OnStoreFailure::Local) => self.decide_alone(key),
            (Err(SharedError::Unavailable), OnStoreFailure::Open) => Err(Undecided::Open),
            (Err(SharedError::Unavailable), OnStoreFailure::Closed) => {
                let unavailable = Response::problem(503, "The rate limit can't be checked");
                Err(Undecided::Refused(unavailable.with_header("retry-after", "1")))
            }
            (Err(SharedError::InvalidQuota), _) => Err(self.out_of_bounds()),
            (Err(SharedError::KeyTooLong), _) => Err(Undecided::Refused(refuse(1))),
            (Err(SharedError::TooManyKeys), _) => Err(no_room()),
            (Err(SharedError::NotGranted | SharedError::InvalidBucket), _) => Err(Undecided::Failed(
                internal("configuration: `store` is not granted, or `bucket` is wrong"),
            )),
        }
    }

    /// In the gateway's own memory.
    fn decide_alone(&self, key: &str) -> Result<Decision, Undecided> {
        limiter::take(key, self.quota).map_err(|error| match error {
            limiter::Error::InvalidQuota => self.out_of_bounds(),
            limiter::Error::KeyTooLong => Undecided::Refused(refuse(1)),
            limiter::Error::TooManyKeys => no_room(),
        })
    }

    fn out_of_bounds(&self) -> Undecided {
        Undecided::Failed(internal("configuration: `rate` is out of the gateway's bounds"))
    }
}

fn no_room() -> Undecided {
    warn!("refused a request: all of the rate limiter's keys are in use");
    Undecided::Refused(refuse(1))
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let key = options.key.as_ref().and_then(|name| request.header(name.as_str()));
    let decision = match options.decide(key.as_deref().unwrap_or("")) {
        Ok(decision) => decision,
        Err(Undecided::Refused(response)) => return Ok(response),
        Err(Undecided::Failed(error)) => return Err(error),
        Err(Undecided::Open) => return next.call(request),
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
    fn a_store_is_optional() {
        let read = |more: &[(&str, &str)]| read(&[&[("rate", "10/s")], more].concat()).expect("good").shared;
        assert!(read(&[]).is_none());
        let shared = read(&[("store", "shared"), ("on-store-failure", "closed")]).expect("shared");
        assert_eq!((shared.store.as_str(), shared.bucket.as_str()), ("shared", ""));
        assert_eq!(shared.on_failure, OnStoreFailure::Closed);
    }

    #[test]
    fn mistakes_are_named() {
        let errors = [
            (&[][..], "`rate` is missing"),
            (&[("rate", "10")], "`rate` is not a rate"),
            (&[("rate", "10/s"), ("burst", "0")], "`burst` is not from 1"),
            (&[("rate", "10/s"), ("key-header", "a b")], "`key-header` is not the name"),
            (&[("rate", "10/s"), ("name", "\"")], "`name` is not made"),
            (&[("rate", "10/s"), ("bucket", "a")], "`bucket` needs a `store`"),
            (&[("rate", "10/s"), ("store", "a"), ("bucket", "a|b")], "`bucket` is not at most"),
            (&[("rate", "10/s"), ("on-store-failure", "ajar")], "`on-store-failure` is not `local`"),
        ];
        for (entries, start) in errors {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
