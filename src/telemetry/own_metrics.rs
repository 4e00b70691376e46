//! Metrics that stages tell of by themselves, by `wasi:otel/metrics`, as series of the gateway's.
//!
//! An instance tells what its instruments have come to. A series has what all instances of a stage told, on all workers: counters
//! and histograms add up, also of instances that are gone; a gauge has what was told last; a sum that can fall has what the
//! instances that are there have told. An instance that tells totals is asked for nothing: its [`Baseline`] knows what it told
//! before.
//!
//! Bounds: series of one stage ([`OwnMetrics::set_bound`]), of all stages ([`MOST`]), labels of a series and buckets of a histogram
//! ([`name::MOST_LABELS`], [`told::MOST_BUCKETS`]), lengths of names and values. What is beyond, or is no number, or has another type
//! than its name had before, is dropped and counted, and the stage is told why.

mod exponential;
mod name;
mod render;
#[cfg(test)]
mod tests;
mod told;

pub use exponential::{Exponential, explicit};
pub use told::{Buckets, Data, Dropped, OwnMetric, Point};

use name::Labels;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use told::Kind;

use super::series::Series;

/// Most series of all stages together.
const MOST: usize = 100_000;

/// What a series is at a time.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Buckets(Buckets),
}

/// The series of one stage.
#[derive(Debug, Default)]
struct OfStage {
    state: Mutex<State>,
    /// Points that were dropped.
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    places: HashMap<(Arc<str>, Labels), usize>,
    values: Vec<Value>,
}

/// The metrics of all stages.
#[derive(Clone, Debug, Default)]
pub struct OwnMetrics(Arc<All>);

type Names = HashMap<Arc<str>, (Kind, Arc<str>)>;

#[derive(Debug)]
struct All {
    /// By pipeline and stage.
    stages: Series<2, OfStage>,
    /// What each name stands for, with its meaning.
    names: Mutex<Names>,
    count: AtomicUsize,
    bound: AtomicUsize,
}

impl Default for All {
    fn default() -> Self {
        let bound = AtomicUsize::new(200);
        Self { stages: Series::default(), names: Mutex::default(), count: AtomicUsize::new(0), bound }
    }
}

impl OwnMetrics {
    /// Those of `stage` of `pipeline`: the same ones across generations.
    pub fn of(&self, pipeline: &str, stage: &str) -> StageOwnMetrics {
        StageOwnMetrics { all: Arc::clone(&self.0), own: self.0.stages.of([pipeline, stage], 0) }
    }

    /// Sets the most series of one stage. Those that are there stay.
    pub fn set_bound(&self, series: usize) {
        self.0.bound.store(series, Relaxed);
    }
}

/// The metrics of one stage.
#[derive(Clone, Debug)]
pub struct StageOwnMetrics {
    all: Arc<All>,
    own: Arc<OfStage>,
}

/// What one instance of a stage has told until now.
#[derive(Debug)]
pub struct Baseline {
    metrics: StageOwnMetrics,
    /// By the place of the series.
    told: HashMap<usize, Value>,
    /// Places of sums that can fall: what the instance told of them goes with it.
    falling: Vec<usize>,
}

impl StageOwnMetrics {
    /// An instance begins, which has told nothing.
    pub fn begin(&self) -> Baseline {
        Baseline { metrics: self.clone(), told: HashMap::new(), falling: Vec::new() }
    }

    /// Whether both are of one stage.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.own, &other.own)
    }

    /// The place of the series, made if there is none and there is room.
    fn place(
        &self,
        state: &mut State,
        (name, kind): (Arc<str>, Kind),
        (labels, description): (Labels, &str),
        first: impl FnOnce() -> Value,
    ) -> Result<usize, Dropped> {
        let mut names = lock(&self.all.names);
        if names.get(&name).is_some_and(|(known, _)| *known != kind) {
            return Err(Dropped::Type);
        }
        let key = (name, labels);
        if let Some(place) = state.places.get(&key) {
            return Ok(*place);
        }
        let room = state.values.len() < self.all.bound.load(Relaxed);
        let counted = |count| (count < MOST).then_some(count + 1);
        if !room || self.all.count.fetch_update(Relaxed, Relaxed, counted).is_err() {
            return Err(Dropped::TooMany);
        }
        names.entry(Arc::clone(&key.0)).or_insert_with(|| (kind, name::meaning(description)));
        state.values.push(first());
        state.places.insert(key, state.values.len() - 1);
        Ok(state.values.len() - 1)
    }
}

impl Baseline {
    /// The stage's metrics.
    pub fn metrics(&self) -> &StageOwnMetrics {
        &self.metrics
    }

