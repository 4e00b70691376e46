//! A chain in both forms, on the same requests.

use super::end::{BROKE, broken, end, read, slowly, with_trailer};
use super::lines::lines_of;
use crate::harness::repository;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt as _;
use linkspan::chain::compile::Blueprint;
use linkspan::chain::{Cache, Code, Member, Naming, PoolSize, Runtime, Segment, compose};
use linkspan::component::{Component, Digest, Lift};
use linkspan::config::Span;
use linkspan::engine::{ChainRequest, Failure, Fork, Hop, Onward, RequestBody, Worker, entrance};
use linkspan::host::{Budget, Counters, Next, RequestHead, RequestOrigin, Scope, StageScope};
use linkspan::plan::{self, Form, PipelineLimits};
use linkspan::stores::{KeyBound, Limiter};
use linkspan::telemetry::Metrics;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

pub const BUDGET: Budget = Budget {
    memory: 1 << 30,
    one_memory: 16 << 20,
    table_elements: 20_000,
    host_memory: 4 << 30,
    field_bytes: 64 << 10,
    cpu: Duration::from_secs(1),
};

/// Until a response's head is there.
pub const DEADLINE: Duration = Duration::from_secs(6);

/// A stage of a chain.
#[derive(Clone)]
pub struct Stage {
    pub component: Component,
    pub config: Vec<(String, String)>,
    /// It begins a segment of its own.
    pub apart: bool,
}

pub fn dist(name: &str) -> Stage {
    let path = repository().join("components/dist").join(format!("{name}.wasm"));
    Stage { component: Component::load(&path).unwrap(), config: Vec::new(), apart: false }
}

