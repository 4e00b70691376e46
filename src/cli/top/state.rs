//! What is looked at: the view, the selection, the filter, and the last answers.

use super::answers::{Answer, Generations, Trace, Traces};
use super::label::Label;
use super::rates::History;

/// How many pipelines are asked for at once. With a thousand stages each, an answer would still be within its bound.
pub(super) const PAGE: usize = 250;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    #[default]
    Pipelines,
    Upstreams,
    Generations,
    Traces,
}

impl View {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 4] = [Self::Pipelines, Self::Upstreams, Self::Generations, Self::Traces];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Pipelines => "pipelines",
            Self::Upstreams => "upstreams",
            Self::Generations => "generations",
            Self::Traces => "traces",
        }
    }
}

/// The order of pipelines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// That of the configuration.
    #[default]
    Configuration,
    Name,
    Rate,
    Errors,
    Latency,
    Traps,
}

impl Sort {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Name => "name",
            Self::Rate => "req/s",
            Self::Errors => "5xx",
            Self::Latency => "p99",
            Self::Traps => "traps",
        }
    }

    pub(super) fn next(self) -> Self {
        match self {
            Self::Configuration => Self::Rate,
            Self::Rate => Self::Errors,
            Self::Errors => Self::Latency,
            Self::Latency => Self::Traps,
            Self::Traps => Self::Name,
            Self::Name => Self::Configuration,
        }
    }
}

/// A row that is selected: it stays so where the order changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    key: Option<Label>,
    at: usize,
}

impl Cursor {
    /// Its row among `keys`.
    pub(super) fn place(&self, keys: &[Label]) -> usize {
        let found = self.key.as_ref().and_then(|key| keys.iter().position(|it| it == key));
        found.unwrap_or(self.at.min(keys.len().saturating_sub(1)))
    }

    pub(super) fn select(&mut self, at: usize, keys: &[Label]) {
        self.at = at.min(keys.len().saturating_sub(1));
        self.key = keys.get(self.at).cloned();
    }
}

/// Why there is no answer, and since when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trouble {
    /// When the last answer came: Unix time, by the clock here.
    pub(super) since: f64,
    /// Its lines, as a terminal can show them.
    pub(super) message: String,
}

/// What is asked of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Pipelines from this one on.
    Overview(usize),
    Generations,
    Traces,
    Trace(Label),
}

impl Ask {
    pub(super) fn path(&self) -> String {
        match self {
            Self::Overview(from) => format!("/overview?from={from}&count={PAGE}"),
            Self::Generations => "/generations".to_owned(),
            Self::Traces => "/traces".to_owned(),
            Self::Trace(id) => format!("/traces/{id}"),
        }
    }
}

/// All that is shown depends on.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) view: View,
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// The filter is being written.
    pub(super) typing: bool,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The first pipeline that is asked for.
    pub(super) from: usize,
    /// The pipeline and the trace that are looked into.
    pub(super) pipeline: Option<Label>,
    pub(super) trace: Option<Label>,
    /// Selected rows: one for each view, and of a chain's stages and a trace's spans.
    pub(super) cursors: [Cursor; 4],
    pub(super) stage: Cursor,
    pub(super) span: Cursor,
    pub(super) history: History,
    pub(super) generations: Option<Generations>,
    pub(super) traces: Option<Traces>,
    /// The spans of `trace`, once they are there.
    pub(super) spans: Option<Trace>,
    /// The trace is not kept any more.
    pub(super) forgotten: bool,
    pub(super) trouble: Option<Trouble>,
    /// When the last answer came, by the clock here.
    pub(super) answered: f64,
}

impl State {
    /// Whether one pipeline or one trace is looked into.
    pub(super) fn is_inside(&self) -> bool {
        match self.view {
            View::Pipelines => self.pipeline.is_some(),
            View::Traces => self.trace.is_some(),
            View::Upstreams | View::Generations => false,
        }
    }

    /// The selected row of what is looked at.
    pub(super) fn cursor(&mut self) -> &mut Cursor {
        match self.view {
            View::Pipelines if self.pipeline.is_some() => &mut self.stage,
            View::Traces if self.trace.is_some() => &mut self.span,
            view => &mut self.cursors[view as usize],
        }
    }

