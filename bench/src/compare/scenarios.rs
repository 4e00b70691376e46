//! The scenarios: the same work for each server.

use super::configs::{Answer, Chain, Stage};
use super::filter::{Filter, KEY};
use super::real::{CONSUMER, ORIGIN, RATE, Real};
use super::scenario::{Scenario, Setup};
use crate::wire::{Ask, Protocol};
use hyper::body::Bytes;

/// No-op middleware, in front of a service without a body.
fn no_ops(component: &'static str, count: usize) -> Chain {
    Chain::new(Stage::times(component, count), "empty")
}

const NO_FILTER: (Filter, usize) = (Filter::Nothing, 0);
const SYNC: &str = "pass-through-sync";
const ASYNC: &str = "pass-through-async";

/// All of them, in the order in which they run.
pub fn all() -> Vec<Scenario> {
    let mut all = vec![service(Answer::Empty), service(Answer::Hello)];
    all.extend([1, 4, 8, 16].map(chain));
    all.extend([links(), real(), fresh()]);
    all.extend([("64 KiB", 64 << 10), ("1 MiB", 1 << 20)].map(|(size, bytes)| echo(size, bytes)));
    all.extend([tls("tls-h1", Protocol::Tls, false), tls("tls-h2", Protocol::Http2, false)]);
    all.push(upstream());
    all.push(tls("tls-handshake", Protocol::Tls, true));
    all
}

fn service(answer: Answer) -> Scenario {
    let (name, title, service) = match answer {
        Answer::Hello => ("service", "A service alone, a short text", "hello"),
        _ => ("service-empty", "A service alone, no body", "empty"),
    };
    let chain = Chain::new(Vec::new(), service);
    Scenario::new(name, title, Protocol::Plain, Ask::get("/"))
        .contender("linkspan", Setup::Linkspan(chain.clone()))
        .contender("wasmtime serve", Setup::Wasmtime(chain, &[]))
        .contender("Envoy, direct response", Setup::Envoy(answer, NO_FILTER))
        .contender("nginx, return", Setup::Nginx(answer))
        .contender("HAProxy, return", Setup::Haproxy(answer))
}

fn chain(count: usize) -> Scenario {
    let title = format!("{count} no-op middleware");
    let mut scenario = Scenario::new(&format!("chain-{count}"), &title, Protocol::Plain, Ask::get("/"))
        .contender("linkspan, sync", Setup::Linkspan(no_ops(SYNC, count)))
        .contender("linkspan, async rewritten", Setup::Linkspan(no_ops(ASYNC, count).with("lift = \"sync\"")))
        .contender("linkspan, async as it is", Setup::Linkspan(no_ops(ASYNC, count).with("lift = \"as-is\"")))
        .contender("wasmtime serve, sync", Setup::Wasmtime(no_ops(SYNC, count), &[]))
        .contender("wasmtime serve, async", Setup::Wasmtime(no_ops(ASYNC, count), &[]))
        .contender("Envoy, wasm filters", Setup::Envoy(Answer::Empty, (Filter::Nothing, count)));
    if count == 1 {
        // The cost of the same separation between processes.
        scenario.behind = Some(Answer::Empty);
        scenario = scenario.contender("nginx, one loopback hop", Setup::Nginx(Answer::Behind));
    }
    scenario
}

/// The CPU of the server behind all of them does not count.
fn upstream() -> Scenario {
    let mut scenario =
        Scenario::new("upstream", "A proxy of an nginx, a short text", Protocol::Plain, Ask::get("/"))
            .contender("linkspan", Setup::Linkspan(Chain::proxy(Vec::new())))
            .contender("linkspan, a sync no-op", Setup::Linkspan(Chain::proxy(Stage::times(SYNC, 1))))
            .contender("nginx", Setup::Nginx(Answer::Behind))
            .contender("Envoy", Setup::Envoy(Answer::Behind, NO_FILTER))
            .contender("Envoy, a no-op filter", Setup::Envoy(Answer::Behind, (Filter::Nothing, 1)))
            .contender("HAProxy", Setup::Haproxy(Answer::Behind));
    scenario.behind = Some(Answer::Hello);
    scenario
}

fn links() -> Scenario {
    let dynamic = |component| Setup::Linkspan(no_ops(component, 8).with("link = \"dynamic\""));
    Scenario::new("links-8", "8 no-op middleware, each in a store of its own", Protocol::Plain, Ask::get("/"))
        .contender("linkspan, static, sync", Setup::Linkspan(no_ops(SYNC, 8)))
        .contender("linkspan, dynamic, sync", dynamic(SYNC))
        .contender("linkspan, dynamic, async", dynamic(ASYNC))
        .contender("Envoy, wasm filters", Setup::Envoy(Answer::Empty, (Filter::Nothing, 8)))
}

