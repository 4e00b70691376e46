//! What `linkspan trace` is given.

use crate::cli::admin::{TokenFrom, USUAL_ADDRESS};
use crate::telemetry::trace::LONGEST_WATCH;
use clap::Args;
use http::{Method, Uri};
use std::path::PathBuf;

/// Which request is looked at, and how.
#[derive(Debug, Args)]
pub(in super::super) struct Options {
    /// Where to send a request: the URL that a client uses. Without it, the next request that matches is waited for
    pub(super) url: Option<Uri>,
    /// The gateway's admin listener
    #[arg(long, value_name = "URL", default_value = USUAL_ADDRESS)]
    pub(super) admin: String,
    #[command(flatten)]
    pub(super) token: TokenFrom,
    /// The method of the request, or of the one to wait for
    #[arg(short = 'X', long)]
    pub(super) method: Option<Method>,
    /// The host of the request to wait for
    #[arg(long, conflicts_with = "url")]
    pub(super) host: Option<String>,
    /// The beginning of the path of the request to wait for
    #[arg(long, conflicts_with = "url")]
    pub(super) path: Option<String>,
    /// A field of the request, `name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "FIELD", requires = "url")]
    pub(super) fields: Vec<String>,
    /// The body of the request; makes it a POST where no method is given
    #[arg(short, long, requires = "url")]
    pub(super) data: Option<String>,
    /// Where to connect instead of to the URL's host and port
    #[arg(long, value_name = "HOST:PORT", requires = "url")]
    pub(super) connect: Option<String>,
    /// PEM file with the authorities to believe in, in place of the web's
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(super) cacert: Option<PathBuf>,
    /// Show secrets as well: credentials, cookies, queries
    #[arg(long)]
    pub(super) reveal: bool,
    /// Show the beginnings of bodies as well, at each stage: there may be secrets in them
    #[arg(long)]
    pub(super) body: bool,
    /// Seconds until the request must be over
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=LONGEST_WATCH.as_secs()))]
    pub(super) timeout: u64,
    /// The trace as the admin listener has it
    #[arg(long)]
    pub(super) json: bool,
}
