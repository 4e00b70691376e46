//! What an operator asks for who wants the trace of a request, as JSON:
//! `{"match": {"method": "GET", "host": "a.example", "path": "/api"}, "reveal": false, "body": false,
//! "timeout": 30}`. All keys may be left out.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value};

use crate::telemetry::trace::{LONGEST_WATCH, Show, TraceId, Wanted};

/// The time of a watch where nothing is said.
const TIME: Duration = Duration::from_secs(30);

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) wanted: Wanted,
    pub(super) show: Show,
    pub(super) time: Duration,
}

impl Ask {
    /// Reads the body of a request; an empty one asks for the next request.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let mut ask = Self { wanted: Wanted::default(), show: Show::default(), time: TIME };
        if body.is_empty() {
            return Ok(ask);
        }
        let value: Value =
            serde_json::from_slice(body).map_err(|error| format!("The body is not JSON: {error}."))?;
        for (key, value) in object("The body", &value)? {
            match key.as_str() {
                "match" => ask.wanted = wanted(object("`match`", value)?)?,
                "reveal" => ask.show.secrets = flag("reveal", value)?,
                "body" => ask.show.bodies = flag("body", value)?,
                "timeout" => {
                    let seconds =
                        value.as_u64().filter(|seconds| (1..=LONGEST_WATCH.as_secs()).contains(seconds));
                    let most = LONGEST_WATCH.as_secs();
                    let seconds = seconds.ok_or_else(|| format!("`timeout` is not 1 to {most} seconds."))?;
                    ask.time = Duration::from_secs(seconds);
                }
                other => return Err(format!("There is no key `{other}`.")),
            }
        }
        Ok(ask)
    }
}

fn flag(key: &str, value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("`{key}` is not `true` or `false`."))
}

fn wanted(conditions: &Map<String, Value>) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for (key, value) in conditions {
        let text = value.as_str().ok_or_else(|| format!("`{key}` is not text."))?;
        match key.as_str() {
            "trace-id" => {
                let id = TraceId::parse(text.as_bytes());
                wanted.trace = Some(id.ok_or("`trace-id` is not 32 lower-case hexadecimal digits.")?);
            }
            "method" => {
                let method = Method::from_bytes(text.as_bytes());
                wanted.method = Some(method.map_err(|_| "`method` is not a method.")?);
            }
            "host" => wanted.host = Some(text.to_ascii_lowercase()),
            "path" if text.starts_with('/') => wanted.path = Some(text.to_owned()),
            "path" => return Err("`path` does not begin with `/`.".to_owned()),
            other => return Err(format!("There is no condition `{other}`.")),
        }
    }
    Ok(wanted)
}

fn object<'v>(what: &str, value: &'v Value) -> Result<&'v Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what} is not an object."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_or_refused() {
        let text = r#"{"match": {"method": "GET", "host": "A.Example", "path": "/x",
            "trace-id": "4bf92f3577b34da6a3ce929d0e0e4736"}, "reveal": true, "body": true, "timeout": 5}"#;
        let ask = Ask::parse(text.as_bytes()).unwrap();
        assert_eq!((ask.show, ask.time), (Show { secrets: true, bodies: true }, Duration::from_secs(5)));
        assert_eq!((ask.wanted.host.as_deref(), ask.wanted.path.as_deref()), (Some("a.example"), Some("/x")));
        assert_eq!(ask.wanted.trace.unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let none = Ask { wanted: Wanted::default(), show: Show::default(), time: TIME };
        assert_eq!((Ask::parse(b"").as_ref(), Ask::parse(b"{}").as_ref()), (Ok(&none), Ok(&none)));
        for wrong in [
            "[]",
            "{",
            r#"{"reveal": 1}"#,
            r#"{"body": "yes"}"#,
            r#"{"timeout": 0}"#,
            r#"{"timeout": 301}"#,
            r#"{"other": 1}"#,
            r#"{"match": []}"#,
            r#"{"match": {"path": "x"}}"#,
            r#"{"match": {"path": 1}}"#,
            r#"{"match": {"method": "a b"}}"#,
            r#"{"match": {"trace-id": "4BF9"}}"#,
            r#"{"match": {"x": "y"}}"#,
        ] {
            assert!(Ask::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
