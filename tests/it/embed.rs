//! Pipelines inside of another program: called as `tower` services, around services of the program, from any thread.

#![allow(clippy::disallowed_methods, reason = "a program's tasks go to its threads as they like")]

use crate::harness::body::{self, TestBody};
use crate::harness::{SOON, dist, repository, soon};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use linkspan::embed::{Body, Gateway, Layer, Pipeline, Service, Stage};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll};
use tokio::time::timeout;
use tower::{Layer as _, ServiceExt as _, service_fn};

/// Runs a test on a runtime as applications have it.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { timeout(3 * SOON, test).await.expect("in time") });
}

pub fn stage(component: &str) -> Stage {
    Stage::new(component, dist(component))
}

fn hello(greeting: &str) -> Pipeline {
    Pipeline::new("main").service(stage("hello").config("greeting", greeting))
}

fn get(path: &str) -> Request<TestBody> {
    Request::get(path).body(body::empty()).unwrap()
}

pub async fn ask(service: &Service, request: Request<TestBody>) -> Response<Body> {
    timeout(SOON, service.clone().oneshot(request)).await.expect("in time").unwrap()
}

pub async fn text(response: Response<Body>) -> String {
    let bytes =
        timeout(SOON, response.into_body().collect()).await.expect("in time").expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The kind of a problem that the gateway answered.
async fn problem(response: Response<Body>) -> String {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    problem["type"].as_str().unwrap().trim_start_matches("urn:linkspan:problem:").to_owned()
}

/// A static and a dynamic middleware in front of whatever is wrapped.
fn layer() -> Layer {
    Pipeline::new("main")
        .stage(stage("key-auth").config("keys.alice", "s3cret"))
        .stage(stage("request-id").grant("random", true).set("link", "dynamic"))
        .layer()
        .unwrap()
}

#[test]
fn tasks_of_many_threads_call_a_pipeline() {
    let service = Pipeline::new("main")
        .stage(stage("request-id").grant("random", true))
        .service(Stage::new("hello", std::fs::read(dist("hello")).unwrap()).config("greeting", "Hi"))
        .build()
        .unwrap();
    run(async {
        let tasks: Vec<_> = (0..64)
            .map(|at| {
                let service = service.clone();
                tokio::spawn(async move {
                    let id = format!("id-{at}");
                    let request =
                        Request::get("/x?y").header("x-request-id", &id).body(body::empty()).unwrap();
                    let response = ask(&service, request).await;
                    assert_eq!(
                        (response.status(), field(response.headers(), "x-request-id")),
                        (StatusCode::OK, &*id)
                    );
                    assert_eq!(text(response).await, "Hi\n");
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let made = ask(&service, get("https://example.com/")).await;
        assert_eq!(made.headers()["x-request-id"].len(), 32);
    });
}

#[test]
fn bodies_and_trailers_stream_both_ways() {
    let service = Pipeline::new("main")
        .stage(stage("pass-through-async").set("link", "dynamic"))
        .service(stage("echo"))
        .limit("request-body", "1GiB")
        .build()
        .unwrap();
    run(async {
        let (_, body) = body::stream(5 << 20);
        let back = ask(&service, Request::post("/").body(body).unwrap()).await;
        let back = back.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body::digest_of(&back), body::digest(5 << 20));

        let (feeder, body) = body::channel();
        let response = ask(&service, Request::post("/").body(body).unwrap()).await;
        let mut back = response.into_body();
        for part in ["one", "two"] {
            feeder.send(Frame::data(part.into())).await.unwrap();
            let frame = timeout(SOON, back.frame()).await.expect("in time").unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), part);
        }
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "3".parse().unwrap())]);
        feeder.send(Frame::trailers(trailers)).await.unwrap();
        drop(feeder);
        let rest = timeout(SOON, back.collect()).await.expect("in time").unwrap();
        assert_eq!(rest.trailers().unwrap()["x-sum"], "3");
    });
}

