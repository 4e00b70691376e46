//! `linkspan bench pipeline`: the cost of a pipeline, and of each of its stages.
//!
//! The cost of a stage is the difference that the stage makes to a request: the pipeline is built once as it is and
//! once without each of its stages, as `serve` builds it, and the same request goes through all of them in turn. A
//! stage that makes its neighbours more expensive (an async one among sync ones) shows that, and the costs of all
//! stages need not add up to the whole.

use super::{Failure, run_here};
use crate::component::Lift;
use crate::engine::{ChainRequest, Onward, RequestBody, Worker};
use crate::gateway::inputs::{Components, Inputs};
use crate::gateway::{Workshop, build};
use crate::host::RequestHead;
use crate::plan::{Link, Pipeline, PipelineIndex, Relift, Stage};
use crate::telemetry::Metrics;
use bytes::Bytes;
use clap::Args;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, Full};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Characters of the longest bar.
const WIDTH: f64 = 30.0;

/// The request, the pipeline, and the number of rounds.
#[derive(Debug, Args)]
pub struct Options {
    /// The pipeline's name
    #[arg(long)]
    pub pipeline: String,
    /// The request's method
    #[arg(long, default_value = "GET")]
    method: Method,
    /// The request's target
    #[arg(long, default_value = "/")]
    path: PathAndQuery,
    /// The request's authority
    #[arg(long, default_value = "localhost")]
    host: Authority,
    /// A field of the request, `NAME: VALUE`; may be given more than once
    #[arg(long, value_parser = field)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Bytes of the request's body
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1 << 30))]
    body: u64,
    /// Rounds, in each of which every form of the pipeline has its turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Requests in a turn
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    requests: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a field is `NAME: VALUE`")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|error| error.to_string())?;
    Ok((name, HeaderValue::from_str(value.trim()).map_err(|error| error.to_string())?))
}

/// A form of the pipeline, and its measurements.
struct Turn {
    chain: Onward,
    times: Times,
    /// How often each status came, and each failure.
    answers: BTreeMap<String, u64>,
}

/// Nanoseconds of each request, round by round.
#[derive(Default)]
struct Times(Vec<Vec<u64>>);

impl Times {
    /// Microseconds of the median request of the best round. A disturbed round therefore does not count, nor do the few
    /// requests of a round that are much slower than all others.
    fn best(&self) -> f64 {
        self.0.iter().map(|round| percentiles(round.clone(), [0.5])[0]).fold(f64::INFINITY, f64::min)
    }

    /// Microseconds within which these parts of all requests were answered.
    fn percentiles<const N: usize>(&self, parts: [f64; N]) -> [f64; N] {
        percentiles(self.0.concat(), parts)
    }

    /// A line of the report.
    fn line(&self, name: &str) -> String {
        let [p50, p90, p99, max] = self.percentiles([0.5, 0.9, 0.99, 1.0]);
        columns(name, [self.best(), p50, p90, p99, max].map(|micros| format!("{micros:.2}")))
    }
}

fn percentiles<const N: usize>(mut samples: Vec<u64>, parts: [f64; N]) -> [f64; N] {
    samples.sort_unstable();
    parts.map(|part| {
        let at = (samples.len() as f64 * part).ceil() as usize;
        samples.get(at.saturating_sub(1)).map_or(f64::NAN, |nanos| *nanos as f64 / 1000.0)
    })
}

/// A name, and numbers aligned below each other.
fn columns(name: &str, numbers: [impl std::fmt::Display; 5]) -> String {
    let [a, b, c, d, e] = numbers;
    format!("{name:<28}  {a:>9}  {b:>9}  {c:>9}  {d:>9}  {e:>9}")
}

/// A stage in a reader's words.
struct Row {
    name: String,
    lift: &'static str,
    link: &'static str,
    /// Its form without the stage; `None` for the service.
    without: Option<usize>,
}

/// Measures a pipeline of `inputs`, and returns the result.
///
/// # Errors
/// If one of its forms can't be built.
pub fn run(options: &Options, mut inputs: Inputs, index: PipelineIndex) -> Result<String, Failure> {
    let pipeline = inputs.plan.pipeline(index).clone();
    let whole = settled(applying(&pipeline, &options.head()), &inputs.components);
    let forms: Vec<_> = std::iter::once(whole.clone())
        .chain((0..whole.stages.len()).map(|at| without(&whole, at..=at)))
        // With one stage, the service alone is measured already.
        .chain((whole.stages.len() > 1).then(|| without(&whole, 0..=whole.stages.len() - 1)))
        .collect();
    let first = inputs.plan.pipelines.len();
    let count = forms.len();
    inputs.plan.pipelines.extend(forms);
    inputs.plan.workers = NonZeroUsize::MIN;
    let generation = build(&inputs, &Workshop::default()).map_err(Failure::wrong)?;
    let rows = rows(&pipeline, &whole, &inputs.components);
    let chains: Vec<_> =
        (first..first + count).map(|at| generation.pipeline(PipelineIndex(at)).clone()).collect();

    let turns = run_here(measure(options, chains))?;
    let report = Report { options, skipped: pipeline.stages.len() - whole.stages.len(), rows, turns };
    Ok(if options.json { format!("{:#}\n", report.json()) } else { report.text() })
}

