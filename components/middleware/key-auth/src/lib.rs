//! Lets requests with a known key pass, and names their consumer. What it is configured with stands at [`Keys`].
//!
//! A request with a known key goes on with the consumer's name and without the
//! key. Any other gets 401 with a challenge: none, an unknown one, more than
//! one. A consumer's name that came from the client never goes on. Secrets are
//! compared in constant time, with every consumer's each time. A key may be
//! configured as its SHA-256: one that nobody can guess needs no slower hash.

use linkspan_sdk::{
    Config, Error, FromConfig, HeaderName, HeaderValue, Next, Quotable, Request, Response, Value, bearer,
    configuration, middleware, schema, secret,
};
use sha2::{Digest as _, Sha256};

configuration! {
    /// Passes requests with a known key on, with the name of their consumer for later stages; any other request gets 401.
    struct Keys {
        /// The secret of each consumer, by the consumer's name; at least one. `"sha256:HEX"` stands for a secret with this SHA-256, which `printf %s "$KEY" | sha256sum` prints: for long random keys, not for passwords.
        required table keys: Secret,
        /// The field that carries a key; empty for none.
        default("x-api-key") header: Option<HeaderName>,
        /// Whether `Authorization: Bearer <key>` is accepted as well (RFC 6750).
        default(true) bearer: bool,
        /// The field that names the consumer to later stages.
        default("x-consumer") consumer_header: HeaderName,
        /// The realm in the challenge.
        default("api") realm: Quotable,
    }
}

/// What a key is compared with.
enum Secret {
    Plain(String),
    Sha256([u8; 32]),
}

impl Value for Secret {
    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sha256:") {
            _ if text.is_empty() => Err("is empty".into()),
            None => Ok(Self::Plain(text.into())),
            Some(digits) => digest(digits).map(Self::Sha256),
        }
    }
}

/// What 64 hexadecimal digits stand for.
fn digest(digits: &str) -> Result<[u8; 32], String> {
    const WRONG: &str = "is not `sha256:` and 64 hexadecimal digits";
    let mut digest = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(WRONG.into());
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| WRONG)?;
    }
    Ok(digest)
}

impl Secret {
    fn digest(&self) -> [u8; 32] {
        match self {
            Self::Plain(text) => Sha256::digest(text).into(),
            Self::Sha256(digest) => *digest,
        }
    }
}

struct Options {
    /// Names and secrets.
    keys: Vec<(String, Secret)>,
    /// Whether one of them is a hash.
    hashed: bool,
    header: Option<HeaderName>,
    bearer: bool,
    consumer: HeaderName,
    challenge: String,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { keys, header, bearer, consumer_header, realm } = Keys::from_config(config)?;
        check_keys(&keys, config);
        if header.is_none() && !bearer {
            config.reject("bearer", "must be true where `header` is empty: a key has no way in");
        }
        // No scheme is registered for keys in a field of their own.
        let scheme = if bearer { "Bearer" } else { "ApiKey" };
        let challenge = format!("{scheme} realm=\"{}\"", realm.as_str());
        let hashed = keys.iter().any(|(_, secret)| matches!(secret, Secret::Sha256(_)));
        Some(Self { keys, hashed, header, bearer, consumer: consumer_header, challenge })
    }
}

fn check_keys(keys: &[(String, Secret)], config: &mut Config) {
    for (i, (name, secret)) in keys.iter().enumerate() {
        let key = format!("keys.{name}");
        if HeaderValue::parse(name).is_err() {
            config.reject(&key, "has a name that can't be a header's value");
        }
        if keys[..i].iter().any(|(_, other)| other.digest() == secret.digest()) {
            config.reject(&key, "is the secret of another consumer too");
        }
    }
}

fn handle(options: &'static Options, mut request: Request, next: Next) -> Result<Response, Error> {
    let offered = options.offered(&request);
    let Offered::One(key) = offered else {
        return Ok(options.refuse(offered));
    };
    let Some(consumer) = options.consumer(&key) else {
        return Ok(options.refuse(Offered::One(key)));
    };
    let headers = request.headers_mut();
    headers.set(options.consumer.as_str(), consumer);
    if let Some(header) = &options.header {
        headers.remove(header.as_str());
    }
    if options.bearer {
        headers.remove("authorization");
    }
    next.call(request)
}
middleware!(handle, Options);

/// The key that a request offers.
#[derive(Debug, PartialEq)]
enum Offered {
    None,
    One(Vec<u8>),
    Many,
}

impl Options {
    fn offered(&self, request: &Request) -> Offered {
        let named = self.header.as_ref().map(|header| request.header_values(header.as_str()));
        let bearer = if self.bearer { request.header_values("authorization") } else { Vec::new() };
        choose(named.unwrap_or_default(), bearer)
    }

