//! The direct form against the component form: the same chains on the same requests give the same answers, the same
//! traps and the same blame.

mod ends;
mod gateway;
mod guests;
mod list;
mod middleware;
mod passing;
mod programs;
mod requests;
mod services;
mod tasks;

use crate::harness::{Seeded, full, repository, scaled};
use bytes::Bytes;
use futures::StreamExt as _;
use guests::{erring, hostile, interpreter, with_handle};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use linkspan::chain::compile::Blueprint;
use linkspan::chain::{Cache, Member, Naming, PoolSize, Runtime, Segment, compose};
use linkspan::component::{Component, Digest, Lift};
use linkspan::config::Span;
use linkspan::engine::{ChainRequest, Failure, Fork, Hop, Onward, RequestBody, Worker};
use linkspan::host::{Budget, KeyBound, Limiter, Next, RequestHead, Scope, StageScope};
use linkspan::plan::{self, Form, PipelineLimits};
use linkspan::telemetry::Metrics;
use programs::program;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

const BUDGET: Budget = Budget {
    memory: 1 << 30,
    one_memory: 16 << 20,
    table_elements: 20_000,
    host_memory: 4 << 30,
    field_bytes: 64 << 10,
    cpu: Duration::from_secs(1),
};

/// Until a response's head is there.
const DEADLINE: Duration = Duration::from_secs(6);

/// A stage of a chain.
#[derive(Clone)]
struct Stage {
    component: Component,
    config: Vec<(String, String)>,
}

fn dist(name: &str) -> Stage {
    let path = repository().join("components/dist").join(format!("{name}.wasm"));
    Stage { component: Component::load(&path).unwrap(), config: Vec::new() }
}

fn text(text: &str) -> Stage {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let component = Component::from_bytes(Path::new("text.wat"), bytes.into(), |_| None).unwrap();
    let config = [("a", "a value"), ("b", "another one")];
    Stage { component, config: config.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec() }
}

fn with_config(name: &str, config: &[(&str, &str)]) -> Stage {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Stage { config, ..dist(name) }
}

/// A body in two pieces, with a trailer.
fn with_trailer(first: Bytes) -> WasiBody {
    let trailers =
        HeaderMap::from_iter([(HeaderName::from_static("x-trailer"), HeaderValue::from_static("behind"))]);
    let frames =
        [Frame::data(first), Frame::data(Bytes::from_static(b", and more")), Frame::trailers(trailers)];
    StreamBody::new(futures::stream::iter(frames.map(Ok))).boxed_unsync()
}

/// The same, of which nothing is there at once.
fn slowly(first: Bytes) -> WasiBody {
    let frames = BodyStream::new(with_trailer(first)).then(|frame| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        frame
    });
    StreamBody::new(frames).boxed_unsync()
}

/// The bytes of a body, and its trailers.
async fn read(body: impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>) -> String {
    match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().cloned();
            format!("{:?} {trailers:?}", body.to_bytes())
        }
        Err(_) => "it broke off".to_owned(),
    }
}

/// What stands behind a chain: it says what it got, and answers as a field of the request wants.
async fn end(
    method: &Method,
    path: Option<&str>,
    headers: &HeaderMap,
    body: WasiBody,
) -> Result<http::Response<WasiBody>, ErrorCode> {
    let mut response = http::Response::builder();
    match headers.get("x-end").and_then(|value| value.to_str().ok()) {
        Some("error") => return Err(ErrorCode::ConnectionRefused),
        Some("text") => return Err(ErrorCode::InternalError(Some("a text of the end".to_owned()))),
        Some("dns") => {
            let payload = wasmtime_wasi_http::p3::bindings::http::types::DnsErrorPayload {
                rcode: Some("nx".to_owned()),
                info_code: Some(7),
            };
            return Err(ErrorCode::DnsError(payload));
        }
        Some("never") => return std::future::pending().await,
        Some("size") => return Err(ErrorCode::HttpRequestBodySize(Some(1 << 40))),
        Some("status") => response = response.status(418),
        _ => {}
    }
    for (name, value) in headers {
        response = response.header(format!("seen-{name}"), value);
    }
    let body = format!("{method} {path:?} {}", read(body).await);
    if headers.get("x-end").is_some_and(|value| value == "trailers") {
        return Ok(response.body(with_trailer(body.into())).unwrap());
    }
    Ok(response.body(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync()).unwrap())
}

