//! Traces: what happened to a request, as spans that hang under each other.
//!
//! `http` begins a [`Trace`] for each request that is sampled or that came with a trace's context; `host`, `engine` and
//! `upstream` open spans in it. A span ends when its [`OpenSpan`] is dropped, however what it stands for ends. With the
//! last reference to a trace, its spans go into the [`SpanQueue`], if there is a receiver, to which the [`Exporter`]'s thread
//! sends them. Guarantees: nothing here makes
//! a request wait; what is kept of a trace and in the queue is bounded, and what is dropped is counted; a request that
//! is not sampled and came without context has no trace at all.
//!
//! Context is that of W3C Trace Context, level 2; names of spans and attributes are those of OpenTelemetry's semantic
//! conventions.

mod bodies;
mod context;
mod conventions;
mod encode;
mod export;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod heads;
mod id;
pub mod otlp;
mod queue;
mod receiver;
mod recent;
mod recording;
mod report;
mod sampler;
mod span;
mod told;
mod tracer;
mod watch;

pub use self::bodies::{BodyCopy, ShownBody};
pub use self::context::{TRACEPARENT, TRACESTATE, TraceContext};
pub use self::conventions::{Destination, Place, method_name, version_name};
pub use self::export::Exporter;
pub use self::heads::Heads;
pub use self::id::{SpanId, TraceId};
pub use self::queue::{DropReason, FinishedTrace, SpanQueue, TraceCounters};
pub use self::recent::{Kept, KeptTrace, RecentTraces};
pub use self::recording::{OpenSpan, Trace};
pub use self::span::{Event, Span, SpanKind, Value};
pub use self::told::ToldSpan;
pub use self::tracer::Tracer;
pub use self::watch::{Asked, LONGEST as LONGEST_WATCH, Show, Wanted, WatchState, Watches};
