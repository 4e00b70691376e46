//! Where requests meet instances: worker → hop → pool → instance.
//!
//! Everything here lives on one worker thread and stays there. A [`Pool`] keeps
//! the warm instances of one segment; an instance is a task that owns a store and
//! runs its event loop; an [`Exchange`](exchange::Exchange) is one request inside
//! of an instance, from its head to the end of its response's body.
//!
//! Bounds, all from the pipeline's limits: instances, requests at once in one
//! instance, requests before it is replaced, waiting requests and how long they
//! wait, the time to a response's head, the pause in a body, the computation
//! without waiting, the life of work left behind. Time is measured in ticks of the
//! worker ([`TICK`]), outside of the stores' event loops, which may not run timers
//! for as long as a guest computes (wasmtime #11869, #11870).
//!
//! What never happens: a request that hangs, an answer that is cut short and looks
//! complete, a dead instance that keeps its slot.

pub mod body;
mod breaker;
mod call;
mod crossing;
mod exchange;
mod fork;
mod gather;
mod hop;
mod incoming;
mod instance;
mod native;
pub mod outcome;
mod pool;
mod upload;
mod upstream;
mod worker;

pub use body::{Arriving, BodyError, RequestBody, RequestLimit, ResponseBody};
pub use breaker::Breaker;
pub use call::Callee;
pub use exchange::CutOff;
pub use fork::{Condition, Conditions, Fork};
pub use hop::{ChainRequest, Hop, Onward, SKIPPED};
pub use native::Native;
pub use outcome::{Failure, UpstreamFailure};
pub use pool::{Pool, PoolCounts};
pub use upload::UploadPace;
pub use upstream::UpstreamEnd;
pub use worker::{TICK, Worker};