    /// Takes what the instance tells.
    ///
    /// # Errors
    /// The number of points that were dropped, and why the last one was. The others were taken.
    pub fn tell(&mut self, metric: &OwnMetric) -> Result<(), (u64, Dropped)> {
        let (mut dropped, mut why) = (0, Dropped::Name);
        let mut each = |taken: Result<(), Dropped>| {
            if let Err(reason) = taken {
                (dropped, why) = (dropped + 1, reason);
            }
        };
        match &metric.data {
            Data::Gauge(points) => {
                points.iter().for_each(|point| each(self.number(metric, Kind::Gauge, point, How::Last)));
            }
            Data::Sum { points, monotonic: true, delta } => {
                let how = if *delta { How::More } else { How::Total };
                points.iter().for_each(|point| each(self.number(metric, Kind::Counter, point, how)));
            }
            Data::Sum { points, monotonic: false, delta } => {
                let how = if *delta { How::ChangeWhileThere } else { How::WhileThere };
                points.iter().for_each(|point| each(self.number(metric, Kind::Gauge, point, how)));
            }
            Data::Histogram { points, delta } => {
                points.iter().for_each(|point| each(self.buckets(metric, point, *delta)));
            }
        }
        if dropped == 0 {
            return Ok(());
        }
        self.metrics.own.dropped.fetch_add(dropped, Relaxed);
        Err((dropped, why))
    }

    fn number(
        &mut self,
        metric: &OwnMetric,
        kind: Kind,
        point: &Point<f64>,
        how: How,
    ) -> Result<(), Dropped> {
        let name = name::of(metric, kind)?;
        let labels = name::labels(metric, &point.attributes)?;
        let falls = kind == Kind::Counter && point.value < 0.0;
        if !point.value.is_finite() || falls {
            return Err(Dropped::Value);
        }
        let mut state = lock(&self.metrics.own.state);
        let described = (labels, metric.description.as_str());
        let place = self.metrics.place(&mut state, (name, kind), described, || Value::Number(0.0))?;
        let Some(Value::Number(value)) = state.values.get_mut(place) else { return Err(Dropped::Type) };
        let before = match self.told.get(&place) {
            Some(Value::Number(before)) => *before,
            _ => 0.0,
        };
        let told = match how {
            How::Last => {
                *value = point.value;
                return Ok(());
            }
            How::More => {
                *value += point.value;
                return Ok(());
            }
            How::Total => {
                // A total that fell began anew.
                *value += if point.value < before { point.value } else { point.value - before };
                point.value
            }
            How::WhileThere => {
                *value += point.value - before;
                point.value
            }
            How::ChangeWhileThere => {
                *value += point.value;
                before + point.value
            }
        };
        if self.told.insert(place, Value::Number(told)).is_none() && how != How::Total {
            self.falling.push(place);
        }
        Ok(())
    }

    fn buckets(&mut self, metric: &OwnMetric, point: &Point<Buckets>, delta: bool) -> Result<(), Dropped> {
        let name = name::of(metric, Kind::Histogram)?;
        let labels = name::labels(metric, &point.attributes)?;
        let told = &point.value;
        if !told.is_sound() {
            return Err(Dropped::Value);
        }
        let mut state = lock(&self.metrics.own.state);
        let first = || Value::Buckets(told.emptied());
        let described = (labels, metric.description.as_str());
        let place = self.metrics.place(&mut state, (name, Kind::Histogram), described, first)?;
        let Some(Value::Buckets(sum)) = state.values.get_mut(place) else { return Err(Dropped::Type) };
        if sum.ends != told.ends {
            return Err(Dropped::Value);
        }
        let nothing = told.emptied();
        let before = match self.told.get(&place) {
            Some(Value::Buckets(before)) if !delta && before.is_part_of(told) => before,
            // Nothing is told of before, or it began anew.
            _ => &nothing,
        };
        sum.add(told, before);
        if !delta {
            self.told.insert(place, Value::Buckets(told.clone()));
        }
        Ok(())
    }
}

impl Drop for Baseline {
    /// What the instance told of sums that can fall is true no more.
    fn drop(&mut self) {
        if self.falling.is_empty() {
            return;
        }
        let mut state = lock(&self.metrics.own.state);
        for place in &self.falling {
            if let (Some(Value::Number(value)), Some(Value::Number(told))) =
                (state.values.get_mut(*place), self.told.get(place))
            {
                *value -= told;
            }
        }
    }
}

/// How a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It replaces the one before, whoever told that.
    Last,
    /// It is added.
    More,
    /// It is the instance's total, which only grows.
    Total,
    /// It is the instance's total as long as that is there.
    WhileThere,
    /// It is added as long as the instance is there.
    ChangeWhileThere,
}

/// What is behind these locks is whole at any time, whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