/// `pipeline` with the stages that apply to a request with this head; a stage that applies by chance applies.
fn applying(pipeline: &Pipeline, head: &RequestHead) -> Pipeline {
    let path = head.path_with_query.as_ref().map_or("/", |target| target.path());
    let mut pipeline = pipeline.clone();
    pipeline.stages.retain_mut(|stage| {
        stage.when.take().is_none_or(|mut when| {
            when.share = None;
            when.holds(&head.method, path, &head.headers, 0)
        })
    });
    renumber(pipeline)
}

/// `pipeline` with the lifts that its stages have in `inputs`: what one costs is measured among the same others.
fn settled(mut pipeline: Pipeline, components: &Components) -> Pipeline {
    for stage in pipeline.all_stages_mut() {
        let rewritten = components.of(stage).is_some_and(|component| component.relifted);
        stage.lift = if rewritten { Relift::Sync } else { Relift::AsIs };
    }
    pipeline
}

fn without(pipeline: &Pipeline, stages: std::ops::RangeInclusive<usize>) -> Pipeline {
    let mut pipeline = pipeline.clone();
    pipeline.stages.drain(stages);
    renumber(pipeline)
}

/// Gives stages their new places.
fn renumber(mut pipeline: Pipeline) -> Pipeline {
    pipeline.all_stages_mut().enumerate().for_each(|(index, stage)| stage.id.index = index);
    pipeline
}

fn rows(pipeline: &Pipeline, whole: &Pipeline, components: &Components) -> Vec<Row> {
    let original = pipeline.stages.iter().filter(|stage| {
        let same = |other: &&Stage| other.span == stage.span;
        whole.stages.iter().any(|other| same(&other))
    });
    let describe = |stage: &Stage, name: String, without| {
        let component = components.of(stage);
        let lift = match component.map(|component| (component.shape.lift(), component.relifted)) {
            Some((_, true)) => "sync, rewritten",
            Some((Lift::Sync, false)) => "sync",
            Some((Lift::Async, false)) => "async",
            _ => "WASI 0.2",
        };
        let link = match stage.link {
            Link::Static => "static",
            Link::Dynamic => "dynamic",
        };
        Row { name, lift, link, without }
    };
    let middleware = original.enumerate().map(|(at, stage)| {
        let name = format!("{} {}", stage.id.index, stage.id.component);
        describe(stage, name, Some(at + 1))
    });
    let service = pipeline.service();
    middleware.chain(service.map(|stage| describe(stage, stage.id.component.to_string(), None))).collect()
}

async fn measure(options: &Options, chains: Vec<Onward>) -> Result<Vec<Turn>, Failure> {
    let worker = Worker::start(0, Metrics::new());
    let turn = |chain| Turn { chain, times: Times::default(), answers: BTreeMap::new() };
    let mut turns: Vec<_> = chains.into_iter().map(turn).collect();
    // Instances are made and code is warm before the first round.
    for turn in &mut turns {
        turn.run(&worker, options, options.requests / 10 + 1).await;
        (turn.times, turn.answers) = (Times::default(), BTreeMap::new());
    }
    for _ in 0..options.rounds {
        for turn in &mut turns {
            turn.run(&worker, options, options.requests).await;
        }
    }
    Ok(turns)
}

impl Options {
    fn head(&self) -> RequestHead {
        let mut headers: HeaderMap = self.header.iter().cloned().collect();
        if self.body > 0 {
            headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(self.body));
        }
        RequestHead {
            method: self.method.clone(),
            scheme: Some(Scheme::HTTPS),
            authority: Some(self.host.clone()),
            path_with_query: Some(self.path.clone()),
            headers,
            options: None,
        }
    }
}

impl Turn {
    async fn run(&mut self, worker: &Rc<Worker>, options: &Options, requests: u64) {
        let content = Bytes::from(vec![b'x'; usize::try_from(options.body).unwrap_or(0)]);
        let mut round = Vec::with_capacity(usize::try_from(requests).unwrap_or(0));
        let mut before = Instant::now();
        for _ in 0..requests {
            let body = match content.is_empty() {
                true => RequestBody::empty(),
                false => RequestBody::passed_on(
                    Full::new(content.clone()).map_err(|never| match never {}).boxed_unsync(),
                ),
            };
            let request = ChainRequest::new(options.head(), body, Arc::default());
            let answer = match self.chain.handle(worker, Box::new(request)).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    match response.into_body().collect().await {
                        Ok(_) => status.to_string(),
                        Err(error) => format!("{status}, cut: {error}"),
                    }
                }
                Err(failure) => failure.to_string(),
            };
            let now = Instant::now();
            round.push(u64::try_from((now - before).as_nanos()).unwrap_or(u64::MAX));
            before = now;
            match self.answers.get_mut(&answer) {
                Some(count) => *count += 1,
                None => drop(self.answers.insert(answer, 1)),
            }
        }
        self.times.0.push(round);
    }

    fn answered(&self) -> String {
        let answers: Vec<_> =
            self.answers.iter().map(|(answer, count)| format!("{count} × {answer}")).collect();
        answers.join(", ")
    }
}

