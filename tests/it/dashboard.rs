//! The dashboard: what the admin listener serves for it, and the page in a browser.

mod browser;

use crate::harness::{Client, Folder, Protocol, body, request, run};
use crate::swap::support::{self, Served, pipeline};
use http::{HeaderMap, Method};

const TOKEN: &str = "a-token-that-may-change";
const READ_TOKEN: &str = "a-token-that-may-look";

fn hello() -> String {
    pipeline("main", "", "component = \"hello\"") + "[[routes]]\npipeline = \"main\"\n"
}

/// What comes before the components, with both tokens.
fn guarded_head() -> String {
    let tokens = format!("[admin]\ntoken = {TOKEN:?}\nread-token = {READ_TOKEN:?}\n");
    support::head("").replace("[admin]\n", &tokens)
}

/// Status, fields and body of an answer of the admin listener.
async fn ask(
    served: &Served,
    method: Method,
    path: &str,
    fields: &[(&str, &str)],
) -> (u16, HeaderMap, String) {
    let mut client = Client::open(served.admin, Protocol::Http1).await;
    let answer = client.ask(request(method, path, fields, body::empty())).await;
    (answer.status.as_u16(), answer.headers.clone(), String::from_utf8(answer.body.to_vec()).unwrap())
}

/// The files of the page that a page or a module names.
fn named(text: &str) -> Vec<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    let path = |text: &str| match text.strip_prefix("./") {
        Some(module) => format!("/dashboard/{module}"),
        None => text.to_owned(),
    };
    quoted.map(path).filter(|path| path.starts_with("/dashboard/")).collect()
}

#[test]
fn the_page_needs_no_token_and_names_only_files_that_are_served() {
    let served = Served::start_in(Folder::new(), &guarded_head(), &hello());
    run(async {
        let (mut open, mut seen) = (vec!["/".to_owned()], Vec::new());
        while let Some(path) = open.pop() {
            let (status, headers, text) = ask(&served, Method::GET, &path, &[]).await;
            assert_eq!(status, 200, "{path}");
            let kind = match path.rsplit_once('.').map(|(_, extension)| extension) {
                None => "text/html; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                Some("svg") => "image/svg+xml",
                _ => "text/javascript; charset=utf-8",
            };
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert_eq!(
                policy,
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            );
            for (name, value) in [
                ("content-type", kind),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cache-control", "no-cache"),
            ] {
                assert_eq!(headers[name], value, "{path}: {name}");
            }
            seen.push(path);
            open.extend(named(&text).into_iter().filter(|path| !seen.contains(path)));
            open.sort();
            open.dedup();
        }
        assert!(seen.len() > 20, "{seen:?}");
        // What the page asks then needs the token.
        for path in ["/overview", "/generations", "/version", "/metrics"] {
            assert_eq!(ask(&served, Method::GET, path, &[]).await.0, 401, "{path}");
        }
        assert_eq!(ask(&served, Method::GET, "/dashboard/none.js", &[]).await.0, 401);
    });
}

#[test]
fn files_of_the_page_have_methods_and_a_tag() {
    let served = Served::start("", &hello());
    run(async {
        let (status, headers, text) = ask(&served, Method::GET, "/", &[]).await;
        assert!(status == 200 && text.starts_with("<!doctype html>"), "{text}");
        let tag = headers["etag"].to_str().unwrap();
        let (status, again, text) = ask(&served, Method::GET, "/", &[("if-none-match", tag)]).await;
        assert_eq!((status, again["etag"].to_str().unwrap(), &*text), (304, tag, ""));
        let (status, head, text) = ask(&served, Method::HEAD, "/dashboard/main.js", &[]).await;
        assert_eq!((status, &*text), (200, ""));
        assert_ne!(head["content-length"], "0");
        let (status, headers, _) = ask(&served, Method::POST, "/", &[]).await;
        assert_eq!((status, headers["allow"].to_str().unwrap()), (405, "GET, HEAD"));
        for path in
            ["/dashboard", "/dashboard/", "/dashboard/none.js", "/dashboard/index.html", "/index.html"]
        {
            assert_eq!(ask(&served, Method::GET, path, &[]).await.0, 404, "{path}");
        }
        // A name that points here gets the page, which holds no secret, and nothing else.
        let foreign = [("host", "evil.example")];
        assert_eq!(ask(&served, Method::GET, "/", &foreign).await.0, 200);
        assert_eq!(ask(&served, Method::GET, "/version", &foreign).await.0, 403);
        assert_eq!(ask(&served, Method::GET, "/healthz", &foreign).await.0, 200);
    });
}

#[test]
fn the_version_says_what_the_caller_may_do() {
    let served = Served::start_in(Folder::new(), &guarded_head(), &hello());
    run(async {
        for (token, right) in [(TOKEN, "token"), (READ_TOKEN, "read-token")] {
            let token = format!("Bearer {token}");
            let (_, _, text) = ask(&served, Method::GET, "/version", &[("authorization", &token)]).await;
            let version: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(version["right"], right);
        }
    });
}
