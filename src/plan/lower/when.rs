//! Conditions of stages.

use http::HeaderValue;

use super::lowering::Lowering;
use crate::config::Decoded;
use crate::config::keys::{self, MAX_COMBINATIONS, MAX_MIDDLEWARE};
use crate::plan::when::{Percent, When, combinations};
use crate::plan::{Link, Stage};

impl Lowering<'_> {
    /// The `when` of a stage. A part that is refused is left out of a plan that is not used.
    pub(super) fn when(&mut self, table: &Decoded<keys::When>) -> When {
        use keys::When as Keys;
        let Keys { methods, path, header, percent, pin } = &**table;
        let parts = [Keys::methods, Keys::path, Keys::header, Keys::percent];
        if !parts.iter().any(|key| table.is_given(*key)) {
            self.diagnostics
                .error(table.span(), "`when` has no condition")
                .label("the stage applies to every request")
                .help("remove it, or add `methods`, `path`, `header` or `percent`");
        }
        if pin.is_some() && !table.is_given(Keys::percent) {
            self.diagnostics
                .error(table.span_of(Keys::pin), "`pin` needs a `percent`")
                .label("there is nothing to decide")
                .help("remove it, or add the share of the requests, `percent = 10`");
        }
        let pin = pin.as_ref().and_then(|pin| self.pin_of(pin));
        When {
            methods: methods.as_ref().map(|methods| self.methods(methods)),
            path: path.as_ref().and_then(|path| self.path(path.text())),
            header: header.as_ref().and_then(|header| self.when_header(header)),
            share: percent.map(|percent| Percent { percent, pin }),
        }
    }

    fn when_header(&mut self, table: &keys::WhenHeader) -> Option<(http::HeaderName, Option<HeaderValue>)> {
        let keys::WhenHeader { name, value } = table;
        let name = self.field_name(name.as_ref()?.text())?;
        let Some(value) = value else {
            return Some((name, None));
        };
        let text = value.text();
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
    pub(super) fn check_combinations(&mut self, pipeline: &keys::Pipeline, stages: &[Stage]) {
        let fixed = || stages.iter().filter(|stage| stage.link == Link::Static);
        let fits = |most: usize| combinations(fixed().take(most).filter_map(Stage::condition)).is_some();
        let Some(most) = (1..=MAX_MIDDLEWARE).find(|most| !fits(*most)) else { return };
        let Some(stage) = fixed().nth(most - 1) else { return };
        let table = pipeline.stages.iter().find(|table| table.span() == stage.span);
        self.diagnostics
            .error(
                table.map_or(stage.span, |table| table.span_of(keys::Stage::when)),
                format!(
                    "the conditions of a pipeline need more than {MAX_COMBINATIONS} combinations of its stages"
                ),
            )
            .label("with this one")
            .help(
                "link some of the stages with `link = \"dynamic\"`, which need no combination; \
                 give stages the same condition; or use a pipeline for each route",
            );
    }
}
