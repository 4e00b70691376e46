//! Networks of addresses.

use std::fmt;
use std::net::IpAddr;

use super::socket::masked;
use crate::config::Fault;

/// A network: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Its first address; all bits beyond `prefix` are zero.
    address: IpAddr,
    /// How many bits of an address count.
    prefix: u8,
}

impl Network {
    /// Reads `address[/prefix]`.
    pub fn parse(text: &str) -> Result<Network, Fault> {
        let fault = |label: &str, help: &str| Fault::new(format!("invalid network `{text}`"), label, help);
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            fault("not an address", "write address/prefix, such as \"10.0.0.0/8\" or \"fd00::/8\"")
        })?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) => Some(digits)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .filter(|prefix| *prefix <= most)
                .ok_or_else(|| fault("invalid prefix", "a prefix is 0 to 32 for IPv4, 0 to 128 for IPv6"))?,
        };
        let network = Network { address: masked(address, prefix), prefix };
        match network.address == address {
            true => Ok(network),
            false => {
                Err(fault("the address has bits beyond its prefix", &format!("the network is \"{network}\"")))
            }
        }
    }

    /// Whether `address` is in it. An IPv4 address is in no network of IPv6, however it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::a00:1"),
            ("192.168.7.9", "192.168.7.9", "192.168.7.8"),
            ("0.0.0.0/0", "127.0.0.1", "::1"),
            ("fd00::/8", "fd12::1", "fc00::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            let network = Network::parse(text).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{text} {outside}");
        }
        for text in
            ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.1/8", "10/8", "[::1]", "::/129", "a/8"]
        {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
