//! The direct form of a segment: its stages' core modules, without a component runtime between them.
//!
//! A component is read when a segment is made ([`flatten`](crate::component::flatten)). Its core modules are
//! instantiated with wasmtime's core API, and the canonical functions that they import are answered here, with a handle
//! table for each stage. Guests are what they are, byte for byte. What is not on the list has a reason ([`NotDirect`]),
//! and its segment keeps the component form. `chain` calls this room to make segments, `engine` to run them; it never
//! decides which form a segment has.
//!
//! | file | what it does |
//! | --- | --- |
//! | `load` | which components are on the list |
//! | `signature` | the types of functions, to compare |
//! | `glue` | the one core module between stages: hops, and the allocations that a result needs |
//! | `chain` | a chain's code, and its instances |
//! | `state` | what a store holds: for each stage its memory, its table and its scope |
//! | `functions` | the list of functions, and those that the glue calls |
//! | `http`, `imports`, `call` | the functions on the list, and how a stage calls one |
//! | `fields`, `made` | those of them that make and edit fields, and that make messages and open bodies |
//! | `ends` | the canonical functions of streams, futures and sets |
//! | `tasks`, `callbacks`, `bell`, `early` | calls of stages that are lifted asynchronously, their canonical functions, what wakes them, and an answer that does not wait for the rest of its call |
//! | `subtasks`, `calls`, `flights` | the calls that these make and do not wait for, their canonical functions, and what is on its way outside |
//! | `origins` | the calls from outside of which all that is a part |
//! | `message`, `border`, `options` | requests and responses, inside of a segment and outside, and what may be wanted for one |
//! | `departure`, `waiting` | requests on their way out, and the functions by which a stage waits for those of its own, or for a timer |
//! | `pipes`, `value`, `transfer` | streams and futures, and what goes through them |
//! | `source`, `flow`, `receipt` | bodies of the host that a stage reads, bodies that a stage writes, and what becomes of them |
//! | `abi`, `answers` | values in and out of a guest's memory, with all checks, and the answers among them |
//! | `handles` | the table of a stage |
//!
//! # Who can do what
//!
//! The glue gives a host function the number of the stage that called it, as a constant that no guest can reach. The
//! function looks into that stage's table and memory alone. A guest's number is only ever an index into its own table.
//! Every pointer, length, discriminant and text is checked before it is used. What breaks a rule is a trap of that
//! stage. What the host keeps for a stage counts against `limits.host-memory`, as in the component form.
//!
//! What can't be true is a [`Disagreement`]: it ends the instance, and the segment goes back to the component form if
//! there are several.

#![forbid(unsafe_code)]

mod abi;
mod answers;
mod bell;
mod border;
mod call;
mod callbacks;
mod calls;
mod chain;
mod departure;
mod disagreement;
mod early;
mod ends;
mod fields;
mod flights;
mod flow;
mod functions;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod glue;
mod handles;
mod http;
mod imports;
mod load;
mod made;
mod message;
mod options;
mod origins;
mod pipes;
mod receipt;
mod shared;
mod signature;
mod source;
mod state;
mod subtasks;
mod tasks;
mod transfer;
mod value;
mod waiting;

pub use chain::{Chain, Entered, Guests, Program, Trap, sample};
pub use disagreement::Disagreement;
pub use load::{NotDirect, Reading, order, read};
pub use message::Reply;
pub use state::{Named, State};
