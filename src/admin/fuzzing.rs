//! Requests of the admin listener: each has an answer, and no client learns more than it may.

use super::answer::Answers;
use super::connections::Place;
use super::errands::Errands;
use super::guard::Guard;
use super::{Control, ReloadOutcome, WatchReport, page};
use crate::telemetry::Metrics;
use crate::telemetry::trace::{Show, Wanted};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A gateway with nothing to report.
struct Nothing;

impl Control for Nothing {
    fn ready(&self) -> bool {
        true
    }

    fn reload(&self) -> ReloadOutcome {
        ReloadOutcome { ok: true, unchanged: true, generation: 1, report: Value::Null, text: String::new() }
    }

    fn rollback(&self) -> ReloadOutcome {
        ReloadOutcome { ok: false, ..self.reload() }
    }

    fn generations(&self) -> Value {
        Value::Null
    }

    fn config(&self) -> Value {
        Value::Null
    }

    fn version(&self) -> Value {
        Value::Null
    }

    fn config_of(&self, _: u64) -> Option<Value> {
        None
    }

    fn overview(&self, _: usize, _: usize) -> Value {
        Value::Null
    }

    fn traces(&self) -> Value {
        Value::Null
    }

    fn trace(&self, _: &str) -> Option<Value> {
        None
    }

    fn watch(&self, _: Wanted, _: Show, _: Duration) -> Option<String> {
        None
    }

    fn watched(&self, _: &str) -> Option<WatchReport> {
        None
    }
}

const TOKEN: &str = "secret";
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7);

struct Listener {
    open: Answers,
    closed: Answers,
    runtime: tokio::runtime::Runtime,
}

impl Listener {
    fn new() -> Self {
        let answers = |token| {
            let control: Arc<dyn Control> = Arc::new(Nothing);
            let errands = Errands::start(Arc::clone(&control)).expect("a thread");
            Answers { control, metrics: Metrics::new(), guard: Guard::new(token, None), errands }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self { open: answers(None), closed: answers(Some(TOKEN)), runtime: runtime.expect("a runtime") }
    }
}

thread_local! {
    static LISTENER: Listener = Listener::new();
}

/// A request as text: method and target, fields, an empty line, a body.
pub fn run(data: &[u8]) {
    let Some(request) = request(data) else { return };
    LISTENER.with(|it| {
        for (answers, has_token) in [(&it.open, false), (&it.closed, true)] {
            let answer = it.runtime.block_on(answers.answer(request.clone(), PEER, &Place::default()));
            let path = request.uri().path();
            let open = matches!(path, "/healthz" | "/readyz") || page::find(path).is_some();
            if answer.status() != StatusCode::OK || open {
                continue;
            }
            let fields = request.headers();
            let value = |name| fields.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
            match has_token {
                true => {
                    let given = value(AUTHORIZATION);
                    let is_known = given.len() == 1 && given[0].to_ascii_lowercase().starts_with(b"bearer ");
                    assert!(is_known && given[0].trim_ascii_end().ends_with(TOKEN.as_bytes()), "{request:?}");
                }
                false => assert_eq!(value(HOST).len(), 1, "{request:?}"),
            }
        }
    });
}

fn request(data: &[u8]) -> Option<Request<Full<Bytes>>> {
    let mut rest = data;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    };
    let first = line()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&first[..space]).ok()?;
    let uri = Uri::try_from(&first[space + 1..]).ok()?;
    let mut fields = HeaderMap::new();
    while let Some(line) = line().filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        fields.try_append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?).ok()?;
    }
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(rest)));
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, fields);
    Some(request)
}
