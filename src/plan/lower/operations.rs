//! The admin listener and the access log.

use std::net::IpAddr;
use std::path::PathBuf;

use super::listeners::parse_address;
use super::lowering::{Lowering, describe};
use crate::config::keys::{self, AccessLog};
use crate::config::{Decoded, Node, Text};
use crate::plan::{AccessLogPlan, Admin, ConfigValue, Listener};

impl Lowering<'_> {
    pub(super) fn admin(&mut self, table: &Decoded<keys::Admin>, listeners: &[Listener]) -> Option<Admin> {
        let keys::Admin { address, token, read_token } = &**table;
        // The tokens are checked even if the address is wrong.
        let token = token.as_ref().and_then(|token| self.token(token, "token"));
        let read_token = read_token.as_ref().and_then(|token| self.token(token, "read-token"));
        self.compare(table, token.as_ref(), read_token.as_ref());
        let text = address.as_ref()?.text();
        let address = match parse_address(text.text) {
            Ok(address) => address,
            Err(fault) => {
                self.diagnostics.fault(text.span, fault);
                return None;
            }
        };
        if let Some(taken) = listeners.iter().find(|one| one.address == address && address.port() != 0) {
            self.diagnostics
                .error(text.span, format!("the admin listener has the address of a listener, {address}"))
                .label("already in use")
                .related(taken.span, "the listener")
                .help("give one of them another port");
        }
        match (table.is_given(keys::Admin::token), is_loopback(address.ip())) {
            (_, true) => {}
            (false, false) => {
                self.diagnostics
                    .error(text.span, "the admin listener needs a token")
                    .label("other machines can reach this address")
                    .help("add `token = { env = \"LINKSPAN_ADMIN_TOKEN\" }`, or use 127.0.0.1");
            }
            (true, false) => {
                self.diagnostics
                    .warning(text.span, "the admin token crosses the network as plain text")
                    .label("other machines can reach this address, and it has no TLS")
                    .help("use 127.0.0.1 behind a proxy with TLS, or a network that only operators can listen to");
            }
        }
        Some(Admin { address, token, read_token, span: text.span })
    }

    /// Checks that there is no token for looking without one for changes, and that they differ.
    fn compare(
        &mut self,
        table: &Decoded<keys::Admin>,
        token: Option<&ConfigValue>,
        read_token: Option<&ConfigValue>,
    ) {
        let Some(read_token) = read_token else { return };
        let (label, help) = match token {
            Some(token) if token.expose() != read_token.expose() => return,
            Some(_) => ("the same as `token`", "make another one with `openssl rand -hex 32`"),
            None if table.is_given(keys::Admin::token) => return,
            None => ("there is no `token`", "without `token`, everybody may change everything"),
        };
        self.diagnostics
            .error(read_token.span(), "`read-token` keeps nobody from changes")
            .label(label)
            .help(help);
    }

    fn token(&mut self, node: &Node, key: &str) -> Option<ConfigValue> {
        let token = self.text_or_reference(node, &format!("`{key}`"), key)?;
        let text = token.expose();
        let label = if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            "has spaces or characters that are not visible ASCII"
        } else if !(Admin::MIN_TOKEN..=Admin::MAX_TOKEN).contains(&text.len()) {
            "not between 16 and 1024 characters"
        } else {
            return Some(token);
        };
        self.diagnostics
            .error(token.span(), "invalid admin token")
            .label(label)
            .help("make one with `openssl rand -hex 32`");
        None
    }

    pub(super) fn access_log(&mut self, table: &AccessLog) -> Option<AccessLogPlan> {
        let AccessLog { path, format, queue, query } = table;
        let span = path.span;
        let path = match path.value.as_str() {
            "-" => None,
            _ => Some(self.appendable_file(path.text())?),
        };
        Some(AccessLogPlan { path, format: *format, queue: *queue, query: *query, span })
    }

    /// The path of a file that need not exist, in a folder that must.
    fn appendable_file(&mut self, text: Text<'_>) -> Option<PathBuf> {
        let path = self.source.folder().join(text.text);
        let label = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => "a folder".to_owned(),
            Ok(_) => return Some(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                match path.parent().map(std::fs::metadata) {
                    Some(Ok(folder)) if folder.is_dir() => return Some(path),
                    _ => "no such folder".to_owned(),
                }
            }
            Err(error) => describe(&error),
        };
        self.diagnostics
            .error(text.span, format!("cannot write the access log `{}`", text.text))
            .label(label)
            .help(format!("looked for {}; the gateway makes the file, not its folder", path.display()));
        None
    }
}

/// Whether only this machine can reach the address; an IPv4 address that is mapped to IPv6 counts as what it is.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn loopback() {
        for (address, loopback) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_loopback(address.parse().unwrap()), loopback, "{address}");
        }
    }
}
