//! Edits the fields of requests and responses. What it is configured with stands at [`Keys`].
//!
//! In each direction fields are removed first, then set, then appended. A field whose template comes to nothing, because the
//! request has not what it names, is left out; one that is set is removed then, so that what a client sent under its name never
//! passes for the gateway's word.

use linkspan_sdk::{
    Config, Error, FromConfig, HeaderEdits, HeaderName, HeaderValue, Next, Request, Response, Template,
    Value, configuration, middleware, schema, template,
};

configuration! {
    /// Edits the fields of requests and responses; their values are templates.
    struct Keys {
        /// Fields of the request that are removed.
        list request_remove: HeaderName,
        /// Fields of the request that get this one value: `{ x-tenant = "{header.x-consumer}" }`.
        table request_set: Template,
        /// Fields of the request that get one more value.
        table request_append: Template,
        /// Fields of the response that are removed.
        list response_remove: HeaderName,
        /// Fields of the response that get this one value.
        table response_set: Template,
        /// Fields of the response that get one more value.
        table response_append: Template,
        /// Fields of the response that get this value where the response has none.
        table response_default: Template,
    }
}

struct Options {
    request: Edits,
    response: Edits,
}

/// What is done to a head, in this order.
struct Edits {
    remove: Vec<HeaderName>,
    set: Fields,
    append: Fields,
    default: Fields,
}

type Fields = Vec<(HeaderName, Template)>;

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let keys = Keys::from_config(config)?;
        let lists = [&keys.request_remove, &keys.response_remove];
        let tables = [
            &keys.request_set,
            &keys.request_append,
            &keys.response_set,
            &keys.response_append,
            &keys.response_default,
        ];
        if lists.iter().all(|list| list.is_none()) && tables.iter().all(|table| table.is_empty()) {
            config.reject("request-set", "is missing, and so is everything else: nothing would be edited");
        }
        let request = Edits {
            remove: removed("request-remove", keys.request_remove, config),
            set: config.fields("request-set", keys.request_set),
            append: config.fields("request-append", keys.request_append),
            default: Vec::new(),
        };
        let response = Edits {
            remove: removed("response-remove", keys.response_remove, config),
            set: config.fields("response-set", keys.response_set),
            append: config.fields("response-append", keys.response_append),
            default: config.fields("response-default", keys.response_default),
        };
        Some(Self { request, response })
    }
}

fn removed(key: &str, names: Option<Vec<HeaderName>>, config: &mut Config) -> Vec<HeaderName> {
    let names = names.unwrap_or_default();
    for name in names.iter().filter(|name| name.is_of_the_connection()) {
        config.reject(key, &format!("has `{}`, which belongs to the connection", name.as_str()));
    }
    names
}

impl Edits {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.append.is_empty() && self.default.is_empty()
    }

    /// The values for a request.
    fn of(&'static self, request: &Request) -> Result<Made, template::TooLong> {
        let made = |fields: &Fields| {
            let value = |template: &Template| template.text(request).map(|text| allowed(&text));
            fields.iter().map(|(_, template)| value(template)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Made {
            edits: self,
            set: made(&self.set)?,
            append: made(&self.append)?,
            default: made(&self.default)?,
        })
    }
}

/// The text as a field's value; `None` if nothing is left of it, or if it can't be one.
fn allowed(text: &str) -> Option<String> {
    let value = HeaderValue::parse(text).ok()?;
    Some(value.as_str().to_owned()).filter(|text| !text.is_empty())
}

/// Edits with the values that they have for one request.
struct Made {
    edits: &'static Edits,
    set: Vec<Option<String>>,
    append: Vec<Option<String>>,
    default: Vec<Option<String>>,
}

impl Made {
    fn apply(self, headers: &mut HeaderEdits) {
        for name in &self.edits.remove {
            headers.remove(name.as_str());
        }
        for ((name, _), value) in self.edits.set.iter().zip(self.set) {
            match value {
                Some(value) => headers.set(name.as_str(), value),
                None => headers.remove(name.as_str()),
            }
        }
        for ((name, _), value) in self.edits.append.iter().zip(self.append) {
            value.into_iter().for_each(|value| headers.append(name.as_str(), value));
        }
        for ((name, _), value) in self.edits.default.iter().zip(self.default) {
            value.into_iter().for_each(|value| headers.set_default(name.as_str(), value));
        }
    }
}

fn handle(options: &'static Options, mut request: Request, next: Next) -> Result<Response, Error> {
    // Those of the response are made of the request as it came, which is gone later.
    let (Ok(before), Ok(after)) = (options.request.of(&request), options.response.of(&request)) else {
        return Ok(Response::problem(431, "The fields that this request would have are too large"));
    };
    if !options.request.is_empty() {
        before.apply(request.headers_mut());
    }
    let mut response = next.call(request)?;
    if !options.response.is_empty() {
        after.apply(response.headers_mut());
    }
    Ok(response)
}
middleware!(handle, Options);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_sdk::Method;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn edits_are_made_in_order() {
        let options: &'static Options = Box::leak(Box::new(
            read(&[
                ("request-remove", "x-a"),
                ("request-set.x-host", "{method} {path}"),
                ("request-set.x-none", "{header.x-tenant}"),
                ("request-append.x-a", "b"),
            ])
            .expect("good"),
        ));
        let mut expected = HeaderEdits::new();
        expected.remove("x-a");
        expected.set("x-host", "GET /a");
        expected.remove("x-none");
        expected.append("x-a", "b");
        let mut edits = HeaderEdits::new();
        options.request.of(&Request::new(Method::Get, "/a?b")).expect("short").apply(&mut edits);
        assert_eq!(edits, expected);
        assert!(options.response.is_empty());
    }

    #[test]
    fn a_value_is_one_line() {
        assert_eq!(allowed("a\r\nset-cookie: b"), None);
        assert_eq!(allowed(" \t "), None);
        assert_eq!(allowed(" a ").as_deref(), Some("a"));
    }

    #[test]
    fn mistakes_are_named() {
        for (entries, start) in [
            (&[][..], "`request-set` is missing"),
            (&[("request-set.a b", "c")], "`request-set.a b` has a name"),
            (&[("response-set.content-length", "1")], "`response-set.content-length` belongs"),
            (&[("request-remove", "Host")], "`request-remove` has `host`"),
            (&[("request-set.x-a", "1"), ("request-set.X-A", "2")], "`request-set.X-A` is there twice"),
            (&[("request-set.x-a", "{claim.sub}")], "`request-set.x-a` names a value"),
        ] {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
