//! `lookup`: addresses of hosts. A look-up tells a name to a server, so that it is a way out just like a request.
//!
//! A look-up counts as one of the stage's connections (`limits.egress-connections`), and takes at most as long as
//! connecting (`limits.egress-connect-timeout`).

use crate::host::bindings::named_imports as own;
use crate::host::bindings::wasi::sockets::ip_name_lookup::ErrorCode;
use crate::host::context::Behalf;
use crate::host::next;
use crate::host::scope::{Scope, StageScope};
use crate::host::state::InstanceState;
use crate::telemetry::HostCall;
use std::net::{IpAddr, SocketAddr};
use wasmtime::component::{Accessor, HasSelf};
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;

offers! {
    own "wasi:sockets/ip-name-lookup" "0.3" (own::wasi::sockets::ip_name_lookup) needs Lookup;
}

/// The most addresses of a host that a stage is told.
const MAX_ADDRESSES: usize = 64;

impl own::wasi::sockets::ip_name_lookup::Host for InstanceState {}

impl own::wasi::sockets::ip_name_lookup::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    async fn resolve_addresses(
        store: &Accessor<InstanceState, Self>,
        scope: Scope,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, ErrorCode>> {
        let behalf = store.with(|mut store| {
            store.get().count_call(HostCall::Lookup);
            store.get().pulse.act();
            next::behalf(&mut store)
        })?;
        Ok(resolve(&scope, behalf.as_ref(), &name).await)
    }
}

async fn resolve(
    scope: &StageScope,
    behalf: Option<&Behalf>,
    name: &str,
) -> Result<Vec<IpAddress>, ErrorCode> {
    // An address needs no look-up.
    if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(vec![address.to_canonical().into()]);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut granted = scope.grants.lookup.iter().flatten();
    if scope.is_shut() || !granted.any(|pattern| pattern.matches(name)) {
        scope.log(behalf, tracing::Level::WARN, "lookup", &format!("denied: {name}"));
        return Err(ErrorCode::AccessDenied);
    }
    let found = scope.egress.in_turn(tokio::net::lookup_host((name, 0))).await;
    let found = found.ok_or(ErrorCode::TemporaryResolverFailure)?;
    let addresses = told(found.map_err(|_| ErrorCode::NameUnresolvable)?);
    match addresses.is_empty() {
        true => Err(ErrorCode::NameUnresolvable),
        false => Ok(addresses.into_iter().map(IpAddress::from).collect()),
    }
}

/// The addresses among `found` that a stage is told: each once, and at most [`MAX_ADDRESSES`].
fn told(found: impl Iterator<Item = SocketAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        let address = address.ip().to_canonical();
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_told_so_many_addresses_at_most() {
        let found = (0..200_u8).map(|last| SocketAddr::from(([192, 0, 2, last / 2], 0)));
        let addresses = told(found);
        let expected: Vec<_> = (0..64).map(|last| IpAddr::from([192, 0, 2, last])).collect();
        assert_eq!(addresses, expected);
    }
}
