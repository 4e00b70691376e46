//! Networks of addresses, and the address of a client.

use crate::request::Request;
use crate::value::Value;
use std::net::IpAddr;

/// A network: `"10.0.0.0/8"`, `"2001:db8::/32"`, or one address.
///
/// An IPv4 network also matches addresses that are mapped into IPv6 (`::ffff:10.0.0.1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                high_bits(u128::from(own.to_bits() ^ other.to_bits()) << 96, self.prefix) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                high_bits(own.to_bits() ^ other.to_bits(), self.prefix) == 0
            }
            _ => false,
        }
    }
}

/// The first `count` bits, from the left.
fn high_bits(bits: u128, count: u8) -> u128 {
    bits.checked_shr(128 - u32::from(count)).unwrap_or(0)
}

impl Value for Network {
    const FORM: &'static str = concat!(
        ",\"title\":\"a network\",\"pattern\":\"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$\"",
        ",\"examples\":[\"10.0.0.0/8\",\"2001:db8::/32\"]"
    );

    fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str = "is not a network, like \"10.0.0.0/8\" or \"2001:db8::/32\"";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| WRONG)?;
        if address != address.to_canonical() {
            return Err("is an IPv4 network in IPv6: write it as IPv4".into());
        }
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= width).ok_or(WRONG)?
            }
            Some(_) => return Err(WRONG.into()),
        };
        // A typing error would otherwise let in, or keep out, somebody else.
        if bits.checked_shl(u32::from(prefix)).unwrap_or(0) != 0 {
            return Err("has bits beyond its prefix".into());
        }
        Ok(Self { address, prefix })
    }
}

/// The client's address, as the one field called `name` has it: linkspan writes it into `x-real-ip`, and removes what
/// came under that name from elsewhere. `None` if there is no such field, more than one, or no address in it.
pub fn client(request: &Request, name: &str) -> Option<IpAddr> {
    address(&request.header_values(name))
}

fn address(values: &[Vec<u8>]) -> Option<IpAddr> {
    let [value] = values else { return None };
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).expect("a network")
    }

    #[test]
    fn a_network_has_its_addresses() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("::1", "::1", "::2"),
        ] {
            let address = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert!(network(text).contains(address(inside)), "{inside} is in {text}");
            assert!(!network(text).contains(address(outside)), "{outside} is not in {text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "a",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/8/8",
            "010.0.0.1",
        ] {
            assert!(Network::parse(text).is_err_and(|error| error.contains("not a network")), "{text}");
        }
        for text in ["10.0.0.1/8", "2001:db8::1/32", "128.0.0.0/0"] {
            assert!(Network::parse(text).is_err_and(|error| error.contains("beyond")), "{text}");
        }
        assert!(Network::parse("::ffff:10.0.0.1").is_err_and(|error| error.contains("IPv4")));
    }

    #[test]
    fn a_client_has_one_address() {
        let values =
            |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(address(&values(&["192.0.2.1"])), "192.0.2.1".parse().ok());
        assert_eq!(address(&values(&[" ::1 "])), "::1".parse().ok());
        for wrong in
            [&[][..], &["192.0.2.1", "192.0.2.1"], &["192.0.2.1, 192.0.2.2"], &["x"], &["192.0.2.1:80"]]
        {
            assert_eq!(address(&values(wrong)), None, "{wrong:?}");
        }
    }
}