fn real() -> Scenario {
    let stages = |in_place: bool| {
        let components = match in_place {
            false => ["request-id", "security-headers", "cors", "key-auth", "rate-limit"],
            true => [
                "request-id-in-place",
                "security-headers-in-place",
                "cors-in-place",
                "key-auth-in-place",
                "rate-limit-in-place",
            ],
        };
        let keys = [
            ", grant = { random = true }".to_owned(),
            String::new(),
            format!(", config = {{ origins = [\"{ORIGIN}\"] }}"),
            format!(", config = {{ keys = {{ {CONSUMER} = \"{KEY}\" }} }}"),
            format!(", config = {{ rate = \"{RATE}/s\" }}"),
        ];
        components.into_iter().zip(keys).map(|(component, keys)| Stage { component, keys }).collect()
    };
    let mut ask = Ask::get("/");
    ask.fields = vec![
        ("origin", ORIGIN.to_owned()),
        ("x-api-key", KEY.to_owned()),
        ("x-request-id", "bench".to_owned()),
    ];
    let chain = |in_place| Chain::new(stages(in_place), "hello");
    let title = "5 real middleware: request id, security headers, CORS, key, rate limit";
    Scenario::new("real-5", title, Protocol::Plain, ask)
        .contender("linkspan, static", Setup::Linkspan(chain(false)))
        .contender("linkspan, static, in place", Setup::Linkspan(chain(true)))
        .contender("linkspan, dynamic", Setup::Linkspan(chain(false).with("link = \"dynamic\"")))
        .contender("Envoy, wasm filters", Setup::EnvoyReal(Real::Wasm))
        // Envoy tells the state of its limiter in fields of other names.
        .contender_like("native", "Envoy, its own filters", Setup::EnvoyReal(Real::Native))
}

fn fresh() -> Scenario {
    let isolated = |component| Setup::Linkspan(no_ops(component, 8).with("isolation = \"request\""));
    // A fresh instance for every request needs as many instances as there are requests at once, and those made ahead.
    let once: &[&str] = &["--max-instance-reuse-count", "1", "--max-instance-concurrent-reuse-count", "1"];
    let title = "8 no-op middleware, made anew for every request";
    Scenario::new("fresh-8", title, Protocol::Plain, Ask::get("/"))
        .contender("linkspan, sync", isolated(SYNC))
        .contender("linkspan, async", isolated(ASYNC))
        .contender("wasmtime serve, sync", Setup::Wasmtime(no_ops(SYNC, 8), once))
        .contender("wasmtime serve, async", Setup::Wasmtime(no_ops(ASYNC, 8), once))
}

fn echo(size: &str, bytes: usize) -> Scenario {
    let chain = |component| Chain::new(Stage::times(component, 4), "echo");
    let mut ask = Ask::get("/");
    (ask.method, ask.body) = ("POST", Bytes::from(vec![b'x'; bytes]));
    let name = format!("echo-{}", size.replace(' ', ""));
    Scenario::new(&name, &format!("An echo of {size} through 4 no-op middleware"), Protocol::Plain, ask)
        .contender("linkspan, sync", Setup::Linkspan(chain(SYNC)))
        .contender("linkspan, async", Setup::Linkspan(chain(ASYNC)))
        .contender("wasmtime serve, sync", Setup::Wasmtime(chain(SYNC), &[]))
        .contender("wasmtime serve, async", Setup::Wasmtime(chain(ASYNC), &[]))
}

fn tls(name: &str, protocol: Protocol, fresh: bool) -> Scenario {
    let title = match (protocol, fresh) {
        (_, true) => "A full TLS handshake for every request",
        (Protocol::Http2, _) => "A service alone over TLS, HTTP/2",
        _ => "A service alone over TLS, HTTP/1.1",
    };
    let mut scenario = Scenario::new(name, title, protocol, Ask::get("/"))
        .contender("linkspan", Setup::Linkspan(Chain::new(Vec::new(), "hello")))
        .contender("nginx, return", Setup::Nginx(Answer::Hello))
        .contender("Envoy, direct response", Setup::Envoy(Answer::Hello, NO_FILTER))
        .contender("HAProxy, return", Setup::Haproxy(Answer::Hello));
    scenario.fresh = fresh;
    scenario
}
