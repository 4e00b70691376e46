//! Pipelines and their stages.

use super::{Lowering, Names};
use crate::config::{Fields, Named, Span, suggest};
use crate::plan::{
    Breaker, BreakerThen, ComponentIndex, Isolation, Link, Name, OnFailure, Pipeline, PipelineLimits, Relift,
    Stage, StageId, StageLimits,
};

/// What a stage takes from its pipeline where it says nothing itself.
struct Defaults<'a> {
    pipeline: &'a Name,
    link: Link,
    isolation: Isolation,
    lift: (Relift, Option<Span>),
}

impl Lowering<'_> {
    pub(super) fn pipelines(&mut self, root: &Fields, components: &mut Names<'_>) -> Vec<Pipeline> {
        if root.named("pipelines").is_empty() {
            let help = "add `[pipelines.edge]` with `service = { component = \"…\" }`";
            self.require_some(root, "pipelines", "pipeline", help);
        }
        root.named("pipelines").iter().filter_map(|named| self.pipeline(named, components)).collect()
    }

    fn pipeline(&mut self, named: &Named, components: &mut Names<'_>) -> Option<Pipeline> {
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
            stages.extend(self.stage(stage, &defaults, index, components));
        }
        let table = fields.table("service")?;
        let service = self.stage(table, &defaults, stages.len(), components)?;
        self.check_service(table, &service);
        Some(Pipeline { isolation, name: name.clone(), stages, service, limits, span: named.name_span })
    }

    fn stage(
        &mut self,
        fields: &Fields,
        defaults: &Defaults<'_>,
        index: usize,
        components: &mut Names<'_>,
    ) -> Option<Stage> {
        let link = self.link(fields).unwrap_or(defaults.link);
        self.check_link(fields, link);
        let config = fields.node("config").map(|node| self.settings(node)).unwrap_or_default();
        let grants = fields.table("grant").map(|grant| self.grants(grant)).unwrap_or_default();
        let (lift, lift_span) = self.lift(fields).unwrap_or(defaults.lift);
        let limits = StageLimits::lower(&fields.table_or_default("limits"));
        let text = fields.text("component")?;
        let component = self.resolve(text, "component", components)?;
        // A name that is defined and bad was reported at its definition.
        let name = Name::refused(text.text);
        Some(Stage {
            id: StageId { pipeline: defaults.pipeline.clone(), index, component: name },
            component: ComponentIndex(component),
            config,
            grants,
            limits,
            link,
            isolation: self.isolation(fields).unwrap_or(defaults.isolation),
            lift,
            lift_span,
            on_failure: self.on_failure(fields),
            breaker: fields.table("breaker").map(|table| self.breaker(table)),
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
