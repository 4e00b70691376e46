//! The same random requests through stages as they are and rewritten: heads, bodies, trailers, errors, traps, and
//! clients that go away in the middle.

use super::{SYNC, gives_up};
use crate::harness::{
    Answer, Client, Gateway, PROTOCOLS, Pipeline, Protocol, Seeded, Setup, body, in_time, request, run,
    scaled,
};
use http::{HeaderMap, Method, Request};
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::io;
use std::sync::LazyLock;

/// A request, by its parts, so that it can be sent twice.
#[derive(Debug)]
struct Case {
    method: Method,
    path: String,
    fields: Vec<(String, String)>,
    content: String,
    trailers: bool,
    leave: Leave,
}

/// Whether the client goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Never,
    /// Its request's body breaks off, when the answer to its beginning is there.
    Uploading,
    /// When it has the beginning of the answer's body.
    Downloading,
}

/// What a client sees of an exchange.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: http::StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    cut: bool,
}

/// Random characters, of which texts are cut: to draw each anew would take longer than the exchange.
static CHARACTERS: LazyLock<String> = LazyLock::new(|| {
    let mut seeded = Seeded(5);
    (0..200_000).map(|_| char::from(b'!' + seeded.below(94) as u8)).collect()
});

impl Case {
    fn random(seeded: &mut Seeded) -> Self {
        let text = |most: usize, seeded: &mut Seeded| -> String {
            let length = seeded.below(most + 1);
            let at = seeded.below(CHARACTERS.len() - length);
            CHARACTERS[at..at + length].to_owned()
        };
        let what = match seeded.below(28) {
            0 => "trap",
            1 => "trap-after",
            2..6 => "request",
            6..10 => "response",
            10..14 => "refuse",
            14..16 => "error",
            _ => "",
        };
        let mut fields =
            vec![("x-mixed".to_owned(), what.to_owned()), ("te".to_owned(), "trailers".to_owned())];
        fields.push(("x-message".to_owned(), text(300, seeded)));
        for number in 0..seeded.below(8) {
            fields.push((format!("x-random-{number}"), text(60, seeded)));
        }
        if seeded.below(2) == 0 {
            fields.push(("content-type".to_owned(), format!("text/{}", seeded.below(1000))));
        }
        let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD];
        let method = methods[seeded.below(5)].clone();
        // Who answers without having read a body closes a connection of HTTP/1.1 if it has not come yet.
        let answers_early = ["refuse", "error", "trap", "trap-after"].contains(&what);
        let has_body = method != Method::GET && method != Method::HEAD && !answers_early;
        let most = if has_body { [0, 10, 1_000, 100_000][seeded.below(4)] } else { 0 };
        let content = text(most, seeded);
        let leave = match seeded.below(10) {
            0 if !content.is_empty() => Leave::Uploading,
            1 if !content.is_empty() => Leave::Downloading,
            _ => Leave::Never,
        };
        Self {
            method,
            path: format!("/{:x}?{:x}", seeded.next(), seeded.next()),
            fields,
            content,
            trailers: has_body && seeded.below(3) == 0,
            leave,
        }
    }

    fn traps(&self) -> bool {
        self.fields[0].1.starts_with("trap")
    }

    fn request(&self, pipeline: &str, body: body::TestBody) -> Request<body::TestBody> {
        let fields: Vec<_> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        request(self.method.clone(), &format!("/{pipeline}{}", self.path), &fields, body)
    }

    async fn ask(&self, lane: &mut Lane<'_>, pipeline: &str) -> Seen {
        match self.leave {
            Leave::Never => {
                let body = match self.trailers {
                    true => body::with_trailers(self.content.clone(), &[("x-checksum", "abc")]),
                    false => body::whole(self.content.clone()),
                };
                visible(&lane.client.ask(self.request(pipeline, body)).await)
            }
            Leave::Uploading => {
                let seen = self.break_off(lane, pipeline).await;
                lane.renew().await;
                seen
            }
            Leave::Downloading => {
                let request = self.request(pipeline, body::whole(self.content.clone()));
                let seen = in_time(async {
                    let response = lane.client.send(request).await.unwrap();
                    self.beginning(response).await.0
                });
                let seen = seen.await;
                lane.renew().await;
                seen
            }
        }
    }

    /// Sends the beginning of the body, and breaks off when it came back.
    async fn break_off(&self, lane: &mut Lane<'_>, pipeline: &str) -> Seen {
        let (feeder, body) = body::fallible();
        feeder.try_send(Ok(Frame::data(self.content.clone().into()))).unwrap();
        let request = self.request(pipeline, body);
        in_time(async {
            let response = lane.client.send(request).await.unwrap();
            let (seen, mut rest) = self.beginning(response).await;
            feeder.send(Err(io::Error::other("the client goes away"))).await.unwrap();
            let cut = loop {
                match rest.frame().await {
                    Some(Ok(frame)) => assert!(!frame.is_trailers(), "{self:?}"),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            Seen { cut, ..seen }
        })
        .await
    }

    /// The head of an answer, and what came of its body first, which is what was sent; how much at once is chance.
    async fn beginning(
        &self,
        response: http::Response<hyper::body::Incoming>,
    ) -> (Seen, hyper::body::Incoming) {
        let (parts, mut body) = response.into_parts();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(!first.is_empty() && self.content.as_bytes().starts_with(&first), "{self:?}: {first:?}");
        let mut headers = parts.headers;
        headers.remove("date");
        (Seen { status: parts.status, headers, body: Vec::new(), trailers: None, cut: false }, body)
    }
}

/// What must be equal.
fn visible(answer: &Answer) -> Seen {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    // The gateway's own answers name the request.
    let body = match answer.header("content-type") {
        Some("application/problem+json") if !answer.body.is_empty() => {
            let mut problem = answer.json();
            problem["request-id"] = "".into();
            problem.to_string().into_bytes()
        }
        _ => answer.body.to_vec(),
    };
    Seen {
        status: answer.status,
        headers,
        body,
        trailers: answer.trailers.clone(),
        cut: answer.cut.is_some(),
    }
}

/// A connection, and pipelines of its own: a trap is everybody's in its instance, and who that is differs by form.
struct Lane<'a> {
    gateway: &'a Gateway,
    protocol: Protocol,
    number: usize,
    client: Client,
}

