//! Adds the response headers that tell browsers to be careful.
//!
//! | key | field | default |
//! | --- | --- | --- |
//! | `strict-transport-security` | RFC 6797; sent over HTTPS alone, as it must | `max-age=31536000` |
//! | `content-type-options` | `x-content-type-options` | `nosniff` |
//! | `frame-options` | `x-frame-options` | `DENY` |
//! | `referrer-policy` | `referrer-policy` | `strict-origin-when-cross-origin` |
//! | `content-security-policy` | `content-security-policy` | `default-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'` |
//! | `permissions-policy` | `permissions-policy` | not sent |
//! | `cross-origin-opener-policy` | the same | not sent |
//! | `cross-origin-resource-policy` | the same | not sent |
//! | `remove` | fields of the response to take away, a list | none |
//! | `keep` | fields, a list: the service's own value wins | `content-security-policy` |
//!
//! An empty string means that a field is not sent. Any other field of that name
//! which the service sent is replaced.

use linkspan_sdk::{
    Config, Error, FromConfig, HeaderName, HeaderValue, Next, Request, Response, Scheme, middleware,
};

const HSTS: &str = "strict-transport-security";
const CSP: &str = "content-security-policy";
const DEFAULT_CSP: &str = "default-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'";

/// Key, field, default.
const FIELDS: [(&str, &str, &str); 8] = [
    (HSTS, HSTS, "max-age=31536000"),
    ("content-type-options", "x-content-type-options", "nosniff"),
    ("frame-options", "x-frame-options", "DENY"),
    ("referrer-policy", "referrer-policy", "strict-origin-when-cross-origin"),
    (CSP, CSP, DEFAULT_CSP),
    ("permissions-policy", "permissions-policy", ""),
    ("cross-origin-opener-policy", "cross-origin-opener-policy", ""),
    ("cross-origin-resource-policy", "cross-origin-resource-policy", ""),
];

struct Options {
    set: Vec<Field>,
    remove: Vec<HeaderName>,
}

struct Field {
    name: &'static str,
    value: String,
    /// Only if the response has none.
    keep: bool,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let keep: Vec<HeaderName> = config.list("keep").unwrap_or_else(|| vec![HeaderName::from_static(CSP)]);
        let remove = config.list("remove").unwrap_or_default();
        let mut set = Vec::new();
        for (key, name, default) in FIELDS {
            let value: Option<HeaderValue> = config.optional(key);
            let value = value.as_ref().map_or(default, HeaderValue::as_str);
            if !value.is_empty() {
                let keep = keep.iter().any(|kept| kept.as_str() == name);
                set.push(Field { name, value: value.into(), keep });
            }
        }
        for kept in &keep {
            if !FIELDS.iter().any(|(_, name, _)| *name == kept.as_str()) {
                config.reject("keep", "names a field that is never set");
            }
        }
        Some(Self { set, remove })
    }
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    let secure = matches!(request.scheme(), Some(Scheme::Https));
    let mut response = next.call(request)?;
    for Field { name, value, keep } in &options.set {
        // Over HTTP it must not be sent, for anyone could (RFC 6797 §7.2).
        if *name == HSTS && !secure {
            continue;
        }
        match keep {
            true => response.headers_mut().set_default(*name, value),
            false => response.headers_mut().set(*name, value),
        }
    }
    for name in &options.remove {
        response.headers_mut().remove(name.as_str());
    }
    Ok(response)
}
middleware!(handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn an_empty_string_leaves_a_field_out() {
        let options = read(&[(CSP, ""), ("frame-options", "SAMEORIGIN")]).expect("good");
        let names: Vec<_> = options.set.iter().map(|field| field.name).collect();
        assert_eq!(names, [HSTS, "x-content-type-options", "x-frame-options", "referrer-policy"]);
        assert_eq!(options.set[2].value, "SAMEORIGIN");
    }

    #[test]
    fn the_services_own_policy_is_kept_by_default() {
        let keep = |entries: &[(&str, &str)]| {
            let options = read(entries).expect("good");
            options.set.iter().filter(|field| field.keep).map(|field| field.name).collect::<Vec<_>>()
        };
        assert_eq!(keep(&[]), [CSP]);
        assert_eq!(keep(&[("keep.0", "X-Frame-Options")]), ["x-frame-options"]);
        assert!(read(&[("keep", "server")]).is_err());
    }
}
