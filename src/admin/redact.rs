//! The configuration without its secrets.
//!
//! The text never has values from variables or files; their references are shown, because a reference is no secret. For
//! values in the text, the key tables say where a secret can be. The admin token always is one. A stage's `config` and
//! `grant.env` hold whatever their authors chose: everything below a name that sounds like a secret is redacted there,
//! and every text that looks like one (see `is_secret_name` and `is_secret_text`). These guesses redact too much rather
//! than too little, but a secret under an ordinary name is shown. Keys that the tables do not know are redacted.
//! Comments are never shown.

use serde_json::{Map, Value as Json, json};
use toml::{Table as Toml, Value};

use crate::config::Keys as _;
use crate::config::keys::{self, Kind};

/// Replaces a value that is not shown.
const REDACTED: &str = "redacted";

/// Parts of names that mean a secret wherever they stand.
const PARTS: &[&str] = &[
    "secret",
    "token",
    "passw",
    "passphrase",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
];

/// Words that mean a secret only as a whole; as a part of another word they may be harmless (`monkey`, `author`).
const WORDS: &[&str] = &[
    "auth",
    "bearer",
    "cookie",
    "cookies",
    "dsn",
    "hmac",
    "jwt",
    "key",
    "keys",
    "otp",
    "pass",
    "pin",
    "private",
    "pwd",
    "salt",
    "seed",
    "session",
    "signature",
    "signing",
];

/// Keys that name the value of another key of the same table: `{ name = "x-api-key", value = "…" }`.
const NAMING: &[&str] = &["name", "header", "field", "key"];

/// That other key.
const NAMED: &[&str] = &["value", "values"];

/// The text of a configuration as JSON without its secrets; `null` if it is not TOML.
pub fn redacted(text: &str) -> Json {
    match text.parse::<Toml>() {
        Ok(root) => shown(&Value::Table(root), &Kind::Table(keys::File::TABLE)),
        Err(_) => Json::Null,
    }
}

/// A value of a kind that the key tables know.
fn shown(value: &Value, kind: &Kind) -> Json {
    match (kind, value) {
        (Kind::Table(table), Value::Table(entries)) => map(entries, |name, value| {
            table.key(name).map_or_else(|| json!(REDACTED), |key| shown(value, &key.kind))
        }),
        (Kind::Named { table, .. }, Value::Table(entries)) => {
            map(entries, |_, value| shown(value, &Kind::Table(table)))
        }
        (Kind::List { item, .. }, Value::Array(items)) => {
            items.iter().map(|value| shown(value, item)).collect()
        }
        // The table itself is no reference, whatever its keys are.
        (Kind::Settings | Kind::Variables, Value::Table(entries)) => settings(entries, false),
        (Kind::Secrets, Value::Table(entries)) => map(entries, |_, value| setting(value, true)),
        (Kind::Secret, value) => setting(value, true),
        (
            Kind::Boolean
            | Kind::BooleanOr(_)
            | Kind::Count { .. }
            | Kind::Ratio
            | Kind::Size { .. }
            | Kind::Duration { .. }
            | Kind::Text(_),
            value,
        ) => scalar(value),
        _ => json!(REDACTED),
    }
}

/// A value in a table that a stage's author chose; `secret` if a name around it sounds like one.
fn setting(value: &Value, secret: bool) -> Json {
    match value {
        Value::Table(entries) if is_reference(entries) => map(entries, |_, value| scalar(value)),
        Value::Table(entries) => settings(entries, secret),
        Value::Array(items) => items.iter().map(|item| setting(item, secret)).collect(),
        Value::String(text) if is_secret_text(text) => json!(REDACTED),
        _ if secret => json!(REDACTED),
        _ => scalar(value),
    }
}

fn settings(entries: &Toml, secret: bool) -> Json {
    let names_secret = NAMING.iter().any(|key| {
        let name = entries.get(*key).and_then(Value::as_str);
        name.is_some_and(is_secret_name)
    });
    map(entries, |name, value| {
        let named = names_secret && NAMED.contains(&name);
        // `key` beside a `value` is the value's name, not a secret itself.
        let naming = NAMING.contains(&name) && NAMED.iter().any(|key| entries.contains_key(*key));
        setting(value, secret || named || (is_secret_name(name) && !naming))
    })
}

/// `{ env = "NAME" }` or `{ file = "path" }`, as `plan` understands it.
fn is_reference(entries: &Toml) -> bool {
    let mut entries = entries.iter();
    matches!((entries.next(), entries.next()), (Some((key, Value::String(_))), None) if key == "env" || key == "file")
}

fn map(entries: &Toml, shown: impl Fn(&str, &Value) -> Json) -> Json {
    Json::Object(
        entries.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect::<Map<_, _>>(),
    )
}

fn scalar(value: &Value) -> Json {
    match value {
        Value::String(text) => json!(text),
        Value::Integer(number) => json!(number),
        // Infinity and NaN, which JSON lacks, become null.
        Value::Float(number) => json!(number),
        Value::Boolean(boolean) => json!(boolean),
        Value::Datetime(datetime) => json!(datetime.to_string()),
        Value::Array(_) | Value::Table(_) => json!(REDACTED),
    }
}

