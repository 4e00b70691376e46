//! Stages become something that runs.
//!
//! [`check`] says whether a component may stand at a stage, [`compose`] joins the stages of a segment into one
//! component with wac, [`compile`] makes that component ready to be instantiated, and [`prove`] instantiates it once.
//! `gateway::build` and the commands that look at pipelines call this room; it never runs on the path of a request.

pub mod cache;
pub mod check;
pub mod compile;
pub mod compose;
pub mod epoch;
pub mod form;
mod functions;
mod handles;
pub mod panics;
pub mod prove;
pub mod runtimes;
mod settings;
pub mod trial;

pub use cache::{Cache, Code};
pub use compile::{Guests, PoolSize, Runtime, RuntimeError, Segment};
pub use compose::{ComposeError, Composed, Member, Naming, compose, next_label};
pub use epoch::guests_run;
pub use form::SegmentForm;
pub use panics::{Panicked, caught};
pub use prove::{Breakdown, Flaw};
pub use runtimes::Runtimes;
pub use trial::{Admission, Trial, Turn};
