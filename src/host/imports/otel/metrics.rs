//! `wasi:otel/metrics`: what a stage's instruments have come to, as metrics of the gateway.

use crate::host::bindings::otel::named_imports as own;
use crate::host::bindings::otel::wasi::otel::{metrics as otel, types};
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::telemetry::HostCall;
use crate::telemetry::own_metrics::{Buckets, Data, Dropped, Exponential, OwnMetric, Point, explicit};

impl own::wasi::otel::metrics::Host for InstanceState {
    fn export(
        &mut self,
        scope: Scope,
        metrics: otel::ResourceMetrics,
    ) -> wasmtime::Result<Result<(), String>> {
        self.count_call(HostCall::Otel);
        self.pulse.act();
        // Nothing is counted before there is a request.
        let Some(own) = scope.counters.metrics.as_ref().filter(|_| !scope.is_alone()) else {
            return Ok(Ok(()));
        };
        let known = self.told.iter().position(|told| told.metrics().is(own));
        let place = known.unwrap_or_else(|| {
            self.told.push(own.begin());
            self.told.len() - 1
        });
        let told = &mut self.told[place];
        let mut lost: Option<(u64, Dropped)> = None;
        for otel::ScopeMetrics { scope: library, metrics } in metrics.scope_metrics {
            for metric in metrics {
                if let Err((number, why)) = told.tell(&taken(&library, metric)) {
                    lost = Some((lost.map_or(0, |(before, _)| before) + number, why));
                }
            }
        }
        Ok(match lost {
            None => Ok(()),
            Some((number, why)) => Err(format!("{number} points were dropped: {why}")),
        })
    }
}

/// A metric as the gateway takes it.
fn taken(library: &types::InstrumentationScope, metric: otel::Metric) -> OwnMetric {
    use otel::MetricData as M;
    let data = match metric.data {
        M::F64Gauge(gauge) | M::U64Gauge(gauge) | M::S64Gauge(gauge) => {
            let point = |point: otel::GaugeDataPoint| of(point.attributes, number(point.value));
            Data::Gauge(gauge.data_points.into_iter().map(point).collect())
        }
        M::F64Sum(sum) | M::U64Sum(sum) | M::S64Sum(sum) => {
            let point = |point: otel::SumDataPoint| of(point.attributes, number(point.value));
            let points = sum.data_points.into_iter().map(point).collect();
            // "Low memory" is for those that only grow.
            let delta = match sum.temporality {
                otel::Temporality::LowMemory => sum.is_monotonic,
                temporality => is_anew(temporality),
            };
            Data::Sum { points, monotonic: sum.is_monotonic, delta }
        }
        M::F64Histogram(all) | M::U64Histogram(all) | M::S64Histogram(all) => {
            let point = |point: otel::HistogramDataPoint| {
                let sum = number(point.sum);
                of(point.attributes, Buckets { ends: point.bounds, counts: point.bucket_counts, sum })
            };
            let points = all.data_points.into_iter().map(point).collect();
            Data::Histogram { points, delta: is_anew(all.temporality) }
        }
        M::F64ExponentialHistogram(all)
        | M::U64ExponentialHistogram(all)
        | M::S64ExponentialHistogram(all) => {
            let points = all.data_points.into_iter().map(exponential).collect();
            Data::Histogram { points, delta: is_anew(all.temporality) }
        }
    };
    OwnMetric {
        library: (library.name.clone(), library.version.clone()),
        name: metric.name,
        description: metric.description,
        unit: metric.unit,
        data,
    }
}

fn exponential(point: otel::ExponentialHistogramDataPoint) -> Point<Buckets> {
    let buckets = |of: otel::ExponentialBucket| (of.offset, of.counts);
    let from = Exponential {
        scale: point.scale,
        zeros: point.zero_count,
        positive: buckets(point.positive_bucket),
        negative: buckets(point.negative_bucket),
        sum: number(point.sum),
    };
    of(point.attributes, explicit(&from))
}

/// Whether a histogram begins anew when it was told.
fn is_anew(temporality: otel::Temporality) -> bool {
    matches!(temporality, otel::Temporality::Delta | otel::Temporality::LowMemory)
}

fn of<T>(attributes: Vec<types::KeyValue>, value: T) -> Point<T> {
    let attributes = attributes.into_iter().map(|attribute| (attribute.key, attribute.value)).collect();
    Point { attributes, value }
}

/// A number beyond 2^53 is the nearest one that has a place.
#[expect(clippy::cast_precision_loss, reason = "all numbers of Prometheus's text are floating")]
fn number(of: otel::MetricNumber) -> f64 {
    match of {
        otel::MetricNumber::F64(number) => number,
        otel::MetricNumber::S64(number) => number as f64,
        otel::MetricNumber::U64(number) => number as f64,
    }
}
