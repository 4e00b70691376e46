//! The gateway as its users meet it: the binary, real components, real sockets.
//!
//! Every test starts the gateways that it needs, on ports that the system chooses, and waits for nothing longer than
//! `harness::SOON` without a reason. `LINKSPAN_TEST_FULL=1` runs the long forms: more bytes, requests and seconds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails there says where")]

mod front_end;
mod harness;

mod aborts;
mod allocations;
mod answers;
mod breakers;
mod calls;
mod candidates;
mod chains;
mod chaos;
mod cli;
mod counting;
mod dashboard;
mod deploy;
mod direct;
mod edge;
mod edits;
mod egress;
mod embed;
mod faults;
mod framing;
mod host_calls;
mod isolation;
mod kept;
mod large;
mod limits;
mod log;
mod malformed;
mod masses;
mod measures;
mod middleware_page;
mod nexts;
mod observed;
mod otel;
mod pages;
mod polyglot;
mod prove;
mod relift;
mod rest;
mod standard;
mod stores;
mod strict;
mod structure;
mod swap;
mod top;
mod traces;
mod traffic;
mod ui;
mod upstream;
mod wasi2;
mod watched;
mod when;
