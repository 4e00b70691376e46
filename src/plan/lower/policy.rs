//! What is taken for HTTP.

use super::Lowering;
use http::HeaderName;

use crate::config::{Fields, Text, keys};
use crate::plan::Network;
use crate::plan::policy::{EncodedSlash, ForwardedForm, HttpPolicy, PathRules, ProxyPlan, RequestIdPolicy};

impl Lowering<'_> {
    pub(super) fn http(&mut self, root: &Fields) -> HttpPolicy {
        let fields = root.table_or_default("http");
        let choose =
            |this: &mut Self, key: &str, words: &[&str]| this.choice(&fields, key, words).unwrap_or(0);
        let forms = [ForwardedForm::XForwarded, ForwardedForm::Forwarded, ForwardedForm::None];
        let ids = [RequestIdPolicy::Pass, RequestIdPolicy::Make, RequestIdPolicy::Accept];
        let slashes = [EncodedSlash::Reject, EncodedSlash::Keep, EncodedSlash::Decode];
        let via = fields.text("via");
        HttpPolicy {
            trusted_proxies: self.networks(&fields),
            forwarded: forms[choose(self, "forwarded", keys::FORWARDED)],
            via: via.and_then(|text| self.pseudonym(text)),
            request_id: ids[choose(self, "request-id", keys::REQUEST_ID)],
            make_traceparent: choose(self, "traceparent", keys::TRACEPARENT) == 1,
            paths: PathRules {
                encoded_slash: slashes[choose(self, "encoded-slash", keys::ENCODED_SLASH)],
                merge_slashes: fields.boolean("merge-slashes"),
            },
            any_sni: choose(self, "sni", keys::SNI) == 1,
        }
    }

    /// A name of one's own (RFC 9110 §7.6.3).
    fn pseudonym(&mut self, text: Text<'_>) -> Option<Box<str>> {
        if HeaderName::from_bytes(text.text.as_bytes()).is_ok() {
            return Some(text.text.into());
        }
        self.diagnostics
            .error(text.span, format!("invalid name `{}`", text.text))
            .label("not a token")
            .help("a name has letters, digits, `-`, `_` and `.`");
        None
    }

    fn networks(&mut self, fields: &Fields) -> Vec<Network> {
        let mut networks = Vec::new();
        for text in fields.texts("trusted-proxies") {
            match Network::parse(text.text) {
                Ok(network) => networks.push(network),
                Err(fault) => drop(self.diagnostics.fault(text.span, fault)),
            }
        }
        networks
    }

    /// `proxy-protocol` of a listener.
    pub(super) fn proxy_protocol(&mut self, fields: &Fields, root: &Fields) -> Option<ProxyPlan> {
        let version = self.choice(fields, "proxy-protocol", keys::PROXY_PROTOCOL)?;
        let http = root.table_or_default("http");
        if http.list("trusted-proxies").is_empty()
            && !http.is_refused("trusted-proxies")
            && !root.is_refused("http")
        {
            self.diagnostics
                .error(fields.span_of("proxy-protocol"), "nobody is trusted to speak the PROXY protocol")
                .label("every connection would be closed")
                .help("name who may in `[http]`: `trusted-proxies = [\"10.0.0.0/8\"]`");
        }
        Some(ProxyPlan { binary: version == 1, timeout: fields.duration("proxy-timeout") })
    }
}
