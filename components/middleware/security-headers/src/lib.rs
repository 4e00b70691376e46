//! Adds the response headers that tell browsers to be careful.
//!
//! What it is configured with stands at [`Keys`].
//!
//! An empty string means that a field is not sent. Any other field of that name
//! which the service sent is replaced.

use linkspan_sdk::{
    Config, Error, FromConfig, HeaderName, HeaderValue, Next, Request, Response, Scheme, configuration,
    middleware, schema,
};

const HSTS: &str = "strict-transport-security";
const CSP: &str = "content-security-policy";

configuration! {
    /// Adds the response headers that restrict what browsers do with a response. An empty value leaves a header out.
    struct Keys {
        /// `Strict-Transport-Security` (RFC 6797); sent over HTTPS only, as the RFC requires.
        default("max-age=31536000") strict_transport_security: HeaderValue,
        /// `X-Content-Type-Options`.
        default("nosniff") content_type_options: HeaderValue,
        /// `X-Frame-Options`.
        default("DENY") frame_options: HeaderValue,
        /// `Referrer-Policy`.
        default("strict-origin-when-cross-origin") referrer_policy: HeaderValue,
        /// `Content-Security-Policy`.
        default("default-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'") content_security_policy: HeaderValue,
        /// `Permissions-Policy`.
        default("") permissions_policy: HeaderValue,
        /// `Cross-Origin-Opener-Policy`.
        default("") cross_origin_opener_policy: HeaderValue,
        /// `Cross-Origin-Resource-Policy`.
        default("") cross_origin_resource_policy: HeaderValue,
        /// Fields of the response that are removed.
        list remove: HeaderName,
        /// Fields for which the service's own value takes precedence.
        list(["content-security-policy"]) keep: HeaderName,
    }
}

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
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let keys = Keys::from_config(config)?;
        let fields = [
            (HSTS, keys.strict_transport_security),
            ("x-content-type-options", keys.content_type_options),
            ("x-frame-options", keys.frame_options),
            ("referrer-policy", keys.referrer_policy),
            (CSP, keys.content_security_policy),
            ("permissions-policy", keys.permissions_policy),
            ("cross-origin-opener-policy", keys.cross_origin_opener_policy),
            ("cross-origin-resource-policy", keys.cross_origin_resource_policy),
        ];
        let keep = keys.keep.unwrap_or_else(|| vec![HeaderName::from_static(CSP)]);
        for kept in &keep {
            if !fields.iter().any(|(name, _)| *name == kept.as_str()) {
                config.reject("keep", "names a field that is never set");
            }
        }
        let set = fields.into_iter().filter(|(_, value)| !value.as_str().is_empty()).map(|(name, value)| {
            let keep = keep.iter().any(|kept| kept.as_str() == name);
            Field { name, value: value.as_str().to_owned(), keep }
        });
        Some(Self { set: set.collect(), remove: keys.remove.unwrap_or_default() })
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
