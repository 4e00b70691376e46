//! Routes: hosts, paths, methods, and that no two of them claim the same request.

use std::collections::HashMap;

use http::Method;

use super::{Lowering, Names};
use crate::config::{Fields, Text, nearest};
use crate::plan::route::{STANDARD_METHODS, parse_method, parse_path};
use crate::plan::{HostPattern, Pin, PipelineIndex, Route, Split};

impl Lowering<'_> {
    pub(super) fn routes(&mut self, root: &Fields, pipelines: &mut Names<'_>) -> Vec<Route> {
        if root.list("routes").is_empty() {
            let help = "add `[[routes]]` with `pipeline = \"…\"`";
            self.require_some(root, "routes", "route", help);
        }
        let mut routes = Vec::new();
        for fields in root.tables("routes") {
            routes.extend(self.route(fields, pipelines));
        }
        self.check_duplicates(&routes);
        routes
    }

    fn route(&mut self, fields: &Fields, pipelines: &mut Names<'_>) -> Option<Route> {
        let host = fields.text("host").map_or(Some(HostPattern::Any), |text| self.host(text));
        let path = fields.text("path").and_then(|text| self.path(text));
        let methods = fields.has("methods").then(|| self.methods(fields));
        let split = self.split(fields, pipelines);
        let pin = fields.table("pin").and_then(|pin| self.pin(fields, pin));
        let mirror = fields
            .text("mirror")
            .filter(|_| fields.has("mirror"))
            .and_then(|text| self.resolve(text, "pipeline", pipelines))
            .map(PipelineIndex);
        // With a default in the place of what was refused, the route would look like another one.
        if ["host", "path", "methods"].iter().any(|key| fields.is_refused(key)) {
            return None;
        }
        Some(Route { host: host?, path: path?, methods, split: split?, pin, mirror, span: fields.span() })
    }

    /// The pipelines of a route: one under `pipeline`, or several under `split`.
    fn split(&mut self, fields: &Fields, pipelines: &mut Names<'_>) -> Option<Vec<Split>> {
        if fields.is_refused("pipeline") || fields.is_refused("split") {
            return None;
        }
        match (fields.has("pipeline"), fields.has("split")) {
            (true, false) => {
                let text = fields.text("pipeline")?;
                let pipeline = PipelineIndex(self.resolve(text, "pipeline", pipelines)?);
                Some(vec![Split { pipeline, weight: 1 }])
            }
            (false, true) => {
                let mut split = Vec::new();
                let mut complete = true;
                for part in fields.tables("split") {
                    let index =
                        part.text("pipeline").and_then(|text| self.resolve(text, "pipeline", pipelines));
                    let weight = u32::try_from(part.count("weight")).unwrap_or(u32::MAX);
                    match index {
                        Some(index) => split.push(Split { pipeline: PipelineIndex(index), weight }),
                        None => complete = false,
                    }
                }
                if complete && split.iter().all(|part| part.weight == 0) {
                    self.diagnostics
                        .error(fields.span_of("split"), "all weights are 0")
                        .label("no pipeline gets a request")
                        .help("give at least one pipeline a weight");
                    return None;
                }
                complete.then_some(split)
            }
            (both, _) => {
                let message = match both {
                    true => "a route has both `pipeline` and `split`",
                    false => "a route leads nowhere",
                };
                self.diagnostics.error(fields.span(), message).label("one of the two is needed").help(
                    "write `pipeline = \"edge\"`, or `split = [{ pipeline = \"edge\", weight = 99 }, …]`",
                );
                None
            }
        }
    }

    fn pin(&mut self, route: &Fields, pin: &Fields) -> Option<Pin> {
        if !route.has("split") {
            self.diagnostics
                .error(pin.span(), "`pin` needs a `split`")
                .label("there is nothing to decide")
                .help("remove it, or split the route between pipelines");
            return None;
        }
        self.pin_of(pin)
    }

    pub(super) fn pin_of(&mut self, pin: &Fields) -> Option<Pin> {
        let text = |name: &str| pin.text(name).filter(|_| pin.has(name));
        match (text("header"), text("cookie")) {
            (Some(header), None) => self.field_name(header).map(Pin::Header),
            // Cookies' names are compared as they are.
            (None, Some(cookie)) => self.field_name(cookie).map(|_| Pin::Cookie(cookie.text.to_owned())),
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

    pub(super) fn methods(&mut self, fields: &Fields) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        for text in fields.texts("methods") {
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

    /// A method of one's own is allowed, and one that looks like a misspelt standard one is worth a warning.
    fn check_spelling(&mut self, method: &Method, text: Text<'_>) {
        if STANDARD_METHODS.contains(&method.as_str()) {
            return;
        }
        if let Some(meant) = nearest(method.as_str(), STANDARD_METHODS) {
            self.diagnostics
                .warning(text.span, format!("`{method}` is not a standard method"))
                .label("taken as it is")
                .help(format!("did you mean `{meant}`?"));
        }
    }

    /// Reports routes that claim what an earlier one claims: the same host and path, and the same method or both
    /// without methods. A route with methods comes before one without, so those two do not meet.
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
