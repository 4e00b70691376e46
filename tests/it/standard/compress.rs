//! `std:compress`: who gets what in which coding; in both of its builds, in every kind of chain.

use crate::chain_test;
use crate::harness::{
    Answer, Chain, Client, Gateway, MS, PROTOCOLS, Protocol, Setup, body, in_time, request, run, scaled, soon,
};
use crate::swap::support::Served;
use crate::upstream::support::{Origin, configuration};
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::io::Write;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

const BUILDS: [&str; 2] = ["", "-in-place"];

/// Behind the component, a stage that edits the response's fields as `x-edit-response` says, and a service that sends the
/// request's body back, or has faults.
fn setup(chain: Chain) -> Setup {
    let pipelines = BUILDS.into_iter().flat_map(|suffix| {
        [
            ("plain", "", "echo"),
            ("small", "config = { min-size = \"0B\", encodings = [\"gzip\"], concurrent = 1 }", "echo"),
            ("strict", "config = { min-size = \"0B\", types = [\"text/*\"], cross-site = false }", "echo"),
            ("faults", "", "fault-service"),
        ]
        .map(|(name, config, service)| {
            let name = format!("{name}{suffix}");
            let pipeline = chain.named(&name, service).route(&format!("path = \"/{name}\""));
            pipeline.stage_with(&format!("compress{suffix}"), config).stage("mixed-async")
        })
    });
    Setup::of(pipelines)
}

/// A decoder that is fed with what comes.
enum Decoder {
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Vec<u8>>>),
}

impl Decoder {
    fn new(coding: &str) -> Self {
        match coding {
            "gzip" => Self::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
            "br" => Self::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(Vec::new(), 4096))),
            other => panic!("{other} is no coding"),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> &[u8] {
        match self {
            Self::Gzip(decoder) => {
                decoder.write_all(bytes).unwrap();
                decoder.flush().unwrap();
                decoder.get_ref()
            }
            Self::Brotli(decoder) => {
                decoder.write_all(bytes).unwrap();
                decoder.flush().unwrap();
                decoder.get_ref()
            }
        }
    }

    /// What was decoded, if it is complete.
    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => decoder.finish(),
            Self::Brotli(mut decoder) => {
                decoder.close()?;
                decoder.into_inner().map_err(|_| std::io::ErrorKind::InvalidData.into())
            }
        }
    }
}

fn decoded(answer: &Answer) -> std::io::Result<Vec<u8>> {
    let Some(coding) = answer.header("content-encoding") else { return Ok(answer.body.to_vec()) };
    let mut decoder = Decoder::new(coding);
    decoder.feed(&answer.body);
    decoder.finish()
}

fn text(size: usize) -> String {
    (0..)
        .map(|number| format!("{{\"id\":{number},\"name\":\"n{}\"}},", number * 7919 % 1000))
        .scan(0, |length, it| {
            *length += it.len();
            (*length < size).then_some(it)
        })
        .collect()
}

/// A request, and what its answer has.
struct Case {
    pipeline: &'static str,
    /// Of the request; those of the body are sent back.
    fields: &'static [(&'static str, &'static str)],
    /// What becomes of the response before it is compressed.
    edits: &'static [&'static str],
    coding: Option<&'static str>,
    /// Fields of the answer; empty for one that is not there.
    answer: &'static [(&'static str, &'static str)],
}

const fn case(accept: &'static [(&'static str, &'static str)], coding: Option<&'static str>) -> Case {
    Case { pipeline: "plain", fields: accept, edits: &[], coding, answer: &[("vary", "Accept-Encoding")] }
}

const BOTH: &[(&str, &str)] = &[("accept-encoding", "gzip, deflate, br, zstd")];

/// A response with `edits` that goes as it is, whatever the request accepts, without a word on that.
const fn as_it_is(edits: &'static [&'static str]) -> Case {
    Case { pipeline: "plain", fields: BOTH, edits, coding: None, answer: &[("vary", "")] }
}

