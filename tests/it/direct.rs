//! The direct form against the component form: the same chains on the same requests give the same answers, the same
//! traps and the same blame.

mod gateway;
mod guests;

use crate::harness::{Seeded, full, repository, scaled};
use bytes::Bytes;
use guests::{ARGUMENTS, CALLS, erring, hostile, interpreter, with_handle};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, Full};
use linkspan::chain::compile::Blueprint;
use linkspan::chain::{Cache, Member, Naming, PoolSize, Runtime, Segment, compose};
use linkspan::component::{Component, Digest, Lift};
use linkspan::config::Span;
use linkspan::engine::{ChainRequest, Failure, Fork, Hop, Onward, RequestBody, Worker};
use linkspan::host::{Budget, KeyBound, Limiter, Next, RequestHead, Scope, StageScope};
use linkspan::plan::{self, Form, PipelineLimits};
use linkspan::telemetry::Metrics;
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

/// What stands behind a chain: it says what it got, and answers as a field of the request wants.
async fn end(
    method: &Method,
    path: Option<&str>,
    headers: &HeaderMap,
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
    let body = format!("{method} {path:?}");
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
    Arc::new(
        StageScope::new(&stage, limiter, Vec::new(), Arc::default()).map_err(|(_, error)| error).unwrap(),
    )
}

fn runtime(stages: &[Vec<Stage>]) -> Runtime {
    let sizes: Vec<_> = stages
        .iter()
        .map(|stages| PoolSize::of(stages.iter().map(|stage| &stage.component.shape), 24, &BUDGET))
        .collect();
    Runtime::new(&sizes, 1_000, None).unwrap()
}

/// A chain with `form`, in front of [`end`].
fn chain(runtime: &Runtime, stages: &[Stage], budget: Budget, form: Form) -> (Arc<Segment>, Onward) {
    let members: Vec<_> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| Member { index, component: &stage.component })
        .collect();
    let composed = compose(&members, Naming::PerStage).unwrap();
    let next: Next = Arc::new(|head, body, _| {
        drop(body);
        Box::pin(async move {
            let path = head.path_with_query.as_ref().map(|path| path.as_str());
            end(&head.method, path, &head.headers).await.map_err(Into::into)
        })
    });
    let blueprint = Blueprint {
        pipeline: "test".to_owned(),
        budget,
        limits: PipelineLimits {
            reuse: usize::MAX,
            deadline: Duration::from_secs(2),
            ..PipelineLimits::default()
        },
        lift: Lift::Sync,
        scopes: stages.iter().enumerate().map(|(index, stage)| scope(index, &stage.config)).collect(),
        fresh: false,
        trial: false,
        next: Some(next),
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
}

impl Both {
    fn new(runtime: &Runtime, stages: &[Stage]) -> Self {
        Self::within(BUDGET, runtime, stages)
    }

    fn within(budget: Budget, runtime: &Runtime, stages: &[Stage]) -> Self {
        let (segment, component) = chain(runtime, stages, budget, Form::Component);
        assert_eq!(segment.form.reason(), Some("`form = \"component\"`"));
        let (segment, direct) = chain(runtime, stages, budget, Form::Auto);
        assert_eq!(segment.form.reason(), None);
        Self {
            worker: Worker::start(0, Metrics::new()),
            component,
            direct,
            differences: Vec::new(),
            last: String::new(),
            outcome: 0,
        }
    }

