//! What an instance tells.

use std::fmt;

use crate::telemetry::text::MetricType;

/// Most buckets of a histogram.
pub(super) const MOST_BUCKETS: usize = 256;

/// What an instance tells of one of its instruments.
#[derive(Clone, Debug)]
pub struct OwnMetric {
    /// The library that recorded it, and its version.
    pub library: (String, Option<String>),
    /// What it is called.
    pub name: String,
    /// What it means.
    pub description: String,
    /// The unit, in the spelling of UCUM.
    pub unit: String,
    /// What there is.
    pub data: Data,
}

/// What an instrument has come to. Attributes are names with values in JSON.
#[derive(Clone, Debug)]
pub enum Data {
    /// A value that replaces the one before.
    Gauge(Vec<Point<f64>>),
    /// A sum.
    Sum {
        /// By attributes.
        points: Vec<Point<f64>>,
        /// Whether it only grows.
        monotonic: bool,
        /// Whether it began anew when it was last told.
        delta: bool,
    },
    /// Numbers in buckets.
    Histogram {
        /// By attributes.
        points: Vec<Point<Buckets>>,
        /// Whether they began anew when they were last told.
        delta: bool,
    },
}

/// A value, and the attributes that distinguish it from others of the instrument.
#[derive(Clone, Debug)]
pub struct Point<T> {
    /// Names, with values in JSON.
    pub attributes: Vec<(String, String)>,
    /// The value.
    pub value: T,
}

/// Numbers in buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Upper ends, ascending.
    pub ends: Vec<f64>,
    /// Of each bucket, the one beyond all ends among them; not cumulative.
    pub counts: Vec<u64>,
    /// The sum of the numbers.
    pub sum: f64,
}

/// Why something was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The stage, or all stages together, have as many series as they may.
    TooMany,
    /// The name is none, or too long, or there are too many attributes.
    Name,
    /// The name stands for another type, here or in another stage.
    Type,
    /// A value that is no number, buckets that do not fit their ends or those of before, or too many of them.
    Value,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "there are as many series as there may be",
            Self::Name => "a name is empty or too long, or there are too many attributes",
            Self::Type => "the name stands for a metric of another type",
            Self::Value => "a value is no number, or buckets are too many, or not those of before",
        })
    }
}

/// What a name stands for, in all stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Histogram => Self::Histogram,
        }
    }
}

impl Buckets {
    /// Whether ends ascend, and there is one count more than ends.
    pub(super) fn is_sound(&self) -> bool {
        let ascend = self.ends.windows(2).all(|pair| pair[0] < pair[1]);
        let finite = self.sum.is_finite() && self.ends.iter().all(|end| end.is_finite());
        let counts = self.counts.len() == self.ends.len() + 1 && self.counts.len() <= MOST_BUCKETS;
        ascend && finite && counts
    }

    /// With the same ends, and nothing in them.
    pub(super) fn emptied(&self) -> Self {
        Self { ends: self.ends.clone(), counts: vec![0; self.counts.len()], sum: 0.0 }
    }

    /// Whether no bucket of `later` has less.
    pub(super) fn is_part_of(&self, later: &Self) -> bool {
        self.ends == later.ends && self.counts.iter().zip(&later.counts).all(|(before, now)| before <= now)
    }

    /// Adds what `told` has and `before`, a part of it, has not.
    pub(super) fn add(&mut self, told: &Self, before: &Self) {
        let counts = told.counts.iter().zip(&before.counts);
        for (sum, (now, before)) in self.counts.iter_mut().zip(counts) {
            *sum = sum.saturating_add(now - before);
        }
        self.sum += told.sum - before.sum;
    }
}
