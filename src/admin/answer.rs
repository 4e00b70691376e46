//! The answer to a request: from its head to its response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use serde_json::json;
use tokio::time::timeout;

use super::connections::{ConnectionState, Place};
use super::endpoint::Endpoint;
use super::errands::{Errand, Errands};
use super::guard::{Guard, Right};
use super::problem::{Problem, json_response, response};
use super::watch::Ask;
use super::{Control, ReloadOutcome, WatchReport};
use crate::telemetry::{Format, Metrics};

/// The largest body of a request.
const MAX_BODY: usize = 64 * 1024;
/// Longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest reload for whose end a client waits.
pub(super) const ERRAND_TIMEOUT: Duration = Duration::from_secs(120);

/// The pipelines of an overview where nothing is said, and the most.
const PAGE: usize = 100;
const MOST_PIPELINES: usize = 500;

/// Answers requests; shared by all connections.
pub(super) struct Answers {
    pub(super) control: Arc<dyn Control>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) guard: Guard,
    pub(super) errands: Errands,
}

impl Answers {
    /// Answers one request, of the connection at `place`, in every case. The body of a HEAD request's response is
    /// removed later.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        peer: SocketAddr,
        place: &Place,
    ) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        place.set(ConnectionState::Answer);
        let (head, body) = request.into_parts();
        let response = match self.respond(&head, body, peer, place).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        };
        place.set(ConnectionState::Answer);
        response
    }

    async fn respond<B>(
        &self,
        head: &Parts,
        body: B,
        peer: SocketAddr,
        place: &Place,
    ) -> Result<Response<Full<Bytes>>, Problem>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let endpoint = Endpoint::find(head.uri.path());
        // A client without access does not learn which paths there are.
        let mut right = Right::Anybody;
        if !endpoint.is_some_and(Endpoint::is_open) {
            right = self.guard.check(head).inspect_err(|denied| {
                if head.method == Method::POST {
                    let path = head.uri.path();
                    tracing::warn!(%peer, path, reason = ?denied, "audit: a change was refused");
                }
            })?;
        }
        let endpoint = endpoint.ok_or_else(Problem::not_found)?;
        if !endpoint.allows(&head.method) {
            let detail = "This path does not support the method.";
            let problem = Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                detail,
            );
            return Err(problem.header(ALLOW, endpoint.methods()));
        }
        let body = read(body).await?;
        match endpoint {
            Endpoint::Health => Ok(json_response(&json!({ "status": "alive" }))),
            Endpoint::Ready if self.control.ready() => Ok(json_response(&json!({ "status": "ready" }))),
            Endpoint::Ready => {
                let detail = "The gateway is draining, or nothing is live.";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not ready", detail))
            }
            Endpoint::Page(asset) => Ok(asset.answer(&head.headers)),
            Endpoint::Metrics => {
                let format =
                    Format::wanted(head.headers.get(ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or(""));
                Ok(response(format.content_type(), self.metrics.render(format)))
            }
            Endpoint::Config => Ok(json_response(&self.control.config())),
            Endpoint::ConfigOf(generation) => found(self.control.config_of(generation)),
            Endpoint::Overview => {
                let (from, count) = page(head.uri.query().unwrap_or_default())?;
                Ok(json_response(&self.control.overview(from, count)))
            }
            Endpoint::Traces => Ok(json_response(&self.control.traces())),
            Endpoint::Trace(id) => found(self.control.trace(id)),
            Endpoint::Watched(id) => self.watched(id, right),
            Endpoint::Watch => self.watch(&body, peer, right),
            Endpoint::Generations => Ok(json_response(&self.control.generations())),
            Endpoint::Version => Ok(json_response(&self.version(right))),
            Endpoint::Errand(errand) => self.errand(errand, right, peer, place).await,
        }
    }

    /// Asks for the trace of a request.
    fn watch(&self, body: &[u8], peer: SocketAddr, right: Right) -> Result<Response<Full<Bytes>>, Problem> {
        let Ask { wanted, show, time } = Ask::parse(body).map_err(Problem::bad_request)?;
        // With secrets or bodies in it, it is no mere look.
        tracing::info!(%peer, by = right.name(), change = "trace", reveal = show.secrets, bodies = show.bodies, %wanted, "audit");
        let watch = self.control.watch(wanted, show, time).ok_or_else(|| {
            Problem::too_many("As many traces are waited for as can be: wait for the end of one.")
        })?;
        Ok(json_response(&json!({ "watch": watch, "expires": time.as_secs() })))
    }

    /// The trace that was asked for, or how far it is.
    fn watched(&self, id: &str, right: Right) -> Result<Response<Full<Bytes>>, Problem> {
        if right == Right::ReadToken {
            return Err(Problem::forbidden("The trace may have secrets: send the admin token."));
        }
        match self.control.watched(id).ok_or_else(Problem::not_found)? {
            WatchReport::Trace(trace) => Ok(json_response(&trace)),
            WatchReport::Waits(state) => {
                let mut response = json_response(&json!({ "state": state }));
                *response.status_mut() = StatusCode::ACCEPTED;
                Ok(response)
            }
        }
    }

    /// Runs an errand, which is a line of the log.
    async fn errand(
        &self,
        errand: Errand,
        right: Right,
        peer: SocketAddr,
        place: &Place,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let done = self.run(errand, place).await;
        let (by, change) = (right.name(), errand.name());
        match &done {
            Ok(outcome) => tracing::info!(
                %peer, by, change, result = outcome.result(), generation = outcome.generation, "audit",
            ),
            Err(problem) => tracing::warn!(%peer, by, change, result = problem.kind, "audit"),
        }
        Ok(done?.answer())
    }

    /// What runs, and what the caller may do: the dashboard offers nothing else.
    fn version(&self, right: Right) -> serde_json::Value {
        let mut version = self.control.version();
        version["right"] = right.name().into();
        version
    }

    async fn run(&self, errand: Errand, place: &Place) -> Result<ReloadOutcome, Problem> {
        place.set(ConnectionState::Errand);
        let outcome = timeout(ERRAND_TIMEOUT, self.errands.run(errand)).await.map_err(|_| {
            let detail =
                "The reload takes longer than two minutes and continues; /generations shows its result.";
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "slow", "Not ended yet", detail)
        })?;
        Ok(outcome?)
    }
}

