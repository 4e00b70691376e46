//! Lets requests with a valid JSON Web Token pass (RFC 7519, RFC 8725), and tells later stages its claims. See [`Keys`].
//!
//! A request needs one `Authorization: Bearer` (RFC 6750). What comes of any other is a challenge: 401 without a token or with
//! one that is refused, 400 with more than one, 403 without the scopes. Fields that are filled from claims are removed first,
//! so that what a client sent under their names never passes for a claim.
//!
//! Tokens that were found to be signed are remembered, [`REMEMBERED`] in an instance, by all of their bytes: clients send one many
//! times, and a signature costs a guest up to some milliseconds. What they say is judged each time, since time passes.
//!
//! The portable build verifies by well-kept crates in the sandbox, the other one by the host (`linkspan:gateway/signatures`), which
//! takes a tenth of the time or less. Bounds: 8 KiB a token, 64 keys, 4 signatures a request, RSA keys of 4,096 bits, secrets of 1 KiB.

mod claims;
#[cfg(not(feature = "remote"))]
mod given;
#[cfg(feature = "in-place")]
mod host;
mod json;
mod key;
#[cfg(not(feature = "in-place"))]
mod portable;
#[cfg(feature = "remote")]
mod remote;
#[cfg(any(feature = "remote", test))]
#[cfg_attr(not(feature = "remote"), allow(dead_code, reason = "tested in both builds, used in one"))]
mod ring;
mod token;
#[cfg(any(feature = "remote", test))]
#[cfg_attr(not(feature = "remote"), allow(dead_code, reason = "tested in both builds, used in one"))]
mod url;

use claims::{Fault, Wanted};
#[cfg(not(feature = "remote"))]
use given::Source;
use key::{Algorithm, Key};
use linkspan_sdk::{
    Config, FromConfig, HeaderName, Quotable, Request, Response, Value, bearer, configuration, schema,
};
#[cfg(feature = "remote")]
use remote::Source;
use serde_json::Map;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Tokens whose signature an instance remembers.
const REMEMBERED: usize = 256;

/// The keys of the configuration: where the issuer's keys are, and what there is in both builds.
macro_rules! configured {
    (#[doc = $about:literal] $($source:tt)*) => {
        configuration! {
            #[doc = $about]
            struct Keys {
                $($source)*
                /// The algorithms that tokens may be signed with. `HS256` and its like only where they are here.
                list(["RS256", "PS256", "ES256", "EdDSA"]) algorithms: Algorithm,
                /// Issuers (`iss`) whose tokens pass; any, if it is missing.
                list issuers: String,
                /// The names of this service: a token must be for one of them (`aud`).
                list audiences: String,
                /// How far clocks may be apart; at most 5 minutes.
                default("30s") leeway: Duration,
                /// Whether a token must expire (`exp`).
                default(true) require_expiry: bool,
                /// Claims that a token must have.
                list require: String,
                /// Scopes that a token must have (`scope` or `scp`); without them, a request gets 403.
                list scopes: String,
                /// Fields for later stages, each with the claim that fills it: `{ x-user = "sub" }`.
                table claims: String,
                /// Whether requests without a token pass, without those fields. One that is refused never passes.
                default(false) optional: bool,
                /// Whether the token goes on to later stages.
                default(false) forward: bool,
                /// The realm in the challenge.
                default("api") realm: Quotable,
            }
        }
    };
}

#[cfg(not(feature = "remote"))]
configured! {
    /// Lets requests with a valid JSON Web Token pass (`Authorization: Bearer`, RFC 6750), and tells later stages its claims.
    /// The keys of the issuer: a JWK Set (RFC 7517), mostly `{ file = "jwks.json" }`.
    optional jwks: String,
    /// Secrets for HS256 and its like, of at least 32 bytes, by their `kid`.
    table secrets: String,
}

#[cfg(feature = "remote")]
configured! {
    /// The same as `jwt`, with the keys of the issuer from a URL: fetched when they are needed, kept, and fetched again ahead of their time.
    /// Where the keys are: a JWK Set (RFC 7517), by `https`, or by `http` from this machine (`localhost`, `127.0.0.1`, `[::1]`) or from a pipeline (`http://NAME.internal`). The stage must be granted to send requests there. Redirects are not followed.
    required jwks_url: url::Url,
    /// The shortest time for which keys are kept, whatever `Cache-Control` says, and how long without it.
    default("5m") jwks_refresh_min: Duration,
    /// The longest time for which keys are kept, whatever `Cache-Control` says.
    default("1h") jwks_refresh_max: Duration,
    /// How long after that they are used while they can't be fetched; then requests with a token get 503. At most 30 days.
    default("1h") jwks_stale: Duration,
    /// An instance fetches keys again for a token with an unknown `kid` only if it has not fetched any for this time; and the longest pause after one that failed, of which the first is a second.
    default("30s") jwks_cooldown: Duration,
    /// How long one fetch may take, to the last byte.
    default("5s") jwks_timeout: Duration,
    /// Bytes that a JWK Set may have.
    default(65536) jwks_max_bytes: u32 where 1024..=1_048_576,
}

