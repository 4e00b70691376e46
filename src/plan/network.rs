//! Networks: addresses that begin with the same bits.

use std::fmt;
use std::net::IpAddr;

use super::decimal::decimal;
use crate::config::Fault;

/// An address, or all addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address; all bits beyond `prefix` are zero. Never an IPv4 address that is mapped to IPv6.
    first: IpAddr,
    /// How many bits count.
    prefix: u8,
}

impl Network {
    /// Reads `address[/prefix]`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |label: &str, help: &str| Fault::new(format!("invalid network `{text}`"), label, help);
        let (address, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
        let Ok(first) = address.parse::<IpAddr>() else {
            let help =
                "write an address, or an address and a prefix, such as \"10.0.0.0/8\" or \"2001:db8::/32\"";
            return Err(fault("not an IP address", help));
        };
        if first.to_canonical() != first {
            return Err(fault(
                "an IPv4 address in IPv6 form",
                "write the network as IPv4; it matches both forms",
            ));
        }
        let most = if first.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(bits) => decimal(bits)
                .filter(|bits| *bits <= most)
                .ok_or_else(|| fault("invalid prefix", "a prefix is 0 to 32 for IPv4, 0 to 128 for IPv6"))?,
        };
        let network = Self { first: masked(first, prefix), prefix };
        if network.first != first {
            return Err(fault(
                "the address has bits beyond its prefix",
                &format!("the network is \"{network}\""),
            ));
        }
        Ok(network)
    }

    /// Whether an address is one of these. An IPv4 address that is mapped to IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.first.is_ipv4() == address.is_ipv4() && masked(address, self.prefix) == self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// `address` with all bits beyond `prefix` zero.
pub(super) fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_begins_alike() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.5"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("::/0", "2001:db8::1", "192.0.2.7"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_said() {
        for (text, label) in [
            ("", "not an IP address"),
            ("localhost", "not an IP address"),
            ("10.0.0/8", "not an IP address"),
            ("10.0.0.0/33", "invalid prefix"),
            ("10.0.0.0/", "invalid prefix"),
            ("10.0.0.0/+8", "invalid prefix"),
            ("::/129", "invalid prefix"),
            ("10.0.0.1/8", "the address has bits beyond its prefix"),
            ("::ffff:10.0.0.1", "an IPv4 address in IPv6 form"),
        ] {
            assert_eq!(Network::parse(text).unwrap_err().label, label, "{text}");
        }
    }
}