fn scope(index: usize, config: &[(String, String)]) -> Scope {
    let span = Span::default();
    let name = |text: &str| plan::Name::parse(text).unwrap_or_else(|fault| panic!("{}", fault.message));
    let value = |(key, text): &(String, String)| {
        (key.clone(), plan::ConfigValue::new(text.clone(), plan::ValueOrigin::Inline, span))
    };
    let stage = plan::Stage {
        id: plan::StageId { pipeline: name("test"), index, component: name("stage") },
        component: plan::ComponentIndex(0),
        config: config.iter().map(value).collect(),
        config_table: None,
        refused: false,
        grants: plan::Grants { random: true, ..plan::Grants::default() },
        grants_span: None,
        when: None,
        limits: plan::StageLimits::default(),
        link: plan::Link::Static,
        isolation: plan::Isolation::default(),
        lift: plan::Relift::AsIs,
        lift_span: None,
        on_failure: plan::OnFailure::Fail,
        breaker: None,
        next: Vec::new(),
        component_span: span,
        span,
    };
    let limiter = Arc::new(Limiter::new(KeyBound::new(1_000)));
    let calls = vec![("side".to_owned(), to_the_end())];
    Arc::new(StageScope::new(&stage, limiter, calls, Arc::default()).map_err(|(_, error)| error).unwrap())
}

/// The way to [`end`].
fn to_the_end() -> Next {
    Arc::new(|head, body, _| {
        Box::pin(async move {
            let path = head.path_with_query.as_ref().map(|path| path.as_str());
            end(&head.method, path, &head.headers, body).await.map_err(Into::into)
        })
    })
}

fn runtime(stages: &[Vec<Stage>]) -> Runtime {
    let sizes: Vec<_> = stages
        .iter()
        .map(|stages| PoolSize::of(stages.iter().map(|stage| &stage.component.shape), 24, &BUDGET))
        .collect();
    Runtime::new(&sizes, 1_000, None).unwrap()
}

/// A chain with `form`, in front of [`end`].
fn chain(
    runtime: &Runtime,
    stages: &[Stage],
    (budget, deadline): (Budget, Duration),
    form: Form,
) -> (Arc<Segment>, Onward) {
    let members: Vec<_> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| Member { index, component: &stage.component })
        .collect();
    let composed = compose(&members, Naming::PerStage).unwrap();
    let blueprint = Blueprint {
        pipeline: "test".to_owned(),
        budget,
        limits: PipelineLimits {
            reuse: usize::MAX,
            deadline,
            body_idle_timeout: Duration::from_secs(1),
            ..PipelineLimits::default()
        },
        lift: match stages.iter().all(|stage| stage.component.shape.lift() == Lift::Async) {
            true => Lift::Async,
            false => Lift::Sync,
        },
        scopes: stages.iter().enumerate().map(|(index, stage)| scope(index, &stage.config)).collect(),
        fresh: false,
        trial: false,
        next: Some(to_the_end()),
        named: Vec::new(),
        judges: Vec::new(),
        rehearsal: Arc::default(),
    };
    let code = Cache::default().compile(runtime.engine(), &members, composed, form).unwrap();
    let segment = Arc::new(Segment::link(runtime, code, blueprint).unwrap());
    let hop = Arc::new(Hop::new(Digest([0; 32]), Arc::clone(&segment), None));
    (segment, Onward::Fork(Fork::only(hop, None)))
}

/// A chain in both forms.
struct Both {
    worker: Rc<Worker>,
    component: Onward,
    direct: Onward,
    differences: Vec<String>,
    /// Why the direct form last gave no answer.
    last: String,
    /// 0 for a response, 1 for an error, 2 for a trap.
    outcome: usize,
    /// Its guests may trap after their answer.
    races: bool,
}

impl Both {
    fn new(runtime: &Runtime, stages: &[Stage]) -> Self {
        Self::within((BUDGET, DEADLINE), runtime, stages)
    }

