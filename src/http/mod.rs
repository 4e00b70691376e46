//! HTTP as the gateway understands it: the rules for a request before anything else sees it, and the answer to a
//! request that does not get its pipeline's answer.
//!
//! [`normalize`] turns a request's head into its one normal form, which the router, the stages and an upstream all see;
//! [`headers`] removes the fields that concern a connection, in both directions; [`provenance`] names the client to
//! stages; [`kinds`] and [`hosts`] spare requests repeated work; [`service`] is the life of a request, step by step;
//! [`respond`] is the only table from an outcome to a response.
//!
//! This room never touches a socket and never buffers a body.

pub mod answer;
pub mod client_cert;
mod failure;
mod finish;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod headers;
pub mod hosts;
pub mod kinds;
pub mod mirror;
pub mod normalize;
mod path;
pub mod provenance;
pub mod record;
pub mod request_id;
pub mod respond;
pub mod service;
mod spans;
mod trace;
pub mod way;
