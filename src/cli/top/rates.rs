//! What happens per second: differences of two answers, since the gateway only counts.

use super::answers::{Observed, Overview, Pipeline, Server, Stage};
use super::label::Label;
use std::collections::{HashMap, VecDeque};

/// How many answers are kept: rates are those of the time between the first and the last of them.
const KEPT: usize = 11;

/// The last answers.
#[derive(Debug, Default)]
pub(super) struct History {
    answers: VecDeque<Sample>,
}

/// An answer, whose pipelines can be found.
#[derive(Debug)]
struct Sample {
    overview: Overview,
    places: HashMap<Label, usize>,
}

/// The time that figures are of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) seconds: f64,
    /// It began with the gateway.
    pub(super) whole: bool,
}

/// What a pipeline did in a window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) window: Window,
    pub(super) requests: u64,
    /// Answered with 5xx, and with 4xx.
    pub(super) errors: u64,
    pub(super) refused: u64,
    pub(super) traps: u64,
    pub(super) p50: Option<Quantile>,
    pub(super) p99: Option<Quantile>,
}

/// A stage's own time in a window, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Own {
    pub(super) mean: f64,
    pub(super) p50: Option<Quantile>,
    pub(super) p99: Option<Quantile>,
    /// Computation, where it is known.
    pub(super) busy: Option<f64>,
    /// It is of the time since the gateway's start: nothing was sampled lately.
    pub(super) whole: bool,
}

/// A quantile of durations that were counted in buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantile {
    /// About so many seconds.
    About(f64),
    /// More than the last bucket's end.
    Beyond(f64),
}

impl Quantile {
    /// For sorting.
    pub(super) fn seconds(self) -> f64 {
        match self {
            Self::About(seconds) => seconds,
            Self::Beyond(seconds) => seconds * 2.0,
        }
    }
}

impl Figures {
    pub(super) fn per_second(&self, count: u64) -> f64 {
        if self.window.seconds > 0.0 { count as f64 / self.window.seconds } else { 0.0 }
    }
}

/// The duration that `share` of all durations don't exceed, if it lies as evenly in its bucket as others do.
pub(super) fn quantile(ends: &[f64], counts: &[u64], share: f64) -> Option<Quantile> {
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    if total == 0.0 {
        return None;
    }
    let wanted = total * share;
    let (mut seen, mut begin) = (0.0, 0.0);
    for (end, count) in ends.iter().zip(counts) {
        let count = *count as f64;
        if count > 0.0 && seen + count >= wanted {
            return Some(Quantile::About(begin + (end - begin) * ((wanted - seen) / count).clamp(0.0, 1.0)));
        }
        seen += count;
        begin = *end;
    }
    ends.last().map(|end| Quantile::Beyond(*end))
}

/// `now` without `before`; `None` if a counter went back, as those of another process may.
fn risen(now: &[u64], before: &[u64]) -> Option<Vec<u64>> {
    let before = before.iter().copied().chain(std::iter::repeat(0));
    now.iter().zip(before).map(|(now, before)| now.checked_sub(before)).collect()
}

fn all_traps(pipeline: &Pipeline) -> u64 {
    pipeline.traps.values().fold(0, |sum, count| sum.saturating_add(*count))
}

impl History {
    /// Takes a further answer, and forgets those of another process.
    pub(super) fn push(&mut self, overview: Overview) {
        if let Some(last) = self.last()
            && (last.started != overview.started || overview.now <= last.now)
        {
            self.answers.clear();
        }
        let names = overview.pipelines.iter().enumerate();
        let places = names.map(|(place, pipeline)| (pipeline.name.clone(), place)).collect();
        self.answers.push_back(Sample { overview, places });
        if self.answers.len() > KEPT {
            self.answers.pop_front();
        }
    }

    /// The last answer.
    pub(super) fn last(&self) -> Option<&Overview> {
        self.answers.back().map(|sample| &sample.overview)
    }

    /// Its pipeline of this name.
    pub(super) fn pipeline(&self, name: &Label) -> Option<&Pipeline> {
        self.answers.back()?.pipeline(name)
    }

    /// The oldest answer but the last that has the pipeline.
    fn before(&self, name: &Label) -> Option<(&Overview, &Pipeline)> {
        let older = self.answers.iter().take(self.answers.len().saturating_sub(1));
        older.into_iter().find_map(|sample| Some((&sample.overview, sample.pipeline(name)?)))
    }