struct Report<'a> {
    options: &'a Options,
    /// Stages that do not apply to the request.
    skipped: usize,
    rows: Vec<Row>,
    /// The whole, without each stage, and the service alone.
    turns: Vec<Turn>,
}

impl Report<'_> {
    /// The difference that a stage makes to the request; for the service, its cost alone.
    fn cost(&self, row: &Row) -> f64 {
        let best = |turn: &Turn| turn.times.best();
        match row.without {
            Some(at) => best(&self.turns[0]) - best(&self.turns[at]),
            None => self.turns.last().map_or(f64::NAN, best),
        }
    }

    fn text(&self) -> String {
        let Self { options, skipped, rows, turns } = self;
        let mut text = String::new();
        let mut line = |content: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", content.trim_end());
        };
        line(format!(
            "{} {} through `{}`: {}",
            options.method,
            options.path,
            options.pipeline,
            turns[0].answered()
        ));
        if *skipped > 0 {
            line(format!("{skipped} of its stages do not apply to this request"));
        }
        line(String::new());
        line(columns("µs a request", ["best", "p50", "p90", "p99", "max"]));
        let named = [("whole", turns.first()), ("service alone", turns.last().filter(|_| turns.len() > 1))];
        for (name, turn) in named.into_iter().filter_map(|(name, turn)| Some((name, turn?))) {
            line(turn.times.line(name));
        }
        line(String::new());
        line(format!("{:<28}  {:<15}  {:<7}  {:>9}", "stage", "lift", "link", "µs"));
        let most = rows.iter().map(|row| self.cost(row)).fold(0.0, f64::max);
        for row in rows {
            let cost = self.cost(row);
            let bar = "█".repeat((cost.max(0.0) / most * WIDTH).round() as usize);
            line(format!("{:<28}  {:<15}  {:<7}  {cost:>9.2}  {bar}", row.name, row.lift, row.link));
            let turn = row.without.map(|at| &turns[at]);
            if let Some(other) = turn.filter(|turn| !turn.answers.keys().eq(turns[0].answers.keys())) {
                line(format!("  without it the answers are others: {}", other.answered()));
            }
        }
        line(String::new());
        line(format!(
            "A stage's cost is what the request costs less without it; the service's is what it costs alone. One request \
             at a\ntime on one thread, without a connection; the middle request of the best of {} rounds of {}.",
            options.rounds, options.requests
        ));
        text
    }

    fn json(&self) -> serde_json::Value {
        let turn = |turn: &Turn| {
            let [p50, p90, p99, max] = turn.times.percentiles([0.5, 0.9, 0.99, 1.0]);
            serde_json::json!({
                "us": turn.times.best(),
                "p50-us": p50,
                "p90-us": p90,
                "p99-us": p99,
                "max-us": max,
                "answers": turn.answers,
            })
        };
        let stages: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "stage": row.name,
                    "lift": row.lift,
                    "link": row.link,
                    "us": self.cost(row),
                    "without": row.without.map(|at| turn(&self.turns[at])),
                })
            })
            .collect();
        serde_json::json!({
            "pipeline": self.options.pipeline,
            "rounds": self.options.rounds,
            "requests": self.options.requests,
            "stages-that-do-not-apply": self.skipped,
            "whole": self.turns.first().map(turn),
            "service": self.turns.last().map(turn),
            "stages": stages,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_never_above_the_middle() {
        // Most requests take 1 µs, and one in each round so long that the mean is far from the middle.
        let mut round = vec![1_000; 99];
        round.push(10_000_000);
        let times = Times(vec![round.clone(), round, vec![3_000; 100]]);
        assert_eq!((times.best(), times.percentiles([0.5, 1.0])), (1.0, [1.0, 10_000.0]));
        assert_eq!(Times(vec![vec![5_000], vec![2_000, 9_000]]).best(), 2.0);
    }

    #[test]
    fn long_numbers_stay_apart() {
        let line =
            Times(vec![vec![12_345_678_901_234]]).line("a stage with a name of more than 28 characters");
        assert_eq!(line.split("  ").filter(|part| part.contains("12345678901.23")).count(), 5, "{line}");
    }
}
