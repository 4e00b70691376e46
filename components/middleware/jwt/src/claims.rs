//! What a token must say (RFC 7519 §4.1, RFC 8725 §3).

use crate::token::Refused;
use serde_json::{Map, Value};
use std::time::Duration;

/// What is wanted of claims.
pub struct Wanted {
    pub issuers: Vec<String>,
    pub audiences: Vec<String>,
    pub leeway: Duration,
    pub expires: bool,
    pub claims: Vec<String>,
    pub scopes: Vec<String>,
}

/// Why a request with a token that is valid is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    Token(Refused),
    /// It has not all scopes.
    Scope,
}

impl Wanted {
    /// Judges claims at a time since 1970.
    ///
    /// # Errors
    /// What is not as it is wanted.
    pub fn judge(&self, claims: &Map<String, Value>, now: Duration) -> Result<(), Fault> {
        let refused = |reason| Err(Fault::Token(Refused(reason)));
        let (now, leeway) = (now.as_secs_f64(), self.leeway.as_secs_f64());
        let Ok([expires, not_before, issued]) = times(claims) else {
            return refused("a time in the token is not a number");
        };
        match expires {
            None if self.expires => return refused("the token does not expire"),
            Some(at) if now >= at + leeway => return refused("the token expired"),
            _ => {}
        }
        if not_before.is_some_and(|at| now + leeway < at) || issued.is_some_and(|at| now + leeway < at) {
            return refused("the token is not valid yet");
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if !self.issuers.is_empty()
            && !text("iss").is_some_and(|iss| self.issuers.iter().any(|known| known == iss))
        {
            return refused("the issuer is another one");
        }
        if !self.audiences.is_empty() && !self.audiences.iter().any(|own| has(claims.get("aud"), own, false))
        {
            return refused("the token is for others");
        }
        if self.claims.iter().any(|name| claims.get(name).is_none_or(Value::is_null)) {
            return refused("a claim is missing");
        }
        let scope = claims.get("scope").or_else(|| claims.get("scp"));
        if !self.scopes.iter().all(|wanted| has(scope, wanted, true)) {
            return Err(Fault::Scope);
        }
        Ok(())
    }
}

/// `exp`, `nbf` and `iat`.
fn times(claims: &Map<String, Value>) -> Result<[Option<f64>; 3], ()> {
    let mut times = [None; 3];
    for (time, name) in times.iter_mut().zip(["exp", "nbf", "iat"]) {
        *time = match claims.get(name) {
            None => None,
            Some(value) => Some(value.as_f64().filter(|at| at.is_finite()).ok_or(())?),
        };
    }
    Ok(times)
}

/// Whether `wanted` is a claim's value, or one of its list, or, where they are `apart` by spaces, of its text.
fn has(claim: Option<&Value>, wanted: &str, apart: bool) -> bool {
    match claim {
        Some(Value::String(text)) if apart => text.split(' ').any(|part| part == wanted),
        Some(Value::String(text)) => text == wanted,
        Some(Value::Array(list)) => list.iter().any(|item| item == wanted),
        _ => false,
    }
}

/// A claim as the value of a field: text as it is, numbers and truth values as JSON, lists of these with commas. `None` for
/// what can't be one.
pub fn text(claim: &Value) -> Option<String> {
    let text = match claim {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Array(list) => {
            let fine =
                |item: &&Value| !item.is_array() && !item.as_str().is_some_and(|text| text.contains(','));
            let items = list.iter().map(|item| Some(item).filter(fine).and_then(text));
            items.collect::<Option<Vec<_>>>()?.join(",")
        }
        Value::Null | Value::Object(_) => return None,
    };
    let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    (!text.is_empty() && text.trim() == text && text.bytes().all(visible)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted() -> Wanted {
        let list = |items: &[&str]| items.iter().map(|item| item.to_string()).collect();
        Wanted {
            issuers: list(&["https://issuer.example"]),
            audiences: list(&["api"]),
            leeway: Duration::from_secs(30),
            expires: true,
            claims: list(&["sub"]),
            scopes: list(&["read", "write"]),
        }
    }

    #[test]
    fn claims_are_judged() {
        let good = json!({ "iss": "https://issuer.example", "aud": ["other", "api"], "exp": 1000, "nbf": 900.5, "iat": 900,
            "sub": "alice", "scope": "write openid read" });
        let token = |reason| Err(Fault::Token(Refused(reason)));
        for (name, value, now, expected) in [
            ("sub", json!("bob"), 950, Ok(())),
            ("exp", json!(1000), 1029, Ok(())),
            ("exp", json!(1000), 1030, token("the token expired")),
            ("exp", json!("1000"), 950, token("a time in the token is not a number")),
            ("exp", json!(-1), 950, token("the token expired")),
            ("exp", Value::Null, 950, token("a time in the token is not a number")),
            ("nbf", json!(980), 950, Ok(())),
            ("nbf", json!(981), 950, token("the token is not valid yet")),
            ("iat", json!(1e300), 950, token("the token is not valid yet")),
            ("iss", json!("https://issuer.example/"), 950, token("the issuer is another one")),
            ("iss", json!(["https://issuer.example"]), 950, token("the issuer is another one")),
            ("aud", json!("api"), 950, Ok(())),
            ("aud", json!("api other"), 950, token("the token is for others")),
            ("aud", json!({ "api": 1 }), 950, token("the token is for others")),
            ("sub", Value::Null, 950, token("a claim is missing")),
            ("scope", json!("read writer"), 950, Err(Fault::Scope)),
            ("scope", json!(["read", "write"]), 950, Ok(())),
        ] {
            let mut claims = good.as_object().expect("an object").clone();
            claims.insert(name.into(), value.clone());
            assert_eq!(
                wanted().judge(&claims, Duration::from_secs(now)),
                expected,
                "{name}: {value} at {now}"
            );
        }
        for (name, expected) in [
            ("exp", token("the token does not expire")),
            ("nbf", Ok(())),
            ("iss", token("the issuer is another one")),
            ("aud", token("the token is for others")),
            ("sub", token("a claim is missing")),
            ("scope", Err(Fault::Scope)),
        ] {
            let mut claims = good.as_object().expect("an object").clone();
            claims.remove(name);
            assert_eq!(wanted().judge(&claims, Duration::from_secs(950)), expected, "without {name}");
        }
    }

    #[test]
    fn a_claim_is_one_line() {
        for (claim, expected) in [
            (json!("alice"), Some("alice")),
            (json!(12.5), Some("12.5")),
            (json!(true), Some("true")),
            (json!(["a", 1]), Some("a,1")),
            (json!(["a,b"]), None),
            (json!([["a"]]), None),
            (json!("a\r\nset-cookie: b"), None),
            (json!("é"), None),
            (json!(" a"), None),
            (json!(""), None),
            (json!({}), None),
            (json!(null), None),
        ] {
            assert_eq!(text(&claim).as_deref(), expected, "{claim}");
        }
    }
}
