//! The text of metrics of stages' own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::name::Labels;
use super::{Buckets, OwnMetrics, Value, lock};
use crate::telemetry::text::{MetricType, Text};

/// A series with its stage.
type Sample = ([Arc<str>; 2], Labels, Value);

impl OwnMetrics {
    /// Writes all of it, by name. No lock is held while it is written.
    pub(in crate::telemetry) fn render(&self, text: &mut Text) {
        let stages = self.0.stages.all();
        let mut families: BTreeMap<Arc<str>, Vec<Sample>> = BTreeMap::new();
        let mut told = Vec::new();
        for (stage, of) in stages.iter().flat_map(|(stage, of)| of.values().map(move |of| (stage, of))) {
            let state = lock(&of.state);
            let dropped = of.dropped.load(Relaxed);
            if !state.values.is_empty() || dropped > 0 {
                told.push((stage, dropped));
            }
            for ((name, labels), place) in &state.places {
                let sample = (stage.clone(), labels.clone(), state.values[*place].clone());
                families.entry(Arc::clone(name)).or_default().push(sample);
            }
        }
        let names = lock(&self.0.names).clone();
        for (name, mut samples) in families {
            let Some((kind, meaning)) = names.get(&name) else { continue };
            text.family(&name, (*kind).into(), meaning);
            samples.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
            for ([pipeline, stage], labels, value) in &samples {
                let mut all = vec![("linkspan_pipeline", &**pipeline), ("linkspan_stage", &**stage)];
                all.extend(labels.iter().map(|(name, value)| (&**name, &**value)));
                match value {
                    Value::Number(value) => text.sample(&name, &all, value),
                    Value::Buckets(buckets) => histogram(text, &name, &all, buckets),
                }
            }
        }
        const DROPPED: &str = "linkspan_stage_points_dropped_total";
        if !told.is_empty() {
            text.family(DROPPED, MetricType::Counter, "Points of a stage's own metrics that were dropped.");
        }
        for ([pipeline, stage], dropped) in told {
            let labels = [("linkspan_pipeline", &**pipeline), ("linkspan_stage", &**stage)];
            text.sample(DROPPED, &labels, dropped);
        }
    }
}

fn histogram(text: &mut Text, name: &str, labels: &[(&str, &str)], buckets: &Buckets) {
    let bucket = format!("{name}_bucket");
    let ends = buckets.ends.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    let mut sum = 0_u64;
    for (end, count) in ends.zip(&buckets.counts) {
        sum = sum.saturating_add(*count);
        text.sample(&bucket, &[labels, &[("le", end.as_str())]].concat(), sum);
    }
    text.sample(&format!("{name}_sum"), labels, buckets.sum);
    text.sample(&format!("{name}_count"), labels, sum);
}
