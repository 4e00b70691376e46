//! Spans on their way to a receiver, whatever that does.

use super::receiver::{Receiver, TAKEN, attribute, hex};
use crate::harness::{Client, Protocol, SOON, eventually, free, run, soon};
use crate::swap::support::Served;
use crate::upstream::support::{Origin, Raw, tls};
use linkspan::telemetry::trace::otlp::{ExportResponse, PartialSuccess, SpanKind};
use prost::Message as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

const PIPELINE: &str =
    "[pipelines.main]\nservice = { component = \"hello\" }\n[[routes]]\npipeline = \"main\"\n";

/// A gateway that samples every request and sends to `url`.
fn served(url: &str, keys: &str) -> Served {
    let telemetry = format!(
        "[telemetry]\nsample = 1\nstages = false\nsample-max = 1000000\nendpoint = {url:?}\n{keys}\n"
    );
    Served::start("", &format!("{PIPELINE}{telemetry}"))
}

/// Sends so many requests, and says how long the slowest took.
async fn ask(served: &Served, requests: usize) -> Duration {
    let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..requests {
        let start = Instant::now();
        client.get("/", &[]).await.ok();
        slowest = slowest.max(start.elapsed());
    }
    slowest
}

async fn dropped(served: &Served, reason: &str) -> f64 {
    served.metric(&format!("linkspan_spans_dropped_total{{reason=\"{reason}\"}}")).await
}

#[test]
fn a_receiver_gets_every_span_once() {
    let receiver = Receiver::start();
    let keys = "headers = { authorization = \"Bearer hunter2\" }\nresource = { \"service.name\" = \"edge\" }";
    let served = served(&receiver.url(), keys);
    run(async {
        ask(&served, 20).await;
        let spans = receiver.spans(20);
        assert_eq!(spans.len(), 20);
        let mut ids: Vec<_> =
            spans.iter().map(|span| (span.trace_id.clone(), span.span_id.clone())).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 20);
        for span in &spans {
            assert_eq!((span.trace_id.len(), span.span_id.len(), &*span.parent_span_id), (16, 8, &[][..]));
            assert_eq!((&*span.name, span.kind(), span.flags), ("GET /", SpanKind::Server, 0x103));
            assert_eq!(attribute(&span.attributes, "http.response.status_code").as_deref(), Some("200"));
            assert!(span.end_time_unix_nano > span.start_time_unix_nano && span.status.is_none());
        }
        let metric = "linkspan_spans_exported_total";
        while served.metric(metric).await < 20.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(served.metric("linkspan_traces_sampled_total").await, 20.0);
    });
    let received = receiver.received.lock().unwrap();
    let head = received.heads[0].to_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer hunter2\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
    assert_eq!(attribute(&received.resource, "service.name").as_deref(), Some("edge"));
    drop(received);
    assert!(!format!("{:?}", served.gateway.log()).contains("hunter2"));
    served.gateway.stop();
}

/// At a stop, what is queued goes out: a batch would have come a second later.
#[test]
fn what_is_queued_goes_out_at_a_stop() {
    let receiver = Receiver::start();
    let served = served(&receiver.url(), "");
    run(ask(&served, 3));
    served.gateway.stop();
    assert_eq!(receiver.spans(3).len(), 3);
}

/// What may succeed another time is sent again, and arrives.
#[test]
fn a_receiver_that_recovers_gets_what_it_refused() {
    let receiver = Receiver::answering(|number, stream| {
        let answer: &[u8] = match number {
            0 => b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
            1 => b"HTTP/1.1 429 Later\r\ncontent-length: 0\r\n\r\n",
            2 => b"",
            3 => b"garbage that is no HTTP\r\n\r\n",
            _ => TAKEN,
        };
        drop(stream.write_all(answer));
    });
    let served = served(&receiver.url(), "");
    run(async {
        ask(&served, 1).await;
        eventually("the fifth attempt", || receiver.messages() == 5);
        let spans = receiver.spans(5);
        assert!(
            spans.iter().all(|span| hex(&span.span_id) == hex(&spans[0].span_id)),
            "one span, five times"
        );
        while served.metric("linkspan_spans_exported_total").await < 1.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(served.metric("linkspan_span_exports_failed_total").await, 4.0);
        assert_eq!(dropped(&served, "export-failed").await, 0.0);
    });
    served.gateway.line(|line| line["message"] == "spans are sent again");
    served.gateway.counts(1, |line| line["message"] == "spans cannot be sent; what is lost is counted");
    served.gateway.stop();
}