impl Case {
    const fn edits(self, edits: &'static [&'static str]) -> Self {
        Self { edits, ..self }
    }

    const fn of(self, pipeline: &'static str) -> Self {
        Self { pipeline, ..self }
    }

    const fn answers(self, answer: &'static [(&'static str, &'static str)]) -> Self {
        Self { answer, ..self }
    }
}

const CASES: &[Case] = &[
    // What the client accepts (RFC 9110 §12.5.3), and lists that are made to confuse.
    case(BOTH, Some("br")),
    case(&[("accept-encoding", "gzip")], Some("gzip")),
    case(&[("accept-encoding", "x-gzip")], Some("gzip")),
    case(&[("accept-encoding", "br;q=0.1, gzip;q=0.2")], Some("gzip")),
    case(&[("accept-encoding", "br;q=0"), ("accept-encoding", "*;q=0.1")], Some("gzip")),
    case(&[("accept-encoding", "identity;q=0, *;q=0.001")], Some("br")),
    case(&[("accept-encoding", "gzip;q=0.5, identity")], None),
    case(&[("accept-encoding", "")], None),
    case(&[("accept-encoding", "*;q=0")], None),
    case(&[("accept-encoding", "identity;q=0")], None),
    case(&[("accept-encoding", "gzip;q=2, br;q=1.001")], None),
    case(&[("accept-encoding", "gzip;q=4294967297")], None),
    case(&[("accept-encoding", "gzip, gzip;q=0")], None),
    case(&[("accept-encoding", "gzip;q=NaN, br;q=-0.1, \u{e9}")], None),
    case(&[("accept-encoding", "gzip\tbr")], None),
    case(&[("accept-encoding", "gzip/*, br\"")], None),
    case(&[], None),
    case(&[("accept-encoding", "br")], None).of("small"),
    case(&[("accept-encoding", "br, gzip;q=0.1")], Some("gzip")).of("small"),
    // What must not be changed, or is compressed already.
    as_it_is(&["set content-encoding br"]),
    as_it_is(&["set content-encoding gzip"]),
    as_it_is(&["set content-encoding identity, gzip"]),
    as_it_is(&["set content-encoding zstd"]),
    as_it_is(&["append content-encoding identity", "append content-encoding gzip"]),
    case(BOTH, Some("br")).edits(&["set content-encoding Identity"]),
    as_it_is(&["set cache-control public, No-Transform, max-age=1"]),
    case(BOTH, Some("br")).edits(&["set cache-control private=\"no-transform-x\""]),
    case(&[("accept-encoding", "br"), ("cache-control", "no-transform")], None).answers(&[("vary", "")]),
    as_it_is(&["set content-range bytes 0-9/10"]),
    as_it_is(&["set content-digest sha-256=:AA==:"]),
    as_it_is(&["set repr-digest sha-256=:AA==:"]),
    as_it_is(&["set content-type image/png"]),
    as_it_is(&["set content-type text/plain", "append content-type image/png"]),
    as_it_is(&["remove content-type"]),
    as_it_is(&["set content-type application/json"]).of("strict"),
    case(BOTH, Some("br")).edits(&["set content-type application/problem+json; charset=utf-8"]),
    // A request for a part that the server answered with all of it.
    case(&[("accept-encoding", "gzip"), ("range", "bytes=0-9")], Some("gzip")),
    // What depends on it says so, once.
    case(BOTH, Some("br")).edits(&["set vary Origin"]).answers(&[("vary", "Origin, Accept-Encoding")]),
    case(BOTH, Some("br"))
        .edits(&["set vary Origin, accept-ENCODING"])
        .answers(&[("vary", "Origin, accept-ENCODING")]),
    case(BOTH, Some("br")).edits(&["set vary *"]).answers(&[("vary", "*")]),
    case(&[], None).edits(&["set vary Origin"]).answers(&[("vary", "Origin, Accept-Encoding")]),
    // Validators and ranges.
    case(BOTH, Some("br")).edits(&["set etag \"a,b\"", "set accept-ranges bytes"]).answers(&[
        ("etag", "W/\"a,b\""),
        ("accept-ranges", ""),
        ("content-length", ""),
    ]),
    case(BOTH, Some("br")).edits(&["set etag W/\"a\""]).answers(&[("etag", "W/\"a\"")]),
    case(BOTH, Some("br")).edits(&["set etag a-strong-one"]).answers(&[("etag", "")]),
    case(BOTH, Some("br")).edits(&["append etag \"a\"", "append etag \"b\""]).answers(&[("etag", "")]),
    case(&[], None).edits(&["set etag \"a\""]).answers(&[("etag", "\"a\""), ("vary", "Accept-Encoding")]),
    // BREACH: a page of another site does not learn how long a compressed body is, if so configured.
    case(&[("accept-encoding", "br"), ("sec-fetch-site", "cross-site"), ("cookie", "a=b")], None)
        .of("strict"),
    case(&[("accept-encoding", "br"), ("sec-fetch-site", "cross-site"), ("authorization", "x")], None)
        .of("strict"),
    case(&[("accept-encoding", "br"), ("sec-fetch-site", "cross-site")], Some("br")).of("strict"),
    case(&[("accept-encoding", "br"), ("sec-fetch-site", "same-origin"), ("cookie", "a=b")], Some("br"))
        .of("strict"),
    case(&[("accept-encoding", "br"), ("sec-fetch-site", "cross-site"), ("cookie", "a=b")], Some("br")),
];