impl ReloadOutcome {
    /// One word for it.
    fn result(&self) -> &'static str {
        match (self.ok, self.unchanged) {
            (true, false) => "applied",
            (true, true) => "unchanged",
            (false, _) => "rejected",
        }
    }

    fn answer(self) -> Response<Full<Bytes>> {
        let Self { ok, unchanged, generation, report, text } = self;
        if ok {
            let body =
                json!({ "unchanged": unchanged, "generation": generation, "report": report, "text": text });
            return json_response(&body);
        }
        let mut problem = Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "rejected",
            "Rejected",
            "Nothing was changed; `text` and `report` say why.",
        );
        problem.more = vec![("generation", json!(generation)), ("report", report), ("text", json!(text))];
        problem.into_response()
    }
}

/// Reads a body from the connection, within its bounds.
async fn read<B>(body: B) -> Result<Bytes, Problem>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = std::pin::pin!(Limited::new(body, MAX_BODY));
    match timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = "A body may have at most 64 KiB.";
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", "Payload too large", detail))
        }
        Ok(Err(_)) => Err(Problem::bad_request("The body broke off.")),
        Err(_) => {
            let detail = "The body took too long.";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", detail))
        }
    }
}

/// What is there, or a 404.
fn found(value: Option<serde_json::Value>) -> Result<Response<Full<Bytes>>, Problem> {
    value.map(|value| json_response(&value)).ok_or_else(Problem::not_found)
}