/// What the receiver will never take is not sent again.
#[test]
fn a_refusal_for_good_is_counted() {
    for (answer, reason) in [
        (b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec(), "export-failed"),
        (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_vec(), "export-failed"),
        (b"HTTP/1.1 302 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_vec(), "export-failed"),
        (partial(1), "refused"),
    ] {
        let told = String::from_utf8_lossy(&answer).into_owned();
        let receiver = Receiver::answering(move |_, stream| drop(stream.write_all(&answer)));
        let served = served(&receiver.url(), "");
        run(async {
            ask(&served, 1).await;
            receiver.spans(1);
            let start = Instant::now();
            while dropped(&served, reason).await < 1.0 {
                assert!(start.elapsed() < SOON, "{told}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(served.metric("linkspan_spans_exported_total").await, 0.0, "{told}");
        });
        assert_eq!(receiver.messages(), 1, "{told}");
        served.gateway.stop();
    }
}

/// An answer of 200 that takes all but so many spans.
fn partial(rejected_spans: i64) -> Vec<u8> {
    let partial = PartialSuccess { rejected_spans, error_message: "no".to_owned() };
    let body = ExportResponse { partial_success: Some(partial) }.encode_to_vec();
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    answer
}

/// Of an answer without end, a bounded part is read; its status counts.
#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    let receiver = Receiver::answering(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
        let part = [b'x'; 65536];
        let mut result = stream.write_all(head);
        while result.is_ok() {
            result = stream.write_all(&part);
        }
    });
    let served = served(&receiver.url(), "");
    run(async {
        ask(&served, 1).await;
        let start = Instant::now();
        while served.metric("linkspan_spans_exported_total").await < 1.0 {
            assert!(start.elapsed() < SOON);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    served.gateway.stop();
}

/// A receiver that never answers, and one that is not there: requests go on as without, and what does not fit is dropped
/// and counted; the gateway stops in time.
#[test]
fn a_receiver_that_hangs_or_is_away_delays_no_request() {
    let hangs = Raw::start(|_stream, _| std::thread::sleep(SOON));
    for url in [hangs.url(), format!("http://{}", free())] {
        let served = served(&url, "queue = 100\ntimeout = \"60s\"");
        run(async {
            ask(&served, 10).await;
            let before = served.gateway.resident();
            let slowest = ask(&served, 2000).await;
            assert!(slowest < Duration::from_secs(2), "{url}: {slowest:?}");
            assert!(dropped(&served, "queue-full").await >= 1000.0, "{url}");
            let more = served.gateway.resident().saturating_sub(before);
            assert!(more < 32 << 20, "{url}: {more} bytes more");
        });
        let start = Instant::now();
        served.gateway.stop();
        assert!(start.elapsed() < Duration::from_secs(30), "{url}");
    }
}

/// An attempt has its time, and a batch its attempts.
#[test]
fn attempts_have_a_time_and_a_number() {
    let hangs = Raw::start(|_stream, _| std::thread::sleep(SOON));
    let served = served(&hangs.url(), "timeout = \"50ms\"");
    run(async {
        ask(&served, 1).await;
        let start = Instant::now();
        while dropped(&served, "export-failed").await < 1.0 {
            assert!(start.elapsed() < SOON);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(served.metric("linkspan_span_exports_failed_total").await, 5.0);
    });
    assert_eq!(hangs.accepted(), 5);
    served.gateway.stop();
}

/// Over TLS, spans go to a receiver whose certificate is of the authority that is named, and to no other.
#[test]
fn a_receiver_over_tls_must_be_the_one_that_is_meant() {
    let origin = Origin::speaking(tls(&["http/1.1"], false));
    let url = format!("https://localhost:{}", origin.address.port());
    let good = served(&url, "roots = \"cert.pem\"");
    run(async {
        ask(&good, 1).await;
        let start = Instant::now();
        while good.metric("linkspan_spans_exported_total").await < 1.0 {
            assert!(start.elapsed() < SOON, "{:#?}", good.gateway.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(origin.last().uri.path(), "/v1/traces");
    good.gateway.stop();
    let other = served(&url, "");
    run(ask(&other, 1));
    let line = other.gateway.line(|line| line["message"] == "spans cannot be sent; what is lost is counted");
    assert!(line["reason"].as_str().unwrap().starts_with("TLS: "), "{line}");
    other.gateway.stop();
    assert_eq!(origin.requests(), 1);
}

/// What is sampled follows a reload.
#[test]
fn a_reload_changes_what_is_sampled() {
    let receiver = Receiver::start();
    let telemetry = |sample: u8| format!("[telemetry]\nsample = {sample}\nendpoint = {:?}\n", receiver.url());
    let served = Served::start("", &format!("{PIPELINE}{}", telemetry(0)));
    run(async {
        ask(&served, 5).await;
        assert_eq!(served.metric("linkspan_traces_sampled_total").await, 0.0);
        served.swap(&format!("{PIPELINE}{}", telemetry(1))).await;
        ask(&served, 5).await;
        assert_eq!(served.metric("linkspan_traces_sampled_total").await, 5.0);
    });
    served.gateway.stop();
    let requests = receiver.spans(5).iter().filter(|span| span.kind() == SpanKind::Server).count();
    assert_eq!(requests, 5);
}

/// A gateway inside of a program sends its spans, too, and takes the program's word for what is sampled.
#[test]
fn an_embedded_gateway_sends_spans() {
    let receiver = Receiver::start();
    crate::embed::run(async {
        let main = linkspan::embed::Pipeline::new("main").service(crate::embed::stage("hello"));
        let gateway = linkspan::embed::Gateway::builder()
            .toml(format!("[telemetry]\nsample = 0\nendpoint = {:?}\n", receiver.url()))
            .pipeline(main)
            .build()
            .unwrap();
        let service = gateway.service("main").unwrap();
        for flags in ["00", "01"] {
            let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            let request = http::Request::get("/").header("traceparent", parent);
            let request = request.body(crate::harness::body::empty()).unwrap();
            crate::embed::text(crate::embed::ask(&service, request).await).await;
        }
        soon("a span arrives", || receiver.messages() > 0).await;
        let spans = receiver.spans(1);
        let requests: Vec<_> = spans.iter().filter(|span| span.kind() == SpanKind::Server).collect();
        assert_eq!((requests.len(), hex(&requests[0].parent_span_id)), (1, "00f067aa0ba902b7".to_owned()));
        assert_eq!(attribute(&requests[0].attributes, "client.address"), None);
    });
}
