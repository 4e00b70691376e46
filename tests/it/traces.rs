//! Traces: which requests have one, what is in it, and where it goes.

mod conformance;
mod export;
mod receiver;
mod spans;
mod under_load;

use crate::harness::inside::{Inside, generation};
use crate::harness::{dist, run};
use http::Request;
use http_body_util::BodyExt as _;
use linkspan::telemetry::Metrics;
use linkspan::telemetry::trace::{Span, SpanKind, SpanQueue, Value};
use std::sync::Arc;
use std::time::Duration;

/// The spans of requests with these targets and fields, one list for each that has a trace.
fn spans(telemetry: &str, requests: &[(&str, &[(&str, &str)])]) -> Vec<Vec<Span>> {
    let text = format!(
        "listeners = [{{ address = '127.0.0.1:0' }}]\nroutes = [{{ path = '/hello', pipeline = 'main' }}]\n\
         http = {{ trusted-proxies = ['10.0.0.0/8'] }}\n[pipelines.main]\nservice = {{ component = 'hello' }}\n\
         [components]\nhello.path = {:?}\n[telemetry]\n{telemetry}\n",
        dist("hello")
    );
    let generation = generation(&text);
    let (metrics, queue) = (Metrics::new(), Arc::new(SpanQueue::new(1000, 1, Arc::default())));
    run(async {
        let gateway = Inside::serve(generation, "10.1.2.3:4567", &metrics, &queue);
        for (target, fields) in requests {
            let request = Request::builder().uri(*target).header("host", "localhost:81");
            gateway.ask(request, fields, "").await.into_body().collect().await.unwrap();
        }
    });
    queue.close();
    let taken = std::iter::from_fn(|| queue.take(Duration::ZERO)).flatten();
    taken.map(|trace| trace.spans).collect()
}

/// The attributes of a span, as text.
fn attributes(span: &Span) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Text(text) => text.to_string(),
        Value::Number(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    span.attributes.iter().map(|(name, value)| format!("{name}={}", text(value))).collect()
}

#[test]
fn a_request_has_a_span_without_its_secrets() {
    let secrets = [("authorization", "Bearer hunter2"), ("cookie", "a=hunter2"), ("user-agent", "curl/8")];
    let requests: [(&str, &[_]); 2] =
        [("http://localhost:81/hello/you?token=hunter2", &secrets), ("http://localhost:81/none", &[])];
    let traces = spans("sample = 1", &requests);
    let [hello, none] = &traces[..] else { panic!("{traces:?}") };
    let [hello] = &hello[..] else { panic!("{hello:?}") };
    assert_eq!((&*hello.name, hello.kind, hello.parent), ("GET /hello", SpanKind::Server, None));
    let found = attributes(hello);
    for wanted in [
        "http.request.method=GET",
        "url.scheme=http",
        "url.path=/hello/you",
        "server.address=localhost",
        "server.port=81",
        "network.protocol.version=1.1",
        "client.address=10.1.2.3",
        "network.peer.port=4567",
        "user_agent.original=curl/8",
        "linkspan.pipeline=main",
        "http.route=/hello",
        "http.response.status_code=200",
    ] {
        assert!(found.iter().any(|found| found == wanted), "{wanted}: {found:?}");
    }
    assert!(!format!("{hello:?}").contains("hunter2"), "{hello:?}");
    assert!(hello.error.is_none() && hello.end > hello.start);
    let found = attributes(&none[0]);
    assert!(found.contains(&"linkspan.reason=no-route".to_owned()), "{found:?}");
    assert_eq!((&*none[0].name, none[0].error.as_deref()), ("GET", None), "404 is no error of the server");
    let with_query = spans("sample = 1\nquery = true", &requests);
    assert!(attributes(&with_query[0][0]).contains(&"url.query=token=hunter2".to_owned()));
}

#[test]
fn what_is_not_sampled_has_no_span() {
    let request: (&str, &[(&str, &str)]) = ("http://localhost:81/hello", &[]);
    assert!(spans("sample = 0", &[request; 10]).is_empty());
    assert_eq!(spans("sample = 1\nsample-max = 1000", &[request; 10]).len(), 10);
    assert!(spans("sample = 1\nsample-max = 0", &[request; 10]).is_empty());
}

#[test]
fn the_sender_of_a_trace_is_the_parent() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let fields = [("traceparent", parent)];
    let traces = spans("sample = 0", &[("http://localhost:81/hello", &fields)]);
    let span = &traces[0][0];
    assert!(span.parent_is_remote && span.parent.unwrap().to_string() == "00f067aa0ba902b7");
}