    fn within(bounds: (Budget, Duration), runtime: &Runtime, stages: &[Stage]) -> Self {
        let (segment, component) = chain(runtime, stages, bounds, Form::Component);
        assert_eq!(segment.form.reason(), Some("`form = \"component\"`"));
        let (segment, direct) = chain(runtime, stages, bounds, Form::Auto);
        assert_eq!(segment.form.reason(), None);
        Self {
            worker: Worker::start(0, Metrics::new()),
            component,
            direct,
            differences: Vec::new(),
            last: String::new(),
            outcome: 0,
            races: false,
        }
    }

    /// What comes of a request, and in the log's words why.
    async fn ask(&self, chain: &Onward, headers: &HeaderMap) -> (String, String) {
        let head = RequestHead {
            scheme: Some(http::uri::Scheme::HTTPS),
            authority: Some("host".parse().unwrap()),
            path_with_query: Some("/p?q".parse().unwrap()),
            method: headers
                .get("x-method")
                .map_or(Method::GET, |method| method.as_bytes().try_into().unwrap()),
            headers: headers.clone(),
            ..RequestHead::default()
        };
        let body = match headers.get("x-body").map(HeaderValue::as_bytes) {
            Some(b"slow") => RequestBody::arriving(slowly(Bytes::from_static(b"a body")), 1 << 20, |_| ()),
            Some(_) => RequestBody::arriving(with_trailer(Bytes::from_static(b"a body")), 1 << 20, |_| ()),
            None => RequestBody::empty(),
        };
        let request = ChainRequest::new(head, body, Arc::default());
        match chain.handle(&self.worker, Box::new(request)).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                (format!("{} {:?} {}", parts.status, parts.headers, read(body).await), String::new())
            }
            Err(Failure::Guest(code)) => (format!("{code:?}"), String::new()),
            Err(Failure::Trap { reason, stage, .. }) => {
                (format!("trap of {}", stage.unwrap_or_default()), reason)
            }
            Err(other) => (format!("{other:?}"), String::new()),
        }
    }

    /// Both answers, which must be the same.
    async fn compare(&mut self, what: &str, headers: &HeaderMap) {
        let (component, why) = self.ask(&self.component, headers).await;
        let (direct, reason) = self.ask(&self.direct, headers).await;
        let same = match (component.strip_prefix("trap of "), direct.strip_prefix("trap of ")) {
            // What the host reads later is nobody's there.
            (Some(""), Some(_)) => true,
            // The component form can't tell stages of one component apart, nor whose value was wrong between two stages.
            (Some(component), Some(direct)) => component.split(" or ").any(|stage| stage == direct),
            // The end of a body that the guest has written races with a trap behind it.
            _ if self.races => {
                let broke = |one: &str, other: &str| {
                    one.strip_suffix("it broke off").is_some_and(|head| other.starts_with(head))
                };
                component == direct || broke(&component, &direct) || broke(&direct, &component)
            }
            _ => component == direct,
        };
        assert!(!reason.contains("disagrees with itself"), "{what}: {reason}");
        if !same {
            self.differences.push(format!("{what}:\n{component}\n{why}\n----\n{direct}\n{reason}"));
        }
        self.last = reason;
        self.outcome = match direct.as_bytes() {
            [b'0'..=b'9', ..] => 0,
            _ if direct.starts_with("trap of ") => 2,
            _ => 1,
        };
    }
}

