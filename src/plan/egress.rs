//! Targets of a stage's own requests.

use std::fmt;
use std::net::IpAddr;

use super::host::{Host, check_host, is_below};
use crate::config::Fault;

/// The scheme of an egress rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EgressScheme {
    /// Without TLS; default port 80.
    Http,
    /// With TLS; default port 443.
    Https,
}

impl EgressScheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            EgressScheme::Http => "http",
            EgressScheme::Https => "https",
        }
    }

    /// 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            EgressScheme::Http => 80,
            EgressScheme::Https => 443,
        }
    }
}

/// The host of an egress rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EgressHost {
    /// One name, lower case.
    Name(String),
    /// One address, however a request spells it.
    Address(IpAddr),
    /// Every name below a domain at any depth, without the domain itself: `.example.com`, lower case.
    Suffix(String),
}

/// One origin, or the origins below one domain, to which a stage may send requests: `https://api.example.com`,
/// `http://10.0.0.1:8080`, `https://*.example.com`.
///
/// A rule is about the name in the request, not about the addresses of the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EgressRule {
    /// The scheme; `https` does not include `http`.
    pub scheme: EgressScheme,
    /// The host.
    pub host: EgressHost,
    /// The port; where the rule has none, the scheme's default.
    pub port: u16,
}

impl EgressRule {
    /// Reads `scheme://host[:port]`.
    pub fn parse(text: &str) -> Result<EgressRule, Fault> {
        let fault =
            |label: &str, help: &str| Fault::new(format!("invalid egress rule `{text}`"), label, help);
        let shape = "write scheme://host[:port], such as \"https://api.example.com\"";
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(fault("the scheme is missing", shape));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => EgressScheme::Http,
            "https" => EgressScheme::Https,
            _ => return Err(fault("unknown scheme", "the scheme is http or https")),
        };
        if rest.contains(['/', '?', '#', '@']) {
            return Err(fault(
                "more than an origin",
                "a rule is scheme://host[:port]: no user, path or query",
            ));
        }
        let (host, port) = split_port(rest).ok_or_else(|| fault("invalid port", "a port is 1 to 65535"))?;
        if host == "*" {
            return Err(fault(
                "matches every host",
                "name the hosts that the stage needs, or \"*.\" and a domain",
            ));
        }
        let host = match host.strip_prefix("*.") {
            Some(domain) => match check_host(domain) {
                Ok(Host::Name(domain)) => EgressHost::Suffix(format!(".{domain}")),
                Ok(Host::Address(_)) => return Err(fault("an address has no subdomains", shape)),
                Err((label, help)) => return Err(fault(label, help)),
            },
            None => match check_host(host) {
                Ok(Host::Name(name)) if name.strip_suffix(".internal").is_some_and(|n| !n.contains('.')) => {
                    return Err(fault(
                        "a pipeline of this process",
                        "name it in `calls`; only deeper names under `.internal` are servers",
                    ));
                }
                Ok(Host::Name(name)) => EgressHost::Name(name),
                Ok(Host::Address(address)) => EgressHost::Address(address),
                Err((label, help)) => return Err(fault(label, help)),
            },
        };
        Ok(EgressRule { scheme, host, port: port.unwrap_or(scheme.default_port()) })
    }

    /// Whether a request to `scheme://host:port` is allowed by this rule. Scheme and host in any case; an IPv6 host
    /// with or without brackets; `port` is the one of the connection (the scheme's default where the URI has none).
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host_allowed = match &self.host {
            EgressHost::Name(name) => name.eq_ignore_ascii_case(host),
            EgressHost::Suffix(suffix) => is_below(host, suffix),
            EgressHost::Address(address) => {
                let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
                bare.parse::<IpAddr>().is_ok_and(|host| host == *address)
            }
        };
        host_allowed && self.port == port && self.scheme.as_str().eq_ignore_ascii_case(scheme)
    }
}

/// Splits `host[:port]`; `None` if the port is not valid.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    // The colons inside an IPv6 address's brackets are not the port's.
    let after_address = text.rfind(']').map_or(0, |at| at + 1);
    match text[after_address..].find(':') {
        None => Some((text, None)),
        Some(at) => {
            let (host, port) = text.split_at(after_address + at);
            let digits = &port[1..];
            let port = digits.parse::<u16>().ok().filter(|port| *port > 0 && !digits.starts_with('+'))?;
            Some((host, Some(port)))
        }
    }
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.host {
            EgressHost::Name(name) => f.write_str(name)?,
            EgressHost::Address(address) => write!(f, "{}", Host::Address(*address))?,
            EgressHost::Suffix(suffix) => write!(f, "*{suffix}")?,
        }
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, scheme: &str, host: &str, port: u16) -> bool {
        EgressRule::parse(rule).unwrap().allows(scheme, host, port)
    }

    #[test]
    fn allowed_and_denied() {
        let api = "https://api.example.com";
        assert!(allows(api, "https", "api.example.com", 443));
        assert!(allows(api, "HTTPS", "API.Example.com", 443));
        assert!(!allows(api, "http", "api.example.com", 443));
        assert!(!allows(api, "https", "api.example.com", 8443));
        assert!(!allows(api, "https", "example.com", 443));
        assert!(!allows(api, "https", "api.example.com.", 443));
        let below = "https://*.example.com";
        assert!(allows(below, "https", "a.b.example.com", 443));
        assert!(!allows(below, "https", "example.com", 443));
        assert!(!allows(below, "https", "evil.test/.example.com", 443));
        assert!(!allows(below, "https", "evil.test:443@a.example.com", 443));
        assert!(allows("http://10.0.0.1:8080", "http", "10.0.0.1", 8080));
        assert!(!allows("http://10.0.0.1:8080", "http", "10.0.0.1", 80));
        assert!(allows("http://[::1]:8080", "http", "[0:0:0:0:0:0:0:1]", 8080));
        assert!(allows("http://[::1]:8080", "http", "::1", 8080));
    }

    #[test]
    fn text() {
        for rule in [
            "https://api.example.com",
            "http://10.0.0.1:8080",
            "https://*.example.com",
            "http://[::1]:81",
            "http://db.eu.internal",
        ] {
            assert_eq!(EgressRule::parse(rule).unwrap().to_string(), rule);
        }
        for rule in [
            "",
            "api.example.com",
            "ftp://a",
            "https://",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "https://a?b",
            "https://*",
            "https://*.1.2.3.4",
            "https://a:",
            "https://a:0",
            "https://a:65536",
            "https://a:+80",
            "https://::1",
            "https://[::1",
            "https://a b",
            "https://a:1:2",
            "http://inventory.internal",
        ] {
            assert!(EgressRule::parse(rule).is_err(), "{rule}");
        }
    }
}