impl Case {
    async fn check(&self, client: &mut Client, suffix: &str, text: &str) {
        let mut fields = self.fields.to_vec();
        fields.push(("content-type", "text/plain; charset=utf-8"));
        if !self.edits.is_empty() {
            fields.push(("x-mixed", "edits"));
        }
        fields.extend(self.edits.iter().map(|edit| ("x-edit-response", *edit)));
        let path = format!("/{}{suffix}", self.pipeline);
        let upload = body::whole(text.to_owned());
        let answer = client.ask(request(Method::POST, &path, &fields, upload)).await.ok();
        let what = format!("{path} {fields:?}: {:?}", answer.headers);
        let own = self.edits.iter().any(|edit| edit.contains("content-encoding") && self.coding.is_none());
        if own {
            assert_eq!(answer.body, text, "{what}");
        } else {
            assert_eq!(answer.header("content-encoding"), self.coding, "{what}");
            assert!(decoded(&answer).unwrap() == text.as_bytes(), "{what}");
        }
        let length = answer.header("content-length").map(str::to_owned);
        assert_eq!(length, self.coding.is_none().then(|| text.len().to_string()), "{what}");
        for (name, value) in self.answer {
            assert_eq!(answer.header(name).unwrap_or_default(), *value, "{name} of {what}");
            assert!(answer.headers.get_all(*name).iter().count() <= 1, "{name} of {what}");
        }
    }
}

/// One that is too short by its length; one that has no body.
async fn check_sizes(client: &mut Client, suffix: &str) {
    let path = format!("/plain{suffix}");
    let fields = [("accept-encoding", "gzip"), ("content-type", "text/plain")];
    for (size, coding) in [(1, None), (1023, None), (1024, Some("gzip"))] {
        let upload = body::whole("x".repeat(size));
        let answer = client.ask(request(Method::POST, &path, &fields, upload)).await.ok();
        assert_eq!(
            (answer.header("content-encoding"), answer.header("vary").is_some()),
            (coding, coding.is_some())
        );
        assert_eq!(decoded(&answer).unwrap().len(), size);
    }
    // A HEAD has the fields that a GET has.
    let get = client.get(&path, &fields).await.ok();
    assert_eq!(decoded(&get).unwrap(), b"");
    let head = client.ask(request(Method::HEAD, &path, &fields, body::empty())).await.ok();
    for name in ["content-encoding", "vary", "content-type", "content-length", "etag"] {
        assert_eq!(
            head.header(name),
            if name == "content-length" { None } else { get.header(name) },
            "{name}"
        );
    }
    assert_eq!((head.header("content-encoding"), head.body.len()), (Some("gzip"), 0));
}

