//! Listeners: addresses, certificates and keys.

use std::net::{IpAddr, SocketAddr};

use super::Lowering;
use crate::config::{Fault, Fields};
use crate::plan::Listener;

impl Lowering<'_> {
    pub(super) fn listeners(&mut self, root: &Fields) -> Vec<Listener> {
        if root.list("listeners").is_empty() {
            let help = "add `[[listeners]]` with `address = \"127.0.0.1:8080\"`";
            self.require_some(root, "listeners", "listener", help);
        }
        let mut listeners: Vec<Listener> = Vec::new();
        for fields in root.tables("listeners") {
            let Some(listener) = self.listener(fields, root) else {
                continue;
            };
            let same =
                |earlier: &&Listener| earlier.address == listener.address && listener.address.port() != 0;
            if let Some(earlier) = listeners.iter().find(same) {
                self.diagnostics
                    .error(listener.span, format!("two listeners have the address {}", listener.address))
                    .label("taken already")
                    .related(earlier.span, "the first listener")
                    .help("give one of them another port, or remove it");
            }
            listeners.push(listener);
        }
        listeners
    }

    fn listener(&mut self, fields: &Fields, root: &Fields) -> Option<Listener> {
        // All parts are checked even if the first is wrong.
        let tls = fields.table("tls").map(|tls| self.tls(tls));
        let redirect = self.redirect(fields);
        let proxy = self.proxy_protocol(fields, root);
        let text = fields.text("address")?;
        match parse_address(text.text) {
            Ok(address) => Some(Listener { address, tls: tls.flatten(), redirect, proxy, span: text.span }),
            Err(fault) => {
                self.diagnostics.fault(text.span, fault);
                None
            }
        }
    }

    fn redirect(&mut self, fields: &Fields) -> Option<u16> {
        const HTTPS: u16 = 443;
        let port = fields.optional_count("redirect-port");
        if self.choice(fields, "redirect", &["https"]).is_none() {
            if port.is_some() && !fields.has("redirect") && !fields.is_refused("redirect") {
                self.diagnostics
                    .error(fields.span_of("redirect-port"), "`redirect-port` without `redirect`")
                    .label("nothing is redirected")
                    .help("add `redirect = \"https\"`, or remove it");
            }
            return None;
        }
        if fields.has("tls") {
            self.diagnostics
                .error(fields.span_of("redirect"), "a listener with `tls` redirects to itself")
                .label("clients are at https already")
                .help("put `redirect` on a listener without `tls`");
        }
        port.map_or(Some(HTTPS), |port| u16::try_from(port).ok())
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
