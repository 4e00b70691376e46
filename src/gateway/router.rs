//! The route of a request.
//!
//! The plan defines the order (see [`crate::plan::Route`]): the exact host, then the longest wildcard, then any host;
//! within a host the longest path; within a path a route that names the method. The cost of a look-up grows with the
//! number of labels in the host and segments in the path, not with the number of routes.

use crate::plan::{HostPattern, Route};
use http::Method;
use std::collections::HashMap;

/// The router's answer for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The route at this place of the plan.
    Route(usize),
    /// Routes have its host and path, but only for these methods, sorted. The answer must list them (RFC 9110 §15.5.6).
    OtherMethods(Vec<Method>),
    /// No route has its host and path.
    None,
}

/// Routes of one host pattern.
#[derive(Debug, Default)]
struct Paths(HashMap<String, Vec<Target>>);

#[derive(Debug)]
struct Target {
    methods: Option<Vec<Method>>,
    route: usize,
}

/// All routes, by host and path.
#[derive(Debug, Default)]
pub struct Router {
    exact: HashMap<String, Paths>,
    /// By the part after the star, with its leading dot: `.example.com`.
    suffix: HashMap<String, Paths>,
    any: Paths,
}

impl Router {
    /// Sorts `routes`.
    pub fn new(routes: &[Route]) -> Self {
        let mut router = Self::default();
        for (at, route) in routes.iter().enumerate() {
            let paths = match &route.host {
                HostPattern::Exact(host) => router.exact.entry(host.clone()).or_default(),
                HostPattern::Suffix(suffix) => router.suffix.entry(suffix.clone()).or_default(),
                HostPattern::Any => &mut router.any,
            };
            let targets = paths.0.entry(route.path.clone()).or_default();
            targets.push(Target { methods: route.methods.clone(), route: at });
            // Routes with methods come before the one for all methods.
            targets.sort_by_key(|target| target.methods.is_none());
        }
        router
    }

    /// Finds the route of a request. `host` is in lower case and has no port; `path` is normalised and has no query.
    pub fn route(&self, host: &str, path: &str, method: &Method) -> Match {
        let mut allowed = Vec::new();
        for paths in self.candidates(host) {
            if let Some(route) = paths.find(path, method, &mut allowed) {
                return Match::Route(route);
            }
        }
        if allowed.is_empty() {
            return Match::None;
        }
        allowed.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        allowed.dedup();
        Match::OtherMethods(allowed)
    }

    /// The tables that can have routes for `host`, the most specific first.
    fn candidates<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Paths> {
        let suffixes = host
            .match_indices('.')
            // `*.example.com` needs something before the dot.
            .filter(|(at, _)| *at > 0)
            .filter_map(|(at, _)| self.suffix.get(&host[at..]));
        let suffixes = (!self.suffix.is_empty()).then_some(suffixes).into_iter().flatten();
        self.exact.get(host).into_iter().chain(suffixes).chain([&self.any])
    }
}

impl Paths {
    fn find(&self, path: &str, method: &Method, allowed: &mut Vec<Method>) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        prefixes(path).filter_map(|prefix| self.0.get(prefix)).find_map(|targets| {
            targets.iter().find_map(|target| match &target.methods {
                Some(methods) if !methods.contains(method) => {
                    allowed.extend(methods.iter().cloned());
                    None
                }
                _ => Some(target.route),
            })
        })
    }
}

/// The path and everything above it, the longest first: `/a/b`, `/a`, `/`.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let whole = (path != "/").then_some(path);
    let above = path.rmatch_indices('/').filter(|(at, _)| *at > 0).map(move |(at, _)| &path[..at]);
    whole.into_iter().chain(above).chain(["/"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PipelineIndex, Split};

    #[test]
    fn prefixes_end_at_segments() {
        let all = |path| prefixes(path).collect::<Vec<_>>();
        assert_eq!(all("/"), ["/"]);
        assert_eq!(all("/a"), ["/a", "/"]);
        assert_eq!(all("/a/b/"), ["/a/b/", "/a/b", "/a", "/"]);
    }

    fn router(routes: &[(HostPattern, &str, Option<&[Method]>)]) -> Router {
        let span = crate::config::Span::new(0..0);
        let routes: Vec<_> = routes
            .iter()
            .enumerate()
            .map(|(at, (host, path, methods))| Route {
                host: host.clone(),
                path: (*path).to_owned(),
                methods: methods.map(<[Method]>::to_vec),
                split: vec![Split { pipeline: PipelineIndex(at), weight: 1 }],
                pin: None,
                mirror: None,
                span,
            })
            .collect();
        Router::new(&routes)
    }

    #[test]
    fn the_most_specific_route_wins() {
        let router = router(&[
            (HostPattern::Any, "/", None),
            (HostPattern::Suffix(".example.com".into()), "/", None),
            (HostPattern::Suffix(".a.example.com".into()), "/", None),
            (HostPattern::Exact("b.a.example.com".into()), "/v1", None),
            (HostPattern::Any, "/v1/users", None),
            (HostPattern::Any, "/v1/users", Some(&[Method::POST])),
        ]);
        for (host, path, method, pipeline) in [
            ("localhost", "/", Method::GET, 0),
            ("localhost", "/v1", Method::GET, 0),
            ("localhost", "/v1/users", Method::GET, 4),
            ("localhost", "/v1/users/7", Method::GET, 4),
            ("localhost", "/v1/usersx", Method::GET, 0),
            ("localhost", "/v1/users", Method::POST, 5),
            ("x.example.com", "/v1/users", Method::GET, 1),
            ("example.com", "/", Method::GET, 0),
            ("x.a.example.com", "/", Method::GET, 2),
            ("b.a.example.com", "/v1/x", Method::GET, 3),
            ("b.a.example.com", "/v2", Method::GET, 2),
        ] {
            let expected = Match::Route(pipeline);
            assert_eq!(router.route(host, path, &method), expected, "{method} {host}{path}");
        }
    }

    #[test]
    fn other_methods_are_told() {
        let router = router(&[
            (HostPattern::Any, "/a", Some(&[Method::POST, Method::GET])),
            (HostPattern::Any, "/b", Some(&[Method::PUT])),
        ]);
        assert_eq!(
            router.route("h", "/a/x", &Method::DELETE),
            Match::OtherMethods(vec![Method::GET, Method::POST]),
        );
        assert_eq!(router.route("h", "/c", &Method::GET), Match::None);
    }
}
