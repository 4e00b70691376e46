//! The ways of observed requests, made when they are wanted.
//!
//! A segment of several stages is one store, in which nobody sees where one stage ends and the next begins. An observed
//! request therefore goes through the same stages one by one, each a segment of its own. These are made while their
//! generation serves, for segments that had an observed request, or for which somebody asked; until then, observed requests go
//! through the segment as others do. Segments that were taken over keep theirs.
//!
//! Bounds: [`INSTANCES`] of each stage. A way that can't be made is told once, and then not tried again for this segment.

use super::build::{Maker, Workshop};
use super::generation::Generation;
use super::identity::{Part, Ways};
use super::inputs::Inputs;
use crate::config::Diagnostics;
use crate::engine::{Conditions, Fork, ObservedWay, Onward};
use crate::plan::{Applied, Pipeline, PipelineIndex};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Instances of a stage that the engine's pool has room for, on all workers together, beside those of the segment in which
/// the stage serves: one for each request on the way.
const INSTANCES: u32 = ObservedWay::REQUESTS;

/// Wants the ways through the segments of these pipelines of `live` to be made.
pub fn want(live: &Generation, pipelines: impl IntoIterator<Item = PipelineIndex>) {
    let forks = pipelines.into_iter().flat_map(|index| live.pipeline(index).forks());
    forks.filter_map(|fork| fork.observed_way()).for_each(|way| way.want());
}

/// Makes the ways through the segments of `live`, the generation that was built from `inputs`, that are wanted. Returns their
/// number.
pub fn make(inputs: &Inputs, live: &Generation, workshop: &Workshop) -> usize {
    if !workshop.any_wanted.swap(false, Relaxed) {
        return 0;
    }
    let mut maker = Maker::new(inputs, workshop, Ways::Observed);
    *maker.pipelines.borrow_mut() = live.beginnings().cloned().map(Some).collect();
    let mut sizes = Vec::new();
    each(&maker, live, |pipeline, part, _| {
        sizes.extend(part.observed.iter().flat_map(|variant| maker.sizes(pipeline, variant, INSTANCES)));
    });
    let mut diagnostics = live.plan.diagnostics();
    if let Err(error) = maker.make_room(&sizes) {
        diagnostics.error(None, format!("cannot make the engine: {error}"));
    }
    let _shared = workshop.runtimes.share();
    let mut made = 0;
    each(&maker, live, |pipeline, part, fork| {
        let Some(way) = fork.observed_way() else { return };
        let found = match diagnostics.has_errors() {
            true => None,
            false => through(&maker, pipeline, part, fork.next(), &mut diagnostics),
        };
        made += usize::from(found.is_some());
        way.open(found);
    });
    if diagnostics.has_errors() {
        tracing::warn!(findings = %diagnostics, "stages can't be observed: traces have no spans of them");
    }
    made
}

/// Does `work` for each segment whose way is wanted, from the last one of a pipeline to the first.
fn each<'a>(maker: &Maker<'a>, live: &Generation, mut work: impl FnMut(&Pipeline, &Part<'a>, &Fork)) {
    for ((pipeline, parts), first) in live.plan.pipelines.iter().zip(&maker.segments).zip(live.beginnings()) {
        let forks: Vec<_> = first.forks().collect();
        for (part, fork) in parts.iter().zip(forks.into_iter().rev()) {
            if fork.observed_way().is_some_and(|way| way.is_wanted()) {
                work(pipeline, part, fork);
            }
        }
    }
}

/// The way through `part` to `next`; `None` if it can't be made, for reasons that `diagnostics` then have.
fn through<'a>(
    maker: &Maker<'a>,
    pipeline: &Pipeline,
    part: &Part<'a>,
    next: Option<&Onward>,
    diagnostics: &mut Diagnostics,
) -> Option<Onward> {
    let mut onward = None;
    for variant in &part.observed {
        let next = onward.as_ref().or(next);
        let hop = maker.hop(pipeline, variant, next, diagnostics)?;
        // A service always applies.
        let without = (variant.applied != Applied::NONE).then_some((Applied::NONE, None));
        let without = without.into_iter().collect();
        let fork = Fork::new(Conditions::default(), variant.applied, hop, without, next.cloned());
        onward = Some(Onward::Fork(Arc::new(fork)));
    }
    onward
}