impl Lane<'_> {
    /// HTTP/2 takes back one request; with HTTP/1.1 it is the connection.
    async fn renew(&mut self) {
        if self.protocol != Protocol::Http2 {
            self.client = Client::connect(self.gateway, self.protocol).await;
        }
    }

    /// How many exchanges had to trap.
    async fn run(mut self, exchanges: usize) -> usize {
        let mut seeded = Seeded(7 + self.number as u64);
        let mut traps = 0;
        for number in 0..exchanges {
            if number > 0 && number % 1_000 == 0 {
                println!("{:?}, lane {}: {number} exchanges", self.protocol, self.number);
            }
            let case = Case::random(&mut seeded);
            let (as_is, sync) = (format!("as-is-{}", self.number), format!("sync-{}", self.number));
            let as_is = case.ask(&mut self, &as_is).await;
            let sync = case.ask(&mut self, &sync).await;
            let protocol = self.protocol;
            assert_eq!(as_is, sync, "{protocol:?}, lane {}, {number}: {case:?}", self.number);
            let fails = case.traps() || case.fields[0].1 == "error";
            assert_eq!(as_is.status == 500, fails, "{case:?}: {as_is:?}");
            assert_eq!(as_is.cut, case.leave == Leave::Uploading, "{case:?}: {as_is:?}");
            traps += usize::from(case.traps());
        }
        traps
    }
}

#[test]
fn there_are_none() {
    for link in ["static", "dynamic"] {
        for protocol in PROTOCOLS {
            differ_not(link, protocol, scaled(500, 250_000), scaled(2, 8));
        }
    }
}

fn differ_not(link: &str, protocol: Protocol, exchanges: usize, lanes: usize) {
    let pipeline = |name: String, keys: &str| {
        let pipeline = Pipeline::new(&name, "echo").link(link).route(&format!("path = \"/{name}\""));
        pipeline.stage_with("plain-async", keys).stage_with("mixed-async", keys)
    };
    let pipelines = (0..lanes)
        .flat_map(|lane| [pipeline(format!("as-is-{lane}"), ""), pipeline(format!("sync-{lane}"), SYNC)]);
    let gateway = Gateway::start(&Setup::of(pipelines).log("linkspan::http=warn"));
    let traps: usize = run(async {
        let mut running = Vec::new();
        for number in 0..lanes {
            let client = Client::connect(&gateway, protocol).await;
            let lane = Lane { gateway: &gateway, protocol, number, client };
            running.push(lane.run(exchanges / lanes));
        }
        futures::future::join_all(running).await.into_iter().sum()
    });
    println!("{link} {protocol:?}: {exchanges} exchanges, {traps} of them with a trap");
    // Nothing else trapped, in either form: not for those who went away, either.
    for form in ["as-is", "sync"] {
        gateway.counts(traps, |line| {
            line["pipeline"].as_str().is_some_and(|name| name.starts_with(form))
                && line["message"] == "the chain gave no response"
                && line["reason"].as_str().is_some_and(|reason| reason.contains("trap"))
        });
    }
    assert_eq!(gateway.count(gives_up), 0, "{:#?}", gateway.log());
    gateway.stop();
}
