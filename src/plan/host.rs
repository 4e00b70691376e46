//! Host names in routes and egress rules.

use std::net::IpAddr;

use crate::config::Fault;

/// Longest host name, in bytes (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// The hosts of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// All of them.
    #[default]
    Any,
    /// One host, lower case: a name, an IPv4 address, or an IPv6 address in brackets.
    Exact(String),
    /// Every name below a domain, at any depth, and not the domain itself: `*.example.com` is kept as `.example.com`,
    /// lower case.
    Suffix(String),
}

impl HostPattern {
    /// Reads `api.example.com` or `*.example.com`.
    pub fn parse(text: &str) -> Result<HostPattern, Fault> {
        let fault =
            |label: &str, help: &str| Err(Fault::new(format!("invalid host pattern `{text}`"), label, help));
        if text == "*" {
            return fault("not a pattern", "leave `host` out to match every host");
        }
        if text.contains("://") || text.contains('/') {
            return fault("a host only", "write the host alone, such as \"api.example.com\"");
        }
        if let Some(domain) = text.strip_prefix("*.") {
            return match check_host(domain) {
                Ok(Host::Name(domain)) => Ok(HostPattern::Suffix(format!(".{domain}"))),
                Ok(Host::Address(_)) => {
                    fault("an address has no subdomains", "write \"*.\" before a domain name")
                }
                Err((label, help)) => fault(label, help),
            };
        }
        match check_host(text) {
            Ok(host) => Ok(HostPattern::Exact(host.to_string())),
            Err((label, help)) => fault(label, help),
        }
    }

    /// Whether a request for `host` (without port) matches. Case does not matter (RFC 9110 §4.2.3).
    pub fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Exact(name) => name.eq_ignore_ascii_case(host),
            HostPattern::Suffix(suffix) => is_below(host, suffix),
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostPattern::Any => f.write_str("*"),
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// Whether `host` is a name that ends in `suffix` (`.example.com`) and has valid labels before it.
///
/// The labels are checked so that a text such as `evil.test/.example.com` is never taken for a name below the domain.
pub(super) fn is_below(host: &str, suffix: &str) -> bool {
    let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
    let Some(length) = host.len().checked_sub(suffix.len()) else {
        return false;
    };
    let (labels, end) = host.split_at(length);
    end.eq_ignore_ascii_case(suffix) && labels.split(|b| *b == b'.').all(is_label)
}

fn is_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len())
        && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A checked host: a lower-case name, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Checks a host without port; the error is a label and a help.
pub(super) fn check_host(text: &str) -> Result<Host, (&'static str, &'static str)> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match inner.parse() {
            Ok(address) => Ok(Host::Address(IpAddr::V6(address))),
            Err(_) => Err(("not an IPv6 address", "write an IPv6 address as \"[2001:db8::1]\"")),
        };
    }
    if let Ok(address) = text.parse() {
        return match address {
            IpAddr::V4(_) => Ok(Host::Address(address)),
            IpAddr::V6(_) => Err(("an IPv6 address needs brackets", "write it as \"[2001:db8::1]\"")),
        };
    }
    if text.is_empty() {
        return Err(("the host is empty", "name a host, such as \"api.example.com\""));
    }
    if !text.is_ascii() {
        return Err(("only ASCII is allowed", "write an international name in its `xn--` form"));
    }
    if text.contains('*') {
        return Err(("`*` stands only for whole labels at the start", "write \"*.example.com\""));
    }
    if text.contains(':') {
        return Err(("a host has no port", "leave the port out"));
    }
    if text.ends_with('.') {
        return Err(("ends in a dot", "leave the last dot out"));
    }
    if text.len() > MAX_HOST || !text.split('.').all(|label| is_label(label.as_bytes())) {
        let help = "labels are 1 to 63 letters, digits, `-` or `_`, joined by dots, 253 in all";
        return Err(("not a host name", help));
    }
    let last = text.rsplit('.').next().unwrap_or(text);
    // Resolvers read such names as addresses in shorthand (`10.1`, `0x7f.1`), so they are never names.
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X") {
        return Err(("not an IPv4 address", "write all four decimal numbers, such as \"10.0.0.1\""));
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let exact = |text: &str| HostPattern::Exact(text.to_owned());
        for (text, pattern) in [
            ("API.example.com", exact("api.example.com")),
            ("localhost", exact("localhost")),
            ("127.0.0.1", exact("127.0.0.1")),
            ("[2001:DB8:0::1]", exact("[2001:db8::1]")),
            ("*.Example.com", HostPattern::Suffix(".example.com".to_owned())),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap(), pattern, "{text}");
        }
        let long = format!("{}.com", "a".repeat(64));
        for text in [
            "",
            "*",
            "*.",
            "a..b",
            ".a",
            "a.",
            "a b",
            "a:80",
            "http://a",
            "a/b",
            "*.*.a",
            "a.*.b",
            "*a.b",
            "ä.de",
            "10.1",
            "0x7f.1",
            "*.1.2.3.4",
            "::1",
            "[::1",
            "[x]",
            &long,
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn matching() {
        let suffix = HostPattern::parse("*.example.com").unwrap();
        for (host, expected) in [
            ("a.example.com", true),
            ("A.B.EXAMPLE.com", true),
            ("example.com", false),
            (".example.com", false),
            ("badexample.com", false),
            ("a..example.com", false),
            ("evil.test/.example.com", false),
            ("a.example.com.evil.test", false),
        ] {
            assert_eq!(suffix.matches(host), expected, "{host}");
        }
        let exact = HostPattern::parse("a.example.com").unwrap();
        assert!(exact.matches("A.example.COM") && !exact.matches("b.example.com"));
        assert!(HostPattern::Any.matches("anything"));
    }
}
