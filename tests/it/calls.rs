//! Calls of a pipeline by its name, `http://<pipeline>.internal`.

use crate::chain_test;
use crate::harness::{Chain, Client, Gateway, Line, PROTOCOLS, Pipeline, Setup, run};

/// The pipeline `main`, whose service calls what `calls` name.
fn caller(chain: Chain, calls: &str) -> Pipeline {
    chain.pipeline("caller").service_with(&format!("grant = {{ calls = [{calls}] }}"))
}

/// A pipeline that greets with its own name, at no route that is asked.
fn greets(name: &str) -> Pipeline {
    Pipeline::new(name, "hello")
        .service_with(&format!("config = {{ greeting = \"{name}\" }}"))
        .route(&format!("path = \"/{name}\""))
}

chain_test! {
    /// A granted pipeline answers, however its name is spelled; another one is denied, with one line that names both.
    fn granted_and_denied(chain) {
        let gateway = Gateway::start(&Setup::of([caller(chain, "\"side\""), greets("side"), greets("other")]));
        let denied = |line: &Line| line["message"] == "denied: other.internal is not among the stage's `calls`";
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for way in ["http://side.internal", "http://SIDE.Internal", "https://side.internal"] {
                    let answer = client.get("/", &[("x-way", way)]).await.ok();
                    assert_eq!(answer.text(), "side\n", "{way}");
                }
                for (way, code) in [
                    ("http://other.internal", "HttpRequestDenied"),
                    ("http://nobody.internal", "HttpRequestDenied"),
                    ("http://side.internal:80", "HttpRequestUriInvalid"),
                    ("http://me@side.internal", "HttpRequestUriInvalid"),
                    // These are no pipelines, and no rule leads there.
                    ("http://side.internal.", "HttpRequestDenied"),
                    ("http://a.side.internal", "HttpRequestDenied"),
                ] {
                    let answer = client.get("/", &[("x-way", way)]).await;
                    assert_eq!(answer.status, 502, "{way}");
                    assert!(answer.text().contains(code), "{way}: {answer:?}");
                }
            }
        });
        gateway.counts(2, denied);
        let line = gateway.line(denied);
        assert_eq!(line["stage"], format!("main/{}:caller", chain.front.len()));
        gateway.stop();
    }
}
