//! A gateway under load, whose traces go to a receiver that decodes them with OpenTelemetry's own messages (PyPI
//! `opentelemetry-proto`) and judges each: five stages in front of an upstream, in every link and form.

use crate::harness::{Client, Load, Protocol, SOON, drive, python, repository, run};
use crate::swap::support::Served;
use crate::upstream::support::Origin;
use http::Request;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PACKAGE: &str = "opentelemetry-proto==1.45.2";
const ADVICE: &str = "PyPI: opentelemetry-proto";

/// The receiver's process.
struct Collector {
    child: Child,
    address: SocketAddr,
}

impl Collector {
    /// `None` where there is no Python with the package.
    fn start() -> Option<Self> {
        let python = python("opentelemetry.proto.trace.v1.trace_pb2", &[PACKAGE], ADVICE)?;
        let mut child = Command::new(python)
            .arg(repository().join("tests/it/traces/collector.py"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap();
        Some(Self { child, address: ([127, 0, 0, 1], port).into() })
    }

    /// What it makes of the traces until now.
    async fn judge(&self) -> Value {
        let mut client = Client::open(self.address, Protocol::Http1).await;
        serde_json::from_slice(&client.get("/judge", &[]).await.body).unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each kind of chain, in a pipeline of its name.
fn pipelines() -> Vec<(&'static str, String)> {
    let real = |more: [&str; 5]| {
        let keys = [
            ("request-id", ", grant = { random = true }"),
            ("security-headers", ""),
            ("cors", ", config = { origins = ['https://app.example'] }"),
            ("key-auth", ", config = { keys = { demo = 'demo-key' } }"),
            ("rate-limit", ", config = { rate = '1000000/s' }"),
        ];
        let stages = keys.iter().zip(more);
        stages
            .map(|((name, keys), more)| format!("{{ component = 'std:{name}'{keys}{more} }}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let dynamic = ", link = 'dynamic'";
    let rewritten = ["{ component = \"pass-through-async\" }"; 5].join(", ");
    vec![
        ("direct", format!("stages = [{}]", real([""; 5]))),
        ("component", format!("form = 'component'\nstages = [{}]", real([""; 5]))),
        ("dynamic", format!("link = 'dynamic'\nstages = [{}]", real([""; 5]))),
        ("mixed", format!("stages = [{}]", real(["", "", dynamic, "", dynamic]))),
        ("rewritten", format!("lift = 'sync'\nstages = [{rewritten}]")),
    ]
}

#[test]
fn traces_under_load_are_whole_for_a_receiver_of_opentelemetry_s() {
    let Some(collector) = Collector::start() else { return };
    let origin = Origin::start();
    let mut text = format!(
        "[telemetry]\nsample = 0.2\nsample-max = 1000000\nstages = true\nendpoint = 'http://{}'\n\
         resource = {{ \"service.name\" = 'edge' }}\n[upstreams.backend]\nservers = [{:?}]\n",
        collector.address,
        origin.url()
    );
    for (name, pipeline) in pipelines() {
        text += &format!(
            "[pipelines.{name}]\n{pipeline}\nupstream = 'backend'\n\n\
             [[routes]]\npath = '/{name}'\npipeline = '{name}'\n\n"
        );
    }
    let served = Served::start("", &text);
    let names: Vec<_> = pipelines().into_iter().map(|(name, _)| name).collect();
    let load = |time: Duration| {
        let names = names.clone();
        let make = move |number: u64| {
            let name = names[usize::try_from(number).unwrap() % names.len()];
            let request = Request::get(format!("/{name}/{number}")).header("host", "localhost");
            request.header("x-api-key", "demo-key").body(crate::harness::body::empty()).unwrap()
        };
        drive(&served.gateway, Protocol::Http1, Load::time(16, time), make, |number, answer| {
            let answer = answer.unwrap_or_else(|error| panic!("request {number}: {error}"));
            assert_eq!(answer.status, 200, "request {number}");
        })
    };
    run(async {
        // Until the ways of observed requests are made, beside the load, traces lack stages.
        let started = Instant::now();
        loop {
            load(Duration::from_millis(300)).await;
            sent(&served).await;
            let judged = collector.judge().await;
            if names.iter().all(|name| judged["pipelines"][name]["whole"].as_u64() > Some(0)) {
                break;
            }
            assert!(started.elapsed() < SOON, "{judged:#}");
        }
        load(Duration::from_secs(2)).await;
        sent(&served).await;
        let judged = collector.judge().await;
        eprintln!("{judged:#}");
        assert_eq!(judged["services"], serde_json::json!(["edge"]));
        for name in &names {
            let of = &judged["pipelines"][name];
            assert_eq!(of["wrong"], serde_json::json!([]), "{name}: {judged:#}");
            assert!(of["whole"].as_u64() > Some(10), "{name}: {judged:#}");
        }
        assert_eq!(served.metric("linkspan_spans_dropped_total{reason=\"queue-full\"}").await, 0.0);
    });
}

/// Waits until no more spans are sent.
async fn sent(served: &Served) {
    let mut before = -1.0;
    loop {
        let now = served.metric("linkspan_spans_exported_total").await;
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
