//! What linkspan takes for HTTP, and what it makes of it: the field's known ways to have two parsers disagree, as
//! bytes, each with the answer that it should get, and what the service behind saw.
//!
//! A case is a name, bytes and an [`support::Expect`]; the tables are in one file for each part of a message.

mod differential;
mod fields;
mod framing;
mod h2;
mod log;
mod paths;
mod proxy;
mod support;