/// The pipelines that an overview is asked for: the place of the first, and their number.
fn page(query: &str) -> Result<(usize, usize), Problem> {
    let (mut from, mut count) = (0, PAGE);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let number = |text: &str| {
            text.parse::<usize>().map_err(|_| Problem::bad_request(format!("`{text}` is not a number.")))
        };
        match pair.split_once('=') {
            Some(("from", text)) => from = number(text)?,
            Some(("count", text)) => count = number(text)?.min(MOST_PIPELINES),
            _ => return Err(Problem::bad_request("Only `from` and `count` can be asked for.")),
        }
    }
    Ok((from, count))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use http::HeaderValue;
    use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
    use serde_json::Value;

    use super::*;
    use crate::telemetry::trace::{Show, Wanted};

    /// A gateway whose reloads end when the test says so.
    pub(in super::super) struct Stub {
        pub(in super::super) ready: AtomicBool,
        begun: AtomicUsize,
        outcomes: Mutex<Receiver<Option<ReloadOutcome>>>,
    }

    impl Stub {
        pub(in super::super) fn new() -> (Arc<Self>, SyncSender<Option<ReloadOutcome>>) {
            let (end, outcomes) = sync_channel(8);
            let (ready, begun) = (AtomicBool::new(true), AtomicUsize::new(0));
            (Arc::new(Self { ready, begun, outcomes: Mutex::new(outcomes) }), end)
        }
    }

    pub(in super::super) fn outcome(ok: bool) -> ReloadOutcome {
        ReloadOutcome {
            ok,
            unchanged: false,
            generation: 7,
            report: json!(["why"]),
            text: "the text".to_owned(),
        }
    }

    impl Control for Stub {
        fn ready(&self) -> bool {
            self.ready.load(Ordering::Relaxed)
        }

        fn reload(&self) -> ReloadOutcome {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let outcomes = self.outcomes.lock().unwrap_or_else(|error| error.into_inner());
            outcomes.recv().unwrap_or(Some(outcome(true))).expect("a defect, for the test")
        }

        fn rollback(&self) -> ReloadOutcome {
            ReloadOutcome { generation: 6, ..self.reload() }
        }

        fn generations(&self) -> Value {
            json!({ "live": 7 })
        }

        fn config(&self) -> Value {
            json!({ "gateway": {} })
        }

        fn version(&self) -> Value {
            json!({ "version": "1.2.3" })
        }

        fn config_of(&self, generation: u64) -> Option<Value> {
            (generation == 7).then(|| json!({ "generation": 7 }))
        }

        fn overview(&self, from: usize, count: usize) -> Value {
            json!({ "from": from, "count": count })
        }

        fn traces(&self) -> Value {
            json!({ "traces": [] })
        }

        fn trace(&self, id: &str) -> Option<Value> {
            (id == "one").then(|| json!({ "id": id }))
        }

        fn watch(&self, wanted: Wanted, _: Show, _: Duration) -> Option<String> {
            wanted.method.is_none().then(|| "w".to_owned())
        }

        fn watched(&self, id: &str) -> Option<WatchReport> {
            match id {
                "w" => Some(WatchReport::Waits("armed")),
                "done" => Some(WatchReport::Trace(json!({ "id": "one" }))),
                _ => None,
            }
        }
    }

    fn answers(token: Option<&str>) -> (Answers, Arc<Stub>, SyncSender<Option<ReloadOutcome>>) {
        let (stub, end) = Stub::new();
        let control: Arc<dyn Control> = Arc::clone(&stub) as _;
        let errands = Errands::start(Arc::clone(&control)).unwrap();
        (Answers { control, metrics: Metrics::new(), guard: Guard::new(token, None), errands }, stub, end)
    }

    fn request(method: &str, path: &str) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:9180")
            .body(Full::default())
            .unwrap()
    }

    async fn ask(answers: &Answers, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        answers.answer(request, SocketAddr::from(([127, 0, 0, 1], 7)), &Place::default()).await
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    async fn body(response: Response<Full<Bytes>>) -> Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn every_path_has_its_methods_and_every_error_is_a_problem() {
        let (answers, stub, end) = answers(None);
        drop(end);
        run(async {
            for (path, good, allow) in [
                ("/healthz", "GET", "GET, HEAD"),
                ("/readyz", "HEAD", "GET, HEAD"),
                ("/metrics", "GET", "GET, HEAD"),
                ("/config", "GET", "GET, HEAD"),
                ("/generations", "GET", "GET, HEAD"),
                ("/version?x=1", "GET", "GET, HEAD"),
                ("/overview", "GET", "GET, HEAD"),
                ("/traces", "GET", "GET, HEAD"),
                ("/traces/one", "GET", "GET, HEAD"),
                ("/traces/next/done", "GET", "GET, HEAD"),
                ("/generations/7/config", "GET", "GET, HEAD"),
                ("/-/traces", "POST", "POST"),
                ("/-/reload", "POST", "POST"),
                ("/-/rollback", "POST", "POST"),
            ] {
                let response = ask(&answers, request(good, path)).await;
                assert_eq!(response.status(), 200, "{path}");
                assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
                for bad in ["PUT", "DELETE", "OPTIONS", "TRACE", if good == "POST" { "GET" } else { "POST" }]
                {
                    let response = ask(&answers, request(bad, path)).await;
                    assert_eq!(
                        (response.status().as_u16(), &response.headers()[ALLOW]),
                        (405, &allow.parse().unwrap())
                    );
                    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
                    assert_eq!(body(response).await["type"], "urn:linkspan:problem:method-not-allowed");
                }
            }
            let none = ["/traces/two", "/traces/next/x", "/generations/8/config"];
            for path in ["/healthz/", "/-/", "/metrics/x", "//config"].into_iter().chain(none) {
                assert_eq!(ask(&answers, request("GET", path)).await.status(), 404, "{path}");
            }
            stub.ready.store(false, Ordering::Relaxed);
            let response = ask(&answers, request("GET", "/readyz")).await;
            assert_eq!(response.status(), 503);
            assert_eq!(body(response).await["type"], "urn:linkspan:problem:not-ready");
            assert_eq!(ask(&answers, request("GET", "/healthz")).await.status(), 200);
        });
    }

    #[test]
    fn pages_and_traces_are_asked_for() {
        let (answers, ..) = answers(None);
        run(async {
            for (query, from, count) in [
                ("", 0, PAGE),
                ("?from=7", 7, PAGE),
                ("?count=3&from=1", 1, 3),
                ("?count=9999", 0, MOST_PIPELINES),
            ] {
                let response = ask(&answers, request("GET", &format!("/overview{query}"))).await;
                assert_eq!(body(response).await, json!({ "from": from, "count": count }), "{query}");
            }
            for query in ["?from=-1", "?count=x", "?other=1", "?from"] {
                let response = ask(&answers, request("GET", &format!("/overview{query}"))).await;
                assert_eq!(response.status(), 400, "{query}");
            }
            let post =
                |text: &'static str| ask(&answers, request("POST", "/-/traces").map(|_| Full::from(text)));
            assert_eq!(body(post("").await).await, json!({ "watch": "w", "expires": 30 }));
            assert_eq!(post("{\"wrong\": 1}").await.status(), 400);
            assert_eq!(post("{\"match\": {\"method\": \"GET\"}}").await.status(), 429);
            let response = ask(&answers, request("GET", "/traces/next/w")).await;
            assert_eq!(
                (response.status().as_u16(), body(response).await),
                (202, json!({ "state": "armed" }))
            );
        });
    }

    #[test]
    fn the_read_token_shows_no_trace_that_was_asked_for() {
        let (mut answers, ..) = answers(None);
        answers.guard = Guard::new(Some("0123456789abcdef"), Some("fedcba9876543210"));
        for (token, path, status) in [
            ("0123456789abcdef", "/traces/next/done", 200),
            ("fedcba9876543210", "/traces/next/done", 403),
            ("fedcba9876543210", "/traces/one", 200),
        ] {
            let mut asked = request("GET", path);
            let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            asked.headers_mut().insert("authorization", value);
            assert_eq!(run(ask(&answers, asked)).status(), status, "{path}");
        }
    }

    #[test]
    fn only_health_needs_no_token() {
        let (answers, ..) = answers(Some("0123456789abcdef"));
        run(async {
            for path in ["/healthz", "/readyz"] {
                assert_eq!(ask(&answers, request("GET", path)).await.status(), 200, "{path}");
            }
            for (method, path) in
                [("GET", "/metrics"), ("GET", "/config"), ("POST", "/-/reload"), ("GET", "/none")]
            {
                let response = ask(&answers, request(method, path)).await;
                assert_eq!(response.status(), 401, "{path}");
                assert!(response.headers().contains_key(WWW_AUTHENTICATE));
            }
            let mut right = request("GET", "/metrics");
            right.headers_mut().insert("authorization", HeaderValue::from_static("Bearer 0123456789abcdef"));
            let response = ask(&answers, right).await;
            assert_eq!(response.headers()[CONTENT_TYPE], Format::Prometheus.content_type());
        });
    }

    #[test]
    fn a_reload_is_answered_with_what_became_of_it() {
        let (answers, _, end) = answers(None);
        run(async {
            end.send(Some(outcome(true))).unwrap();
            let response = ask(&answers, request("POST", "/-/rollback")).await;
            assert_eq!(response.status(), 200);
            let good = json!({ "unchanged": false, "generation": 6, "report": ["why"], "text": "the text" });
            assert_eq!(body(response).await, good);

            end.send(Some(outcome(false))).unwrap();
            let response = ask(&answers, request("POST", "/-/reload")).await;
            assert_eq!(response.status(), 422);
            let problem = body(response).await;
            assert_eq!(
                (&problem["type"], &problem["report"]),
                (&json!("urn:linkspan:problem:rejected"), &json!(["why"]))
            );

            // After an errand that panics, others run.
            end.send(None).unwrap();
            assert_eq!(ask(&answers, request("POST", "/-/reload")).await.status(), 500);
            end.send(Some(outcome(true))).unwrap();
            assert_eq!(ask(&answers, request("POST", "/-/reload")).await.status(), 200);
        });
    }

    #[test]
    fn reloads_wait_in_line_and_the_line_is_bounded() {
        let (answers, stub, end) = answers(None);
        run(async {
            let first = ask(&answers, request("POST", "/-/reload"));
            let mut first = std::pin::pin!(first);
            while stub.begun.load(Ordering::Relaxed) == 0 {
                assert!(timeout(Duration::from_millis(1), first.as_mut()).await.is_err());
            }
            let mut waiting: Vec<_> =
                (0..4).map(|_| Box::pin(ask(&answers, request("POST", "/-/reload")))).collect();
            for one in &mut waiting {
                assert!(timeout(Duration::from_millis(1), one).await.is_err());
            }
            let response = ask(&answers, request("POST", "/-/reload")).await;
            assert_eq!(
                (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
                (429, &HeaderValue::from(1))
            );
            assert_eq!(stub.begun.load(Ordering::Relaxed), 1);
            // The caller of the last one leaves, so it does not begin.
            drop(waiting.pop());
            drop(end);
            assert_eq!(first.await.status(), 200);
            for one in waiting {
                assert_eq!(one.await.status(), 200);
            }
            assert_eq!(stub.begun.load(Ordering::Relaxed), 4);
        });
    }

    #[test]
    fn a_large_body_is_refused() {
        let (answers, ..) = answers(None);
        let send = |size: usize| {
            run(ask(&answers, request("GET", "/healthz").map(|_| Full::<Bytes>::from(vec![b'x'; size]))))
        };
        assert_eq!((send(MAX_BODY).status().as_u16(), send(MAX_BODY + 1).status().as_u16()), (200, 413));
    }
}
