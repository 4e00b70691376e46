//! Pipelines and their stages.

use super::{Lowering, Names};
use crate::config::{Fields, Named, Text, suggest};
use crate::plan::{
    ComponentIndex, EgressRule, Grants, Link, Name, Pipeline, PipelineLimits, Stage, StageId,
    StageLimits,
};

impl Lowering<'_> {
    pub(super) fn pipelines(&mut self, root: &Fields, components: &mut Names<'_>) -> Vec<Pipeline> {
        if root.named("pipelines").is_empty() {
            let help = "add `[pipelines.edge]` with `service = { component = \"…\" }`";
            self.require_some(root, "pipelines", "pipeline", help);
        }
        root.named("pipelines")
            .iter()
            .filter_map(|named| self.pipeline(named, components))
            .collect()
    }

    fn pipeline(&mut self, named: &Named, components: &mut Names<'_>) -> Option<Pipeline> {
        let name = self.name(named);
        let fields = &named.fields;
        let link = self.link(fields).unwrap_or_default();
        let limits = PipelineLimits::lower(&fields.table_or_default("limits"));
        let mut stages: Vec<Stage> = Vec::new();
        for (index, stage) in fields.tables("stages").enumerate() {
            stages.extend(self.stage(stage, &name, index, link, components));
        }
        let service = self.stage(
            fields.table("service")?,
            &name,
            stages.len(),
            link,
            components,
        )?;
        Some(Pipeline {
            name,
            stages,
            service,
            limits,
            span: named.name_span,
        })
    }

    fn stage(
        &mut self,
        fields: &Fields,
        pipeline: &Name,
        index: usize,
        pipeline_link: Link,
        components: &mut Names<'_>,
    ) -> Option<Stage> {
        let link = self.link(fields).unwrap_or(pipeline_link);
        let config = fields
            .node("config")
            .map(|node| self.settings(node))
            .unwrap_or_default();
        let grants = fields
            .table("grant")
            .map(|grant| self.grants(grant))
            .unwrap_or_default();
        let limits = StageLimits::lower(&fields.table_or_default("limits"));
        let text = fields.text("component")?;
        let component = self.resolve(text, "component", components)?;
        // A name that is defined and bad was reported at its definition.
        let name = Name::refused(text.text);
        Some(Stage {
            id: StageId {
                pipeline: pipeline.clone(),
                index,
                component: name,
            },
            component: ComponentIndex(component),
            config,
            grants,
            limits,
            link,
            component_span: text.span,
            span: fields.span(),
        })
    }

    fn link(&mut self, fields: &Fields) -> Option<Link> {
        let text = fields.text("link").filter(|_| fields.has("link"))?;
        match text.text {
            "static" => return Some(Link::Static),
            "dynamic" => {
                self.diagnostics
                    .error(text.span, "dynamic links are not available yet")
                    .label("not available")
                    .help("use \"static\"");
            }
            other => {
                self.diagnostics
                    .error(text.span, format!("unknown link `{other}`"))
                    .label("unknown link")
                    .help(suggest(other, &["static"], "links are", ""));
            }
        }
        None
    }

    fn grants(&mut self, fields: &Fields) -> Grants {
        Grants {
            random: fields.boolean("random"),
            clocks: fields.boolean("clocks"),
            stdio: fields.boolean("stdio"),
            env: fields.node("env").map(|node| self.variables(node)),
            egress: fields
                .texts("egress")
                .filter_map(|text| self.egress_rule(text))
                .collect(),
            span: Some(fields.span()),
        }
    }

    fn egress_rule(&mut self, text: Text<'_>) -> Option<EgressRule> {
        EgressRule::parse(text.text)
            .map_err(|fault| self.diagnostics.fault(text.span, fault))
            .ok()
    }
}
