//! The normal form of paths and hosts: normalising it again changes nothing, and the router and the routes agree about
//! it.

use super::hosts::Hosts;
use super::path::path_and_query;
use crate::gateway::{Match, Router};
use crate::plan::policy::{EncodedSlash, PathRules};
use crate::plan::{HostPattern, Route};
use http::uri::Scheme;
use http::{Method, Uri};
use std::cmp::Reverse;
use std::path::Path;

const ROUTES: &str = r#"
[[listeners]]
address = "127.0.0.1:1"
[upstreams.x]
servers = ["http://127.0.0.1:1"]
[pipelines.x]
upstream = "x"
[[routes]]
pipeline = "x"
path = "/a/b"
[[routes]]
pipeline = "x"
path = "/a"
methods = ["POST", "PUT"]
[[routes]]
pipeline = "x"
host = "a.example"
path = "/a/b/c"
[[routes]]
pipeline = "x"
host = "a.example"
methods = ["GET"]
[[routes]]
pipeline = "x"
host = "*.example"
path = "/a"
[[routes]]
pipeline = "x"
host = "*.b.example"
path = "/a"
[[routes]]
pipeline = "x"
host = "[::1]"
"#;

thread_local! {
    static ROUTER: (Router, Vec<Route>) = {
        let plan = crate::plan::parse(Path::new("fuzzing.toml"), ROUTES, &|_| None);
        let routes = plan.map(|(plan, _)| plan.routes).map_err(|found| found.to_string()).expect("a plan");
        (Router::new(&routes), routes)
    };
}

/// The first byte chooses the rules; the next line is the host, and the rest the target.
pub fn run(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (host, target) = rest.split_at(end);
    let scheme = if choice & 1 == 0 { Scheme::HTTP } else { Scheme::HTTPS };
    let slash =
        [EncodedSlash::Reject, EncodedSlash::Keep, EncodedSlash::Decode][usize::from(choice >> 2) % 3];
    let rules = PathRules { encoded_slash: slash, merge_slashes: choice & 2 == 0 };
    let host = normal_host(host, &scheme);
    let path = target.get(1..).and_then(|target| normal_target(target, rules));
    if let (Some(host), Some(path)) = (host, path) {
        for method in [Method::GET, Method::POST] {
            check_route(&host, &path, &method);
        }
    }
}

fn normal_host(raw: &[u8], scheme: &Scheme) -> Option<String> {
    let find = |raw: &[u8]| Hosts::default().find(raw, scheme).ok().map(|host| host.authority.clone());
    let normal = find(raw)?;
    assert_eq!(find(normal.as_str().as_bytes()).as_ref(), Some(&normal), "not its own normal form");
    let host = normal.host();
    assert!(!host.ends_with('.') && !host.bytes().any(|byte| byte.is_ascii_uppercase()), "{host}");
    if let Ok(pattern) = HostPattern::parse(host) {
        assert!(pattern == HostPattern::Exact(host.to_owned()), "a route for {host} is one for {pattern:?}");
    }
    Some(host.to_owned())
}

fn normal_target(raw: &[u8], rules: PathRules) -> Option<String> {
    let uri = Uri::try_from(raw).ok()?;
    let normal = path_and_query(&uri, rules).ok()?;
    let again = Uri::try_from(normal.as_str()).expect("a target");
    // Compared as text: an empty path is written `/`, and is not equal to it.
    let again = path_and_query(&again, rules).ok();
    assert_eq!(again.as_ref().map(|it| it.as_str()), Some(normal.as_str()), "not its own normal form");
    let path = normal.path();
    assert!(path.starts_with('/') && path.is_ascii(), "{path}");
    assert!(!path.bytes().any(|byte| byte.is_ascii_control() || byte == b'\\'), "{path}");
    assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")), "{path}");
    assert!(!rules.merge_slashes || !path.contains("//"), "{path}");
    Some(path.to_owned())
}

/// The router's choice, compared with the routes one by one.
fn check_route(host: &str, path: &str, method: &Method) {
    ROUTER.with(|(router, routes)| {
        let rank = |route: &Route| match &route.host {
            HostPattern::Exact(_) => (0, Reverse(0)),
            HostPattern::Suffix(suffix) => (1, Reverse(suffix.len())),
            HostPattern::Any => (2, Reverse(0)),
        };
        let there = |route: &&Route| route.host.matches(host) && route.matches_path(path);
        let here: Vec<_> = routes.iter().filter(there).collect();
        let mut mine: Vec<_> = here.iter().filter(|route| route.matches_method(method)).collect();
        mine.sort_by_key(|route| (rank(route), Reverse(route.path.len()), route.methods.is_none()));
        let found = match router.route(host, path, method) {
            Match::Route(at) => Some(&routes[at]),
            Match::OtherMethods(methods) => {
                assert!(!methods.is_empty() && !here.is_empty(), "{host} {path}");
                None
            }
            Match::None => {
                assert!(here.is_empty(), "{host} {path}: {here:?}");
                None
            }
        };
        assert_eq!(found, mine.first().copied().copied(), "{method} {host} {path}");
    });
}
