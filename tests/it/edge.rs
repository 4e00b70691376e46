//! The way in, as the internet uses it: certificates, names and versions of TLS; clients that are slow, silent or
//! greedy, and those beside them.

mod bounds;
mod floods;
mod slow;
mod support;
mod tls;
