//! Refuses requests that a page of another origin had a browser send: cross-site request forgery. See [`Keys`].
//!
//! The rules, in order:
//! 1. GET, HEAD, OPTIONS and TRACE change nothing (RFC 9110 §9.2.1), and pass.
//! 2. An `Origin` that is configured passes.
//! 3. `Sec-Fetch-Site`, which browsers send and scripts can't set (Fetch Metadata §2.2), passes with `same-origin` or `none`,
//!    and with `same-site` where that is configured. With anything else, the request is refused.
//! 4. Without it, an `Origin` passes whose host is the request's own. Another one, `null` among them, is refused.
//! 5. Without either, no browser of these years sent the request, so it can't have been forged; it passes, unless
//!    `strict` says that it must not.
//!
//! More than one value of either field is refused: no browser sends that.

use linkspan_sdk::{
    Config, Error, FromConfig, Method, Next, Request, Response, Value, configuration, middleware, schema,
};

configuration! {
    /// Refuses requests that a page of another origin had a browser send, by `Sec-Fetch-Site` and `Origin`, with 403. Needs no token in forms.
    struct Keys {
        /// Further origins whose pages may send requests: `"https://app.example.com"`.
        list origins: Origin,
        /// Whether pages of the same site may: of `a.example.com` to `b.example.com`.
        default(false) same_site: bool,
        /// Whether requests are refused that say nothing of where they come from, as those of programs do.
        default(false) strict: bool,
    }
}

/// An origin as browsers send it (RFC 6454 §6.2).
#[derive(Debug, PartialEq)]
struct Origin(String);

impl Value for Origin {
    const FORM: &'static str = ",\"title\":\"an origin\",\"pattern\":\"^https?://[^/?#@]+$\",\"examples\":[\"https://app.example.com\"]";

    fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str = "is not an origin, like \"https://app.example.com\"";
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(WRONG)?;
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
        if host.is_empty() || !host.bytes().all(fine) {
            return Err(WRONG.into());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

struct Options {
    origins: Vec<Origin>,
    same_site: bool,
    strict: bool,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { origins, same_site, strict } = Keys::from_config(config)?;
        Some(Self { origins: origins.unwrap_or_default(), same_site, strict })
    }
}

/// A field's one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field<'a> {
    None,
    One(&'a [u8]),
    Many,
}

impl<'a> Field<'a> {
    fn of(values: &'a [Vec<u8>]) -> Self {
        match values {
            [] => Self::None,
            [value] => Self::One(value),
            _ => Self::Many,
        }
    }
}

impl Options {
    fn lets_pass(&self, site: Field<'_>, origin: Field<'_>, authority: &str) -> bool {
        if site == Field::Many || origin == Field::Many {
            return false;
        }
        let is = |origin: &[u8], text: &str| origin.eq_ignore_ascii_case(text.as_bytes());
        if let Field::One(origin) = origin
            && self.origins.iter().any(|Origin(known)| is(origin, known))
        {
            return true;
        }
        match (site, origin) {
            (Field::One(b"same-origin" | b"none"), _) => true,
            (Field::One(b"same-site"), _) => self.same_site,
            (Field::One(_), _) => false,
            (_, Field::One(origin)) => {
                let host = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
                host.is_some_and(|host| !authority.is_empty() && is(host, authority))
            }
            _ => !self.strict,
        }
    }
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    if matches!(request.method(), Method::Get | Method::Head | Method::Options | Method::Trace) {
        return next.call(request);
    }
    let (site, origin) = (request.header_values("sec-fetch-site"), request.header_values("origin"));
    let authority = request.authority().unwrap_or_default();
    if options.lets_pass(Field::of(&site), Field::of(&origin), &authority) {
        return next.call(request);
    }
    Ok(Response::problem(403, "This request comes from a page of another origin"))
}
middleware!(handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn requests_pass_by_where_they_come_from() {
        let (plain, strict) = (read(&[]).expect("good"), read(&[("strict", "true")]).expect("good"));
        let open = read(&[("origins", "https://APP.example"), ("same-site", "true")]).expect("good");
        let field =
            |text: &'static str| if text.is_empty() { Field::None } else { Field::One(text.as_bytes()) };
        for (site, origin, [by_plain, by_strict, by_open]) in [
            ("same-origin", "", [true, true, true]),
            ("none", "", [true, true, true]),
            ("same-site", "https://b.shop.example", [false, false, true]),
            ("cross-site", "https://evil.example", [false, false, false]),
            ("cross-site", "https://app.example", [false, false, true]),
            ("cross-site", "https://shop.example", [false, false, false]),
            ("Same-Origin", "", [false, false, false]),
            ("", "https://shop.example", [true, true, true]),
            ("", "http://Shop.example", [true, true, true]),
            ("", "https://shop.example.evil.example", [false, false, false]),
            ("", "https://shop.example:8443", [false, false, false]),
            ("", "null", [false, false, false]),
            ("", "", [true, false, true]),
        ] {
            for (options, expected) in [(&plain, by_plain), (&strict, by_strict), (&open, by_open)] {
                assert_eq!(
                    options.lets_pass(field(site), field(origin), "shop.example"),
                    expected,
                    "{site} {origin}"
                );
            }
        }
        assert!(!plain.lets_pass(Field::Many, Field::None, "a"));
        assert!(!open.lets_pass(Field::One(b"same-origin"), Field::Many, "a"));
        assert!(!plain.lets_pass(Field::None, Field::One(b"https://"), ""));
    }

    #[test]
    fn mistakes_are_named() {
        for (key, value, start) in [
            ("origins", "app.example", "`origins` is not an origin"),
            ("origins", "https://app.example/", "`origins` is not an origin"),
            ("origins", "https://", "`origins` is not an origin"),
            ("same-site", "yes", "`same-site` is neither"),
        ] {
            let error = read(&[(key, value)]).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
