//! What guests have the host keep for them: whatever it is made of, it has a bound, and the process stays within it.

use crate::chain_test;
use crate::harness::{
    Answer, Client, Gateway, Load, PROTOCOLS, Protocol, Setup, body, dist, drive, request, run,
};
use crate::swap::support::Served;
use http::Method;

/// `limits.host-memory` of the service, and with the default of the two stages that a case may have in front of it.
const FORMS: [&str; 2] = ["auto", "component"];
const BOUND: &str = "limits = { host-memory = \"8MiB\" }";
const MOST: u64 = (8 + 2 * 32) << 20;

/// What the allocator and the linear memories may take beside it.
const BESIDE: u64 = 64 << 20;

/// What `fault-service` has the host keep, and how often: far more than the bound, however small one is.
const KINDS: [(&str, &str); 10] = [
    ("fields", "8000"),
    ("append", "8000"),
    ("copies", "8000"),
    ("requests", "8000"),
    ("responses", "8000"),
    ("paths", "30000"),
    ("errors", "8000"),
    ("futures", "200000"),
    ("streams", "200000"),
    ("tasks", "50000"),
];

/// The same of `service-0-2`.
const KINDS_0_2: [(&str, &str); 7] = [
    ("fields", "8000"),
    ("append", "8000"),
    ("copies", "8000"),
    ("requests", "8000"),
    ("bodies", "20000"),
    ("trailers", "8000"),
    ("pollables", "200000"),
];

/// Asks for each of `kinds`: the instance ends, the log says why, and the next one serves.
fn each_is_bounded(setup: &Setup, field: &str, kinds: &[(&str, &str)]) {
    let gateway = Gateway::start(setup);
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        client.get("/", &[]).await.ok();
        for (kind, count) in kinds {
            gateway.forget_peak();
            let before = gateway.resident();
            let answer = client.get("/", &[(field, "hoard"), ("x-kind", kind), ("x-count", count)]).await;
            let grown = gateway.peak().saturating_sub(before);
            println!("{kind}: {} MiB", grown >> 20);
            assert!(grown < MOST + BESIDE, "{kind}: {} MiB more, and {answer:?}", grown >> 20);
            let line = gateway.reason(&answer.problem(500, "guest-trap"));
            let reason = line["reason"].as_str().unwrap();
            assert!(reason.contains("`limits.host-memory`"), "{kind}: {line}");
            assert!(line["stage"].as_str().is_some_and(|stage| stage.contains("service")), "{kind}: {line}");
            client.get("/", &[]).await.ok();
        }
    });
    gateway.stop();
}

chain_test! {
    /// Of each kind, a service keeps what it can.
    fn of_a_service(chain) {
        for form in FORMS {
            let pipeline = chain.pipeline("fault-service").form(form).service_with(BOUND);
            each_is_bounded(&Setup::of([pipeline.limit("cpu = \"20s\"")]), "x-fault", &KINDS);
        }
    }
}

chain_test! {
    /// The same of a service of WASI 0.2.
    fn of_a_service_of_0_2(chain) {
        let pipeline = chain.pipeline("service-0-2").service_with(BOUND).limit("cpu = \"20s\"");
        each_is_bounded(&Setup::of([pipeline]), "x-do", &KINDS_0_2);
    }
}

/// Keeping a little is nobody's fault: as much as fits, in each kind.
#[test]
fn what_fits_is_kept() {
    for form in FORMS {
        let pipeline = crate::harness::Pipeline::new("main", "fault-service").form(form).service_with(BOUND);
        let gateway = Gateway::start(&Setup::of([pipeline.limit("reuse = 1")]));
        run(async {
            let mut client = Client::connect(&gateway, Protocol::Http1).await;
            for (kind, count) in
                [("fields", "12"), ("copies", "12"), ("paths", "50"), ("errors", "100"), ("streams", "500")]
            {
                client.get("/", &[("x-fault", "hoard"), ("x-kind", kind), ("x-count", count)]).await.ok();
            }
        });
        gateway.stop();
    }
}

/// What all the bundled middleware keep under the default, with many requests at once, is a small part of it; and the
/// metrics tell who keeps too much.
#[test]
fn ordinary_guests_are_far_from_it() {
    let middleware = [
        ("cors", "config = { origins = \"https://app.example\" }"),
        ("request-id", "grant = { random = true }"),
        ("security-headers", ""),
        ("rate-limit", "config = { rate = \"1000000/s\" }"),
        ("pass-through-async", ""),
    ];
    let mut text = "[[routes]]\npipeline = \"main\"\n[[routes]]\npath = \"/faults\"\npipeline = \"faults\"\n\
                    [pipelines.faults]\nservice = { component = \"fault-service\", grant = { clocks = true } }\n\
                    [pipelines.main]\nlink = \"dynamic\"\nservice = { component = \"echo\" }\n"
        .to_owned();
    for (name, keys) in middleware {
        text += &format!("[[pipelines.main.stages]]\ncomponent = \"{name}\"\n{keys}\n");
    }
    for name in [
        "cors",
        "request-id",
        "security-headers",
        "rate-limit",
        "pass-through-async",
        "echo",
        "fault-service",
    ] {
        text += &format!("[components.{name}]\npath = {:?}\n", dist(name));
    }
    let served = Served::start("", &text);
    run(async {
        for protocol in PROTOCOLS {
            let post = |_| request(Method::POST, "/", &[], body::stream(100_000).1);
            let check = |_, answer: hyper::Result<Answer>| drop(answer.unwrap().ok());
            drive(&served.gateway, protocol, Load::requests(32, 4_000), post, check).await;
        }
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        client.get("/faults", &[("x-fault", "hoard"), ("x-kind", "fields")]).await.problem(500, "guest-trap");
        let traps = "linkspan_traps_total{kind=\"host-memory\",linkspan_pipeline=";
        assert_eq!(served.metric(&format!("{traps}\"main\"}}")).await, 0.0);
        assert_eq!(served.metric(&format!("{traps}\"faults\"}}")).await, 1.0);
        let peak = "linkspan_instance_host_memory_peak_bytes{linkspan_pipeline=";
        let most = served.metric(&format!("{peak}\"main\"}}")).await;
        assert!(most > 0.0 && most < f64::from(4 << 20), "{most}");
        assert!(served.metric(&format!("{peak}\"faults\"}}")).await > f64::from(16 << 20));
    });
    served.gateway.stop();
}

/// An instance whose requests overlap, so that it never rests, leaves tasks behind in Wasmtime's table at each call
/// from guest to guest: it is replaced before the table is full, and no request notices.
#[test]
fn a_busy_instance_is_replaced_before_it_is_full() {
    const KEYS: &str = "limits = { host-memory = \"2MiB\" }";
    let pipeline = |link: &str| {
        let pipeline = crate::harness::Pipeline::new(link, "empty").link(link).service_with(KEYS);
        let pipeline = pipeline.stage_with("pass-through-async", KEYS).route(&format!("path = \"/{link}\""));
        pipeline.limit("instances = 1").limit("reuse = 1000000").limit("concurrency = 8")
    };
    let gateway = Gateway::start(&Setup::of(["static", "dynamic"].map(pipeline)));
    run(async {
        for path in ["/static", "/dynamic"] {
            let get = move |_| request(Method::GET, path, &[], body::whole(""));
            let check = |_, answer: hyper::Result<Answer>| drop(answer.unwrap().ok());
            drive(&gateway, Protocol::Http1, Load::requests(16, 4_000), get, check).await;
        }
    });
    assert_eq!(gateway.count(|line| line["level"] == "WARN"), 0, "{:#?}", gateway.log());
    gateway.stop();
}