    /// What to ask next.
    pub(super) fn asks(&self) -> Vec<Ask> {
        let mut asks = vec![Ask::Overview(self.from)];
        match (self.view, &self.trace) {
            (View::Generations, _) => asks.push(Ask::Generations),
            (View::Traces, None) => asks.push(Ask::Traces),
            // A trace that is over does not change.
            (View::Traces, Some(id)) if self.spans.is_none() && !self.forgotten && is_id(id) => {
                asks.push(Ask::Trace(id.clone()));
            }
            _ => {}
        }
        asks
    }

    /// Takes the answers to what was asked, which may be of no interest any more.
    pub(super) fn take(&mut self, now: f64, answers: Vec<(Ask, Answer)>) {
        (self.trouble, self.answered) = (None, now);
        for (ask, answer) in answers {
            match answer {
                Answer::Overview(overview) => {
                    // There may be fewer pipelines than there were.
                    if overview.pipelines.is_empty() && overview.total > 0 {
                        self.from = 0;
                    }
                    self.history.push(overview);
                }
                Answer::Generations(generations) => self.generations = Some(generations),
                Answer::Traces(traces) => self.traces = Some(traces),
                Answer::Trace(trace) if self.is_open(&ask) => self.spans = Some(trace),
                Answer::Forgotten if self.is_open(&ask) => self.forgotten = true,
                Answer::Trace(_) | Answer::Forgotten => {}
            }
        }
    }

    fn is_open(&self, ask: &Ask) -> bool {
        matches!((ask, &self.trace), (Ask::Trace(asked), Some(open)) if asked == open)
    }

    /// There was no answer.
    pub(super) fn fail(&mut self, message: &str) {
        self.trouble = Some(Trouble { since: self.answered, message: message.to_owned() });
    }
}

/// Whether it can be a part of a path: it came from the other side.
fn is_id(id: &Label) -> bool {
    let id = id.as_str();
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::answers::Overview;

    #[test]
    fn a_selection_stays_with_its_row() {
        let keys = |names: &[&str]| names.iter().map(|name| Label::new(name)).collect::<Vec<_>>();
        let mut cursor = Cursor::default();
        assert_eq!(cursor.place(&[]), 0);
        cursor.select(1, &keys(&["a", "b", "c"]));
        assert_eq!(cursor.place(&keys(&["b", "a"])), 0);
        assert_eq!(cursor.place(&keys(&["c", "d", "e"])), 1);
        assert_eq!(cursor.place(&keys(&["c"])), 0);
        cursor.select(9, &keys(&["a", "b"]));
        assert_eq!(cursor.place(&keys(&["a", "b"])), 1);
    }

    #[test]
    fn what_is_asked_is_what_is_shown() {
        let mut state = State { from: 250, ..State::default() };
        assert_eq!(state.asks(), [Ask::Overview(250)]);
        assert_eq!(state.asks()[0].path(), "/overview?from=250&count=250");
        state.view = View::Generations;
        assert_eq!(state.asks()[1].path(), "/generations");
        state.view = View::Traces;
        assert_eq!(state.asks()[1].path(), "/traces");
        state.trace = Some(Label::new("abc"));
        assert_eq!(state.asks()[1].path(), "/traces/abc");
        // Nothing that came from outside makes another path.
        state.trace = Some(Label::new("../-/reload"));
        assert_eq!(state.asks().len(), 1);
    }

    #[test]
    fn late_answers_are_of_no_interest() {
        let mut state = State { trace: Some(Label::new("abc")), ..State::default() };
        state.take(100.0, Vec::new());
        state.fail("one");
        state.fail("two");
        assert_eq!(state.trouble, Some(Trouble { since: 100.0, message: "two".to_owned() }));
        let other = Ask::Trace(Label::new("abd"));
        state.take(101.0, vec![(other.clone(), Answer::Trace(Trace::default())), (other, Answer::Forgotten)]);
        assert!(state.spans.is_none() && !state.forgotten && state.trouble.is_none());
        state.take(101.0, vec![(Ask::Trace(Label::new("abc")), Answer::Trace(Trace::default()))]);
        assert!(state.spans.is_some());
        // Pipelines that are gone.
        state.from = 500;
        let overview = Overview { total: 3, from: 500, ..Overview::default() };
        state.take(101.0, vec![(Ask::Overview(500), Answer::Overview(overview))]);
        assert_eq!(state.from, 0);
    }
}