struct Options {
    source: Source,
    algorithms: Vec<Algorithm>,
    wanted: Wanted,
    fields: Vec<(HeaderName, String)>,
    optional: bool,
    forward: bool,
    realm: Quotable,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let mut own = Keys::from_config(config)?;
        let asymmetric = ["RS256", "PS256", "ES256", "EdDSA"].map(Algorithm::parse);
        let algorithms = own.algorithms.take().unwrap_or_else(|| asymmetric.into_iter().flatten().collect());
        let source = Source::of(&mut own, &algorithms, config);
        if own.leeway > Duration::from_secs(300) {
            config.reject("leeway", "is longer than 5 minutes");
        }
        let scopes = own.scopes.unwrap_or_default();
        if scopes.iter().any(|scope| {
            scope.is_empty() || !scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        }) {
            config.reject("scopes", "has one that is not a scope (RFC 6749 §3.3)");
        }
        let fields = config.fields("claims", own.claims);
        if fields.iter().any(|(name, _)| name.as_str() == "authorization") {
            config.reject("claims.authorization", "is where the token is");
        }
        let wanted = Wanted {
            issuers: own.issuers.unwrap_or_default(),
            audiences: own.audiences.unwrap_or_default(),
            leeway: own.leeway,
            expires: own.require_expiry,
            claims: own.require.unwrap_or_default(),
            scopes,
        };
        let (optional, forward) = (own.optional, own.forward);
        Some(Self { source, algorithms, wanted, fields, optional, forward, realm: own.realm })
    }

    #[cfg(feature = "remote")]
    fn findings(&self) -> Vec<linkspan_sdk::Finding> {
        self.source.findings()
    }
}

/// What a request offers.
#[derive(Debug, PartialEq, Eq)]
enum Offered<'a> {
    None,
    One(&'a str),
    /// More than one, or what is not text.
    Wrong,
}

/// The token among the values of `authorization`.
fn offered(values: &[Vec<u8>]) -> Offered<'_> {
    match values {
        [] => Offered::None,
        [value] => match bearer(value).map(|token| std::str::from_utf8(token.trim_ascii())) {
            None => Offered::None,
            Some(Ok(token)) => Offered::One(token),
            Some(Err(_)) => Offered::Wrong,
        },
        _ => Offered::Wrong,
    }
}

type Claims = Map<String, serde_json::Value>;

thread_local! {
    /// The claims of tokens that were found to be signed. An instance has one configuration.
    static SIGNED: RefCell<BTreeMap<String, Rc<Claims>>> = const { RefCell::new(BTreeMap::new()) };
}

impl Options {
    fn verified(&self, token: &str, keys: &[Key]) -> Result<Rc<Claims>, Fault> {
        if let Some(claims) = SIGNED.with_borrow(|signed| signed.get(token).cloned()) {
            return Ok(claims);
        }
        let claims = token::verified(token, keys, &self.algorithms).map_err(Fault::Token)?;
        let claims = Rc::new(claims);
        SIGNED.with_borrow_mut(|signed| {
            if signed.len() >= REMEMBERED {
                signed.clear();
            }
            signed.insert(token.to_owned(), Rc::clone(&claims));
        });
        Ok(claims)
    }

    fn judge(&self, token: &str, keys: &[Key], now: Duration) -> Result<Rc<Claims>, Fault> {
        let claims = self.verified(token, keys)?;
        self.wanted.judge(&claims, now)?;
        Ok(claims)
    }

    fn challenge(&self, status: u16, title: &str, more: &str) -> Response {
        Response::problem(status, title)
            .with_header("www-authenticate", format!("Bearer realm=\"{}\"{more}", self.realm.as_str()))
    }

    /// The answer to who is refused (RFC 6750 §3.1).
    fn refuse(&self, fault: &Fault) -> Response {
        match fault {
            Fault::Token(token::Refused(reason)) => {
                let more = format!(", error=\"invalid_token\", error_description=\"{reason}\"");
                self.challenge(401, "The token is not valid", &more)
            }
            Fault::Scope => {
                let scopes = self.wanted.scopes.join(" ");
                let more = format!(", error=\"insufficient_scope\", scope=\"{scopes}\"");
                self.challenge(403, "The token is not for this", &more)
            }
        }
    }

