//! What is recorded of a request's way, and what others are told of it.

use super::receiver::{Receiver, attribute, hex};
use crate::chain_test;
use crate::harness::{Client, Gateway, Pipeline, Protocol, Setup, eventually, get, in_time, run};
use crate::swap::support::Served;
use crate::upstream::support::{Origin, Raw, STAGES, configuration, read_head};
use http_body_util::BodyExt as _;
use linkspan::telemetry::trace::otlp::{Span, SpanKind};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The fields of a client that has its own trace sampled, or not.
fn context(flags: &str) -> [(&'static str, String); 2] {
    [("traceparent", format!("00-{TRACE}-{PARENT}-{flags}")), ("tracestate", "a=b".to_owned())]
}

/// Tables for traces that are sent to `receiver`, where clients of this machine are trusted.
fn tables(receiver: &Receiver) -> String {
    format!(
        "[http]\ntrusted-proxies = [\"127.0.0.0/8\"]\n\n[telemetry]\nsample = 0\nstages = false\nendpoint = {:?}\n\n",
        receiver.url()
    )
}

/// The only span of this name.
#[track_caller]
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

/// That one span hangs under the other, within its time, in the client's trace.
#[track_caller]
fn hangs(inner: &Span, outer: &Span) {
    assert_eq!(hex(&inner.parent_span_id), hex(&outer.span_id), "{inner:#?} {outer:#?}");
    assert_eq!((hex(&inner.trace_id), hex(&outer.trace_id)), (TRACE.to_owned(), TRACE.to_owned()));
    assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano, "{inner:#?} {outer:#?}");
    assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano, "{inner:#?} {outer:#?}");
}

/// That the head of a request has `span` as its parent.
#[track_caller]
fn told(headers: &http::HeaderMap, span: &Span) {
    let expected = format!("00-{TRACE}-{}-01", hex(&span.span_id));
    assert_eq!(headers["traceparent"], *expected);
    assert_eq!(headers["tracestate"], "a=b");
}

async fn ask(gateway: &Gateway, path: &str, fields: &[(&str, &str)], flags: &str) {
    let context = context(flags);
    let context = [(context[0].0, &*context[0].1), (context[1].0, &*context[1].1)];
    let mut client = Client::connect(gateway, Protocol::Http1).await;
    client.get(path, &[&context, fields].concat()).await.ok();
}

/// An attempt at a server is a span below the request's, whatever stands in front, and the server is told of it.
#[test]
fn an_upstream_is_told_of_its_attempt() {
    for stages in STAGES {
        let (origin, receiver) = (Origin::start(), Receiver::start());
        let served = Served::start(
            "",
            &format!("{}{}", configuration(&[origin.url()], "", stages), tables(&receiver)),
        );
        run(ask(&served.gateway, "/stream?100000", &[], "01"));
        let spans = receiver.spans(2);
        let (request, attempt) = (named(&spans, "GET /"), named(&spans, "GET"));
        hangs(attempt, request);
        told(&origin.last().headers, attempt);
        assert_eq!((request.kind(), attempt.kind()), (SpanKind::Server, SpanKind::Client));
        assert_eq!((hex(&request.parent_span_id), request.flags), (PARENT.to_owned(), 0x301));
        assert_eq!(request.trace_state, "a=b");
        for (name, value) in [
            ("http.request.method", "GET"),
            ("server.address", "127.0.0.1"),
            ("server.port", &origin.address.port().to_string()),
            ("url.full", &format!("{}/stream", origin.url())),
            ("network.protocol.version", "1.1"),
            ("http.response.status_code", "200"),
            ("linkspan.upstream", "backend"),
        ] {
            assert_eq!(attribute(&attempt.attributes, name).as_deref(), Some(value), "{name}");
        }
        served.gateway.stop();
    }
}

