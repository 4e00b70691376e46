//! The addresses that a stage's own sockets may reach.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::decimal::decimal;
use super::network::masked;
use crate::config::Fault;

/// The protocol of a socket rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketProtocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Addresses and ports of one protocol: `tcp://10.0.0.5:5432`, `udp://10.0.0.0/8:53`,
/// `tcp://[2001:db8::]/32:8000-8100`.
///
/// A rule has no names: the configuration does not determine the addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SocketRule {
    /// The protocol.
    pub protocol: SocketProtocol,
    /// The first address of the network; all bits beyond `prefix` are zero.
    pub network: IpAddr,
    /// How many bits of an address count.
    pub prefix: u8,
    /// The ports, 1 or above.
    pub ports: RangeInclusive<u16>,
}

impl SocketRule {
    /// Reads `protocol://address[/prefix]:port[-port]`.
    pub fn parse(text: &str) -> Result<SocketRule, Fault> {
        let fault =
            |label: &str, help: &str| Fault::new(format!("invalid socket rule `{text}`"), label, help);
        let shape = "write protocol://address[/prefix]:port, such as \"tcp://10.0.0.5:5432\"";
        let Some((protocol, rest)) = text.split_once("://") else {
            return Err(fault("the protocol is missing", shape));
        };
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => SocketProtocol::Tcp,
            "udp" => SocketProtocol::Udp,
            _ => return Err(fault("unknown protocol", "the protocol is tcp or udp")),
        };
        // The colons inside an IPv6 address's brackets are not the port's.
        let (host, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => (address, rest),
            None => rest.split_at(rest.find(['/', ':']).unwrap_or(rest.len())),
        };
        let Ok(network) = host.parse::<IpAddr>() else {
            return Err(fault("not an IP address", "sockets go to addresses, not names; IPv6 in brackets"));
        };
        if network.is_ipv6() != text.contains('[') || network.to_canonical() != network {
            return Err(fault("wrong form of address", "IPv6 in brackets, IPv4 without"));
        }
        let most = if network.is_ipv4() { 32 } else { 128 };
        let Some((prefix, ports)) = rest.split_once(':') else {
            return Err(fault("the port is missing", shape));
        };
        let prefix = match prefix.strip_prefix('/') {
            None if prefix.is_empty() => most,
            None => return Err(fault("more than an address", shape)),
            Some(digits) => decimal(digits)
                .filter(|bits| *bits <= most)
                .ok_or_else(|| fault("invalid prefix", "a prefix is 0 to 32 for IPv4, 0 to 128 for IPv6"))?,
        };
        let ports = parse_ports(ports)
            .ok_or_else(|| fault("invalid port", "a port is 1 to 65535, or a range such as 8000-8100"))?;
        let rule = SocketRule { protocol, network: masked(network, prefix), prefix, ports };
        if rule.network != network {
            let help = format!("the network is \"{rule}\"");
            return Err(fault("the address has bits beyond its prefix", &help));
        }
        Ok(rule)
    }

    /// Whether a socket of `protocol` may reach `address`.
    pub fn allows(&self, protocol: SocketProtocol, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.protocol == protocol
            && self.network.is_ipv4() == ip.is_ipv4()
            && masked(ip, self.prefix) == self.network
            && self.ports.contains(&address.port())
    }
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text| decimal(text).filter(|port| *port > 0);
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some(first..=last)
}

impl fmt::Display for SocketRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, most) = match self.protocol {
            SocketProtocol::Tcp => ("tcp", if self.network.is_ipv4() { 32 } else { 128 }),
            SocketProtocol::Udp => ("udp", if self.network.is_ipv4() { 32 } else { 128 }),
        };
        match self.network {
            IpAddr::V4(address) => write!(f, "{protocol}://{address}")?,
            IpAddr::V6(address) => write!(f, "{protocol}://[{address}]")?,
        }
        if self.prefix != most {
            write!(f, "/{}", self.prefix)?;
        }
        write!(f, ":{}", self.ports.start())?;
        if self.ports.start() == self.ports.end() { Ok(()) } else { write!(f, "-{}", self.ports.end()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, protocol: SocketProtocol, address: &str) -> bool {
        SocketRule::parse(rule).unwrap().allows(protocol, address.parse().unwrap())
    }

    #[test]
    fn addresses_and_ports() {
        use SocketProtocol::{Tcp, Udp};
        assert!(allows("tcp://10.0.0.5:5432", Tcp, "10.0.0.5:5432"));
        assert!(allows("tcp://10.0.0.5:5432", Tcp, "[::ffff:10.0.0.5]:5432"));
        for (protocol, address) in
            [(Udp, "10.0.0.5:5432"), (Tcp, "10.0.0.5:5433"), (Tcp, "10.0.0.6:5432"), (Tcp, "[::1]:5432")]
        {
            assert!(!allows("tcp://10.0.0.5:5432", protocol, address), "{address}");
        }
        assert!(allows("udp://10.0.0.0/8:53-54", Udp, "10.255.0.1:54"));
        assert!(!allows("udp://10.0.0.0/8:53-54", Udp, "11.0.0.1:54"));
        assert!(!allows("udp://10.0.0.0/8:53-54", Udp, "10.0.0.1:55"));
        assert!(allows("tcp://[2001:db8::]/32:443", Tcp, "[2001:db8:1::9]:443"));
        assert!(!allows("tcp://[2001:db8::]/32:443", Tcp, "[2001:db9::1]:443"));
        assert!(allows("tcp://0.0.0.0/0:80", Tcp, "1.2.3.4:80"));
        assert!(!allows("tcp://0.0.0.0/0:80", Tcp, "[2001:db8::1]:80"));
        assert!(allows("tcp://[::]/0:80", Tcp, "[2001:db8::1]:80"));
    }

    #[test]
    fn text() {
        for rule in ["tcp://10.0.0.5:5432", "udp://10.0.0.0/8:53-54", "tcp://[2001:db8::]/32:443"] {
            assert_eq!(SocketRule::parse(rule).unwrap().to_string(), rule);
        }
        for rule in [
            "",
            "10.0.0.5:5432",
            "http://10.0.0.5:80",
            "tcp://10.0.0.5",
            "tcp://10.0.0.5:0",
            "tcp://10.0.0.5:+1",
            "tcp://10.0.0.5:65536",
            "tcp://10.0.0.5:9-8",
            "tcp://10.0.0.5/33:80",
            "tcp://10.0.0.5/8:80",
            "tcp://10.0.0.5/:80",
            "tcp://db.example:5432",
            "tcp://::1:80",
            "tcp://[::1:80",
            "tcp://[10.0.0.5]:80",
            "tcp://[::ffff:10.0.0.5]:80",
            "tcp://[::1]x:80",
        ] {
            assert!(SocketRule::parse(rule).is_err(), "{rule}");
        }
    }
}
