//! The same random requests through stages as they are and rewritten.

use super::SYNC;
use crate::harness::{
    Answer, Client, Gateway, PROTOCOLS, Pipeline, Seeded, Setup, body, request, run, scaled,
};
use http::{HeaderMap, Method};

/// A request, by its parts, so that it can be sent twice.
#[derive(Debug)]
struct Case {
    method: Method,
    path: String,
    fields: Vec<(String, String)>,
    content: String,
    trailers: bool,
}

impl Case {
    fn random(seeded: &mut Seeded) -> Self {
        let text = |most: usize, seeded: &mut Seeded| -> String {
            let length = seeded.below(most + 1);
            (0..length).map(|_| char::from(b'!' + seeded.below(94) as u8)).collect()
        };
        let what = ["", "", "request", "response", "refuse", "error", "error"][seeded.below(7)];
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
        let answers_early = what == "refuse" || what == "error";
        let has_body = method != Method::GET && method != Method::HEAD && !answers_early;
        let most = if has_body { [0, 10, 1_000, 100_000][seeded.below(4)] } else { 0 };
        Self {
            method,
            path: format!("/{:x}?{:x}", seeded.next(), seeded.next()),
            fields,
            content: text(most, seeded),
            trailers: has_body && seeded.below(3) == 0,
        }
    }

    async fn ask(&self, client: &mut Client, pipeline: &str) -> Answer {
        let fields: Vec<_> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = match self.trailers {
            true => body::with_trailers(self.content.clone(), &[("x-checksum", "abc")]),
            false => body::whole(self.content.clone()),
        };
        client.ask(request(self.method.clone(), &format!("/{pipeline}{}", self.path), &fields, body)).await
    }
}

/// What must be equal.
fn visible(answer: &Answer) -> (http::StatusCode, HeaderMap, Vec<u8>, Option<HeaderMap>, bool) {
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
    (answer.status, headers, body, answer.trailers.clone(), answer.cut.is_some())
}

#[test]
fn there_are_none() {
    let exchanges = scaled(2_000, 1_000_000);
    for link in ["static", "dynamic"] {
        let pipeline = |name: &str, keys: &str| {
            let pipeline = Pipeline::new(name, "echo").link(link).route(&format!("path = \"/{name}\""));
            pipeline.stage_with("plain-async", keys).stage_with("mixed-async", keys)
        };
        let gateway = Gateway::start(&Setup::of([pipeline("as-is", ""), pipeline("sync", SYNC)]));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                let mut seeded = Seeded(7);
                for number in 0..exchanges / 4 {
                    let case = Case::random(&mut seeded);
                    let (as_is, sync) =
                        (case.ask(&mut client, "as-is").await, case.ask(&mut client, "sync").await);
                    assert_eq!(visible(&as_is), visible(&sync), "{link} {protocol:?} {number}: {case:?}");
                    assert!(as_is.status != 500 || case.fields[0].1 == "error", "{case:?}: {as_is:?}");
                }
            }
        });
        assert_eq!(gateway.count(|line| line.to_string().contains("rewritten")), 0, "{:#?}", gateway.log());
        gateway.stop();
    }
}
