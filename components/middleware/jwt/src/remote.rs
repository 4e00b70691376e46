//! Keys from a URL.
//!
//! An instance fetches them when a request first needs them, and keeps them. Requests that come meanwhile wait for the same
//! fetch. While keys are good, a request that finds them near their end has others fetched, and goes on with what is there.
//! Without keys, the answer is 503: nobody passes, and nobody is told that a token is wrong. Keys of a kind that is not known, or that
//! are not as their kind must be, are left out, and so are secrets: what a URL serves is not secret.

use crate::claims::Fault;
use crate::key::{self, Algorithm, Key};
use crate::ring::{Ring, Times, Turn, age};
use crate::url::Url;
use crate::{Claims, Keys, Offered, Options, SIGNED, offered, token};
use linkspan_sdk::{
    AsyncNext, Config, Error, Finding, Request, Response, clock, is_denied, middleware, send, spawn_local,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How often a request looks whether another one's fetch is over. One task of a component can't wake another one.
const LOOK: Duration = Duration::from_millis(10);

thread_local! {
    static RING: RefCell<Ring> = const { RefCell::new(Ring::new()) };
}

pub struct Source {
    url: Url,
    times: Times,
    timeout: Duration,
    most_bytes: usize,
}

impl Source {
    pub fn of(own: &mut Keys, algorithms: &[Algorithm], config: &mut Config) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        const SECOND: Duration = Duration::from_secs(1);
        let mut within = |key: &str, value: Duration, least: Duration, most: Duration, bounds: &str| {
            if value < least || value > most {
                config.reject(key, &["is not from ", bounds].concat());
            }
        };
        within("jwks-refresh-min", own.jwks_refresh_min, SECOND, DAY, "1 s to 1 d");
        within("jwks-refresh-max", own.jwks_refresh_max, SECOND, 7 * DAY, "1 s to 7 d");
        within("jwks-stale", own.jwks_stale, Duration::ZERO, 30 * DAY, "0 s to 30 d");
        within("jwks-cooldown", own.jwks_cooldown, SECOND, DAY, "1 s to 1 d");
        within("jwks-timeout", own.jwks_timeout, Duration::from_millis(100), 60 * SECOND, "100 ms to 1 m");
        if own.jwks_refresh_min > own.jwks_refresh_max {
            config.reject("jwks-refresh-min", "is longer than `jwks-refresh-max`");
        }
        if algorithms.iter().any(|algorithm| matches!(algorithm, Algorithm::Hs(_))) {
            config.reject("algorithms", "has one for secrets, which no URL serves: `std:jwt` has `secrets`");
        }
        Self {
            url: own.jwks_url.clone(),
            times: Times {
                least: own.jwks_refresh_min,
                most: own.jwks_refresh_max.max(own.jwks_refresh_min),
                stale: own.jwks_stale,
                cooldown: own.jwks_cooldown,
            },
            timeout: own.jwks_timeout,
            most_bytes: own.jwks_max_bytes as usize,
        }
    }

    /// What is not granted.
    pub fn findings(&self) -> Vec<Finding> {
        if !self.url.request().is_ok_and(is_denied) {
            return Vec::new();
        }
        let reason =
            "is where the stage may send no request: see `grant.egress`, and for `.internal` `grant.calls`";
        vec![Finding { key: "jwks-url".into(), reason: reason.into() }]
    }

    /// The keys, as soon as there are some.
    ///
    /// # Errors
    /// There are none, and won't be for this time.
    async fn keys(&'static self) -> Result<Rc<Vec<Key>>, Duration> {
        loop {
            match RING.with_borrow(|ring| ring.turn(clock::steady())) {
                Turn::Use(keys) => return Ok(keys),
                Turn::Refresh(keys) => {
                    let fetch = Fetch::begin(self);
                    spawn_local(fetch.run());
                    return Ok(keys);
                }
                Turn::Fetch => Fetch::begin(self).run().await,
                Turn::Wait => clock::sleep(LOOK).await,
                Turn::Without(pause) => return Err(pause),
            }
        }
    }

    /// Fetches keys once more, or waits for who does, for a `kid` that none has. Says whether anything was waited for.
    async fn look_again(&'static self) -> bool {
        let mut waited = false;
        loop {
            let turn = RING.with_borrow(|ring| ring.turn_for_unknown(clock::steady(), &self.times));
            match turn {
                Some(Turn::Wait) => clock::sleep(LOOK).await,
                Some(_) if !waited => Fetch::begin(self).run().await,
                _ => return waited,
            }
            waited = true;
        }
    }

    async fn fetch(&self) -> Result<(Vec<Key>, Option<Duration>), String> {
        let unwell = |error: Error| format!("{error:?}");
        let mut request = self.url.request().map_err(unwell)?;
        request.set_timeout(self.timeout).map_err(unwell)?;
        let mut response = send(request).await.map_err(unwell)?;
        if response.status() != 200 {
            return Err(format!("it answers {}", response.status()));
        }
        let kind = response.header("content-type").unwrap_or_default();
        if !is_json(&kind) {
            return Err("it answers with something else than JSON".into());
        }
        let long = || format!("it has more than {} bytes", self.most_bytes);
        let length = response.header("content-length").and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.most_bytes as u64) {
            return Err(long());
        }
        let values = response.header_values("cache-control");
        let age = age(values.iter().map(Vec::as_slice));
        let body = response.take_body().map_err(unwell)?.into_bytes(self.most_bytes).await;
        let body = body.map_err(|error| match error {
            Error::HttpResponseBodySize(_) => long(),
            error => unwell(error),
        })?;
        let text = String::from_utf8(body).map_err(|_| "it is not text")?;
        let keys = key::fetched(&text).map_err(|reason| format!("it {reason}"))?;
        Ok((keys, age))
    }
}

