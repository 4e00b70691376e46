//! The heads of a request and of its response, as an operator sees them in a trace that was asked for.
//!
//! Values that may be secrets are replaced by their length, unless the operator wants to see them: those of fields whose name
//! says so, of cookies, and of queries. Bounds: [`MOST_FIELDS`] fields of a head, each value cut as all texts of spans are.

use super::bodies::ShownBody;
use http::header::HeaderMap;
use http::uri::PathAndQuery;
use http::{HeaderName, Method};

/// The most fields of a head that are shown.
pub const MOST_FIELDS: usize = 128;

/// What the names of fields with secrets have in them, as access logs and proxies know them.
const SECRET: [&str; 11] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "key",
    "password",
    "session",
    "credential",
    "signature",
    "csrf",
    "jwt",
];

/// Fields that have one of these in their names, and are no secrets.
const KNOWN: [&str; 3] = ["www-authenticate", "proxy-authenticate", "sec-websocket-key"];

/// A field.
pub type ShownField = (String, String);

/// What a stage got and gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// The method of the request.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Its fields.
    pub request: Vec<ShownField>,
    /// The response, once there is one.
    pub response: Option<(u16, Vec<ShownField>)>,
    /// The bodies of both, where an operator asked for them.
    pub bodies: Option<[ShownBody; 2]>,
}

impl Heads {
    /// Bytes of memory, more or less.
    pub(super) fn bytes(&self) -> usize {
        let response = self.response.as_ref().map_or(&[][..], |(_, fields)| fields);
        let fields = self.request.iter().chain(response);
        let fields = fields.map(|(name, value)| size_of::<ShownField>() + name.len() + value.len());
        let bodies = self.bodies.iter().flatten().map(|body| body.beginning.len());
        let own = size_of::<Self>() + self.method.len() + self.target.len();
        own + fields.sum::<usize>() + bodies.sum::<usize>()
    }
}

/// How heads are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Whether secrets are.
    pub(super) reveal: bool,
    /// Bytes of a value.
    pub(super) most: usize,
}

impl Manner {
    /// The head of a request.
    pub(super) fn request(self, method: &Method, target: Option<&PathAndQuery>, fields: &HeaderMap) -> Heads {
        let target = target.map_or_else(String::new, |target| self.target(target));
        let request = self.fields(fields);
        Heads { method: method.to_string(), target, request, response: None, bodies: None }
    }

    /// The fields of a head, in their order.
    pub(super) fn fields(self, fields: &HeaderMap) -> Vec<ShownField> {
        let shown = |(name, value): (&HeaderName, &http::HeaderValue)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = match self.reveal || !is_secret(name.as_str()) {
                true => self.cut(&value),
                false => hidden(name, &value),
            };
            (name.to_string(), value)
        };
        fields.iter().take(MOST_FIELDS).map(shown).collect()
    }

    fn target(self, target: &PathAndQuery) -> String {
        let Some(query) = target.query().filter(|_| !self.reveal) else { return self.cut(target.as_str()) };
        let hide = |pair: &str| match pair.split_once('=') {
            Some((name, _)) => format!("{name}=…"),
            None => "…".to_owned(),
        };
        let query: Vec<_> = query.split('&').map(hide).collect();
        self.cut(&format!("{}?{}", target.path(), query.join("&")))
    }

    fn cut(self, text: &str) -> String {
        text[..text.floor_char_boundary(self.most)].to_owned()
    }
}

/// Whether the field with this name, in lower case, may have a secret.
fn is_secret(name: &str) -> bool {
    !KNOWN.contains(&name) && SECRET.iter().any(|part| name.contains(part))
}

/// What stands for the value of a field with a secret: the scheme of credentials and the names of cookies are none.
fn hidden(name: &HeaderName, value: &str) -> String {
    let hidden = |value: &str| format!("<{} bytes>", value.len());
    match name.as_str() {
        "authorization" | "proxy-authorization" => match value.split_once(' ') {
            Some((scheme, rest)) => format!("{scheme} {}", hidden(rest)),
            None => hidden(value),
        },
        "set-cookie" => {
            let (cookie, attributes) = value.split_once(';').unwrap_or((value, ""));
            let separator = if attributes.is_empty() { "" } else { ";" };
            match cookie.split_once('=') {
                Some((name, value)) => format!("{name}={}{separator}{attributes}", hidden(value)),
                None => hidden(value),
            }
        }
        "cookie" => {
            let pairs = value.split(';').map(|pair| match pair.split_once('=') {
                Some((name, value)) => format!("{}={}", name.trim(), hidden(value)),
                None => hidden(pair),
            });
            pairs.collect::<Vec<_>>().join("; ")
        }
        _ => hidden(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn secrets_are_shown_to_those_who_want_them() {
        let fields = [
            ("accept", "*/*", "*/*"),
            ("authorization", "Bearer abc.def", "Bearer <7 bytes>"),
            ("proxy-authorization", "x", "<1 bytes>"),
            ("x-api-key", "demo-key", "<8 bytes>"),
            ("cookie", "a=1; session=42; odd", "a=<1 bytes>; session=<2 bytes>; <4 bytes>"),
            ("set-cookie", "id=1234; Path=/; HttpOnly", "id=<4 bytes>; Path=/; HttpOnly"),
            ("www-authenticate", "Bearer realm=\"x\"", "Bearer realm=\"x\""),
            ("x-csrf-token", "abc", "<3 bytes>"),
        ];
        let given = map(&fields.map(|(name, value, _)| (name, value)));
        let shown = |reveal| Manner { reveal, most: 64 }.fields(&given);
        let expected = |of: fn(&(&'static str, &'static str, &'static str)) -> &'static str| -> Vec<_> {
            fields.iter().map(|field| (field.0.to_owned(), of(field).to_owned())).collect()
        };
        assert_eq!(shown(false), expected(|(_, _, hidden)| hidden));
        assert_eq!(shown(true), expected(|(_, value, _)| value));
    }

    #[test]
    fn queries_are_hidden_and_heads_are_bounded() {
        let target: PathAndQuery = "/a/b?token=1&flag&x=".parse().unwrap();
        let mut many = HeaderMap::new();
        for at in 0..300 {
            many.insert(
                HeaderName::try_from(format!("f-{at}")).unwrap(),
                HeaderValue::from_bytes("ééé".as_bytes()).unwrap(),
            );
        }
        let hidden = Manner { reveal: false, most: 64 }.request(&Method::GET, Some(&target), &many);
        assert_eq!((hidden.method.as_str(), hidden.target.as_str()), ("GET", "/a/b?token=…&…&x=…"));
        assert_eq!(hidden.request.len(), MOST_FIELDS);
        let cut = Manner { reveal: true, most: 3 }.request(&Method::GET, Some(&target), &many);
        assert_eq!((cut.target.as_str(), cut.request[0].1.as_str()), ("/a/", "é"));
    }
}
