//! What is taken for HTTP, and what requests carry along.

use std::net::IpAddr;

use super::Network;

/// `[http]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPolicy {
    /// Whose word about the client is taken.
    pub trusted_proxies: Vec<Network>,
    /// How stages are told of the client.
    pub forwarded: ForwardedForm,
    /// The gateway's name in `Via`; a token.
    pub via: Option<Box<str>>,
    /// What becomes of `X-Request-Id`.
    pub request_id: RequestIdPolicy,
    /// Whether a missing `traceparent` is made.
    pub make_traceparent: bool,
    /// What a path may be.
    pub paths: PathRules,
    /// Whether a request's host may differ from the name in the TLS handshake.
    pub any_sni: bool,
}

impl HttpPolicy {
    /// Whether the word of `address` about the client is taken.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }
}

/// The fields that tell of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedForm {
    /// `X-Forwarded-For` and its kin.
    #[default]
    XForwarded,
    /// RFC 7239.
    Forwarded,
    /// None.
    None,
}

/// What becomes of `X-Request-Id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestIdPolicy {
    /// Nothing.
    #[default]
    Pass,
    /// It is the gateway's own.
    Make,
    /// It is the gateway's own, unless a trusted proxy sent a valid one.
    Accept,
}

/// What has a choice in the normal form of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// What `%2F` is.
    pub encoded_slash: EncodedSlash,
    /// Whether several slashes in a row are one.
    pub merge_slashes: bool,
}

impl Default for PathRules {
    fn default() -> Self {
        Self { encoded_slash: EncodedSlash::Reject, merge_slashes: true }
    }
}

/// What `%2F` in a path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// An error.
    #[default]
    Reject,
    /// A character of its segment.
    Keep,
    /// A slash.
    Decode,
}

/// The PROXY protocol on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyPlan {
    /// Version 1, as text, or 2, in binary.
    pub binary: bool,
    /// How long its header may take.
    pub timeout: std::time::Duration,
}