#[test]
fn nobody_reads_ahead_and_who_leaves_is_noticed() {
    let service = Pipeline::new("main").service(stage("echo")).limit("request-body", "1GiB").build().unwrap();
    run(async {
        let (taken, body) = body::stream(1 << 30);
        let response = ask(&service, Request::post("/").body(body).unwrap()).await;
        // It rests once the queues between are full.
        let mut before = u64::MAX;
        while taken.load(Ordering::Relaxed) != before {
            before = taken.load(Ordering::Relaxed);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        assert!(before < 32 << 20, "{before} bytes were taken for nobody");
        drop(response);
        // The body is dropped with its response.
        soon("the body is let go", || Arc::strong_count(&taken) == 1).await;
    });
}

#[test]
fn a_service_behind_stages_gets_what_they_make_of_a_request() {
    let seen = Arc::new(Mutex::new(None));
    let see = Arc::clone(&seen);
    let service = layer().layer(service_fn(move |request: Request<Body>| {
        let see = Arc::clone(&see);
        async move {
            let (parts, body) = request.into_parts();
            *see.lock().unwrap() = Some((parts, tokio::runtime::Handle::current().id()));
            let response =
                Response::builder().status(201).header("x-own", "yes").header("connection", "close");
            Ok::<_, Infallible>(response.body(body).unwrap())
        }
    }));
    run(async {
        assert_eq!(ask(&service, get("/")).await.status(), 401);
        assert!(seen.lock().unwrap().is_none());

        let (_, body) = body::stream(300_000);
        let mut request =
            Request::put("http://example.com:81/a?b").header("x-api-key", "s3cret").body(body).unwrap();
        request.extensions_mut().insert("an extension");
        let response = ask(&service, request).await;
        assert_eq!((response.status(), field(response.headers(), "x-own")), (StatusCode::CREATED, "yes"));
        assert!(!response.headers().contains_key("connection"));
        let id = response.headers()["x-request-id"].clone();
        let back = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body::digest_of(&back), body::digest(300_000));

        let (parts, runtime) = seen.lock().unwrap().take().unwrap();
        assert_eq!((parts.method, parts.uri.to_string()), (Method::PUT, "/a?b".to_owned()));
        assert_eq!(
            (field(&parts.headers, "x-consumer"), field(&parts.headers, "host")),
            ("alice", "example.com:81")
        );
        assert_eq!((parts.headers["x-request-id"].clone(), parts.headers.get("x-api-key")), (id, None));
        assert_eq!(parts.extensions.get::<&str>(), Some(&"an extension"));
        assert_eq!(runtime, tokio::runtime::Handle::current().id(), "it runs where its caller does");
    });
}

#[test]
fn a_service_that_fails_or_is_late_is_answered_for() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let fail = service_fn(move |request: Request<Body>| {
        let count = Arc::clone(&count);
        async move {
            match request.uri().path() {
                "/error" => Err("as asked"),
                "/panic" => panic!("as asked"),
                _ => {
                    let _guard = Counted(count);
                    pending::<Result<Response<Full<Bytes>>, &str>>().await
                }
            }
        }
    });
    let service =
        Pipeline::new("main").stage(stage("pass-through-sync")).limit("deadline", "2s").around(fail).unwrap();
    run(async {
        for path in ["/error", "/panic"] {
            assert_eq!(problem(ask(&service, get(path)).await).await, "guest-error", "{path}");
        }
        assert_eq!(problem(ask(&service, get("/late")).await).await, "deadline");
        soon("its future is dropped", || dropped.load(Ordering::Relaxed) == 1).await;
        // Who leaves takes it along.
        let call = tokio::spawn(service.clone().oneshot(get("/left")));
        tokio::task::yield_now().await;
        call.abort();
        soon("its future is dropped, or never was", || {
            let gone = Arc::strong_count(&dropped) <= 2;
            gone || dropped.load(Ordering::Relaxed) == 2
        })
        .await;
    });
}

/// A body of the program that panics when it is read.
struct Panics;

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        panic!("as asked")
    }
}

/// A guest reads it, and its instance is gone then: whoever comes next has another one.
#[test]
fn a_body_that_panics_ends_the_instance_that_reads_it() {
    let pipeline = Pipeline::new("main").service(stage("fault-service").grant("clocks", true));
    let service = pipeline.limit("instances", 1).build().unwrap();
    run(async {
        for round in 0..3 {
            let read = |body| Request::post("/").header("x-fault", "read-body").body(body).unwrap();
            let broken = ask(&service, read(Panics.boxed_unsync())).await;
            assert_eq!(problem(broken).await, "guest-trap", "{round}");
            assert_eq!(text(ask(&service, read(body::whole("hello"))).await).await, "5", "{round}");
        }
    });
}

