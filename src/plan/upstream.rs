//! Servers in which pipelines may end.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Name;
use super::decimal::decimal;
use super::host::{Host, check_host};
use crate::config::{Fault, Fields, Span, keys};

/// `[upstreams.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamPlan {
    /// Its name.
    pub name: Name,
    /// 1 to [`keys::MAX_SERVERS`], none twice.
    pub servers: Vec<Server>,
    /// What they speak.
    pub protocol: UpstreamProtocol,
    /// Which of them gets a request.
    pub balance: Balance,
    /// The host that they are told.
    pub host: HostPolicy,
    /// What TLS needs of files; for servers with `https`.
    pub tls: UpstreamTlsFiles,
    /// The requests that ask whether they are well, if there are any.
    pub health: Option<HealthCheck>,
    /// When one of them gets no requests.
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

/// What servers speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// What the server chooses by ALPN; without TLS, HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS, from the first byte on (RFC 9113 §3.3).
    Http2,
}

/// Which server gets a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Balance {
    /// The next one.
    #[default]
    RoundRobin,
    /// The one with the fewest requests of this worker under way.
    LeastRequests,
}

/// The host that a server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// The request's own.
    Preserve,
    /// The server's.
    Upstream,
    /// This one, with its port if it has one.
    Name(String),
}

/// The files of `tls`. They existed when the plan was made; they are not read yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTlsFiles {
    /// PEM with root certificates; without, the web's.
    pub roots: Option<(PathBuf, Span)>,
    /// PEM files with a client's certificate chain and its key.
    pub identity: Option<[(PathBuf, Span); 2]>,
    /// The name that the servers' certificates must have; without, the server's host.
    pub name: Option<String>,
}

/// `health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path and query.
    pub path: String,
    /// The status of a server that is well; without, all of 200 to 299.
    pub status: Option<u16>,
    /// Between two requests.
    pub interval: Duration,
    /// To the head of the answer.
    pub timeout: Duration,
    /// Good answers in a row that bring a server back.
    pub healthy: usize,
    /// Bad ones in a row that take it out.
    pub unhealthy: usize,
}

/// `ejection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row; 0 for never.
    pub failures: usize,
    /// How long it lasts.
    pub time: Duration,
    /// Percent of the servers that may be ejected at once.
    pub share: usize,
}

/// `retry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Retries of one request.
    pub attempts: usize,
    /// Retries in percent of the requests.
    pub budget: usize,
}

/// `limits` of an upstream. Counts are for each worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Name, TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the request's last byte to the response's head.
    pub response_timeout: Duration,
    /// Longest pause in a response's body.
    pub idle_timeout: Duration,
    /// From the request's head to the response's end.
    pub total_timeout: Duration,
    /// Connections to one server.
    pub connections: usize,
    /// HTTP/2: requests at once on one connection.
    pub streams: usize,
    /// Requests that wait for a connection.
    pub pending: usize,
    /// How long they wait.
    pub pending_timeout: Duration,
    /// Connections to one server without a request.
    pub keep_alive: usize,
    /// How long those are kept.
    pub keep_alive_timeout: Duration,
    /// How long the addresses of a name are used.
    pub resolve: Duration,
}

impl UpstreamTlsFiles {
    /// All of them, with their places.
    pub fn files(&self) -> impl Iterator<Item = &(PathBuf, Span)> {
        self.roots.iter().chain(self.identity.iter().flatten())
    }
}

impl UpstreamLimits {
    pub(super) fn lower(fields: &Fields) -> Self {
        Self {
            connect_timeout: fields.duration("connect-timeout"),
            response_timeout: fields.duration("response-timeout"),
            idle_timeout: fields.duration("idle-timeout"),
            total_timeout: fields.duration("total-timeout"),
            connections: fields.count("connections"),
            streams: fields.count("streams"),
            pending: fields.count("pending"),
            pending_timeout: fields.duration("pending-timeout"),
            keep_alive: fields.count("keep-alive"),
            keep_alive_timeout: fields.duration("keep-alive-timeout"),
            resolve: fields.duration("resolve"),
        }
    }
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self::lower(&Fields::defaults(&keys::UPSTREAM_LIMITS))
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
        let host = match host {
            Host::Name(name) => ServerHost::Name(name),
            Host::Address(address) => ServerHost::Address(address),
        };
        Ok(Self { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// Host and port, as a request names them; the scheme's default port is left out.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            ServerHost::Name(name) => name.clone(),
            ServerHost::Address(address) => Host::Address(*address).to_string(),
        };
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
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
fn authority(text: &str) -> Result<(Host, Option<u16>), (&'static str, &'static str)> {
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
