//! Sends each request to one of two pipelines, and keeps a client where it was.
//!
//! The stage names the pipelines: `next = { a = "stable", b = "beta" }`. The first
//! of these that says something decides:
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `header` | a request field that says `a` or `b`; empty for none | `x-variant` |
//! | `cookie` | a cookie that says `a` or `b`, and that a new client gets; empty for none | `variant` |
//! | `max-age` | how long a client keeps the cookie | `30d` |
//! | `weight.a`, `weight.b` | the shares of requests that say nothing | `1`, `1` |
//!
//! The pipeline sees the choice in the field, and so does the client, in the
//! response's. It needs the grant `random`.

use linkspan_sdk::{
    Config, Error, FromConfig, HeaderName, Request, Response, Value, call_named, random, service,
};
use std::time::Duration;

mod bindings {
    #![allow(missing_docs, unused_qualifications, clippy::all, clippy::undocumented_unsafe_blocks)]
    wit_bindgen::generate!({
        inline: "
            package linkspan:ab-router;
            world ab-router {
                import a: wasi:http/handler@0.3.0;
                import b: wasi:http/handler@0.3.0;
            }
        ",
        path: "../../../wit",
        with: {
            "wasi:http/types@0.3.0": linkspan_sdk::bindings::wasi::http::types,
            "wasi:clocks/types@0.3.0": linkspan_sdk::bindings::wasi::clocks::types,
        },
        generate_all,
        async: false,
    });
}

/// Which of the two pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    A,
    B,
}

impl Variant {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "a" => Some(Self::A),
            "b" => Some(Self::B),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

struct Options {
    header: Option<HeaderName>,
    cookie: Option<HeaderName>,
    /// Seconds.
    max_age: u64,
    /// Of `a`, and of both.
    weights: (u64, u64),
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let header = name(config, "header", "x-variant");
        // A cookie's name is a token, as a field's is (RFC 6265 §4.1.1).
        let cookie = name(config, "cookie", "variant");
        let max_age: Duration = config.or("max-age", Duration::from_secs(30 * 24 * 60 * 60));
        let a: u32 = config.or("weight.a", 1);
        let b: u32 = config.or("weight.b", 1);
        let both = u64::from(a) + u64::from(b);
        if both == 0 {
            config.reject("weight.b", "is 0 as `weight.a` is: no request could go anywhere");
        }
        Some(Self { header, cookie, max_age: max_age.as_secs(), weights: (a.into(), both) })
    }
}

fn name(config: &mut Config, key: &str, default: &str) -> Option<HeaderName> {
    match config.or(key, String::from(default)).as_str() {
        "" => None,
        name => HeaderName::parse(name).map_err(|reason| config.reject(key, &reason)).ok(),
    }
}

fn handle(options: &'static Options, mut request: Request) -> Result<Response, Error> {
    let said = options.said(&request);
    let variant = said.unwrap_or_else(|| choose(options.weights, random::u64()));
    if let Some(header) = &options.header {
        request.headers_mut().set(header.as_str(), variant.as_str());
    }
    let mut response = match variant {
        Variant::A => call_named(bindings::a::handle, request)?,
        Variant::B => call_named(bindings::b::handle, request)?,
    };
    if let Some(header) = &options.header {
        response.headers_mut().set(header.as_str(), variant.as_str());
    }
    if let (Some(cookie), None) = (&options.cookie, said) {
        let (name, value, age) = (cookie.as_str(), variant.as_str(), options.max_age);
        let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax");
        response.headers_mut().append("set-cookie", cookie);
    }
    Ok(response)
}
service!(handle, Options);

impl Options {
    /// What the request says itself.
    fn said(&self, request: &Request) -> Option<Variant> {
        let header = self.header.as_ref().and_then(|name| request.header(name.as_str()));
        header.as_deref().and_then(Variant::parse).or_else(|| {
            let cookies = request.header("cookie")?;
            cookie(&cookies, self.cookie.as_ref()?.as_str())
        })
    }
}

/// The choice in the cookie called `name`.
fn cookie(cookies: &str, name: &str) -> Option<Variant> {
    let pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).find_map(|(_, value)| Variant::parse(value))
}

/// By chance; `number` is any.
fn choose((a, both): (u64, u64), number: u64) -> Variant {
    if number % both.max(1) < a { Variant::A } else { Variant::B }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn a_cookie_among_others_decides() {
        for (cookies, expected) in [
            ("variant=b", Some(Variant::B)),
            ("x=a; variant=a; y=b", Some(Variant::A)),
            ("variant=c; variant=b", Some(Variant::B)),
            ("variant", None),
            ("not-variant=a", None),
            ("", None),
        ] {
            assert_eq!(cookie(cookies, "variant"), expected, "{cookies}");
        }
    }

    #[test]
    fn shares_are_as_the_weights() {
        let count = |weights| (0..1000).filter(|number| choose(weights, *number) == Variant::A).count();
        assert_eq!(count((1, 2)), 500);
        assert_eq!(count((99, 100)), 990);
        assert_eq!((count((0, 3)), count((3, 3))), (0, 1000));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(
            read(&[("weight.a", "0"), ("weight.b", "0")])
                .err()
                .is_some_and(|e| e.starts_with("`weight.b` is 0"))
        );
        assert!(read(&[("header", "a b")]).err().is_some_and(|e| e.starts_with("`header`")));
        assert!(read(&[("max-age", "long")]).err().is_some_and(|e| e.starts_with("`max-age`")));
        let options = read(&[("cookie", ""), ("max-age", "1d")]).expect("good");
        assert!(options.cookie.is_none() && options.max_age == 86_400);
    }
}