    /// What a pipeline of the last answer did lately, or, if that is not known yet, since the gateway's start.
    pub(super) fn figures(&self, pipeline: &Pipeline) -> Figures {
        let Some(last) = self.last() else { return whole(&Overview::default(), pipeline) };
        let lately = self.before(&pipeline.name).and_then(|(overview, before)| {
            let durations = risen(&pipeline.durations, &before.durations)?;
            let requests = pipeline.requests.checked_sub(before.requests)?;
            Some(Figures {
                window: Window { seconds: last.now - overview.now, whole: false },
                requests,
                errors: pipeline.errors.checked_sub(before.errors)?,
                refused: pipeline.refused.checked_sub(before.refused)?,
                traps: all_traps(pipeline).checked_sub(all_traps(before))?,
                p50: quantile(&last.buckets, &durations, 0.5),
                p99: quantile(&last.buckets, &durations, 0.99),
            })
        });
        lately.unwrap_or_else(|| whole(last, pipeline))
    }

    /// A stage's own time lately, or, if nothing was sampled lately, since the gateway's start; `None` if nothing ever was.
    pub(super) fn own(&self, pipeline: &Pipeline, stage: &Stage) -> Option<Own> {
        let ends = &self.last()?.stage_buckets;
        let now = stage.observed.as_ref().filter(|observed| observed.requests > 0)?;
        let before = self.before(&pipeline.name).and_then(|(_, before)| {
            before.stages.iter().find(|it| it.name == stage.name && it.digest == stage.digest)
        });
        let lately = before.and_then(|stage| {
            let none = Observed::default();
            let before = stage.observed.as_ref().unwrap_or(&none);
            let requests = now.requests.checked_sub(before.requests).filter(|requests| *requests > 0)?;
            let difference = Observed {
                requests,
                own: risen(&now.own, &before.own)?,
                own_sum: now.own_sum - before.own_sum,
                busy_sum: now.busy_sum - before.busy_sum,
                busy_requests: now.busy_requests.checked_sub(before.busy_requests)?,
                ..Observed::default()
            };
            Some(own(ends, &difference, false))
        });
        Some(lately.unwrap_or_else(|| own(ends, now, true)))
    }

    /// A server's requests and failures per second, if there are two answers with it.
    pub(super) fn server(&self, upstream: &Label, server: &Server) -> Option<(f64, f64)> {
        let last = self.last()?;
        let first = self.answers.front().map(|sample| &sample.overview)?;
        let seconds = last.now - first.now;
        let before = first.upstreams.iter().find(|it| it.name == *upstream)?;
        let before = before.servers.iter().find(|it| it.server == server.server)?;
        let requests = server.requests.checked_sub(before.requests)? as f64;
        let failures = server.failures.checked_sub(before.failures)? as f64;
        (seconds > 0.0).then(|| (requests / seconds, failures / seconds))
    }

    /// The longest window that figures are of now.
    pub(super) fn window(&self) -> Option<Window> {
        let (first, last) = (self.answers.front()?, self.last()?);
        Some(match self.answers.len() {
            1 => Window { seconds: last.now - last.started, whole: true },
            _ => Window { seconds: last.now - first.overview.now, whole: false },
        })
    }
}

impl Sample {
    fn pipeline(&self, name: &Label) -> Option<&Pipeline> {
        self.overview.pipelines.get(*self.places.get(name)?)
    }
}

/// What it did since the gateway's start.
fn whole(overview: &Overview, pipeline: &Pipeline) -> Figures {
    Figures {
        window: Window { seconds: (overview.now - overview.started).max(0.0), whole: true },
        requests: pipeline.requests,
        errors: pipeline.errors,
        refused: pipeline.refused,
        traps: all_traps(pipeline),
        p50: quantile(&overview.buckets, &pipeline.durations, 0.5),
        p99: quantile(&overview.buckets, &pipeline.durations, 0.99),
    }
}

