//! Pipelines and their stages.

use super::lowering::{Lowering, Names};
use crate::config::keys::{self, File};
use crate::config::{Decoded, Named, Span, Text, format_size, suggest};
use crate::plan::{
    BreakerThen, ComponentIndex, End, Grants, Isolation, Link, Name, OnFailure, Pipeline, PipelineLimits,
    Relift, Stage, StageId, UpstreamIndex,
};
use crate::standard::PREFIX;

/// Host memory that a request in an ordinary stage takes at most, in bytes of `host-memory`. A quarter of `host-memory`
/// is for tasks, streams and futures at 1 KiB; an async stage that transforms bodies has about 16 of them, and as many
/// may stay behind before the instance is replaced.
const HOST_MEMORY_OF_A_REQUEST: usize = 128 << 10;

/// The names that stages refer to.
pub(super) struct Known<'n, 'a> {
    pub(super) components: &'n mut Names<'a>,
    pub(super) upstreams: &'n mut Names<'a>,
    pub(super) pipelines: &'n mut Names<'a>,
}

/// The settings that a stage takes from its pipeline where it has none of its own.
struct Defaults<'a> {
    pipeline: &'a Name,
    link: Link,
    isolation: Isolation,
    lift: (Relift, Option<Span>),
}

impl Lowering<'_> {
    pub(super) fn pipelines<'a>(
        &mut self,
        root: &Decoded<File>,
        components: &mut Names<'a>,
        upstreams: &mut Names<'a>,
        pipelines: &mut Names<'a>,
    ) -> Vec<Pipeline> {
        if root.pipelines.is_empty() {
            let help = "add `[pipelines.edge]` with `service = { component = \"…\" }`";
            self.require_some(root, File::pipelines, "pipeline", help);
        }
        let mut known = Known { components, upstreams, pipelines };
        let found: Vec<_> =
            root.pipelines.iter().filter_map(|named| self.pipeline(named, &mut known)).collect();
        self.check_circles(&found, known.pipelines);
        found
    }

    fn pipeline(
        &mut self,
        named: &Named<Decoded<keys::Pipeline>>,
        known: &mut Known<'_, '_>,
    ) -> Option<Pipeline> {
        let name = self.name(named);
        let keys::Pipeline {
            link,
            isolation,
            lift,
            form,
            stages: tables,
            service: _,
            upstream: _,
            native: _,
            limits,
        } = &*named.table;
        let (link, isolation) = (*link, *isolation);
        // The pipeline's setting applies to those of its stages that can have it, and is no error for the others.
        let defaults = Defaults { pipeline: &name, link, isolation, lift: (*lift, None) };
        let mut stages: Vec<Stage> = Vec::new();
        for (index, stage) in tables.iter().enumerate() {
            stages.extend(self.stage(stage, &defaults, index, known));
        }
        self.check_combinations(&named.table, &stages);
        let end = self.end(&named.table, &defaults, stages.len(), known)?;
        let service = match &end {
            End::Component(service) => Some(&**service),
            End::Upstream(_) | End::Native(_) => None,
        };
        self.check_host_memory(&named.table, stages.iter().chain(service));
        let limits = limits.as_deref().cloned().unwrap_or_default();
        let (name, span) = (name.clone(), named.name_span);
        Some(Pipeline { isolation, form: *form, name, stages, end, limits, span })
    }

    fn end(
        &mut self,
        table: &Decoded<keys::Pipeline>,
        defaults: &Defaults<'_>,
        index: usize,
        known: &mut Known<'_, '_>,
    ) -> Option<End> {
        let all = [keys::Pipeline::service, keys::Pipeline::upstream, keys::Pipeline::native];
        let ends: Vec<_> = all.into_iter().filter(|key| table.has(*key)).collect();
        if let [first, .., last] = &ends[..] {
            self.diagnostics
                .error(table.span_of(*last), "a pipeline has one end")
                .label(format!("both `{}` and `{}`", first.name, last.name))
                .help("remove one of the two keys");
        }
        if let Some(stage) = &table.service {
            let service = self.stage(stage, defaults, index, known)?;
            self.check_service(stage, &service);
            return Some(End::Component(Box::new(service)));
        }
        if let Some(upstream) = &table.upstream {
            let found = self.resolve(upstream.text(), "upstream", known.upstreams);
            return found.map(|index| End::Upstream(UpstreamIndex(index)));
        }
        if let Some(native) = &table.native {
            return self.native(native.text(), index);
        }
        // A pipeline that is no table has no place, and has its own error.
        let refused = table.span() == Span::default();
        if !refused && !all.iter().any(|key| table.is_refused(*key)) {
            self.diagnostics
                .error(table.span(), "`service` is missing from a pipeline")
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
                .label("the pipeline has no stage")
                .help("add `stages`, or call the service without a pipeline");
        }
        let (label, help) = match self.around.program {
            Some(program) if program.natives.contains(text.text) => return Some(End::Native(name)),
            Some(program) => {
                let names: Vec<&str> = program.natives.iter().map(String::as_str).collect();
                let none = "the program registers it with `GatewayBuilder::native`";
                ("the program has no service of this name", suggest(text.text, &names, "there are", none))
            }
            None => (
                "only a program that embeds linkspan has native services",
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
        table: &Decoded<keys::Stage>,
        defaults: &Defaults<'_>,
        index: usize,
        known: &mut Known<'_, '_>,
    ) -> Option<Stage> {
        let keys::Stage {
            component,
            config,
            grant,
            when,
            limits,
            link,
            isolation,
            lift,
            on_failure,
            breaker,
            next,
        } = &**table;
        let link = link.unwrap_or(defaults.link);
        self.check_link(table, link);
        let config_table = config.clone();
        let config = config.as_ref().map(|node| self.settings(node)).unwrap_or_default();
        let grants =
            grant.as_ref().map(|grant| Grants::lower(grant, self, known.pipelines)).unwrap_or_default();
        let unknown = [table.is_refused(keys::Stage::grant), table.is_refused(keys::Stage::config)];
        let refused = unknown.contains(&true) || grant.as_ref().is_some_and(Decoded::has_refused);
        let (lift, lift_span) = lift.as_ref().map_or(defaults.lift, |lift| (lift.value, Some(lift.span)));
        let next = next.as_ref().map(|node| self.next(node, known.pipelines)).unwrap_or_default();
        let when = when.as_ref().map(|when| self.when(when));
        let text = component.as_ref()?.text();
        let (name, component) = match text.text.starts_with(PREFIX) {
            true => self.standard(text, known.components.names.len())?,
            // A name that is defined and bad was reported at its definition.
            false => (Name::refused(text.text), self.resolve(text, "component", known.components)?),
        };
        Some(Stage {
            id: StageId { pipeline: defaults.pipeline.clone(), index, component: name },
            component: ComponentIndex(component),
            config,
            config_table,
            refused,
            grants,
            grants_span: grant.as_ref().map(Decoded::span),
            when,
            limits: limits.as_deref().cloned().unwrap_or_default(),
            link,
            isolation: isolation.unwrap_or(defaults.isolation),
            lift,
            lift_span,
            on_failure: *on_failure,
            breaker: breaker.clone(),
            next,
            component_span: text.span,
            span: table.span(),
        })
    }

    /// Checks that the host memory of requests at once fits into that of the stages; reported where the larger number
    /// is set.
    fn check_host_memory<'s>(
        &mut self,
        table: &Decoded<keys::Pipeline>,
        stages: impl Iterator<Item = &'s Stage>,
    ) {
        let limits = table.limits.as_ref();
        let all = limits.map_or_else(|| PipelineLimits::default().concurrency, |limits| limits.concurrency);
        let tables = table.stages.iter().map(Some).chain([table.service.as_ref()]);
        for stage in stages {
            let asked = stage.limits.concurrency;
            let concurrency = if stage.isolation == Isolation::Request { 1 } else { asked.unwrap_or(all) };
            let (wanted, there) = (concurrency * HOST_MEMORY_OF_A_REQUEST, stage.limits.host_memory);
            if wanted <= there {
                continue;
            }
            let stage_limits =
                tables.clone().nth(stage.id.index).flatten().and_then(|table| table.limits.as_ref());
            let own = stage_limits.filter(|_| asked.is_some());
            let ours = limits.filter(|limits| limits.has(PipelineLimits::concurrency));
            let span = match (own, ours, stage_limits) {
                (Some(own), ..) => own.span_of(keys::StageLimits::concurrency),
                (None, Some(ours), _) => ours.span_of(PipelineLimits::concurrency),
                (None, None, Some(limits)) => limits.span_of(keys::StageLimits::host_memory),
                (None, None, None) => table.span(),
            };
            let (name, wanted) = (&stage.id.component, format_size(wanted.next_multiple_of(1 << 20) as u64));
            self.diagnostics
                .warning(span, format!("{concurrency} requests at once need more `host-memory` in `{name}`"))
                .label(format!("`{name}` has {}", format_size(there as u64)))
                .help(format!(
                    "give the stage `limits = {{ host-memory = \"{wanted}\" }}`, or lower `concurrency`"
                ));
            return;
        }
    }

    /// Refuses settings that need a store of the stage's own.
    fn check_link(&mut self, table: &Decoded<keys::Stage>, link: Link) {
        if link == Link::Dynamic {
            return;
        }
        let mut refuse = |span, key: &str, help: &str| {
            self.diagnostics
                .error(span, format!("`{key}` needs a stage with a store of its own"))
                .label("this stage is linked statically")
                .help(help);
        };
        for key in [keys::Stage::isolation, keys::Stage::on_failure, keys::Stage::breaker] {
            if table.has(key) {
                refuse(table.span_of(key), key.name, "link the stage with `link = \"dynamic\"`");
            }
        }
        let limits = table.limits.iter();
        let own = [keys::StageLimits::deadline, keys::StageLimits::cpu, keys::StageLimits::concurrency];
        for (limits, key) in limits.flat_map(|limits| own.map(|key| (limits, key))) {
            if limits.has(key) {
                let help = "link the stage with `link = \"dynamic\"`, or set it for all stages in the pipeline's `limits`";
                refuse(limits.span_of(key), key.name, help);
            }
        }
    }

    /// Refuses settings that make no sense at the end of a pipeline.
    fn check_service(&mut self, table: &Decoded<keys::Stage>, service: &Stage) {
        let bypasses = [
            (keys::Stage::on_failure, service.on_failure == OnFailure::Bypass),
            (
                keys::Stage::breaker,
                service.breaker.as_ref().is_some_and(|breaker| breaker.then == BreakerThen::Bypass),
            ),
        ];
        if service.when.is_some() {
            self.diagnostics
                .error(table.span_of(keys::Stage::when), "a service applies to every request")
                .label("nothing follows a service")
                .help("let routes lead to several pipelines");
        }
        for (key, wrong) in bypasses {
            if wrong {
                self.diagnostics
                    .error(table.span_of(key), "a service can't be bypassed")
                    .label("nothing follows a service")
                    .help("use `on-failure = \"fail\"`, and `then = \"close\"` in a breaker");
            }
        }
    }
}
