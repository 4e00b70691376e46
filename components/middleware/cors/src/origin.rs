//! Which origins are meant.

use linkspan_sdk::Value;

/// An origin as configured.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// `*`
    Any,
    /// One origin, as browsers serialise it (RFC 6454 §6.2).
    Exact(String),
    /// `https://*.example.com`: every name below, the name itself not.
    Below { scheme: String, suffix: String },
}

impl Value for Pattern {
    const FORM: &'static str = ",\"title\":\"an origin\",\"examples\":[\"https://example.com\"]";

    fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str = "is not an origin, like \"https://example.com\", \
                             \"https://*.example.com\" or \"*\"";
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "null" {
            return Ok(Self::Exact(text.into()));
        }
        // Browsers send the scheme and the host in lower case.
        let text = text.to_ascii_lowercase();
        let (scheme, host) = text.split_once("://").ok_or(WRONG)?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let (below, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        if scheme.is_empty() || host.is_empty() || !host.bytes().all(good) {
            return Err(WRONG.into());
        }
        if matches!((scheme, host.rsplit_once(':')), ("https", Some((_, "443"))) | ("http", Some((_, "80"))))
        {
            return Err("names its scheme's own port, which browsers leave out".into());
        }
        if below {
            return Ok(Self::Below { scheme: format!("{scheme}://"), suffix: format!(".{host}") });
        }
        Ok(Self::Exact(text))
    }
}

impl Pattern {
    /// Whether it means this origin.
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == origin,
            Self::Below { scheme, suffix } => {
                let name = origin.strip_prefix(scheme.as_str());
                let name = name.and_then(|host| host.strip_suffix(suffix.as_str()));
                name.is_some_and(|name| !name.is_empty() && name.bytes().all(is_name))
            }
        }
    }
}

/// Whether a byte may be part of a domain name. An origin with anything else
/// before the suffix, such as a port or a user's name, is not below it.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use linkspan_sdk::Value;

    fn matches(pattern: &str, origin: &str) -> bool {
        Pattern::parse(pattern).expect("an origin").matches(origin)
    }

    #[test]
    fn an_exact_origin_matches_itself_alone() {
        assert!(matches("https://example.com", "https://example.com"));
        assert!(matches("https://Example.com:8443", "https://example.com:8443"));
        assert!(matches("null", "null"));
        for other in ["http://example.com", "https://example.com:444", "https://example.com.evil"] {
            assert!(!matches("https://example.com", other), "{other}");
        }
    }

    #[test]
    fn a_wildcard_matches_names_below() {
        let pattern = "https://*.example.com";
        assert!(matches(pattern, "https://a.example.com"));
        assert!(matches(pattern, "https://a.b.example.com"));
        for other in [
            "https://example.com",
            "https://.example.com",
            "http://a.example.com",
            "https://evilexample.com",
            "https://evil.com/.example.com",
            "https://evil.com:80.example.com",
            "https://a@b.example.com",
            "https://a.example.com:444",
        ] {
            assert!(!matches(pattern, other), "{other}");
        }
        assert!(matches("https://*.example.com:444", "https://a.example.com:444"));
        assert!(matches("*", "anything"));
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for wrong in [
            "",
            "example.com",
            "https://",
            "https://example.com/",
            "https://*",
            "https://*.",
            "https://a.*.com",
            "https://example.com:443",
            "http://example.com:80",
            "https://a b",
        ] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
