//! Where requests meet instances: onward → hop → pool → instance, and out of an instance through an entrance.
//!
//! Everything here lives on one worker thread and stays there. An [`InstancePool`] keeps the warm instances of one
//! segment; an instance is a task that owns a store and runs its event loop; an [`Exchange`](exchange::Exchange) is one
//! request in an instance, from its head to the end of its response's body.
//!
//! Bounds, all from the pipeline's limits: instances, requests at once in one instance, requests before an instance is
//! replaced, waiting requests and their wait, the time to a response's head, the pause in a body, computation without
//! waiting, and the life of work after a response. Time is measured in ticks of the worker ([`TICK`]), outside the
//! stores' event loops, which may not run timers while a guest computes (wasmtime #11869, #11870).
//!
//! What never happens: a request that hangs, a cut answer that looks complete, a dead instance that keeps its slot.

mod ahead;
pub mod body;
mod breaker;
mod clock;
mod crossing;
mod end;
pub mod entrance;
mod exchange;
mod gather;
mod guests;
mod hop;
mod incoming;
mod instance;
mod observe;
mod onward;
pub mod outcome;
mod pause;
mod pool;
mod request;
mod upload;
mod worker;

pub use ahead::{Ahead, Successor};
pub use body::{Arriving, RequestBody, UploadState};
pub use breaker::Breaker;
pub use clock::TICK;
pub use end::End;
pub use exchange::ResponseBody;
pub use hop::Hop;
pub use onward::{BYPASSED, Condition, Conditions, Fork, ObservedWay, Onward};
pub use outcome::{BodyError, Failure, UpstreamFailure};
pub use pool::{InstancePool, PoolCounts};
pub use request::{ChainRequest, CutOff};
pub use upload::UploadPace;
pub use worker::Worker;
