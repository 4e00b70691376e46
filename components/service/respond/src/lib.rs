//! A service that answers with what it is configured with: the end of a pipeline that needs no other. See [`Keys`].
//!
//! The body is the same for every request, so nothing of a request is ever in it.

use linkspan_sdk::{
    Body, BodyText, Config, Error, FromConfig, HeaderName, HeaderValue, Request, Response, configuration,
    schema, service,
};

configuration! {
    /// A service that gives every request the same answer: `service = { component = "std:respond" }`.
    struct Keys {
        /// The status.
        default(200) status: u16 where 200..=599,
        /// The body, of at most 16 KiB.
        default("") body: BodyText,
        /// The type of the body.
        default("text/plain; charset=utf-8") content_type: HeaderValue,
        /// Further fields of the response.
        table fields: HeaderValue,
    }
}

struct Options {
    status: u16,
    body: BodyText,
    content_type: HeaderValue,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { status, body, content_type, mut fields } = Keys::from_config(config)?;
        if matches!(status, 204 | 205 | 304) && !body.as_str().is_empty() {
            config.reject("body", &format!("can't be in a response with the status {status}"));
        }
        fields.retain(|(name, _)| {
            let is_made = ["content-length", "content-type"].contains(&name.to_ascii_lowercase().as_str());
            if is_made {
                config.reject(&format!("fields.{name}"), "is made of the other keys");
            }
            !is_made
        });
        let fields = config.fields("fields", fields);
        Some(Self { status, body, content_type, fields })
    }
}

async fn handle(options: &'static Options, _: Request) -> Result<Response, Error> {
    let mut response = Response::new(options.status);
    for (name, value) in &options.fields {
        response.headers_mut().append(name.as_str(), value.as_str());
    }
    if options.body.as_str().is_empty() {
        // RFC 9110 §8.6 and §15.4.5: none of these says a length of its own.
        let silent = matches!(options.status, 204 | 304);
        return Ok(if silent { response } else { response.with_header("content-length", "0") });
    }
    let response = response.with_header("content-type", options.content_type.as_str());
    Ok(response.with_body(Body::bytes(options.body.as_str().as_bytes())))
}
service!(async handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let long = "a".repeat(Body::MAX_BYTES + 1);
        for (entries, start) in [
            (&[("status", "199")][..], "`status` is not from 200"),
            (&[("body", long.as_str())], "`body` is longer"),
            (&[("status", "204"), ("body", "a")], "`body` can't be in a response"),
            (&[("fields.content-length", "1")], "`fields.content-length` is made"),
            (&[("fields.a b", "1")], "`fields.a b` has a name"),
            (&[("fields.x-a", "1\n2")], "`fields.x-a` holds a character"),
        ] {
            let entries = entries.iter().map(|(key, value)| (key.to_string(), value.to_string()));
            let error = Config::read::<Options>(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
