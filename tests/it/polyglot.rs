//! Components of every kind in one chain: a middleware in Python, a service of WASI 0.2, one with a standard library,
//! one of a release candidate.

use crate::embed::{ask, field, run, stage, text};
use crate::harness::{binary, body, dist, repository, there};
use http::Request;
use http_body_util::BodyExt as _;
use linkspan::embed::{Gateway, Pipeline, Stage};

/// The middleware in Python, as `examples/locale-python` says.
fn locale() -> Stage {
    let locale = stage("locale-python").config("offers", "en, de, pt-BR");
    locale.grant("clocks", true).grant("random", true)
}

/// What is compiled here takes longest of all.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/linkspan");

#[test]
fn a_page_of_all_kinds() {
    if !there("locale-python") || !there("notices") {
        return;
    }
    let file = repository().join("pipelines/polyglot.toml");
    let gateway = Gateway::builder().file(file).set("gateway.workers", 1).set("gateway.compile-cache", CACHE);
    let gateway = gateway.build().unwrap();
    run(async {
        for (accepted, language, notice) in [
            ("de-AT, en;q=0.5", "de", "Die Brücke schließt heute um zehn.\n"),
            ("fr", "en", "The bridge closes at ten tonight.\n"),
        ] {
            let request = Request::get("/bridge").header("accept-language", accepted);
            let response = ask(&gateway.routes(), request.body(body::empty()).unwrap()).await;
            assert_eq!(response.status(), 200);
            assert_eq!(field(response.headers(), "content-language"), language);
            let page = text(response).await;
            assert!(page.starts_with("Hello, bridge! It is "), "{page}");
            assert!(page.contains(notice), "{page}");
            assert!(page.ends_with("Hello from a release candidate, /bridge!\n"), "{page}");
        }
        let none = Request::get("/no-such-notice").body(body::empty()).unwrap();
        let page = text(ask(&gateway.routes(), none).await).await;
        assert!(!page.contains("Not Found") && page.lines().count() == 2, "{page}");
    });
}

#[test]
fn a_middleware_in_python() {
    if !there("locale-python") {
        return;
    }
    const LINKS: [&str; 2] = ["static", "dynamic"];
    // `auto` leaves it as it is.
    let pipeline = |link| {
        let pipeline = Pipeline::new(link).stage(stage("pass-through-sync"));
        pipeline.stage(locale().set("link", link)).set("lift", "auto").service(stage("echo"))
    };
    let both = Gateway::builder().set("gateway.compile-cache", CACHE);
    let both = LINKS.into_iter().fold(both, |both, link| both.pipeline(pipeline(link))).build().unwrap();
    for link in LINKS {
        let service = both.service(link).unwrap();
        run(async {
            for (accepted, language) in [
                ("", "en"),
                ("de", "de"),
                ("de-AT, en;q=0.5", "de"),
                ("pt", "pt-BR"),
                ("fr, *;q=0.1", "en"),
                ("en;q=0, de;q=0.1", "de"),
                ("en;q=2, pt-br;q=0.001", "pt-BR"),
                ("*, en;q=0", "de"),
                (",,;q=1, \u{fc}", "en"),
            ] {
                let request =
                    Request::get("/").header("accept-language", accepted).header("x-locale", "forged");
                let response = ask(&service, request.body(body::empty()).unwrap()).await;
                assert_eq!(response.status(), 200, "{accepted}");
                assert_eq!(field(response.headers(), "content-language"), language, "{accepted}");
                assert_eq!(field(response.headers(), "vary"), "Accept-Language");
            }
            let sent = "x".repeat(1 << 20);
            let content = body::with_trailers(sent.clone(), &[("x-checksum", "abc")]);
            let request = Request::post("/").header("te", "trailers").body(content).unwrap();
            let received = ask(&service, request).await.into_body().collect().await.unwrap();
            assert_eq!(received.trailers().unwrap()["x-checksum"], "abc");
            assert!(received.to_bytes() == sent);
        });
    }
}

#[test]
fn what_is_not_rewritten_says_so() {
    if !there("locale-python") {
        return;
    }
    // The functions with which it starts up are not its handler.
    let told = binary(&["inspect", dist("locale-python").to_str().unwrap()]).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout);
    assert!(told.contains("\nlift       async\n"), "{told}");
    let why = "\nrelift     stays as it is: it exports not one function, but none or several\n";
    assert!(told.contains(why), "{told}");
    let pipeline = Pipeline::new("main").stage(locale().set("lift", "sync")).service(stage("echo"));
    let refused = pipeline.build().err().unwrap().to_string();
    assert!(
        refused.contains("locale-python") && refused.contains("can't be lifted synchronously"),
        "{refused}"
    );
}