    /// The answer to a request that offers no token, or not one.
    fn without(&self, offered: &Offered<'_>) -> Option<Response> {
        match offered {
            Offered::One(_) => None,
            Offered::None if self.optional => None,
            // Who offered nothing is told no error (RFC 6750 §3.1).
            Offered::None => Some(self.challenge(401, "A token is required", "")),
            Offered::Wrong => {
                Some(self.challenge(400, "There must be one token", ", error=\"invalid_request\""))
            }
        }
    }

    /// Tells later stages of the claims, and of no others.
    fn tell(&'static self, request: &mut Request, claims: Option<&Claims>) {
        let headers = request.headers_mut();
        for (name, claim) in &self.fields {
            match claims.and_then(|claims| claims.get(claim)).and_then(claims::text) {
                Some(text) => headers.set(name.as_str(), text),
                None => headers.remove(name.as_str()),
            }
        }
        if claims.is_some() && !self.forward {
            headers.remove("authorization");
        }
    }
}

#[cfg(all(test, not(feature = "remote")))]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit as _, Mac as _};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    /// A token that is signed with [`SECRET`], whatever its header says.
    fn token(header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    fn options() -> Options {
        read(&[("secrets.a", SECRET), ("algorithms.0", "HS256"), ("algorithms.1", "RS256")]).expect("good")
    }

    const NOW: Duration = Duration::from_secs(1000);

    fn judge(options: &Options, token: &str) -> Result<Rc<Claims>, Fault> {
        options.judge(token, options.source.keys(), NOW)
    }

    const CLAIMS: &str = r#"{"exp":2000,"sub":"alice"}"#;

    fn good() -> String {
        token(r#"{"alg":"HS256","kid":"a"}"#, CLAIMS)
    }

    fn refused(cases: impl IntoIterator<Item = (&'static str, String, &'static str)>) {
        let options = options();
        for (what, text, reason) in cases {
            assert_eq!(judge(&options, &text).err(), Some(Fault::Token(token::Refused(reason))), "{what}");
        }
    }

    /// What RFC 8725 and the advisories on other libraries warn of, and what it gets.
    #[test]
    fn hostile_headers_are_refused() {
        let good = good();
        let [_, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = CLAIMS;
        refused([
            (
                "no algorithm",
                format!("{}.{payload}.", part(r#"{"alg":"none"}"#)),
                "the algorithm is not allowed",
            ),
            (
                "in other letters",
                format!("{}.{payload}.{signature}", part(r#"{"alg":"nOnE"}"#)),
                "the algorithm is not allowed",
            ),
            ("none, signed", token(r#"{"alg":"none"}"#, claims), "the algorithm is not allowed"),
            ("not a text", token(r#"{"alg":["HS256"]}"#, claims), "the token is malformed"),
            (
                "an algorithm of the list without a key",
                token(r#"{"alg":"RS256","kid":"a"}"#, claims),
                "the signature is not valid",
            ),
            (
                "one that is not allowed",
                token(r#"{"alg":"HS512","kid":"a"}"#, claims),
                "the algorithm is not allowed",
            ),
            ("another key's id", token(r#"{"alg":"HS256","kid":"b"}"#, claims), "the signature is not valid"),
            ("an id that is no text", token(r#"{"alg":"HS256","kid":1}"#, claims), "the token is malformed"),
            (
                "its own key",
                token(r#"{"alg":"HS256","kid":"b","jwk":{"kty":"oct","k":"AA"}}"#, claims),
                "the signature is not valid",
            ),
            (
                "critical",
                token(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, claims),
                "the token has an extension that is not known",
            ),
            (
                "not encoded",
                token(r#"{"alg":"HS256","b64":false}"#, claims),
                "the token has an extension that is not known",
            ),
            ("two algorithms", token(r#"{"alg":"HS256","alg":"none"}"#, claims), "the token is malformed"),
            (
                "two subjects",
                token(r#"{"alg":"HS256"}"#, r#"{"exp":2000,"sub":"alice","sub":"root"}"#),
                "the token is malformed",
            ),
            ("no object", token(r#"{"alg":"HS256"}"#, "[]"), "the token is malformed"),
        ]);
    }

    #[test]
    fn hostile_forms_are_refused() {
        let good = good();
        let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
            panic!("three parts")
        };
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        refused([
            ("an empty signature", format!("{header}.{payload}."), "the signature is not valid"),
            (
                "a shorter one",
                format!("{header}.{payload}.{}", &signature[..40]),
                "the signature is not valid",
            ),
            ("two parts", format!("{header}.{payload}"), "the token is malformed"),
            ("four parts", format!("{good}.{signature}"), "the token is malformed"),
            ("five parts", format!("{header}..{payload}..{signature}"), "the token is malformed"),
            ("padding", format!("{good}="), "the token is malformed"),
            (
                "other base64",
                format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+") + "+"),
                "the token is malformed",
            ),
            ("a space", format!("{header}. {payload}.{signature}"), "the token is malformed"),
            ("nothing", String::new(), "the token is malformed"),
            ("dots", "..".into(), "the token is malformed"),
            (
                "too long",
                format!("{header}.{}.{signature}", "A".repeat(token::MAX_BYTES)),
                "the token is too long",
            ),
            (
                "another payload",
                format!("{header}.{}.{signature}", part(r#"{"exp":2000,"sub":"root"}"#)),
                "the signature is not valid",
            ),
            ("no end", token(r#"{"alg":"HS256"}"#, r#"{"sub":"alice"}"#), "the token does not expire"),
        ]);
    }

    #[test]
    fn a_token_is_remembered_and_judged_again() {
        let (options, good) = (options(), good());
        assert!(judge(&options, &good).is_ok() && judge(&options, &good).is_ok());
        assert!(options.judge(&good, options.source.keys(), Duration::from_secs(3000)).is_err());
    }

    /// The public key of an RSA issuer is no secret of HS256's.
    #[test]
    fn a_public_key_is_no_secret() {
        let vectors = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../tests/vendor/wycheproof/json_web_signature_test.json"
        );
        let vectors: serde_json::Value =
            serde_json::from_slice(&std::fs::read(vectors).expect("there")).expect("JSON");
        let groups = vectors["testGroups"].as_array().expect("a list");
        let public =
            groups.iter().map(|group| &group["public"]).find(|jwk| jwk["kty"] == "RSA").expect("one");
        let set = serde_json::json!({ "keys": [public] }).to_string();
        assert!(
            read(&[("jwks", &set), ("algorithms", "HS256")])
                .err()
                .expect("wrong")
                .starts_with("`algorithms` has none")
        );
        let both = read(&[
            ("jwks", &set),
            ("secrets.a", SECRET),
            ("algorithms.0", "HS256"),
            ("algorithms.1", "RS256"),
        ]);
        let text = token(&format!("{{\"alg\":\"HS256\",\"kid\":{}}}", public["kid"]), r#"{"exp":2000}"#);
        assert!(judge(&both.expect("good"), &text).is_err());
    }

    #[test]
    fn a_request_offers_one_token() {
        let values =
            |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(offered(&values(&["bEARER a.b.c "])), Offered::One("a.b.c"));
        for none in [&[][..], &["Basic a"], &["Bear"], &["Bearer"]] {
            assert_eq!(offered(&values(none)), Offered::None, "{none:?}");
        }
        assert_eq!(offered(&values(&["Bearer a", "Bearer a"])), Offered::Wrong);
        assert_eq!(offered(&[b"Bearer \xff".to_vec()]), Offered::Wrong);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let options = options();
        for number in 0..REMEMBERED * 2 + 1 {
            let text = token(r#"{"alg":"HS256"}"#, &format!("{{\"exp\":2000,\"jti\":{number}}}"));
            assert!(judge(&options, &text).is_ok());
            SIGNED.with_borrow(|signed| assert!(signed.len() <= REMEMBERED));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let secret = ("secrets.a", SECRET);
        let hs = ("algorithms", "HS256");
        for (entries, start) in [
            (&[][..], "`jwks` is missing, and so is `secrets`"),
            (&[("jwks", "{")], "`jwks` is not a JSON object"),
            (&[("jwks", "{\"keys\":1}")], "`jwks` is not a JWK Set"),
            (&[("jwks", "{\"keys\":[]}")], "`jwks` has no key"),
            (
                &[("jwks", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA==\"}]}")],
                "`jwks` has a key that is not base64url: number 0",
            ),
            (
                &[("jwks", "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}")],
                "`jwks` has a key that is an RSA key of less",
            ),
            (
                &[("jwks", "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}")],
                "`jwks` has a key that is no point",
            ),
            (&[("jwks", "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\"}]}")], "`jwks` has no key"),
            (&[("secrets.a", "short"), hs], "`secrets.a` is shorter than 32"),
            (&[secret], "`algorithms` has none that one of the keys is for"),
            (&[secret, ("algorithms", "none")], "`algorithms` is not an algorithm"),
            (&[secret, hs, ("leeway", "6m")], "`leeway` is longer"),
            (&[secret, hs, ("scopes", "a\"b")], "`scopes` has one"),
            (&[secret, hs, ("claims.authorization", "sub")], "`claims.authorization` is where"),
            (&[secret, hs, ("claims.host", "sub")], "`claims.host` belongs to the connection"),
            (&[secret, hs, ("realm", "a\"b")], "`realm` holds"),
        ] {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error} for {start}");
        }
    }
}
