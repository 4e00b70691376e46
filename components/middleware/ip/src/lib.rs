//! Allows or refuses requests by the address of their client. What it is configured with stands at [`Keys`].
//!
//! The address is that which the gateway believes: the field that it writes. A request whose client is not known, because
//! there is no such field, more than one, or no address in it, is refused whatever the lists say: it can't be shown to be
//! allowed, nor not to be denied.

use linkspan_sdk::{
    Config, Error, FromConfig, HeaderName, Network, Next, Request, Response, configuration, middleware,
    network, schema,
};
use std::net::IpAddr;

configuration! {
    /// Allows or refuses requests by the address of their client; one that is refused gets 403.
    struct Keys {
        /// Networks whose clients may pass: `"10.0.0.0/8"`, `"2001:db8::/32"`. Without it, all that are not denied.
        list allow: Network,
        /// Networks whose clients may not pass, also where they are in `allow`.
        list deny: Network,
        /// The field that has the client's address: linkspan writes `x-real-ip`.
        default("x-real-ip") header: HeaderName,
    }
}

struct Options {
    allow: Option<Vec<Network>>,
    deny: Vec<Network>,
    header: HeaderName,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { allow, deny, header } = Keys::from_config(config)?;
        if allow.is_none() && deny.is_none() {
            config.reject("allow", "is missing, and so is `deny`: all clients would pass");
        }
        Some(Self { allow, deny: deny.unwrap_or_default(), header })
    }
}

impl Options {
    fn lets_pass(&self, client: IpAddr) -> bool {
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(client));
        !is_in(&self.deny) && self.allow.as_deref().is_none_or(is_in)
    }
}

fn handle(options: &'static Options, request: Request, next: Next) -> Result<Response, Error> {
    match network::client(&request, options.header.as_str()) {
        Some(client) if options.lets_pass(client) => next.call(request),
        _ => Ok(Response::problem(403, "This address may not come here")),
    }
}
middleware!(handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn addresses_pass_by_the_lists() {
        let passes = |entries: &[(&str, &str)], client: &str| {
            read(entries).expect("good").lets_pass(client.parse().expect("an address"))
        };
        let own = [("allow.0", "10.0.0.0/8"), ("allow.1", "2001:db8::/32"), ("deny.0", "10.1.0.0/16")];
        for (client, expected) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("2001:db8::1", true),
            ("10.1.0.1", false),
            ("192.0.2.1", false),
            ("::1", false),
        ] {
            assert_eq!(passes(&own, client), expected, "{client}");
        }
        assert!(passes(&[("deny", "10.1.0.0/16")], "192.0.2.1"));
        assert!(!passes(&[("deny", "10.1.0.0/16")], "10.1.2.3"));
        assert!(!passes(&[("allow", "10.0.0.0/8"), ("deny", "0.0.0.0/0")], "10.0.0.1"));
    }

    #[test]
    fn mistakes_are_named() {
        for (entries, start) in [
            (&[][..], "`allow` is missing"),
            (&[("allow", "10.0.0.1/8")], "`allow` has bits beyond"),
            (&[("deny.0", "office")], "`deny.0` is not a network"),
        ] {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
