//! Listeners: addresses, certificates and keys.

use std::net::{IpAddr, SocketAddr};

use super::lowering::Lowering;
use crate::config::keys::{self, File};
use crate::config::{Decoded, Fault};
use crate::plan::Listener;
use crate::plan::policy::ProxyPlan;

impl Lowering<'_> {
    pub(super) fn listeners(&mut self, root: &Decoded<File>) -> Vec<Listener> {
        if root.listeners.is_empty() {
            let help = "add `[[listeners]]` with `address = \"127.0.0.1:8080\"`";
            self.require_some(root, File::listeners, "listener", help);
        }
        let mut listeners: Vec<Listener> = Vec::new();
        for table in &root.listeners {
            let Some(listener) = self.listener(table, root) else {
                continue;
            };
            let same =
                |earlier: &&Listener| earlier.address == listener.address && listener.address.port() != 0;
            if let Some(earlier) = listeners.iter().find(same) {
                self.diagnostics
                    .error(listener.span, format!("two listeners have the address {}", listener.address))
                    .label("already in use")
                    .related(earlier.span, "the first listener")
                    .help("give one of them another port, or remove it");
            }
            listeners.push(listener);
        }
        listeners
    }

    fn listener(&mut self, table: &Decoded<keys::Listener>, root: &Decoded<File>) -> Option<Listener> {
        let keys::Listener { address, tls, redirect: _, redirect_port: _, proxy_protocol, proxy_timeout } =
            &**table;
        // All parts are checked even if the first is wrong.
        let tls = tls.as_ref().map(|tls| self.tls(tls));
        let redirect = self.redirect(table);
        let proxy = proxy_protocol.map(|version| ProxyPlan { version, timeout: *proxy_timeout });
        if proxy.is_some() {
            self.check_trusted(table, root);
        }
        let text = address.as_ref()?.text();
        match parse_address(text.text) {
            Ok(address) => Some(Listener { address, tls: tls.flatten(), redirect, proxy, span: text.span }),
            Err(fault) => {
                self.diagnostics.fault(text.span, fault);
                None
            }
        }
    }

    fn redirect(&mut self, table: &Decoded<keys::Listener>) -> Option<u16> {
        const HTTPS: u16 = 443;
        if table.redirect.is_none() {
            if table.redirect_port.is_some() && !table.is_given(keys::Listener::redirect) {
                self.diagnostics
                    .error(table.span_of(keys::Listener::redirect_port), "`redirect-port` without `redirect`")
                    .label("nothing is redirected")
                    .help("add `redirect = \"https\"`, or remove `redirect-port`");
            }
            return None;
        }
        if table.has(keys::Listener::tls) {
            self.diagnostics
                .error(table.span_of(keys::Listener::redirect), "a listener with `tls` redirects to itself")
                .label("clients already use https")
                .help("put `redirect` on a listener without `tls`");
        }
        Some(table.redirect_port.unwrap_or(HTTPS))
    }

    fn check_trusted(&mut self, table: &Decoded<keys::Listener>, root: &Decoded<File>) {
        let http = &root.http;
        if http.trusted_proxies.is_empty()
            && !http.is_refused(keys::Http::trusted_proxies)
            && !root.is_refused(File::http)
        {
            self.diagnostics
                .error(
                    table.span_of(keys::Listener::proxy_protocol),
                    "no proxy is trusted to send the PROXY protocol",
                )
                .label("every connection would be closed")
                .help("name the proxies in `[http]`: `trusted-proxies = [\"10.0.0.0/8\"]`");
        }
    }
}

pub(super) fn parse_address(text: &str) -> Result<SocketAddr, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let message = format!("invalid address `{text}`");
    if let Ok(address) = text.parse::<IpAddr>() {
        let help = format!("add a port: \"{}\"", SocketAddr::new(address, 8443));
        return Err(Fault::new(message, "the port is missing", help));
    }
    let valid_port = |port: &str| port.parse::<u16>().is_ok();
    match text.rsplit_once(':') {
        Some(("", port)) if valid_port(port) => {
            let help = format!("for all interfaces, write \"0.0.0.0:{port}\" or \"[::]:{port}\"");
            Err(Fault::new(message, "the IP address is missing", help))
        }
        Some(("localhost", port)) if valid_port(port) => {
            let help = format!("write \"127.0.0.1:{port}\" or \"[::1]:{port}\"");
            Err(Fault::new(message, "a name, not an IP address", help))
        }
        Some((host, port))
            if host.parse::<IpAddr>().is_ok_and(|host| host.is_ipv4()) && !valid_port(port) =>
        {
            Err(Fault::new(message, "invalid port", "a port is 0 to 65535; 0 takes a free one"))
        }
        _ => {
            let help = "write an IP address and a port, such as \"127.0.0.1:8443\" or \"[::1]:8443\"";
            Err(Fault::new(message, "not an IP address with a port", help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:8443", "0.0.0.0:0", "[::]:443", "[2001:db8::1]:1"] {
            assert_eq!(parse_address(good).unwrap().to_string(), good);
        }
        for (bad, label) in [
            ("127.0.0.1", "the port is missing"),
            ("::1", "the port is missing"),
            (":8080", "the IP address is missing"),
            ("localhost:80", "a name, not an IP address"),
            ("10.0.0.1:65536", "invalid port"),
            ("10.0.0.1:", "invalid port"),
            ("", "not an IP address with a port"),
            ("example.com:80", "not an IP address with a port"),
        ] {
            assert_eq!(parse_address(bad).unwrap_err().label, label, "{bad}");
        }
    }
}
