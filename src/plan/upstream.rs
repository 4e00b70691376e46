//! Servers in which pipelines may end.

use rustls::pki_types::{InvalidDnsNameError, ServerName};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Name;
use super::decimal::decimal;
use super::host::{Host, check_host};
pub use crate::config::keys::{Balance, Ejection, Retry, UpstreamLimits, UpstreamProtocol};
use crate::config::{Fault, Span};

/// `[upstreams.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamPlan {
    /// Its name.
    pub name: Name,
    /// 1 to [`crate::config::keys::MAX_SERVERS`], none twice.
    pub servers: Vec<Server>,
    /// The protocol of the servers.
    pub protocol: UpstreamProtocol,
    /// How requests are distributed.
    pub balance: Balance,
    /// The host that the servers see.
    pub host: HostPolicy,
    /// The files of TLS; for servers with `https`.
    pub tls: UpstreamTlsFiles,
    /// Active checks, if there are any.
    pub health: Option<HealthCheck>,
    /// When a server gets no requests.
    pub ejection: Ejection,
    /// Which requests are sent again.
    pub retry: Retry,
    /// Its bounds.
    pub limits: UpstreamLimits,
    /// The place of its name.
    pub span: Span,
}

/// `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host.
    pub host: ServerHost,
    /// The port; where there was none, the scheme's default.
    pub port: u16,
}

/// The host of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerHost {
    /// A name that is looked up, lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl ServerHost {
    /// The name that a certificate of the server must have.
    ///
    /// # Errors
    /// A name that no certificate can have.
    pub fn certified(&self) -> Result<ServerName<'static>, InvalidDnsNameError> {
        match self {
            Self::Name(name) => ServerName::try_from(name.clone()),
            Self::Address(address) => Ok(ServerName::from(*address)),
        }
    }
}

/// The host that a server sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// The request's own.
    Preserve,
    /// The server's.
    Upstream,
    /// This host, with its port if it has one.
    Name(String),
}

/// The files of `tls`. They existed when the plan was made; they are not read yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTlsFiles {
    /// PEM with root certificates; by default, those of the web.
    pub roots: Option<(PathBuf, Span)>,
    /// PEM files with a client's certificate chain and its key.
    pub identity: Option<[(PathBuf, Span); 2]>,
    /// The name that the servers' certificates must have; by default, the server's host.
    pub name: Option<String>,
}

/// `health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path and query.
    pub path: String,
    /// The status of a server that is up; by default, all of 200 to 299.
    pub status: Option<u16>,
    /// Between two requests.
    pub interval: Duration,
    /// To the head of the answer.
    pub timeout: Duration,
    /// Good answers in a row after which a server is up.
    pub healthy: usize,
    /// Bad answers in a row after which a server is down.
    pub unhealthy: usize,
}

impl UpstreamTlsFiles {
    /// All of them, with their places.
    pub fn files(&self) -> impl Iterator<Item = &(PathBuf, Span)> {
        self.roots.iter().chain(self.identity.iter().flatten())
    }
}

impl Server {
    /// Reads `scheme://host[:port]`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |label: &str, help: &str| Fault::new(format!("invalid server `{text}`"), label, help);
        let shape = "write scheme://host[:port], such as \"http://10.0.0.1:8080\"";
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(fault("the scheme is missing", shape));
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(fault("unknown scheme", "the scheme is http or https")),
        };
        if rest.contains(['/', '?', '#', '@']) {
            let help = "a server is scheme://host[:port]: requests keep their own path";
            return Err(fault("more than an origin", help));
        }
        let (host, port) = authority(rest).map_err(|(label, help)| fault(label, help))?;
        Ok(Self { tls, host: host.into(), port: port.unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// Host and port, as a request names them; the scheme's default port is left out.
    pub fn authority(&self) -> String {
        let host = self.host.to_string();
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

impl From<Host> for ServerHost {
    fn from(host: Host) -> Self {
        match host {
            Host::Name(name) => Self::Name(name),
            Host::Address(address) => Self::Address(address),
        }
    }
}

impl fmt::Display for ServerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => Host::Address(*address).fmt(f),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl HostPolicy {
    /// Reads `preserve`, `upstream` or `host[:port]`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "preserve" => Ok(Self::Preserve),
            "upstream" => Ok(Self::Upstream),
            _ => match authority(text) {
                Ok((host, None)) => Ok(Self::Name(host.to_string())),
                Ok((host, Some(port))) => Ok(Self::Name(format!("{host}:{port}"))),
                Err((label, _)) => {
                    let help = "write \"preserve\", \"upstream\", or the host to name: \"api.internal\"";
                    Err(Fault::new(format!("invalid host `{text}`"), label, help))
                }
            },
        }
    }
}

/// Reads `host[:port]`; the error is a label and a help.
pub(super) fn authority(text: &str) -> Result<(Host, Option<u16>), (&'static str, &'static str)> {
    // The colons inside an IPv6 address's brackets are not the port's.
    let after_address = text.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match text[after_address..].find(':') {
        None => (text, None),
        Some(at) => {
            let (host, port) = text.split_at(after_address + at);
            let port = decimal(&port[1..]).filter(|port: &u16| *port > 0);
            (host, Some(port.ok_or(("invalid port", "a port is 1 to 65535"))?))
        }
    };
    Ok((check_host(host)?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        for (text, shown, authority) in [
            ("http://10.0.0.1:8080", "http://10.0.0.1:8080", "10.0.0.1:8080"),
            ("HTTPS://API.Example.com", "https://api.example.com", "api.example.com"),
            ("https://api.example.com:443", "https://api.example.com", "api.example.com"),
            ("http://a:443", "http://a:443", "a:443"),
            ("http://[::1]:81", "http://[::1]:81", "[::1]:81"),
        ] {
            let server = Server::parse(text).unwrap();
            assert_eq!((server.to_string().as_str(), server.authority().as_str()), (shown, authority));
        }
        for text in [
            "",
            "a:80",
            "ftp://a",
            "http://",
            "http://a/",
            "http://u@a",
            "http://a:0",
            "http://a:+1",
            "http://::1",
        ] {
            assert!(Server::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(HostPolicy::parse("preserve").unwrap(), HostPolicy::Preserve);
        assert_eq!(HostPolicy::parse("upstream").unwrap(), HostPolicy::Upstream);
        assert_eq!(HostPolicy::parse("A.b:81").unwrap(), HostPolicy::Name("a.b:81".to_owned()));
        for text in ["", "a b", "http://a", "a:0", "a/b"] {
            assert!(HostPolicy::parse(text).is_err(), "{text}");
        }
    }
}