/// Counts its own end.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_stage_that_fails_is_bypassed_in_front_of_a_service() {
    let fault = |link: &str| {
        let fault = stage("fault-middleware").grant("clocks", true);
        fault.set("link", "dynamic").set("on-failure", link)
    };
    let echo = service_fn(|request: Request<Body>| async move {
        let value = request.headers()["x-kept"].clone();
        Ok::<_, Infallible>(Response::builder().header("x-kept", value).body(request.into_body()).unwrap())
    });
    let service = Pipeline::new("main").stage(fault("bypass")).around(echo).unwrap();
    run(async {
        let request = Request::post("/").header("x-kept", "1").header("x-middleware-fault", "trap");
        let response = ask(&service, request.body(body::whole("hello")).unwrap()).await;
        let bypassed = response.headers()["linkspan-bypassed"].to_str().unwrap();
        assert_eq!((bypassed, field(response.headers(), "x-kept")), ("main/0:fault-middleware", "1"));
        assert_eq!(text(response).await, "hello");
    });
}

#[test]
fn limits_hold() {
    let service = Pipeline::new("main").service(stage("echo")).limit("request-body", "1KiB").build().unwrap();
    run(async {
        let large = |body| Request::post("/").body(body).unwrap();
        assert_eq!(
            problem(ask(&service, large(body::whole(vec![0; 2000]))).await).await,
            "payload-too-large"
        );
        let bad = Request::get("/%").body(body::empty()).unwrap();
        assert_eq!(problem(ask(&service, bad).await).await, "bad-request");
    });
    let fault = || stage("fault-service").grant("clocks", true);
    let faulty = |fault| Request::get("/").header("x-fault", fault).body(body::empty()).unwrap();
    let service = Pipeline::new("main").service(fault()).limit("deadline", "200ms").build().unwrap();
    run(async {
        assert_eq!(problem(ask(&service, faulty("hang")).await).await, "deadline");
    });
    let service =
        Pipeline::new("main").service(fault().limit("memory", "8MiB")).limit("cpu", "50ms").build().unwrap();
    run(async {
        for fault in ["trap", "loop", "allocate"] {
            assert_eq!(problem(ask(&service, faulty(fault)).await).await, "guest-trap", "{fault}");
        }
        assert_eq!(ask(&service, get("/")).await.status(), 200);
    });
    let gateway = Gateway::builder()
        .pipeline(
            Pipeline::new("main")
                .service(fault())
                .limit("instances", 1)
                .limit("concurrency", 1)
                .limit("queue", 0),
        )
        .set("gateway.workers", 1)
        .build()
        .unwrap();
    run(async {
        let service = gateway.service("main").unwrap();
        let hold = service.clone();
        // It may find the place taken itself.
        let held = tokio::spawn(async move {
            while hold.clone().oneshot(faulty("hang")).await.unwrap().status() == 503 {}
        });
        // The place is taken sooner or later, and then nobody waits for it.
        let mut refused = ask(&service, get("/")).await;
        while refused.status() == 200 {
            refused = ask(&service, get("/")).await;
        }
        assert_eq!(problem(refused).await, "no-capacity");
        held.abort();
    });
}

/// A service whose clones wait until they are let go: what clones it stands still.
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Clone for Gate {
    fn clone(&self) -> Self {
        let (open, opened) = &*self.0;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        Self(Arc::clone(&self.0))
    }
}

impl tower::Service<Request<Body>> for Gate {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Ok(Response::default()))
    }
}

#[test]
fn the_queue_of_a_worker_is_bounded() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let gateway = Gateway::builder()
        .pipeline(Pipeline::new("main").stage(stage("pass-through-sync")).native("gate"))
        .native("gate", Gate(Arc::clone(&gate)))
        .set("gateway.workers", 1)
        .set("gateway.calls", 2)
        .build()
        .unwrap();
    let service = gateway.service("main").unwrap();
    run(async {
        let mut calls = tokio::task::JoinSet::new();
        // The first one stops the worker, sooner or later; two more find a place.
        let mut refused = 0;
        for _ in 0..200 {
            let mut service = service.clone();
            let call = tower::Service::call(&mut service, get("/"));
            calls.spawn(call);
            tokio::task::yield_now().await;
        }
        soon("some are refused", || {
            while let Some(answer) = calls.try_join_next() {
                assert_eq!(answer.unwrap().unwrap().status(), 503);
                refused += 1;
            }
            refused > 0
        })
        .await;
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        let mut served = 0;
        while let Some(answer) = calls.join_next().await {
            match answer.unwrap().unwrap().status().as_u16() {
                200 => served += 1,
                status => assert_eq!(status, 503),
            }
        }
        assert!(served >= 2, "{served} were served");
    });
}