/// Statuses without a body, and parts; a client that has the compressed form finds it again.
async fn check_statuses(client: &mut Client, suffix: &str) {
    let path = format!("/faults{suffix}");
    let mut ask = async |fields: &[(&str, &str)]| {
        let common = [("accept-encoding", "br"), ("x-mixed", "edits")];
        client.get(&path, &[&common, fields].concat()).await
    };
    let etag = ("x-edit-response", "set etag \"a\"");
    for status in ["204", "304"] {
        let answer = ask(&[("x-fault", "status"), ("x-status", status), etag]).await;
        assert_eq!((answer.status.as_str(), answer.header("content-encoding")), (status, None));
        assert_eq!(answer.header("etag"), Some("\"a\""));
        assert!(answer.body.is_empty() && answer.cut.is_none());
    }
    for (known, etag_of_304) in [
        ("W/\"a\"", "W/\"a\""),
        ("\"b\", W/\"a\"", "W/\"a\""),
        ("\"a\"", "\"a\""),
        ("W/\"ab\"", "\"a\""),
        ("*", "\"a\""),
    ] {
        let fields = [("x-fault", "status"), ("x-status", "304"), etag, ("if-none-match", known)];
        let answer = ask(&fields).await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (304, Some(etag_of_304)), "{known}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    }
    let part = ("x-edit-response", "set content-range bytes 0-1/9");
    let typed = ("x-edit-response", "set content-type text/plain");
    let answer = ask(&[("x-fault", "status-with-body"), ("x-status", "206"), part, typed]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (206, "ok"));
    // Other statuses have bodies like any other.
    let answer = ask(&[("x-fault", "many-chunks"), ("x-count", "100"), typed]).await.ok();
    assert_eq!((answer.header("content-encoding"), decoded(&answer).unwrap().len()), (Some("br"), 100));
}

/// What breaks off on its way does not look complete.
async fn check_broken(gateway: &Gateway, protocol: Protocol, suffix: &str) {
    let path = format!("/faults{suffix}");
    let edits = [("x-mixed", "edits"), ("x-edit-response", "set content-type text/plain")];
    for (coding, fault) in [("gzip", "body-error"), ("br", "body-error"), ("gzip", "half-body-chunked")] {
        let mut client = Client::connect(gateway, protocol).await;
        let fields = [&edits[..], &[("accept-encoding", coding), ("x-fault", fault)]].concat();
        let Ok(answer) = client.try_ask(request(Method::GET, &path, &fields, body::empty())).await else {
            continue;
        };
        if answer.status == 200 {
            assert!(answer.cut.is_some(), "{coding} {fault}: {answer:?}");
            let whole = !answer.body.is_empty() && decoded(&answer).is_ok();
            assert!(!whole, "{coding} {fault}: {answer:?}");
        }
    }
}

async fn check_trailers(client: &mut Client, suffix: &str, coding: &str) {
    let upload = body::with_trailers(text(5000), &[("x-sum", "4")]);
    let fields = [
        ("te", "trailers"),
        ("trailer", "x-sum"),
        ("accept-encoding", coding),
        ("content-type", "text/plain"),
        ("x-mixed", "edits"),
        ("x-edit-response", "set trailer x-sum"),
    ];
    let answer = client.ask(request(Method::POST, &format!("/plain{suffix}"), &fields, upload)).await.ok();
    assert_eq!(decoded(&answer).unwrap(), text(5000).as_bytes());
    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "4");
}