pub fn text(text: &str) -> Stage {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let component = Component::from_bytes(Path::new("text.wat"), bytes.into(), |_| None).unwrap();
    let config = [("a", "a value"), ("b", "another one")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    Stage { component, config, apart: false }
}

pub fn with_config(name: &str, config: &[(&str, &str)]) -> Stage {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Stage { config, ..dist(name) }
}

/// A stage's scope, which can call `side`.
fn scope(
    pipeline: &str,
    (index, config): (usize, &[(String, String)]),
    limiter: &Arc<Limiter>,
    side: &Next,
) -> Scope {
    let span = Span::default();
    let name = |text: &str| plan::Name::parse(text).unwrap_or_else(|fault| panic!("{}", fault.message));
    let value = |(key, text): &(String, String)| {
        (key.clone(), plan::ConfigValue::new(text.clone(), plan::ValueOrigin::Inline, span))
    };
    let stage = plan::Stage {
        id: plan::StageId { pipeline: name(pipeline), index, component: name("stage") },
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
    let calls = vec![("side".to_owned(), Arc::clone(side))];
    let scope = StageScope::new(&stage, Counters::apart(Arc::clone(limiter)), calls, Arc::default());
    Arc::new(scope.map_err(|(_, error)| error).unwrap())
}

pub fn runtime(stages: &[Vec<Stage>]) -> Runtime {
    runtime_for(stages, 24)
}

/// With room for so many instances of each chain.
pub fn runtime_for(stages: &[Vec<Stage>], instances: u32) -> Runtime {
    let sizes: Vec<_> = stages
        .iter()
        .map(|stages| PoolSize::of(stages.iter().map(|stage| &stage.component.shape), instances, &BUDGET))
        .collect();
    Runtime::new(&sizes, 1_000, None).unwrap()
}

/// Stages with their places.
type Stages = Vec<(usize, Stage)>;

/// The code of a chain's segments in one form.
pub struct Compiled(Vec<(Stages, Arc<Code>)>);

impl Compiled {
    pub fn new(runtime: &Runtime, stages: &[Stage], form: Form) -> Self {
        let mut segments: Vec<Stages> = vec![Vec::new()];
        for (index, stage) in stages.iter().cloned().enumerate() {
            if stage.apart {
                segments.push(Vec::new());
            }
            segments.last_mut().unwrap().push((index, stage));
        }
        let compile = |stages: Stages| {
            let members: Vec<_> =
                stages.iter().map(|(index, it)| Member { index: *index, component: &it.component }).collect();
            let composed = compose(&members, Naming::PerStage).unwrap();
            let code = Cache::default().compile(runtime.engine(), &members, composed, form).unwrap();
            (stages, code)
        };
        Self(segments.into_iter().map(compile).collect())
    }
}

/// A chain in one form, in front of [`end`].
pub struct Linked {
    pub onward: Onward,
    /// The segments' forms have this reason.
    reason: Option<String>,
    /// Of each stage.
    pub limiters: Vec<Arc<Limiter>>,
    pipeline: String,
    /// Somebody waits at its end.
    arrived: Arc<Notify>,
}

impl Linked {
    fn new(runtime: &Runtime, code: &Compiled, (budget, deadline): (Budget, Duration), form: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let pipeline = format!("{form}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let arrived = Arc::new(Notify::new());
        let (notify, mut limiters) = (Arc::clone(&arrived), Vec::new());
        let last: Next = Arc::new(move |head, body, _| {
            let notify = Arc::clone(&notify);
            Box::pin(async move {
                let path = head.path_with_query.as_ref().map(|path| path.as_str());
                end(&head.method, path, &head.headers, body, &notify).await.map_err(Into::into)
            })
        });
        let (mut onward, mut reason) = (None, None);
        for (stages, code) in code.0.iter().rev() {
            let is_async = stages.iter().all(|(_, stage)| stage.component.shape.lift() == Lift::Async);
            let (mut scopes, mut named) = (Vec::new(), Vec::new());
            for (index, stage) in stages {
                let names = stage.component.shape.named_nexts();
                named.extend(names.map(|name| (format!("stage{index}-next-{name}"), Arc::clone(&last))));
                let limiter = Arc::new(Limiter::new(KeyBound::new(100_000)));
                scopes.push(scope(&pipeline, (*index, &stage.config), &limiter, &last));
                limiters.push(limiter);
            }
            let blueprint = Blueprint {
                pipeline: pipeline.clone(),
                budget,
                limits: PipelineLimits {
                    reuse: usize::MAX,
                    deadline,
                    body_idle_timeout: Duration::from_secs(1),
                    ..PipelineLimits::default()
                },
                lift: if is_async { Lift::Async } else { Lift::Sync },
                scopes,
                fresh: false,
                trial: false,
                next: Some(onward.as_ref().map_or_else(|| Arc::clone(&last), entrance::next_stage)),
                named,
                judges: Vec::new(),
                rehearsal: Arc::default(),
            };
            let segment = Arc::new(Segment::link(runtime, Arc::clone(code), blueprint).unwrap());
            reason = reason.or_else(|| segment.form.reason().map(str::to_owned));
            let hop = Arc::new(Hop::new(Digest([0; 32]), segment, None));
            onward = Some(Onward::Fork(Fork::only(hop, onward)));
        }
        Self { onward: onward.unwrap(), reason, limiters, pipeline, arrived }
    }

    /// What its stages logged since that was asked last.
    fn lines(&self) -> Vec<String> {
        lines_of(&self.pipeline)
    }
}

/// Takes out for how long a limit holds, and ids that a stage has made of random numbers.
fn forget_chance(headers: &mut HeaderMap) {
    headers.remove("retry-after");
    if let Some(limit) = headers.get_mut("ratelimit") {
        let before = limit.to_str().unwrap().split(";t=").next().unwrap();
        *limit = HeaderValue::from_str(before).unwrap();
    }
    for name in ["x-request-id", "seen-x-request-id"] {
        if headers.get(name).is_some_and(|id| id.len() == 32) {
            headers.insert(name, HeaderValue::from_static("made"));
        }
    }
}

/// A chain in both forms.
pub struct Both {
    pub worker: Rc<Worker>,
    pub component: Linked,
    pub direct: Linked,
    pub differences: Vec<String>,
    /// What the direct form last answered, and why it gave no answer.
    pub said: String,
    pub last: String,
    /// 0 for a response, 1 for an error, 2 for a trap.
    pub outcome: usize,
    /// Its guests may trap after their answer.
    pub races: bool,
    /// Its guests read, and may return meanwhile.
    pub reads: bool,
    /// A stage behind another one answers before it calls the next one, and both go on while that works.
    pub answers_first: bool,
    /// A stage behind another one may trap after its answer.
    pub lives_on: bool,
    /// What the instances of the two forms went through is not the same any more.
    pub parted: bool,
    /// Requests so far.
    asked: AtomicU64,
}

impl Both {
    pub fn new(runtime: &Runtime, stages: &[Stage]) -> Self {
        Self::within((BUDGET, DEADLINE), runtime, stages)
    }

    pub fn within(bounds: (Budget, Duration), runtime: &Runtime, stages: &[Stage]) -> Self {
        let code = [Form::Component, Form::Auto].map(|form| Compiled::new(runtime, stages, form));
        Self::linked(bounds, runtime, &code, Worker::start(0, Metrics::new()))
    }

    /// Of code of the component form and of the direct one, on the only worker of its thread.
    pub fn linked(
        bounds: (Budget, Duration),
        runtime: &Runtime,
        code: &[Compiled; 2],
        worker: Rc<Worker>,
    ) -> Self {
        let component = Linked::new(runtime, &code[0], bounds, "component");
        assert_eq!(component.reason.as_deref(), Some("`form = \"component\"`"));
        let direct = Linked::new(runtime, &code[1], bounds, "direct");
        assert_eq!(direct.reason, None);
        Self {
            worker,
            component,
            direct,
            differences: Vec::new(),
            said: String::new(),
            last: String::new(),
            outcome: 0,
            races: false,
            reads: false,
            answers_first: false,
            lives_on: false,
            parted: false,
            asked: AtomicU64::new(1),
        }
    }

    /// What comes of a request, and in the log's words why.
    pub async fn ask(&self, chain: &Linked, headers: &HeaderMap) -> (String, String) {
        let value = |name| headers.get(name).map(HeaderValue::as_bytes);
        let head = RequestHead {
            scheme: Some(http::uri::Scheme::HTTPS),
            authority: Some("host".parse().unwrap()),
            path_with_query: Some("/p?q".parse().unwrap()),
            method: value("x-method").map_or(Method::GET, |method| method.try_into().unwrap()),
            headers: headers.clone(),
            ..RequestHead::default()
        };
        let piece = || Bytes::from_static(b"a body");
        let body = match value("x-body") {
            None => RequestBody::empty(),
            Some(b"slow") => RequestBody::arriving(slowly(piece()), 1 << 20, |_| ()),
            Some(b"broken") => RequestBody::arriving(broken(piece()), 1 << 20, |_| ()),
            Some(b"long") => RequestBody::arriving(with_trailer(vec![b'x'; 100_000].into()), 1 << 20, |_| ()),
            Some(_) => RequestBody::arriving(with_trailer(piece()), 1 << 20, |_| ()),
        };
        let origin = RequestOrigin::new(self.asked.load(Ordering::Relaxed), http::Extensions::default());
        let request = ChainRequest::new(head, body, origin);
        let answer = tokio::select! {
            biased;
            answer = chain.onward.handle(&self.worker, Box::new(request)) => answer,
            () = chain.arrived.notified() => return ("it left".to_owned(), String::new()),
        };
        match answer {
            Ok(response) => {
                let (mut parts, mut body) = response.into_parts();
                forget_chance(&mut parts.headers);
                let body = match value("x-read") {
                    Some(b"nothing") => String::new(),
                    Some(b"a piece") => format!("{}", body.frame().await.is_some_and(|it| it.is_ok())),
                    // Nobody has to ask for trailers behind an announced length.
                    _ if parts.headers.contains_key(http::header::CONTENT_LENGTH) => {
                        let read = read(body).await;
                        read.rsplit_once("\" ").map_or(read.clone(), |(bytes, _)| bytes.to_owned())
                    }
                    _ => read(body).await,
                };
                (format!("{} {:?} {body}", parts.status, parts.headers), String::new())
            }
            Err(Failure::Guest(code)) => (format!("{code:?}"), String::new()),
            Err(Failure::Trap { reason, stage, .. }) => {
                let stage = stage.unwrap_or_default().replace(&format!("{}/", chain.pipeline), "test/");
                (format!("trap of {stage}"), reason)
            }
            Err(other) => (format!("{other:?}"), String::new()),
        }
    }

    /// Both answers, which must be the same.
    pub async fn compare(&mut self, what: &str, headers: &HeaderMap) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (component, why) = self.ask(&self.component, headers).await;
        let (direct, reason) = self.ask(&self.direct, headers).await;
        let broke =
            |one: &str, other: &str| one.strip_suffix(BROKE).is_some_and(|head| other.starts_with(head));
        let same = match (component.strip_prefix("trap of "), direct.strip_prefix("trap of ")) {
            // What the host reads later is nobody's there.
            (Some(""), Some(_)) => true,
            // In the component form, the stage in front has the answer when the one that gave it calls the next one.
            (None, Some(_)) if self.answers_first => true,
            // In the direct form, the stage in front may have the answer, and have given it on, before that.
            (Some("test/1:stage"), None) if self.lives_on => true,
            // The component form can't tell stages of one component apart, nor whose value was wrong between two stages.
            (Some(component), Some(direct)) => component.split(" or ").any(|stage| stage == direct),
            // The client leaves when its request is at the end, whatever the guest does meanwhile.
            _ if self.races && (component == "it left" || direct == "it left") => true,
            _ if component == direct => true,
            // The end of a body that the guest has written races with a trap behind it.
            _ if self.races => broke(&component, &direct) || broke(&direct, &component),
            // Wasmtime (48) ends the instance of a stage that has returned and still reads, when the host has something for it.
            _ => self.reads && broke(&component, &direct),
        };
        assert!(!reason.contains("disagrees with itself"), "{what}: {reason}");
        let (wrote, writes) = (self.component.lines(), self.direct.lines());
        self.parted = component != direct && !component.starts_with("trap of ");
        // A service may write more while its body is read.
        let same_lines = wrote == writes || self.races;
        if !same || !same_lines {
            self.differences.push(format!(
                "{what}:\n{component}\n{why}\n{wrote:#?}\n----\n{direct}\n{reason}\n{writes:#?}"
            ));
        }
        self.last = reason;
        self.outcome = match direct.as_bytes() {
            [b'0'..=b'9', ..] => 0,
            _ if direct.starts_with("trap of ") => 2,
            _ => 1,
        };
        self.said = direct;
    }
}

pub fn fields<V: AsRef<str>>(list: &[(&str, V)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.as_ref()).unwrap())
        })
        .collect()
}

pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