/// Whether a content type is JSON's (RFC 8259 §11, RFC 7517 §8.5, RFC 6839 §3.1).
fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

/// A fetch that is under way. Whatever becomes of its request, it is over then.
struct Fetch {
    source: &'static Source,
    is_over: bool,
}

impl Fetch {
    fn begin(source: &'static Source) -> Self {
        RING.with_borrow_mut(|ring| ring.begin(clock::steady()));
        Self { source, is_over: false }
    }

    async fn run(mut self) {
        let fetched = clock::within(self.source.timeout, self.source.fetch()).await;
        let fetched = fetched.unwrap_or_else(|| Err("it took too long".into()));
        self.is_over = true;
        let now = clock::steady();
        RING.with_borrow_mut(|ring| match fetched {
            Ok((keys, age)) => {
                // Whoever has signed a token may not be among them any more.
                SIGNED.with_borrow_mut(|signed| signed.clear());
                ring.keep(keys, age, now, &self.source.times);
            }
            Err(reason) => {
                tell(&reason);
                ring.fail(now, &self.source.times);
            }
        });
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if !self.is_over {
            RING.with_borrow_mut(Ring::abandon);
        }
    }
}

/// Says why there are no keys, where there is a log: hosts other than linkspan have none.
fn tell(reason: &str) {
    #[cfg(feature = "in-place")]
    linkspan_sdk::warn!("the keys could not be fetched: {reason}");
    #[cfg(not(feature = "in-place"))]
    let _ = reason;
}

impl Options {
    /// The claims of a token, or the answer to its request.
    async fn admit(&'static self, token: &str) -> Result<Rc<Claims>, Response> {
        let without = |pause: Duration| {
            // Whole seconds, of which one is begun.
            let seconds = pause.as_secs() + 1;
            Response::problem(503, "The keys of the issuer are not there")
                .with_header("retry-after", seconds.to_string())
        };
        let keys = self.source.keys().await.map_err(without)?;
        let mut judged = self.judge(token, &keys, clock::now());
        if judged.as_ref().is_err_and(|fault| *fault == Fault::Token(token::SIGNATURE))
            && token::names_unknown_key(token, &keys)
            && self.source.look_again().await
        {
            let keys = self.source.keys().await.map_err(without)?;
            judged = self.judge(token, &keys, clock::now());
        }
        judged.map_err(|fault| self.refuse(&fault))
    }
}

async fn handle(options: &'static Options, mut request: Request, next: AsyncNext) -> Result<Response, Error> {
    let values = request.header_values("authorization");
    let offered = offered(&values);
    if let Some(answer) = options.without(&offered) {
        return Ok(answer);
    }
    let claims = match offered {
        Offered::One(token) => match options.admit(token).await {
            Ok(claims) => Some(claims),
            Err(answer) => return Ok(answer),
        },
        _ => None,
    };
    options.tell(&mut request, claims.as_deref());
    next.call(request).await
}
middleware!(async handle, Options);
