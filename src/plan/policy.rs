//! Rules for requests, and fields that the gateway adds to them.

use std::net::IpAddr;

use super::Network;
pub use crate::config::keys::{EncodedSlash, ForwardedForm, ProxyVersion, RequestIdPolicy};

/// `[http]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPolicy {
    /// The proxies that are trusted to name the client.
    pub trusted_proxies: Vec<Network>,
    /// The form in which stages learn of the client.
    pub forwarded: ForwardedForm,
    /// The gateway's name in `Via`; a token.
    pub via: Option<Box<str>>,
    /// What happens to `X-Request-Id`.
    pub request_id: RequestIdPolicy,
    /// Whether a missing `traceparent` is made.
    pub make_traceparent: bool,
    /// The rules for a path.
    pub paths: PathRules,
    /// Whether a request's host may differ from the name in the TLS handshake.
    pub any_sni: bool,
    /// Whether fields with `_` in their names stay on requests.
    pub keep_underscores: bool,
}

impl HttpPolicy {
    /// Whether the proxy at `address` is trusted to name the client.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }
}

/// The choices in the normal form of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// What `%2F` means.
    pub encoded_slash: EncodedSlash,
    /// Whether several slashes in a row are one.
    pub merge_slashes: bool,
}

impl Default for PathRules {
    fn default() -> Self {
        Self { encoded_slash: EncodedSlash::Reject, merge_slashes: true }
    }
}

/// The PROXY protocol on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyPlan {
    /// Its version.
    pub version: ProxyVersion,
    /// How long its header may take.
    pub timeout: std::time::Duration,
}
