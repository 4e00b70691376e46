//! The views: what is shown of the last answers, as text with meaning and without a size.
//!
//! `keys` and `draw` ask for the page of a state. Nothing here asks the gateway, or knows a terminal.

mod chain;
mod generations;
mod page;
mod pipelines;
mod traces;
mod upstreams;
mod waterfall;

pub(super) use page::Page;
pub(super) use pipelines::table;

use super::state::{State, View};

/// What `state` looks at.
pub(super) fn page_of(state: &State) -> Page {
    match (state.view, &state.pipeline, &state.trace) {
        (View::Pipelines, Some(name), _) => chain::page(state, name),
        (View::Pipelines, None, _) => pipelines::page(state),
        (View::Upstreams, ..) => upstreams::page(state),
        (View::Generations, ..) => generations::page(state),
        (View::Traces, _, Some(id)) => waterfall::page(state, id),
        (View::Traces, _, None) => traces::page(state),
    }
}
