//! Rules for requests.

use super::lowering::Lowering;
use http::HeaderName;

use crate::config::keys::{Http, Sni, Traceparent, Underscores};
use crate::config::{At, Text};
use crate::plan::Network;
use crate::plan::policy::{HttpPolicy, PathRules};

impl Lowering<'_> {
    pub(super) fn http(&mut self, table: &Http) -> HttpPolicy {
        let Http {
            trusted_proxies,
            forwarded,
            via,
            request_id,
            traceparent,
            encoded_slash,
            merge_slashes,
            sni,
            underscores,
        } = table;
        HttpPolicy {
            trusted_proxies: self.networks(trusted_proxies),
            forwarded: *forwarded,
            via: via.as_ref().and_then(|name| self.pseudonym(name.text())),
            request_id: *request_id,
            make_traceparent: *traceparent == Traceparent::Make,
            paths: PathRules { encoded_slash: *encoded_slash, merge_slashes: *merge_slashes },
            any_sni: *sni == Sni::Ignore,
            keep_underscores: *underscores == Underscores::Keep,
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

    fn networks(&mut self, texts: &[At<String>]) -> Vec<Network> {
        let mut networks = Vec::new();
        for text in texts {
            match Network::parse(&text.value) {
                Ok(network) => networks.push(network),
                Err(fault) => drop(self.diagnostics.fault(text.span, fault)),
            }
        }
        networks
    }
}