/// Each attempt has a span of its own; one that failed says why.
#[test]
fn attempts_that_fail_are_told_apart() {
    let asked = Arc::new(AtomicUsize::new(0));
    let server = || {
        let asked = Arc::clone(&asked);
        Raw::start(move |mut stream, _| {
            if read_head(&mut stream).is_some() && asked.fetch_add(1, SeqCst) > 0 {
                drop(stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"));
            }
        })
    };
    let raws = [server(), server()];
    let receiver = Receiver::start();
    let servers = raws.each_ref().map(Raw::url);
    let served = Served::start(
        "",
        &format!("{}{}", configuration(&servers, "retry = { attempts = 1 }", ""), tables(&receiver)),
    );
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        let parent = context("01")[0].1.clone();
        assert_eq!(client.get("/", &[("traceparent", &parent)]).await.status, 503);
    });
    let spans = receiver.spans(3);
    let request = named(&spans, "GET /");
    let attempts: Vec<_> = spans.iter().filter(|span| span.name == "GET").collect();
    let of = |span: &Span, name| attribute(&span.attributes, name);
    attempts.iter().for_each(|attempt| hangs(attempt, request));
    assert_eq!(of(attempts[0], "error.type").as_deref(), Some("broken"));
    assert_eq!(of(attempts[0], "http.request.resend_count"), None);
    assert_eq!(of(attempts[1], "error.type").as_deref(), Some("503"));
    assert_eq!(of(attempts[1], "http.request.resend_count").as_deref(), Some("1"));
    assert!(spans.iter().all(|span| span.status.as_ref().unwrap().code == 2), "{spans:#?}");
    served.gateway.stop();
}

chain_test! {
    /// A call by name hangs under the request, and what the called stage sends out hangs under the call.
    fn calls_and_requests_of_stages(chain) {
        let (origin, receiver) = (Origin::start(), Receiver::start());
        let main = chain.pipeline("caller").service_with("grant = { calls = [\"side\"] }");
        let side = chain.named("side", "caller").route("path = \"/side\"");
        let side = side.service_with(&format!("grant = {{ egress = [{:?}] }}", origin.url()));
        let gateway = Gateway::start(&Setup::of([main, side]).more(&tables(&receiver)));
        let way = format!("http://side.internal,{}", origin.url());
        run(ask(&gateway, "/stream?100000", &[("x-way", &way), ("authorization", "Bearer hunter2")], "01"));
        let spans = receiver.spans(3);
        let (request, call, sent) = (named(&spans, "GET /"), named(&spans, "call side"), named(&spans, "GET"));
        hangs(call, request);
        hangs(sent, call);
        told(&origin.last().headers, sent);
        assert_eq!((call.kind(), sent.kind()), (SpanKind::Internal, SpanKind::Client));
        assert_eq!(attribute(&call.attributes, "linkspan.caller").as_deref(), Some("main"));
        let stage = attribute(&sent.attributes, "linkspan.stage");
        assert_eq!(stage, Some(format!("side/{}:caller", chain.front.len())));
        let url = format!("{}/stream", origin.url());
        assert_eq!(attribute(&sent.attributes, "url.full"), Some(url), "no query");
        assert!(!format!("{spans:?}").contains("hunter2"));
        gateway.stop();
    }
}

chain_test! {
    /// So does a request of a service of WASI 0.2.
    fn requests_of_wasi_0_2(chain) {
        let (origin, receiver) = (Origin::start(), Receiver::start());
        let grant = format!("grant = {{ clocks = true, random = true, egress = [{:?}] }}", origin.url());
        let setup = Setup::of([chain.pipeline("service-0-2").service_with(&grant)]);
        let gateway = Gateway::start(&setup.more(&tables(&receiver)));
        let authority = origin.address.to_string();
        run(ask(&gateway, "/", &[("x-do", "fetch"), ("x-authority", &authority)], "01"));
        let spans = receiver.spans(2);
        hangs(named(&spans, "GET"), named(&spans, "GET /"));
        told(&origin.last().headers, named(&spans, "GET"));
        gateway.stop();
    }
}