    /// The consumer of the key. All keys are compared, also after a match.
    fn consumer(&self, key: &[u8]) -> Option<&str> {
        let digest: [u8; 32] = if self.hashed { Sha256::digest(key).into() } else { [0; 32] };
        let mut found = None;
        for (name, secret) in &self.keys {
            let equal = match secret {
                Secret::Plain(text) => secret::equal(key, text.as_bytes()),
                Secret::Sha256(known) => secret::equal(&digest, known),
            };
            if equal {
                found = Some(name.as_str());
            }
        }
        found
    }

    fn refuse(&self, offered: Offered) -> Response {
        // A challenge to who offered nothing has no error (RFC 6750 §3.1).
        let (title, error) = match offered {
            Offered::None => ("A key is required", ""),
            Offered::One(_) => ("The key is not valid", ", error=\"invalid_token\""),
            Offered::Many => ("More than one key was sent", ", error=\"invalid_request\""),
        };
        let error = if self.bearer { error } else { "" };
        Response::problem(401, title).with_header("www-authenticate", format!("{}{error}", self.challenge))
    }
}

/// The one key among a named field's values and those of `authorization`.
fn choose(mut named: Vec<Vec<u8>>, authorization: Vec<Vec<u8>>) -> Offered {
    let bearer = authorization.iter().filter_map(|value| bearer(value).map(<[u8]>::to_vec));
    named.extend(bearer);
    match named.len() {
        0 => Offered::None,
        1 => named.pop().map_or(Offered::None, Offered::One),
        _ => Offered::Many,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of `abc`, which is FIPS 180-4's example.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    fn values(values: &[&str]) -> Vec<Vec<u8>> {
        values.iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_key_may_come_either_way_but_once() {
        let one = |key: &str| Offered::One(key.into());
        assert_eq!(choose(values(&["k"]), values(&[])), one("k"));
        assert_eq!(choose(values(&[]), values(&["bEARER  k"])), one("k"));
        assert_eq!(choose(values(&["k"]), values(&["Basic k"])), one("k"));
        assert_eq!(choose(values(&[]), values(&["Basic k"])), Offered::None);
        assert_eq!(choose(values(&[]), values(&["Bear"])), Offered::None);
        assert_eq!(choose(values(&["k"]), values(&["Bearer k"])), Offered::Many);
        assert_eq!(choose(values(&["k", "l"]), values(&[])), Offered::Many);
    }

    #[test]
    fn a_key_names_its_consumer() {
        let options = read(&[("keys.alice", "a"), ("keys.bob", "bb")]).expect("good");
        assert_eq!(options.consumer(b"a"), Some("alice"));
        assert_eq!(options.consumer(b"bb"), Some("bob"));
        assert_eq!(options.consumer(b"b"), None);
        assert_eq!(options.consumer(b""), None);
    }

    #[test]
    fn a_key_may_be_configured_by_its_hash() {
        let options = read(&[("keys.alice", ABC), ("keys.bob", "bb")]).expect("good");
        assert_eq!(options.consumer(b"abc"), Some("alice"));
        assert_eq!(options.consumer(b"bb"), Some("bob"));
        // Who knows the hash has no key.
        for other in [ABC, &ABC[7..], "ab", "abcd", ""] {
            assert_eq!(options.consumer(other.as_bytes()), None, "{other}");
        }
        let upper = format!("sha256:{}", ABC[7..].to_uppercase());
        assert_eq!(read(&[("keys.alice", &upper)]).expect("good").consumer(b"abc"), Some("alice"));
    }

    #[test]
    fn mistakes_are_named() {
        let signed = format!("sha256:{}", "+1".repeat(32));
        let errors = [
            (&[][..], "`keys` is missing"),
            (&[("keys.a", "")], "`keys.a` is empty"),
            (&[("keys.a", "k"), ("keys.b", "k")], "`keys.b` is the secret of another"),
            (&[("keys.a", "abc"), ("keys.b", ABC)], "`keys.b` is the secret of another"),
            (&[("keys.a", "sha256:abc")], "`keys.a` is not `sha256:`"),
            (&[("keys.a", &signed)], "`keys.a` is not `sha256:`"),
            (&[("keys.a", "k"), ("header", ""), ("bearer", "false")], "`bearer` must be true"),
            (&[("keys.a", "k"), ("header", "a b")], "`header` is not the name"),
            (&[("keys.a", "k"), ("realm", "a\"b")], "`realm` holds"),
        ];
        for (entries, start) in errors {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
