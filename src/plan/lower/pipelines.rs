//! Pipelines and their stages.

use super::{Lowering, Names};
use crate::config::{Fields, Named, Span, Text, suggest};
use crate::plan::{
    Breaker, BreakerThen, ComponentIndex, End, Isolation, Link, Name, OnFailure, Pipeline, PipelineLimits,
    Relift, Stage, StageId, StageLimits, UpstreamIndex,
};

/// The names that stages refer to.
pub(super) struct Known<'n, 'a> {
    pub(super) components: &'n mut Names<'a>,
    pub(super) upstreams: &'n mut Names<'a>,
    pub(super) pipelines: &'n mut Names<'a>,
}

/// What a stage takes from its pipeline where it says nothing itself.
struct Defaults<'a> {
    pipeline: &'a Name,
    link: Link,
    isolation: Isolation,
    lift: (Relift, Option<Span>),
}

impl Lowering<'_> {
    pub(super) fn pipelines<'a>(
        &mut self,
        root: &Fields,
        components: &mut Names<'a>,
        upstreams: &mut Names<'a>,
        pipelines: &mut Names<'a>,
    ) -> Vec<Pipeline> {
        if root.named("pipelines").is_empty() {
            let help = "add `[pipelines.edge]` with `service = { component = \"…\" }`";
            self.require_some(root, "pipelines", "pipeline", help);
        }
        let mut known = Known { components, upstreams, pipelines };
        let found: Vec<_> =
            root.named("pipelines").iter().filter_map(|named| self.pipeline(named, &mut known)).collect();
        self.check_circles(&found, known.pipelines);
        found
    }

    fn pipeline(&mut self, named: &Named, known: &mut Known<'_, '_>) -> Option<Pipeline> {
        let name = self.name(named);
        let fields = &named.fields;
        let link = self.link(fields).unwrap_or_default();
        let isolation = self.isolation(fields).unwrap_or_default();
        // The pipeline's is a wish for those of its stages that can: no error for the others.
        let lift = self.lift(fields).map_or((Relift::default(), None), |(lift, _)| (lift, None));
        let defaults = Defaults { pipeline: &name, link, isolation, lift };
        let limits = PipelineLimits::lower(&fields.table_or_default("limits"));
        let mut stages: Vec<Stage> = Vec::new();
        for (index, stage) in fields.tables("stages").enumerate() {
            stages.extend(self.stage(stage, &defaults, index, known));
        }
        self.check_combinations(fields, &stages);
        let end = self.end(fields, &defaults, stages.len(), known)?;
        Some(Pipeline { isolation, name: name.clone(), stages, end, limits, span: named.name_span })
    }

    fn end(
        &mut self,
        fields: &Fields,
        defaults: &Defaults<'_>,
        index: usize,
        known: &mut Known<'_, '_>,
    ) -> Option<End> {
        let ends: Vec<&str> =
            ["service", "upstream", "native"].into_iter().filter(|it| fields.has(it)).collect();
        if let [first, .., last] = ends[..] {
            self.diagnostics
                .error(fields.span_of(last), "a pipeline has one end")
                .label(format!("both `{first}` and `{last}`"))
                .help("remove one of the two keys");
        }
        let (service, native) = (fields.table("service"), fields.text("native"));
        if let Some(table) = service {
            let service = self.stage(table, defaults, index, known)?;
            self.check_service(table, &service);
            return Some(End::Component(Box::new(service)));
        }
        if let Some(upstream) = fields.text("upstream") {
            let found = self.resolve(upstream, "upstream", known.upstreams);
            return found.map(|index| End::Upstream(UpstreamIndex(index)));
        }
        if let Some(native) = native {
            return self.native(native, index);
        }
        // A pipeline that is no table has no place and its own error.
        let refused = fields.span() == Span::default();
        if !refused && !["service", "upstream", "native"].iter().any(|key| fields.is_refused(key)) {
            self.diagnostics
                .error(fields.span(), "`service` is missing from a pipeline")
                .label("`service` is required")
                .help(
                    "add `service = { component = \"hello\" }`, or `upstream` with a name under [upstreams]",
                );
        }
        None
    }

    /// The end of a pipeline in a service of the embedding program, after `stages` stages.
    fn native(&mut self, text: Text<'_>, stages: usize) -> Option<End> {
        let name = Name::parse(text.text).map_err(|fault| self.diagnostics.fault(text.span, fault)).ok()?;
        if stages == 0 {
            self.diagnostics
                .error(text.span, "a pipeline with a native service needs a stage")
                .label("nothing stands before it")
                .help("add `stages`, or call the service without a pipeline");
        }
        let (label, help) = match self.around.program {
            Some(program) if program.natives.contains(text.text) => return Some(End::Native(name)),
            Some(program) => {
                let names: Vec<&str> = program.natives.iter().map(String::as_str).collect();
                let none = "the program gives it one with `GatewayBuilder::native`";
                ("the program has no service of this name", suggest(text.text, &names, "there are", none))
            }
            None => (
                "only a program that embeds linkspan has services of its own",
                "end the pipeline with a component: `service = { component = \"hello\" }`".to_owned(),
            ),
        };
        self.diagnostics
            .error(text.span, format!("there is no native service `{}`", text.text))
            .label(label)
            .help(help);
        None
    }

    fn stage(
        &mut self,
        fields: &Fields,
        defaults: &Defaults<'_>,
        index: usize,
        known: &mut Known<'_, '_>,
    ) -> Option<Stage> {
        let link = self.link(fields).unwrap_or(defaults.link);
        self.check_link(fields, link);
        let config = fields.node("config").map(|node| self.settings(node)).unwrap_or_default();
        let grant = fields.table("grant");
        let grants = grant.map(|grant| self.grants(grant, known.pipelines)).unwrap_or_default();
        let (lift, lift_span) = self.lift(fields).unwrap_or(defaults.lift);
        let limits = StageLimits::lower(&fields.table_or_default("limits"));
        let next = fields.node("next").map(|node| self.next(node, known.pipelines)).unwrap_or_default();
        let when = self.when(fields);
        let text = fields.text("component")?;
        let component = self.resolve(text, "component", known.components)?;
        // A name that is defined and bad was reported at its definition.
        let name = Name::refused(text.text);
        Some(Stage {
            id: StageId { pipeline: defaults.pipeline.clone(), index, component: name },
            component: ComponentIndex(component),
            config,
            grants,
            when,
            limits,
            link,
            isolation: self.isolation(fields).unwrap_or(defaults.isolation),
            lift,
            lift_span,
            on_failure: self.on_failure(fields),
            breaker: fields.table("breaker").map(|table| self.breaker(table)),
            next,
            component_span: text.span,
            span: fields.span(),
        })
    }

    /// The place of the word under `key` among `words`, if it is given and one of them.
    pub(super) fn choice(&mut self, fields: &Fields, key: &str, words: &[&str]) -> Option<usize> {
        let text = fields.text(key).filter(|_| fields.has(key))?;
        let found = words.iter().position(|word| *word == text.text);
        if found.is_none() {
            self.diagnostics
                .error(text.span, format!("unknown {key} `{}`", text.text))
                .label(format!("unknown {key}"))
                .help(suggest(text.text, words, "there are", ""));
        }
        found
    }

    fn link(&mut self, fields: &Fields) -> Option<Link> {
        let links = [Link::Static, Link::Dynamic];
        self.choice(fields, "link", &["static", "dynamic"]).map(|at| links[at])
    }

    fn isolation(&mut self, fields: &Fields) -> Option<Isolation> {
        let isolations = [Isolation::Reuse, Isolation::Request];
        self.choice(fields, "isolation", &["reuse", "request"]).map(|at| isolations[at])
    }

    /// Whether an async lift is rewritten, and where that is said.
    fn lift(&mut self, fields: &Fields) -> Option<(Relift, Option<Span>)> {
        let lifts = [Relift::Auto, Relift::AsIs, Relift::Sync];
        let at = self.choice(fields, "lift", &["auto", "as-is", "sync"])?;
        Some((lifts[at], Some(fields.span_of("lift"))))
    }

    fn on_failure(&mut self, fields: &Fields) -> OnFailure {
        match self.choice(fields, "on-failure", &["fail", "skip"]) {
            Some(1) => OnFailure::Skip,
            _ => OnFailure::Fail,
        }
    }

    fn breaker(&mut self, fields: &Fields) -> Breaker {
        let then = match self.choice(fields, "then", &["skip", "close"]) {
            Some(1) => BreakerThen::Close,
            _ => BreakerThen::Skip,
        };
        Breaker {
            failures: fields.count("failures"),
            window: fields.duration("window"),
            open: fields.duration("open"),
            then,
        }
    }

    /// What only a store of its own makes possible.
    fn check_link(&mut self, fields: &Fields, link: Link) {
        for key in ["isolation", "on-failure", "breaker"] {
            if link == Link::Static && fields.has(key) {
                self.diagnostics
                    .error(fields.span_of(key), format!("`{key}` needs a stage with a store of its own"))
                    .label("this stage is linked statically")
                    .help("link the stage with `link = \"dynamic\"`");
            }
        }
    }

    /// What makes no sense at the end of a pipeline.
    fn check_service(&mut self, fields: &Fields, service: &Stage) {
        let skips = [
            ("on-failure", service.on_failure == OnFailure::Skip),
            ("breaker", service.breaker.is_some_and(|breaker| breaker.then == BreakerThen::Skip)),
        ];
        if service.when.is_some() {
            self.diagnostics
                .error(fields.span_of("when"), "a service applies to every request")
                .label("nothing comes after it")
                .help("let routes lead to several pipelines");
        }
        for (key, wrong) in skips {
            if wrong {
                self.diagnostics
                    .error(fields.span_of(key), "a service can't be passed over")
                    .label("nothing comes after it")
                    .help("use `on-failure = \"fail\"`, and `then = \"close\"` in a breaker");
            }
        }
    }
}
