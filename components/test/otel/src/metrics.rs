//! The words that tell of metrics.

use crate::bindings::wasi::clocks::wall_clock::Datetime;
use crate::bindings::wasi::otel::metrics::{
    ExponentialBucket, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, GaugeDataPoint, Histogram,
    HistogramDataPoint, Metric, MetricData, MetricNumber, ResourceMetrics, ScopeMetrics, Sum, SumDataPoint,
    Temporality, export,
};
use crate::bindings::wasi::otel::tracing::{InstrumentationScope, KeyValue};
use crate::bindings::wasi::otel::types::Resource;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// How often each word came.
    static CAME: RefCell<HashMap<String, u64>> = RefCell::default();
}

const NEVER: Datetime = Datetime { seconds: 0, nanoseconds: 0 };

/// Tells of the metric that `word` names, if it names one.
pub fn tell(word: &str) -> Option<Result<(), String>> {
    let came = CAME.with_borrow_mut(|came| {
        let came = came.entry(word.to_owned()).or_default();
        *came += 1;
        *came
    });
    let number = MetricNumber::U64(came);
    let data = match word {
        "hits" => MetricData::U64Sum(sum(vec![(attribute("kind", "\"page\""), number)], true)),
        "level" => MetricData::U64Sum(sum(vec![(attribute("kind", "\"page\""), number)], false)),
        "heat" | "clash" => MetricData::U64Gauge(Gauge {
            data_points: vec![GaugeDataPoint {
                attributes: Vec::new(),
                value: number,
                exemplars: Vec::new(),
            }],
            start_time: None,
            time: NEVER,
        }),
        "series" => {
            let points = (0..300).map(|at| (attribute("at", &at.to_string()), MetricNumber::U64(1)));
            MetricData::U64Sum(sum(points.collect(), true))
        }
        "sizes" => MetricData::U64Histogram(sizes(came)),
        "powers" => MetricData::U64ExponentialHistogram(powers(came)),
        _ => return None,
    };
    let name = if word == "clash" { "hits_total" } else { word };
    let metric =
        Metric { name: name.into(), description: format!("Told by {word}."), unit: String::new(), data };
    let scope = InstrumentationScope {
        name: "guest".into(),
        version: Some("1".into()),
        schema_url: None,
        attributes: Vec::new(),
    };
    Some(export(&ResourceMetrics {
        resource: Resource { attributes: Vec::new(), schema_url: None },
        scope_metrics: vec![ScopeMetrics { scope, metrics: vec![metric] }],
    }))
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value.into() }
}

fn sum(points: Vec<(KeyValue, MetricNumber)>, is_monotonic: bool) -> Sum {
    let point =
        |(attribute, value)| SumDataPoint { attributes: vec![attribute], value, exemplars: Vec::new() };
    Sum {
        data_points: points.into_iter().map(point).collect(),
        start_time: NEVER,
        time: NEVER,
        temporality: Temporality::Cumulative,
        is_monotonic,
    }
}

/// As many ones, which are in the second of three buckets.
fn sizes(count: u64) -> Histogram {
    Histogram {
        data_points: vec![HistogramDataPoint {
            attributes: Vec::new(),
            count,
            bounds: vec![0.5, 10.0],
            bucket_counts: vec![0, count, 0],
            min: None,
            max: None,
            sum: MetricNumber::U64(count),
            exemplars: Vec::new(),
        }],
        start_time: NEVER,
        time: NEVER,
        temporality: Temporality::Cumulative,
    }
}

/// The same where a bucket ends at 1.
fn powers(count: u64) -> ExponentialHistogram {
    ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            attributes: Vec::new(),
            count,
            min: None,
            max: None,
            sum: MetricNumber::U64(count),
            scale: 0,
            zero_count: 0,
            positive_bucket: ExponentialBucket { offset: -1, counts: vec![count] },
            negative_bucket: ExponentialBucket { offset: 0, counts: Vec::new() },
            zero_threshold: 0.0,
            exemplars: Vec::new(),
        }],
        start_time: NEVER,
        time: NEVER,
        temporality: Temporality::Cumulative,
    }
}
