//! Conditions of stages.

use http::HeaderValue;

use super::Lowering;
use crate::config::Fields;
use crate::config::keys::{MAX_COMBINATIONS, MAX_MIDDLEWARE};
use crate::plan::when::{Percent, When, combinations};
use crate::plan::{Link, Stage};

impl Lowering<'_> {
    /// The `when` of a stage. A part that is refused is left out, in a plan that nobody gets.
    pub(super) fn when(&mut self, stage: &Fields) -> Option<When> {
        let fields = stage.table("when")?;
        let parts = ["methods", "path", "header", "percent"];
        let given = |key: &&str| fields.has(key) || fields.is_refused(key);
        if !parts.iter().any(given) {
            self.diagnostics
                .error(fields.span(), "`when` says nothing")
                .label("the stage applies to every request")
                .help("remove it, or add `methods`, `path`, `header` or `percent`");
        }
        if fields.has("pin") && !given(&"percent") {
            self.diagnostics
                .error(fields.span_of("pin"), "`pin` needs a `percent`")
                .label("there is nothing to draw")
                .help("remove it, or add the share of the requests, `percent = 10`");
        }
        let pin = fields.table("pin").and_then(|pin| self.pin_of(pin));
        Some(When {
            methods: fields.has("methods").then(|| self.methods(fields)),
            path: fields.text("path").filter(|_| fields.has("path")).and_then(|text| self.path(text)),
            header: fields.table("header").and_then(|header| self.when_header(header)),
            share: fields
                .optional_count("percent")
                .map(|percent| Percent { percent: u8::try_from(percent).unwrap_or(100), pin }),
        })
    }

    fn when_header(&mut self, fields: &Fields) -> Option<(http::HeaderName, Option<HeaderValue>)> {
        let name = self.field_name(fields.text("name")?)?;
        let Some(text) = fields.text("value").filter(|_| fields.has("value")) else {
            return Some((name, None));
        };
        let visible = text.text.trim() == text.text && text.text.bytes().all(|b| matches!(b, b' '..=b'~'));
        match HeaderValue::from_str(text.text) {
            Ok(value) if visible && !text.text.is_empty() => Some((name, Some(value))),
            _ => {
                self.diagnostics
                    .error(text.span, format!("no field has the value `{}`", text.text.escape_debug()))
                    .label("not visible ASCII characters, with spaces between them at most")
                    .help("leave `value` out if any value will do");
                None
            }
        }
    }

    /// Each combination of static stages that a request can need is a component of its own.
    pub(super) fn check_combinations(&mut self, pipeline: &Fields, stages: &[Stage]) {
        let fixed = || stages.iter().filter(|stage| stage.link == Link::Static);
        let fits = |most: usize| combinations(fixed().take(most)).is_some();
        let Some(most) = (1..=MAX_MIDDLEWARE).find(|most| !fits(*most)) else { return };
        let Some(stage) = fixed().nth(most - 1) else { return };
        let table = pipeline.tables("stages").find(|table| table.span() == stage.span);
        self.diagnostics
            .error(
                table.map_or(stage.span, |table| table.span_of("when")),
                format!(
                    "the conditions of a pipeline need more than {MAX_COMBINATIONS} combinations of its stages"
                ),
            )
            .label("with this one")
            .help(
                "link some of the stages with `link = \"dynamic\"`, which are passed over without a combination; \
                 give stages the same condition; or use a pipeline for each route",
            );
    }
}
