//! Routes: hosts, paths and methods. No two routes claim the same request.

use std::collections::HashMap;

use http::Method;

use super::lowering::{Lowering, Names};
use crate::config::keys::{self, File};
use crate::config::{At, Decoded, Text, nearest};
use crate::plan::route::{STANDARD_METHODS, parse_method, parse_path};
use crate::plan::{HostPattern, Pin, PipelineIndex, Route, Split};

impl Lowering<'_> {
    pub(super) fn routes(&mut self, root: &Decoded<File>, pipelines: &mut Names<'_>) -> Vec<Route> {
        if root.routes.is_empty() {
            let help = "add `[[routes]]` with `pipeline = \"…\"`";
            self.require_some(root, File::routes, "route", help);
        }
        let mut routes = Vec::new();
        for table in &root.routes {
            routes.extend(self.route(table, pipelines));
        }
        self.check_duplicates(&routes);
        routes
    }

    fn route(&mut self, table: &Decoded<keys::Route>, pipelines: &mut Names<'_>) -> Option<Route> {
        let keys::Route { host, path, methods, pipeline: _, split: _, pin, mirror } = &**table;
        let host = host.as_ref().map_or(Some(HostPattern::Any), |host| self.host(host.text()));
        let path = self.path(path.text());
        let methods = methods.as_ref().map(|methods| self.methods(methods));
        let split = self.split(table, pipelines);
        let pin = pin.as_ref().and_then(|pin| self.pin(table, pin));
        let mirror = mirror.as_ref().and_then(|text| self.resolve(text.text(), "pipeline", pipelines));
        // With a default in place of a refused part, the route would look like another one.
        if [keys::Route::host, keys::Route::path, keys::Route::methods]
            .iter()
            .any(|key| table.is_refused(*key))
        {
            return None;
        }
        let mirror = mirror.map(PipelineIndex);
        Some(Route { host: host?, path: path?, methods, split: split?, pin, mirror, span: table.span() })
    }

    /// The pipelines of a route: one under `pipeline`, or several under `split`.
    fn split(&mut self, table: &Decoded<keys::Route>, pipelines: &mut Names<'_>) -> Option<Vec<Split>> {
        use keys::Route;
        if table.is_refused(Route::pipeline) || table.is_refused(Route::split) {
            return None;
        }
        match (&table.pipeline, table.has(Route::split)) {
            (Some(pipeline), false) => {
                let pipeline = PipelineIndex(self.resolve(pipeline.text(), "pipeline", pipelines)?);
                Some(vec![Split { pipeline, weight: 1 }])
            }
            (None, true) => {
                let mut split = Vec::new();
                let mut complete = true;
                for part in &table.split {
                    let keys::Split { pipeline, weight } = &**part;
                    let index =
                        pipeline.as_ref().and_then(|text| self.resolve(text.text(), "pipeline", pipelines));
                    match index {
                        Some(index) => split.push(Split { pipeline: PipelineIndex(index), weight: *weight }),
                        None => complete = false,
                    }
                }
                if complete && split.iter().all(|part| part.weight == 0) {
                    self.diagnostics
                        .error(table.span_of(Route::split), "all weights are 0")
                        .label("no pipeline gets a request")
                        .help("give at least one pipeline a weight");
                    return None;
                }
                complete.then_some(split)
            }
            (pipeline, _) => {
                let message = match pipeline {
                    Some(_) => "a route has both `pipeline` and `split`",
                    None => "a route has no pipeline",
                };
                self.diagnostics.error(table.span(), message).label("one of the two is needed").help(
                    "write `pipeline = \"edge\"`, or `split = [{ pipeline = \"edge\", weight = 99 }, …]`",
                );
                None
            }
        }
    }

    fn pin(&mut self, route: &Decoded<keys::Route>, pin: &Decoded<keys::Pin>) -> Option<Pin> {
        if !route.has(keys::Route::split) {
            self.diagnostics
                .error(pin.span(), "`pin` needs a `split`")
                .label("there is nothing to decide")
                .help("remove it, or split the route between pipelines");
            return None;
        }
        self.pin_of(pin)
    }

    pub(super) fn pin_of(&mut self, pin: &Decoded<keys::Pin>) -> Option<Pin> {
        let keys::Pin { header, cookie } = &**pin;
        match (header, cookie) {
            (Some(header), None) => self.field_name(header.text()).map(Pin::Header),
            // Cookies' names are compared as they are.
            (None, Some(cookie)) => self.field_name(cookie.text()).map(|_| Pin::Cookie(cookie.value.clone())),
            _ => {
                self.diagnostics
                    .error(pin.span(), "`pin` is either a header or a cookie")
                    .label("one of the two is needed")
                    .help("write `pin = { header = \"x-user\" }` or `pin = { cookie = \"session\" }`");
                None
            }
        }
    }

    pub(super) fn field_name(&mut self, text: Text<'_>) -> Option<http::HeaderName> {
        let name = http::HeaderName::from_bytes(text.text.as_bytes());
        if name.is_err() {
            self.diagnostics
                .error(text.span, format!("invalid name `{}`", text.text))
                .label("not a token")
                .help("a name has letters, digits and `-`");
        }
        name.ok()
    }

    fn host(&mut self, text: Text<'_>) -> Option<HostPattern> {
        HostPattern::parse(text.text).map_err(|fault| self.diagnostics.fault(text.span, fault)).ok()
    }

    pub(super) fn path(&mut self, text: Text<'_>) -> Option<String> {
        parse_path(text.text).map_err(|fault| self.diagnostics.fault(text.span, fault)).ok()
    }

    pub(super) fn methods(&mut self, texts: &[At<String>]) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        for text in texts.iter().map(At::text) {
            match parse_method(text.text) {
                Err(fault) => {
                    self.diagnostics.fault(text.span, fault);
                }
                Ok(method) if methods.contains(&method) => {
                    self.diagnostics
                        .warning(text.span, format!("the method `{method}` is listed twice"))
                        .label("listed already")
                        .help("remove it");
                }
                Ok(method) => {
                    self.check_spelling(&method, text);
                    methods.push(method);
                }
            }
        }
        methods
    }

    /// A non-standard method is allowed; one that looks like a misspelt standard one is worth a warning.
    fn check_spelling(&mut self, method: &Method, text: Text<'_>) {
        if STANDARD_METHODS.contains(&method.as_str()) {
            return;
        }
        if let Some(meant) = nearest(method.as_str(), STANDARD_METHODS) {
            self.diagnostics
                .warning(text.span, format!("`{method}` is not a standard method"))
                .label("used as written")
                .help(format!("did you mean `{meant}`?"));
        }
    }

    /// Reports routes that claim the same as an earlier one: the same host and path, and the same method or both
    /// without methods. A route with methods comes before one without, so those two do not conflict.
    fn check_duplicates(&mut self, routes: &[Route]) {
        let mut claimed: HashMap<(&HostPattern, &str, Option<&Method>), &Route> = HashMap::new();
        for route in routes {
            let claims: Vec<Option<&Method>> = match &route.methods {
                None => vec![None],
                Some(methods) => methods.iter().map(Some).collect(),
            };
            let mut reported = false;
            for method in claims {
                let Some(earlier) = claimed.insert((&route.host, &route.path, method), route) else {
                    continue;
                };
                if !std::mem::replace(&mut reported, true) {
                    let claim = method.map_or("the same requests".to_owned(), |method| format!("`{method}`"));
                    self.diagnostics
                        .error(
                            route.span,
                            format!("two routes claim {claim} for `{}{}`", route.host, route.path),
                        )
                        .label("the second route")
                        .related(earlier.span, "the first route")
                        .help("change host, path or methods of one of them, or remove it");
                }
            }
        }
    }
}