fn fields(list: &[(&str, &str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Chains of middleware and services as they are delivered.
fn real_chains() -> Vec<Vec<Stage>> {
    let pass = || dist("pass-through-sync");
    let secure = || dist("security-headers-in-place");
    let id = || dist("request-id-in-place");
    let keys = |name: &str| with_config(name, &[("keys.alice", "secret"), ("keys.bob", "another")]);
    let cors = |name: &str| with_config(name, &[("origins", "https://a.example"), ("expose", "x-a")]);
    let rate = |name: &str| with_config(name, &[("rate", "5/h")]);
    vec![
        vec![pass()],
        vec![pass(); 4],
        vec![secure()],
        vec![id(), pass(), secure(), pass(), secure()],
        vec![dist("security-headers")],
        vec![dist("security-headers"), pass(), dist("request-id"), dist("security-headers")],
        vec![keys("key-auth")],
        vec![keys("key-auth-in-place")],
        vec![
            dist("security-headers"),
            cors("cors"),
            keys("key-auth"),
            rate("rate-limit"),
            dist("request-id"),
        ],
        vec![secure(), cors("cors-in-place"), keys("key-auth-in-place"), rate("rate-limit-in-place"), id()],
        vec![dist("empty")],
        vec![pass(), dist("security-headers"), dist("empty")],
        vec![with_config("cors", &[("origins", "*")]), dist("request-id")],
    ]
}

/// The fields of requests to them.
const REAL_REQUESTS: &[&[(&str, &str)]] = &[
    &[],
    &[("x-request-id", "given"), ("a", "1"), ("a", "2"), ("b", "")],
    &[("x-end", "error"), ("x-request-id", "given")],
    &[("x-end", "text"), ("x-request-id", "given")],
    &[("x-end", "dns"), ("x-request-id", "given")],
    &[("x-end", "size"), ("x-request-id", "given")],
    &[("x-end", "status"), ("x-request-id", "given")],
    &[("x-end", "trailers"), ("x-request-id", "given")],
    &[("x-body", ""), ("x-request-id", "given"), ("x-api-key", "secret")],
    &[("x-body", ""), ("x-end", "trailers"), ("x-request-id", "given"), ("x-api-key", "secret")],
    &[("x-body", ""), ("x-method", "POST"), ("x-request-id", "given"), ("authorization", "Bearer another")],
    &[("x-api-key", "secret"), ("x-end", "text"), ("x-request-id", "given"), ("x-consumer", "forged")],
    &[("x-api-key", "wrong"), ("x-request-id", "given")],
    &[("x-api-key", "secret"), ("x-api-key", "another"), ("x-request-id", "given")],
    &[
        ("x-method", "OPTIONS"),
        ("origin", "https://a.example"),
        ("access-control-request-method", "PUT"),
        ("x-request-id", "given"),
    ],
    &[("origin", "https://a.example"), ("x-api-key", "secret"), ("x-request-id", "given")],
    &[("origin", "https://b.example"), ("x-api-key", "secret"), ("x-request-id", "given")],
    &[("x-api-key", "secret"), ("x-request-id", "given")],
];

#[test]
fn real_middleware_answer_alike() {
    let chains = real_chains();
    let runtime = runtime(&chains);
    run(async {
        for (number, stages) in chains.iter().enumerate() {
            let mut both = Both::new(&runtime, stages);
            for list in REAL_REQUESTS {
                // Random numbers differ.
                let makes_ids =
                    stages.iter().any(|stage| stage.component.path.to_string_lossy().contains("request-id"));
                if makes_ids && list.is_empty() {
                    continue;
                }
                both.compare(&format!("chain {number} {list:?}"), &fields(list)).await;
            }
            assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
        }
    });
}

#[test]
fn hostile_guests_are_met_alike() {
    let guests = hostile();
    let chains: Vec<(&str, Vec<Stage>)> = guests
        .iter()
        .enumerate()
        .flat_map(|(number, (what, guest))| {
            let guest = text(guest);
            let pass = dist("pass-through-sync");
            let beside = [
                vec![pass.clone(), guest.clone(), pass],
                vec![guest.clone(), guest.clone()],
                vec![guest.clone(), text(&erring())],
            ];
            // The long form has each guest at each place, the short one half of them at one.
            let beside = beside.into_iter().enumerate().filter(move |(at, _)| full() || *at == number % 6);
            std::iter::once(vec![guest])
                .chain(beside.map(|(_, stages)| stages))
                .map(|stages| (&**what, stages))
        })
        .collect();
    let all: Vec<_> = chains.iter().map(|(_, stages)| stages.clone()).collect();
    let runtime = runtime(&all);
    run(async {
        let mut differences = Vec::new();
        for (what, stages) in &chains {
            let mut both = Both::new(&runtime, stages);
            for round in 0..scaled(2, 3) {
                let what = format!("{what}, {} stages, {round}", stages.len());
                both.compare(&what, &fields(&[("a", "value"), ("b", "2")])).await;
            }
            differences.append(&mut both.differences);
        }
        assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    });
}

/// A body that one stage writes, and another one reads or passes on.
#[test]
fn bodies_go_from_stage_to_stage_alike() {
    let named = |names: &[&str]| -> Vec<_> {
        hostile().into_iter().filter(|(what, _)| names.contains(&&**what)).collect()
    };
    let readers = named(&[
        "a response read and told",
        "a response read to its end, with its trailers",
        "a response half read and passed on",
        "a response read with no room",
        "a response whose trailers are read early",
        "a response passed on in one of its own",
    ]);
    let writers = named(&[
        "a body of twenty bytes",
        "a body that is written before it is given",
        "a body of no bytes",
        "a body with trailers",
        "a body that ends with an error",
        "a body that is too long",
        "an answer of its own",
    ]);
    assert_eq!((readers.len(), writers.len()), (6, 7));
    let pairs = readers.iter().flat_map(|reader| writers.iter().map(move |writer| (reader, writer)));
    let (what, chains): (Vec<_>, Vec<_>) = pairs
        .map(|((reads, reader), (writes, writer))| {
            // What is at a reader's address is not what the writer has at the same address.
            let writer = writer.replace("x-edited and a value", "the writers own text");
            (format!("{reads}: {writes}"), vec![text(reader), text(&writer)])
        })
        .unzip();
    let runtime = runtime(&chains);
    run(async {
        let mut differences = Vec::new();
        for (what, stages) in what.iter().zip(&chains) {
            let mut both = Both::new(&runtime, stages);
            for round in 0..scaled(1, 3) {
                both.compare(&format!("{what}, {round}"), &fields(&[("a", "value")])).await;
            }
            differences.append(&mut both.differences);
        }
        assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    });
}

/// Guests that do anything in any order are met alike. The long form has 25 times as many requests.
#[test]
fn random_calls_are_met_alike() {
    let chains = [vec![text(&interpreter()); 2], vec![dist("pass-through-sync"), text(&interpreter())]];
    let runtime = runtime(&chains);
    let mut seeded = Seeded(20_261_122);
    run(async {
        // Responses, errors, traps.
        let mut outcomes = [0; 3];
        for stages in &chains {
            let mut both = Both::new(&runtime, stages);
            for number in 0..scaled(2_000, 50_000) {
                let program = program(&mut seeded);
                both.compare(&format!("{number}: {program}"), &fields(&[("p", &program), ("a", "1")])).await;
                assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
                outcomes[both.outcome] += 1;
            }
        }
        println!("{outcomes:?} responses, errors and traps");
        assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
    });
}

/// What a guest may use has the same bounds, and says the same when it is too much.
#[test]
fn budgets_hold_alike() {
    let budget = Budget {
        one_memory: 1 << 20,
        host_memory: 1 << 20,
        table_elements: 100,
        cpu: Duration::from_millis(20),
        ..BUDGET
    };
    let grows = "(if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then unreachable))";
    let guests = [
        ("(loop (br 0)) unreachable", "computed for more than 20ms"),
        (&format!("(loop {grows} (br 0)) unreachable"), "unreachable"),
        ("(loop (drop (call $fields-of (local.get $q))) (br 0)) unreachable", "limits.host-memory"),
    ];
    let chains: Vec<_> = guests.iter().map(|(handle, _)| vec![text(&with_handle(handle)); 2]).collect();
    let runtime = runtime(&chains);
    run(async {
        for (stages, (handle, reason)) in chains.iter().zip(guests) {
            let mut both = Both::within((budget, DEADLINE), &runtime, stages);
            for _ in 0..2 {
                both.compare(handle, &HeaderMap::new()).await;
                assert!(both.last.contains(reason), "{handle}: {}", both.last);
            }
            assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
        }
    });
}

/// A stage that waits for ever for the next one has its deadline, and its instance goes.
#[test]
fn deadlines_hold_alike() {
    let chains = [vec![dist("pass-through-sync"); 2]];
    let runtime = runtime(&chains);
    run(async {
        let mut both = Both::new(&runtime, &chains[0]);
        both.compare("never", &fields(&[("x-end", "never")])).await;
        both.compare("again", &fields(&[("a", "1")])).await;
        assert!(both.differences.is_empty(), "{}", both.differences.join("\n\n"));
    });
}