#[test]
fn metrics_have_the_state_of_breakers() {
    let failing =
        stage("fault-service").grant("clocks", true).set("link", "dynamic").set("breaker.failures", 1);
    let failing = failing.set("breaker.then", "close").set("breaker.open", "1h");
    let gateway = Gateway::builder().pipeline(Pipeline::new("main").service(failing)).build().unwrap();
    run(async {
        let request = Request::get("/").header("x-fault", "trap").body(body::empty()).unwrap();
        assert_eq!(ask(&gateway.service("main").unwrap(), request).await.status(), 500);
        let metrics = gateway.metrics();
        let open = |line: &str| line.starts_with("linkspan_breaker_open{") && line.ends_with(" 1");
        assert!(metrics.lines().any(open), "{metrics}");
    });
}

#[test]
fn a_gateway_follows_its_routes() {
    let text = format!(
        "components.hello.path = {:?}\n[pipelines.one]\nservice = {{ component = \"hello\", config = {{ greeting = \
         \"one\" }} }}\n[[routes]]\npath = \"/one\"\npipeline = \"one\"\n",
        dist("hello")
    );
    let two = Pipeline::new("two").service(Stage::new("hello-two", dist("hello")));
    let gateway = Gateway::builder().toml(text).pipeline(two).build().unwrap();
    run(async {
        let routes = gateway.routes();
        assert_eq!(self::text(ask(&routes, get("/one")).await).await, "one\n");
        assert_eq!(problem(ask(&routes, get("/two")).await).await, "no-route");
        assert_eq!(self::text(ask(&gateway.service("two").unwrap(), get("/x")).await).await, "Hello!\n");
        assert!(gateway.service("three").is_none());
        let metrics = gateway.metrics();
        assert!(metrics.contains("=\"one\"") && metrics.contains("=\"two\""), "{metrics}");
    });
}

/// The file is served by `linkspan serve` and by a program.
#[test]
fn the_example_of_two_variants_runs() {
    let file = repository().join("pipelines/ab.toml");
    let gateway = Gateway::builder().file(file).set("gateway.workers", 1).build().unwrap();
    run(async {
        for (variant, version) in [("a", "stable"), ("b", "next")] {
            let request = Request::get("/").header("x-variant", variant).body(body::empty()).unwrap();
            let response = ask(&gateway.routes(), request).await;
            assert_eq!(field(response.headers(), "x-content-type-options") == "nosniff", variant == "b");
            assert_eq!(text(response).await, format!("Hello from the {version} version.\n"));
        }
    });
}

#[test]
fn a_configuration_is_replaced_while_it_serves() {
    let gateway = Gateway::builder().pipeline(Pipeline::new("main").service(stage("echo"))).build().unwrap();
    let service = gateway.service("main").unwrap();
    run(async {
        let (feeder, body) = body::channel();
        let mut old = ask(&service, Request::post("/").body(body).unwrap()).await.into_body();
        let replace = |by: Pipeline| {
            let (gateway, builder) = (gateway.clone(), Gateway::builder().pipeline(by));
            tokio::task::spawn_blocking(move || gateway.replace(builder))
        };
        assert!(replace(hello("new")).await.unwrap().unwrap());
        assert!(!replace(hello("new")).await.unwrap().unwrap(), "nothing changed");
        assert_eq!(text(ask(&service, get("/")).await).await, "new\n");
        // What began before goes on.
        feeder.send(Frame::data("old".into())).await.unwrap();
        drop(feeder);
        let frame = timeout(SOON, old.frame()).await.expect("in time").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "old");
        assert!(timeout(SOON, old.collect()).await.expect("in time").unwrap().to_bytes().is_empty());

        let wrong = replace(hello("newer").set("link", "elastic")).await.unwrap();
        assert!(wrong.unwrap_err().to_string().contains("unknown link `elastic`"));
        assert_eq!(text(ask(&service, get("/")).await).await, "new\n");
        assert!(!gateway.clone().reload().unwrap(), "a reload is of what was live");

        // Another service of the same name is another one.
        let answer = |text: &'static str| {
            let service = service_fn(move |_: Request<Body>| async move {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(text.as_bytes()))))
            });
            let main = Pipeline::new("main").stage(stage("pass-through-sync")).native("app");
            Gateway::builder().pipeline(main).native("app", service)
        };
        for expected in ["first", "second"] {
            assert!(gateway.replace(answer(expected)).unwrap());
            assert_eq!(text(ask(&service, get("/")).await).await, expected);
        }
    });
}