/// A trace that the sender does not record passes through as it came: in what goes on, and in what stages send.
#[test]
fn what_is_not_sampled_passes_through() {
    let (origin, receiver) = (Origin::start(), Receiver::start());
    let main = Pipeline::new("main", "caller").service_with("grant = { calls = [\"side\"] }");
    let grant = format!("grant = {{ clocks = true, random = true, egress = [{:?}] }}", origin.url());
    let side = Pipeline::new("side", "service-0-2").service_with(&grant).route("path = \"/side\"");
    let gateway = Gateway::start(&Setup::of([main, side]).more(&tables(&receiver)));
    let authority = origin.address.to_string();
    let fetch = [("x-way", "http://side.internal"), ("x-do", "fetch"), ("x-authority", &authority)];
    run(async {
        ask(&gateway, "/", &fetch, "00").await;
        let seen = origin.last().headers;
        assert_eq!(seen["traceparent"], *context("00")[0].1);
        assert_eq!(seen["tracestate"], "a=b");
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        client.get("/", &fetch).await.ok();
        assert!(!origin.last().headers.contains_key("traceparent"));
    });
    gateway.stop();
    assert_eq!(receiver.messages(), 0);
}

/// The span of a request ends with its response's body, and says that the client left.
#[test]
fn a_span_ends_with_the_body() {
    let (origin, receiver) = (Origin::start(), Receiver::start());
    let served =
        Served::start("", &format!("{}{}", configuration(&[origin.url()], "", ""), tables(&receiver)));
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        let mut request = get("/first-and-never", &[]);
        request.headers_mut().insert("traceparent", context("01")[0].1.parse().unwrap());
        let mut response = in_time(client.send(request)).await.unwrap();
        assert!(in_time(response.body_mut().frame()).await.unwrap().is_ok());
        tokio::time::sleep(Duration::from_millis(300)).await;
    });
    let spans = receiver.spans(2);
    for span in &spans {
        let took = span.end_time_unix_nano - span.start_time_unix_nano;
        assert!(took >= 300_000_000, "{span:#?}");
    }
    let request = named(&spans, "GET /");
    assert_eq!(attribute(&request.attributes, "error.type").as_deref(), Some("client-gone"));
    assert!(request.status.is_none(), "no fault of the server");
    served.gateway.stop();
}

/// Lines about a request name its trace, in the log and in the access log.
#[test]
fn log_lines_name_the_trace() {
    let receiver = Receiver::start();
    let main =
        Pipeline::new("main", "caller").service_with("grant = { calls = [\"side\"] }").route("path = \"/\"");
    let side = Pipeline::new("side", "fault-service").route("path = \"/side\"");
    let tables = format!("{}[access-log]\npath = \"access.log\"\n\n", tables(&receiver));
    let gateway = Gateway::start(&Setup::of([main, side]).more(&tables));
    let parent = context("01")[0].1.clone();
    let fields = [("x-way", "http://side.internal"), ("x-fault", "trap"), ("traceparent", &*parent)];
    run(async {
        let mut client = Client::connect(&gateway, Protocol::Http1).await;
        assert_eq!(client.get("/", &fields).await.status, 502);
        let denied = [("x-way", "http://other.internal"), ("traceparent", &*parent)];
        assert_eq!(client.get("/", &denied).await.status, 502);
        assert_eq!(client.get("/side", &[("x-fault", "trap"), ("traceparent", &*parent)]).await.status, 500);
    });
    let spans = receiver.spans(4);
    let ids: Vec<_> = spans.iter().map(|span| hex(&span.span_id)).collect();
    for message in [
        "a called pipeline gave no response",
        "denied: other.internal is not among the stage's `calls`",
        "the chain gave no response",
    ] {
        let line = gateway.line(|line| line["message"] == message);
        assert_eq!(line["trace_id"], TRACE, "{line}");
        assert!(ids.iter().any(|id| line["span_id"] == **id), "{line} {ids:?}");
    }
    let log = gateway.folder().join("access.log");
    let read = || std::fs::read_to_string(&log).unwrap();
    eventually("the access log is written", || read().lines().count() == 3);
    let lines = read();
    gateway.stop();
    let requests = spans.iter().filter(|span| span.kind() == SpanKind::Server);
    for (line, request) in lines.lines().zip(requests) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["trace_id"], &line["span_id"]), (&TRACE.into(), &hex(&request.span_id).into()));
    }
}