/// Each event arrives when it is sent, and not with a later one.
async fn check_events(client: &mut Client, suffix: &str, coding: &str) {
    let (feeder, upload) = body::channel();
    let fields = [("accept-encoding", coding), ("content-type", "text/event-stream")];
    let sent = request(Method::POST, &format!("/plain{suffix}"), &fields, upload);
    let response = in_time(client.send(sent)).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], coding);
    let (mut download, mut decoder) = (response.into_body(), Decoder::new(coding));
    for event in 0..10 {
        let event = format!("data: {event}\n\n");
        feeder.send(Frame::data(event.clone().into())).await.unwrap();
        loop {
            let frame = in_time(download.frame()).await.unwrap().unwrap();
            if decoder.feed(&frame.into_data().unwrap()).ends_with(event.as_bytes()) {
                break;
            }
        }
    }
    drop(feeder);
    while let Some(frame) = in_time(download.frame()).await {
        decoder.feed(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(decoder.finish().unwrap().len(), 90);
}

chain_test! {
    fn bodies_are_compressed_as_clients_accept_them(chain) {
        let gateway = Gateway::start(&setup(chain));
        let text = text(20_000);
        run(async {
            for (protocol, suffix) in PROTOCOLS.into_iter().flat_map(|it| BUILDS.map(|suffix| (it, suffix))) {
                let mut client = Client::connect(&gateway, protocol).await;
                for case in CASES {
                    case.check(&mut client, suffix, &text).await;
                }
                check_sizes(&mut client, suffix).await;
                check_statuses(&mut client, suffix).await;
                for coding in ["gzip", "br"] {
                    check_trailers(&mut client, suffix, coding).await;
                    check_events(&mut client, suffix, coding).await;
                }
                check_broken(&gateway, protocol, suffix).await;
            }
        });
        gateway.stop();
    }
}

/// Bodies of any length come out as they went in, in bounded memory.
#[test]
fn bodies_are_of_any_length() {
    let gateway = Gateway::start(&setup(Chain { link: "static", front: &[] }));
    run(async {
        let size = scaled(10_000_001, 500_000_001);
        for (protocol, coding) in
            PROTOCOLS.into_iter().flat_map(|it| ["gzip", "br"].map(|coding| (it, coding)))
        {
            let mut client = Client::connect(&gateway, protocol).await;
            let fields = [("accept-encoding", coding), ("content-type", "text/plain")];
            let before = gateway.resident();
            gateway.forget_peak();
            let sent = request(Method::POST, "/plain-in-place", &fields, body::stream(size).1);
            let response = client.send(sent).await.unwrap();
            assert_eq!(response.headers()["content-encoding"], coding);
            let (mut download, mut decoder) = (response.into_body(), Decoder::new(coding));
            while let Some(frame) = in_time(download.frame()).await {
                decoder.feed(&frame.unwrap().into_data().unwrap());
            }
            let decoded = decoder.finish().unwrap();
            assert_eq!((decoded.len() as u64, body::digest_of(&decoded)), (size, body::digest(size)));
            let grown = gateway.peak().saturating_sub(before);
            assert!(grown < 24 << 20, "{coding}: {} KiB", grown >> 10);
        }
    });
    gateway.stop();
}

/// Bodies that are too many at once go as they are.
#[test]
fn one_body_more_than_may_be_goes_as_it_is() {
    let pipeline = Chain { link: "static", front: &[] }.pipeline("fault-service").limit("instances = 1");
    let pipeline = pipeline.stage_with("compress", "config = { concurrent = 2, min-size = \"0B\" }");
    let gateway = Gateway::start(&Setup::of([pipeline.stage("mixed-async")]));
    run(async {
        let fields = [
            ("accept-encoding", "gzip"),
            ("x-mixed", "edits"),
            ("x-edit-response", "set content-type text/plain"),
        ];
        let stalled = [&fields[..], &[("x-fault", "stalled-body")]].concat();
        let mut client = Client::connect(&gateway, Protocol::Http2).await;
        let mut held = Vec::new();
        for coding in [Some("gzip"), Some("gzip"), None] {
            let sent = request(Method::GET, "/", &stalled, body::empty());
            let response = in_time(client.send(sent)).await.unwrap();
            let found = response.headers().get("content-encoding").map(|value| value.to_str().unwrap());
            assert_eq!((found, &response.headers()["vary"]), (coding, &"Accept-Encoding".parse().unwrap()));
            held.push(response);
        }
        let answer = client.get("/", &[&fields[..], &[("x-fault", "trailers")]].concat()).await.ok();
        assert_eq!((answer.header("content-encoding"), answer.text()), (None, "hello"));
    });
}

/// A client that stops reading stops the one that writes; one that leaves ends the request.
#[test]
fn a_client_that_reads_nothing_gets_nothing_more() {
    let gateway = Gateway::start(&setup(Chain { link: "static", front: &[] }));
    run(async {
        for (protocol, coding) in
            PROTOCOLS.into_iter().flat_map(|it| ["gzip", "br"].map(|coding| (it, coding)))
        {
            let mut client = Client::connect(&gateway, protocol).await;
            let fields = [("accept-encoding", coding), ("content-type", "text/plain")];
            let (taken, upload) = body::stream(200_000_000);
            let response = client.send(request(Method::POST, "/plain", &fields, upload)).await.unwrap();
            let (mut last, mut still) = (0, 0);
            while still < 10 {
                tokio::time::sleep(30 * MS).await;
                let now = taken.load(Relaxed);
                still = if now == last { still + 1 } else { 0 };
                last = now;
            }
            assert!(last < 30_000_000, "{protocol:?} {coding}: {last}");
            drop(response);
        }
    });
    gateway.stop();
}

/// A client that leaves a stream of events takes the server's connection along, though nothing more comes of it.
#[test]
fn a_client_that_leaves_ends_the_stream() {
    let typed =
        "component = \"std:headers\", config = { response-set = { content-type = \"text/event-stream\" } }";
    for stages in [
        format!("{{ component = \"std:compress\" }}, {{ {typed} }}"),
        format!("{{ component = \"std:compress\" }}, {{ {typed}, link = \"dynamic\" }}"),
    ] {
        let origin = Origin::start();
        let served = Served::start("", &configuration(&[origin.url()], "", &stages));
        run(async {
            for (place, protocol) in PROTOCOLS.into_iter().enumerate() {
                let mut client = Client::connect(&served.gateway, protocol).await;
                let sent =
                    request(Method::GET, "/first-and-never", &[("accept-encoding", "br")], body::empty());
                let mut response = in_time(client.send(sent)).await.unwrap();
                assert_eq!(response.headers()["content-encoding"], "br");
                let mut decoder = Decoder::new("br");
                while decoder.feed(b"") != b"first" {
                    let frame = in_time(response.body_mut().frame()).await.unwrap().unwrap();
                    decoder.feed(&frame.into_data().unwrap());
                }
                drop((response, client));
                soon("the server's stream ends", || origin.seen.broken.load(SeqCst) == place + 1).await;
            }
        });
        served.gateway.stop();
    }
}

/// Real decoders: those of curl.
#[test]
fn curl_decodes_what_comes() {
    let version = std::process::Command::new("curl").arg("--version").output();
    let Some(version) = version.ok().and_then(|it| String::from_utf8(it.stdout).ok()) else {
        return eprintln!("SKIPPED: curl is not installed");
    };
    let gateway = Gateway::start(&setup(Chain { link: "static", front: &[] }));
    let text = text(1_000_000);
    std::fs::write(gateway.folder().join("text"), &text).unwrap();
    for (coding, feature) in [("gzip", "libz"), ("br", "brotli")] {
        if !version.contains(feature) {
            eprintln!("SKIPPED: curl knows no {coding}");
            continue;
        }
        for (url, more) in [
            (format!("http://{}/plain", gateway.plain), "--http1.1"),
            (format!("https://{}/plain-in-place", gateway.tls), "--http2"),
        ] {
            let head = gateway.folder().join("head");
            let output = std::process::Command::new("curl")
                .args(["-sSfk", more, "--compressed", "-H", &format!("accept-encoding: {coding}")])
                .args([
                    "-H",
                    "content-type: application/json",
                    "-H",
                    "expect:",
                    "--data-binary",
                    "@text",
                    "-D",
                ])
                .args([head.to_str().unwrap(), &url])
                .current_dir(gateway.folder())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            assert!(output.stdout == text.as_bytes(), "{coding} {more}: {} bytes", output.stdout.len());
            let head = std::fs::read_to_string(head).unwrap().to_lowercase();
            assert!(head.contains(&format!("content-encoding: {coding}")), "{head}");
        }
    }
    gateway.stop();
}