fn own(ends: &[f64], observed: &Observed, whole: bool) -> Own {
    Own {
        mean: (observed.own_sum / observed.requests as f64).max(0.0),
        p50: quantile(ends, &observed.own, 0.5),
        p99: quantile(ends, &observed.own, 0.99),
        busy: (observed.busy_requests > 0)
            .then(|| (observed.busy_sum / observed.busy_requests as f64).max(0.0)),
        whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_their_buckets() {
        let ends = [1.0, 2.0, 4.0];
        for (counts, share, expected) in [
            ([0, 0, 0, 0], 0.5, None),
            ([10, 0, 0, 0], 0.5, Some(Quantile::About(0.5))),
            ([5, 5, 0, 0], 0.5, Some(Quantile::About(1.0))),
            ([0, 0, 10, 0], 0.9, Some(Quantile::About(3.8))),
            ([98, 0, 0, 2], 0.99, Some(Quantile::Beyond(4.0))),
            ([99, 0, 0, 1], 0.99, Some(Quantile::About(1.0))),
        ] {
            assert_eq!(quantile(&ends, &counts, share), expected, "{counts:?}");
        }
        // Answers that contradict themselves end nothing.
        assert_eq!(quantile(&[], &[3], 0.5), None);
        assert_eq!(quantile(&ends, &[u64::MAX, u64::MAX, 0, 0], 0.5), Some(Quantile::About(1.0)));
        assert!(Quantile::Beyond(4.0).seconds() > Quantile::About(4.0).seconds());
    }

    fn overview(now: f64, requests: u64) -> Overview {
        let stage = |observed: u64| Stage {
            name: Label::new("0:a"),
            observed: Some(Observed {
                requests: observed,
                own: vec![observed, 0],
                own_sum: observed as f64 * 0.002,
                ..Observed::default()
            }),
            ..Stage::default()
        };
        let pipeline = Pipeline {
            name: Label::new("main"),
            requests,
            errors: requests / 10,
            durations: vec![requests, 0],
            traps: [(Label::new("trap"), requests / 100)].into(),
            stages: vec![stage(requests / 50)],
            ..Pipeline::default()
        };
        let (buckets, stage_buckets) = (vec![0.1], vec![0.01]);
        let pipelines = vec![pipeline];
        Overview { now, started: 100.0, buckets, stage_buckets, pipelines, ..Overview::default() }
    }

    #[test]
    fn rates_are_differences() {
        let mut history = History::default();
        history.push(overview(200.0, 1000));
        let pipeline = &history.last().unwrap().pipelines[0];
        let figures = history.figures(pipeline);
        assert_eq!(figures.window, Window { seconds: 100.0, whole: true });
        assert_eq!((figures.requests, figures.per_second(figures.requests)), (1000, 10.0));
        assert!(history.own(pipeline, &pipeline.stages[0]).unwrap().whole);

        history.push(overview(202.0, 1200));
        let pipeline = &history.last().unwrap().pipelines[0];
        let figures = history.figures(pipeline);
        assert_eq!(figures.window, Window { seconds: 2.0, whole: false });
        assert_eq!((figures.requests, figures.errors, figures.traps), (200, 20, 2));
        assert_eq!(figures.p50, Some(Quantile::About(0.05)));
        let own = history.own(pipeline, &pipeline.stages[0]).unwrap();
        assert!(!own.whole && (own.mean - 0.002).abs() < 1e-9, "{own:?}");

        // A window has a bound.
        for more in 1..=20_u32 {
            history.push(overview(202.0 + f64::from(more), 1200));
        }
        assert_eq!(history.window(), Some(Window { seconds: 10.0, whole: false }));
        let pipeline = &history.last().unwrap().pipelines[0];
        let figures = history.figures(pipeline);
        assert_eq!((figures.requests, figures.p99), (0, None));
        // Nothing was sampled in it.
        assert!(history.own(pipeline, &pipeline.stages[0]).unwrap().whole);
    }

    #[test]
    fn another_process_begins_anew() {
        let mut history = History::default();
        history.push(overview(200.0, 1000));
        history.push(Overview { started: 200.5, ..overview(201.0, 10) });
        assert!(history.window().unwrap().whole);
        // A clock that went back, and counters that did.
        history.push(overview(150.0, 20));
        assert!(history.window().unwrap().whole);
        history.push(overview(151.0, 10));
        let pipeline = &history.last().unwrap().pipelines[0];
        assert!(history.figures(pipeline).window.whole);
        // A stage with another component under the same name is another one.
        let mut changed = overview(152.0, 100);
        changed.pipelines[0].stages[0].digest = Label::new("sha256:1");
        history.push(changed);
        let pipeline = &history.last().unwrap().pipelines[0];
        assert!(history.own(pipeline, &pipeline.stages[0]).unwrap().whole);
    }
}