/// A service in front of which no stage applies ends with its generation, too: before it has answered, and in the midst
/// of its answer.
#[test]
fn a_service_of_a_replaced_generation_is_cut() {
    let (begun, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begins, counted) = (Arc::clone(&begun), Arc::clone(&gone));
    let service = service_fn(move |request: Request<Body>| {
        let hangs = (request.uri().path() == "/hang").then(|| {
            begins.fetch_add(1, Ordering::Relaxed);
            Counted(Arc::clone(&counted))
        });
        async move {
            if hangs.is_some() {
                pending::<()>().await;
            }
            // The answer to a body that stalls stalls, too.
            Ok::<_, Infallible>(Response::new(request.into_body()))
        }
    });
    let idle = stage("pass-through-sync").set("when.path", "/never");
    let main = Pipeline::new("main")
        .stage(idle)
        .native("app")
        .limit("deadline", "10m")
        .limit("body-idle-timeout", "10m");
    let builder =
        Gateway::builder().pipeline(main).native("app", service).set("gateway.retire-timeout", "100ms");
    let gateway = builder.build().unwrap();
    let service = gateway.service("main").unwrap();
    run(async {
        let asked = service.clone();
        let waiting = tokio::spawn(async move { asked.oneshot(get("/hang")).await.unwrap() });
        soon("the service is asked", || begun.load(Ordering::Relaxed) > 0).await;
        let (_feeder, body) = body::channel();
        let mut streaming = ask(&service, Request::post("/").body(body).unwrap()).await.into_body();
        let replacing = gateway.clone();
        let replaced = move || {
            replacing
                .replace(Gateway::builder().pipeline(hello("new")).set("gateway.retire-timeout", "100ms"))
        };
        assert!(tokio::task::spawn_blocking(replaced).await.unwrap().unwrap());
        assert_eq!(problem(timeout(SOON, waiting).await.expect("in time").unwrap()).await, "deadline");
        assert!(timeout(SOON, streaming.frame()).await.expect("in time").unwrap().is_err());
        soon("the service's future is gone", || gone.load(Ordering::Relaxed) > 0).await;
        assert_eq!(text(ask(&service, get("/")).await).await, "new\n");
    });
}

#[test]
fn what_is_wrong_is_told_as_for_a_file() {
    let told = |pipeline: Pipeline| pipeline.build().err().expect("mistakes").to_string();
    let wrong = told(
        Pipeline::new("main")
            .stage(stage("request-id").set("limmits.memory", "1MiB"))
            .service(stage("hello").config("greeting", "hunter2").limit("memory", "lots")),
    );
    for part in
        ["unknown key `limmits`", "did you mean `limits`?", "--> embedded.toml:", "memory = \"lots\"", "^^^"]
    {
        assert!(wrong.contains(part), "{part}:\n{wrong}");
    }
    assert!(!wrong.contains("hunter2"), "{wrong}");
    let wrong = told(Pipeline::new("main").stage(stage("request-id")).service(stage("hello")));
    assert!(wrong.contains("imports `wasi:random/random@0.3.0` and has no grant for it"), "{wrong}");
    let wrong = told(Pipeline::new("main").stage(stage("request-id")).native("app"));
    assert!(wrong.contains("there is no native service `app`") && wrong.contains("`inner`"), "{wrong}");
    let wrong = told(Pipeline::new("main").native("inner"));
    assert!(wrong.contains("a pipeline with a native service needs a stage"), "{wrong}");
    let wrong = told(Pipeline::new("main").service(Stage::new("hello", b"no component".to_vec())));
    assert!(wrong.contains("component `hello` can't be used"), "{wrong}");
    let twice = hello("one").stage(Stage::new("hello", dist("request-id")));
    assert!(told(twice).contains("duplicate key"));
    let wrong =
        Gateway::builder().pipeline(hello("one")).pipeline(hello("two")).build().err().expect("mistakes");
    assert!(wrong.to_string().contains("duplicate key"), "{wrong}");
    let wrong = Gateway::builder().file("/no/such/file.toml").build().err().expect("mistakes").to_string();
    assert!(wrong.contains("cannot read the configuration file"), "{wrong}");
}

#[test]
fn nothing_is_left_of_a_gateway_that_is_dropped() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let service = Pipeline::new("main").stage(stage("pass-through-sync"));
    let gateway = Gateway::builder()
        .pipeline(service.native("app"))
        .native(
            "app",
            service_fn(move |_: Request<Body>| {
                let _held = Arc::clone(&held);
                std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
            }),
        )
        .build()
        .unwrap();
    run(async {
        let service = gateway.service("main").unwrap();
        assert_eq!(ask(&service, get("/")).await.status(), 200);
        drop((gateway, service));
        soon("the workers end", || Arc::strong_count(&alive) == 1).await;
    });
}
