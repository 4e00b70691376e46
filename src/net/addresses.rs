//! The number of open connections of each client, in the whole process.
//!
//! A client is an IPv4 address, or the first 64 bits of an IPv6 address: customers get at least a network of that size
//! (RFC 6177), so a bound on single addresses could be evaded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Client {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// The counts, with an entry for each client that has connections. The lock is taken twice for each connection, and
/// never for a request.
#[derive(Debug)]
pub(crate) struct Addresses {
    limit: usize,
    open: Mutex<HashMap<Client, usize>>,
}

/// A connection of a client, counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Arc<Addresses>,
    client: Client,
}

impl Addresses {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// Counts one more connection from `address`; `None` if the address has as many as it may have.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let client = Client::of(address);
        let mut open = self.lock();
        let count = open.entry(client).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Place { addresses: Arc::clone(self), client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Client, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_of_ipv6_is_one_client_and_nothing_is_kept_of_who_left() {
        let addresses = Addresses::new(2);
        let enter = |address: &str| addresses.enter(address.parse().unwrap());
        let held =
            [enter("2001:db8::1"), enter("2001:db8::ffff:2"), enter("192.0.2.1"), enter("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(enter("2001:db8:0:0:9::").is_none() && enter("192.0.2.1").is_none());
        assert!(enter("2001:db8:0:1::").is_some() && enter("192.0.2.2").is_some());
        drop(held);
        assert!(addresses.lock().is_empty());
        assert!(enter("192.0.2.1").is_some());
    }
}