    /// What comes of a request, and in the log's words why.
    async fn ask(&self, chain: &Onward, headers: &HeaderMap) -> (String, String) {
        let head = RequestHead {
            scheme: Some(http::uri::Scheme::HTTPS),
            authority: Some("host".parse().unwrap()),
            path_with_query: Some("/p?q".parse().unwrap()),
            headers: headers.clone(),
            ..RequestHead::default()
        };
        let request = ChainRequest::new(head, RequestBody::empty(), Arc::default());
        match chain.handle(&self.worker, Box::new(request)).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes());
                (format!("{} {:?} {:?}", parts.status, parts.headers, body.ok()), String::new())
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
            // In the component form, an adapter of wasmtime's copies texts; its code is in no component, and whom its
            // offset leads to is chance.
            (Some(_), Some(_))
                if ["content out-of-bounds", "invalid utf8"].iter().any(|it| why.contains(it)) =>
            {
                true
            }
            // The component form can't tell stages of one component apart.
            (Some(component), Some(direct)) => component.split(" or ").any(|stage| stage == direct),
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

#[test]
fn real_middleware_answer_alike() {
    let pass = || dist("pass-through-sync");
    let secure = || dist("security-headers-in-place");
    let id = || dist("request-id-in-place");
    let chains =
        [vec![pass()], vec![pass(); 4], vec![secure()], vec![id(), pass(), secure(), pass(), secure()]];
    let runtime = runtime(&chains);
    run(async {
        for (number, stages) in chains.iter().enumerate() {
            let mut both = Both::new(&runtime, stages);
            for list in [
                &[][..],
                &[("x-request-id", "given"), ("a", "1"), ("a", "2"), ("b", "")],
                &[("x-end", "error"), ("x-request-id", "given")],
                &[("x-end", "text"), ("x-request-id", "given")],
                &[("x-end", "dns"), ("x-request-id", "given")],
                &[("x-end", "size"), ("x-request-id", "given")],
                &[("x-end", "status"), ("x-request-id", "given")],
            ] {
                // Random numbers differ.
                if number == 3 && list.is_empty() {
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
            // The long form has each guest at each place.
            let beside = beside.into_iter().enumerate().filter(move |(at, _)| full() || *at == number % 3);
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
            for round in 0..3 {
                let what = format!("{what}, {} stages, {round}", stages.len());
                both.compare(&what, &fields(&[("a", "value"), ("b", "2")])).await;
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

/// A program for the interpreter: steps that are in order there, among them now and then one that is in order nowhere.
fn program(seeded: &mut Seeded) -> String {
    /// What can be done with a request, with fields, and with a response: `acg` is a call and its arguments.
    const REQUEST: [&str; 9] = ["eafa", "fage", "fahk", "gaaa", "kafa", "lafa", "mafa", "pgef", "rihk"];
    const FIELDS: [&str; 7] = ["dbaa", "ibge", "jbge", "obfa", "qfaa", "sgel", "ibhk"];
    const RESPONSE: [&str; 5] = ["hbaa", "nbna", "nbma", "qfaa", "rihk"];
    let letter = |number: usize| char::from(b'a' + number as u8);
    let (mut program, mut holds): (String, &[&str]) = (String::new(), &REQUEST);
    for _ in 0..seeded.below(8) {
        if seeded.below(20) == 0 {
            program.push(letter(seeded.below(CALLS)));
            program.extend((0..3).map(|_| letter(seeded.below(ARGUMENTS.len()))));
            continue;
        }
        let step = if seeded.below(8) == 0 { "aada" } else { holds[seeded.below(holds.len())] };
        program += step;
        holds = match step {
            "gaaa" => &FIELDS,
            "aada" => &RESPONSE,
            "dbaa" => &REQUEST,
            _ => holds,
        };
    }
    let ends = ["aadaudaa", "udaa", "taaa", "vhaa"];
    program + ends[seeded.below(ends.len())]
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
            let mut both = Both::within(budget, &runtime, stages);
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

/// What a component must be, to be on the list; what is not has a reason.
#[test]
fn what_is_not_on_the_list_has_a_reason() {
    let reason = |stage: Stage| linkspan::direct::read(&stage.component).unwrap_err().to_string();
    assert_eq!(reason(dist("pass-through-async")), "it is lifted asynchronously");
    assert!(reason(dist("probe-middleware")).contains("is not on the list"));
    assert!(linkspan::direct::read(&dist("pass-through-sync").component).is_ok());
    let starts =
        with_handle("unreachable").replace("(func $outward", "(start $begins) (func $begins) (func $outward");
    assert_eq!(reason(text(&starts)), "code of it runs when it is instantiated");
}
