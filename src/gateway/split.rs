//! The pipeline of a route that serves a request, if several share the route.
//!
//! Chance decides by weight, or a header or cookie decides: equal values go to the same pipeline as long as the weights
//! stay, and a value that is a pipeline's name chooses that pipeline. Chance decides for a request without the pinned
//! field.

use crate::plan::share::{draw, place};
use crate::plan::{PipelineIndex, Plan, Route};
use http::HeaderMap;

/// The pipeline for a request to `route`; `chance` is a number that differs from request to request.
pub fn choose(plan: &Plan, route: &Route, headers: &HeaderMap, chance: u64) -> PipelineIndex {
    if let [only] = route.split.as_slice() {
        return only.pipeline;
    }
    let value = route.pin.as_ref().and_then(|pin| pin.value(headers));
    if let Some(value) = value {
        let named = route.split.iter().find(|part| plan.pipeline(part.pipeline).name.as_bytes() == value);
        if let Some(named) = named {
            return named.pipeline;
        }
    }
    by_weight(route, draw(value, chance))
}

fn by_weight(route: &Route, number: u64) -> PipelineIndex {
    let total: u64 = route.split.iter().map(|part| u64::from(part.weight)).sum();
    let mut at = place(number, total);
    for part in &route.split {
        match at.checked_sub(u64::from(part.weight)) {
            Some(rest) => at = rest,
            None => return part.pipeline,
        }
    }
    // Not reached: `at` is less than the sum of the weights, which is not 0.
    route.split[0].pipeline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{HostPattern, Split};

    fn route(weights: &[u32]) -> Route {
        let part = |(at, weight): (usize, &u32)| Split { pipeline: PipelineIndex(at), weight: *weight };
        Route {
            host: HostPattern::Any,
            path: "/".to_owned(),
            methods: None,
            split: weights.iter().enumerate().map(part).collect(),
            pin: None,
            mirror: None,
            span: crate::config::Span::new(0..0),
        }
    }

    #[test]
    fn shares_are_as_the_weights() {
        let route = route(&[90, 0, 10]);
        let mut counts = [0_u32; 3];
        for number in 0..100_000 {
            counts[by_weight(&route, draw(None, number)).0] += 1;
        }
        assert!((9_000..11_000).contains(&counts[2]) && counts[1] == 0, "{counts:?}");
    }
}