/// Whether the value under a name is likely to be a secret: `api-key`, `dbPassword`, `AWS_SECRET_ACCESS_KEY`.
fn is_secret_name(name: &str) -> bool {
    let mut words = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for char in name.chars() {
        // A capital letter after a small one begins a new word.
        if after_small && char.is_uppercase() {
            words.push('-');
        }
        after_small = char.is_lowercase() || char.is_numeric();
        words.extend(char.to_lowercase());
    }
    let whole: String = words.chars().filter(|char| char.is_alphanumeric()).collect();
    PARTS.iter().any(|part| whole.contains(part))
        || words.split(|char: char| !char.is_alphanumeric()).any(|word| WORDS.contains(&word))
}

/// Whether a text looks like a secret, or contains one: PEM, an `Authorization` value, a URL with a user, a pair like
/// `password=…` or `x-api-key: …`.
fn is_secret_text(text: &str) -> bool {
    let starts =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let has_user = |(at, _): (usize, &str)| {
        let rest = &text[at + "://".len()..];
        let end = rest.find(|char: char| matches!(char, '/' | '?' | '#') || char.is_whitespace());
        rest[..end.unwrap_or(rest.len())].contains('@')
    };
    let is_pair = |(at, _): (usize, &str)| {
        let before = text[..at].trim_end_matches([' ', '\t', '"', '\'']);
        let part_of_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.');
        let name = &before[before.trim_end_matches(part_of_name).len()..];
        !text[at + 1..].trim().is_empty() && is_secret_name(name)
    };
    text.contains("-----BEGIN ")
        || starts("bearer ")
        || starts("basic ")
        // Hashes of passwords: whoever has them can guess at leisure.
        || ["$argon2", "$2a$", "$2b$", "$2y$"].into_iter().any(starts)
        || text.match_indices("://").any(has_user)
        || text.match_indices(['=', ':']).any(is_pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration() {
        let shown = redacted(
            r#"
            # a comment with hunter0
            admin = { address = "127.0.0.1:9180", token = "hunter1-hunter1-hunter1" }
            limits = { rate-limit-keys = 12 }
            unknown = "hunter2"
            [[listeners]]
            address = "127.0.0.1:8443"
            tls = { certificate = "cert.pem", key = "key.pem" }
            [components.key-auth]
            path = "key-auth.wasm"
            [pipelines.token.service]
            component = "key-auth"
            config = { header = "x-api-key", keys = { alice = "hunter3", bob = { env = "BOB" } }, file = "shown" }
            [pipelines.token.service.grant]
            clocks = true
            env = { REGION = "eu", DB = "postgres://me:hunter4@db/x", API_TOKEN = "hunter5", F = { file = "f" } }
            [[routes]]
            pipeline = "token"
            "#,
        );
        let service = &shown["pipelines"]["token"]["service"];
        assert_eq!(shown["admin"], json!({ "address": "127.0.0.1:9180", "token": "redacted" }));
        assert_eq!(shown["limits"]["rate-limit-keys"], 12);
        assert_eq!(shown["unknown"], "redacted");
        assert_eq!(shown["listeners"][0]["tls"]["key"], "key.pem");
        assert_eq!(shown["components"]["key-auth"]["path"], "key-auth.wasm");
        assert_eq!(service["component"], "key-auth");
        assert_eq!(service["config"]["keys"], json!({ "alice": "redacted", "bob": { "env": "BOB" } }));
        assert_eq!(service["config"]["file"], "shown");
        let env = json!({ "REGION": "eu", "DB": "redacted", "API_TOKEN": "redacted", "F": { "file": "f" } });
        assert_eq!(service["grant"], json!({ "clocks": true, "env": env }));
        assert!(!shown.to_string().contains("hunter"));
        assert_eq!(redacted("no toml"), Json::Null);
    }

    #[test]
    fn what_sounds_like_a_secret() {
        for name in [
            "token",
            "api-key",
            "apiKey",
            "APIKEY",
            "dbPassword",
            "AWS_SECRET_ACCESS_KEY",
            "passwd",
            "key1.key",
            "pin",
            "clientSecret",
            "session",
            "jwt",
            "Authorization",
            "private-key",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in
            ["header", "monkey", "author", "keyboard", "region", "pinned", "bypass-list", "timeout", ""]
        {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn what_looks_like_a_secret() {
        for text in [
            "Bearer abc",
            "basic dTpw",
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AA",
            "$2y$05$abcdefghijklmnopqrstuu",
            "-----BEGIN PRIVATE KEY-----",
            "https://user:pass@example.com/",
            "see redis://:pass@cache:6379",
            "https://example.com/?api_key=abc",
            "host=db password = abc",
            "X-Api-Key: abc",
            "{\"password\": \"abc\"}",
        ] {
            assert!(is_secret_text(text), "{text}");
        }
        for text in [
            "https://example.com/a@b",
            "https://example.com:8080",
            "10:30",
            "region=eu",
            "password:",
            "",
            "é",
            "a=é",
        ] {
            assert!(!is_secret_text(text), "{text}");
        }
    }

    #[test]
    fn a_name_beside_its_value() {
        let shown = redacted(
            r#"
            [pipelines.p.service]
            config.set = [{ name = "x-api-key", value = "hunter" }, { key = "region", value = "eu" }]
            config.pin = 1234
            config.list = ["a", { token = ["hunter", 5, 1.5, true, 2026-11-20] }]
            "#,
        );
        let config = &shown["pipelines"]["p"]["service"]["config"];
        let set = json!([{ "name": "x-api-key", "value": "redacted" }, { "key": "region", "value": "eu" }]);
        assert_eq!(config["set"], set);
        assert_eq!(config["pin"], "redacted");
        assert_eq!(config["list"][1]["token"], json!(["redacted"; 5].to_vec()));
    }
}
