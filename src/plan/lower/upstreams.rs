//! Upstreams and their servers.

use super::lowering::Lowering;
use crate::config::keys::{self, UpstreamTls};
use crate::config::{At, Decoded, KeyOf, Named, Span};
use crate::plan::{HealthCheck, HostPolicy, Server, UpstreamPlan, UpstreamTlsFiles};
use std::path::PathBuf;

/// Longest path of a health check, in bytes.
const MAX_TARGET: usize = 1024;

impl Lowering<'_> {
    /// One upstream for each name, in the order of the file, so that their places are those of the names.
    pub(super) fn upstreams(&mut self, named: &[Named<Decoded<keys::Upstream>>]) -> Vec<UpstreamPlan> {
        named.iter().map(|named| self.upstream(named)).collect()
    }

    fn upstream(&mut self, named: &Named<Decoded<keys::Upstream>>) -> UpstreamPlan {
        let name = self.name(named);
        let keys::Upstream { servers, protocol, balance, host, tls, health, ejection, retry, limits } =
            &*named.table;
        let servers = self.servers(servers);
        UpstreamPlan {
            name,
            protocol: *protocol,
            balance: *balance,
            host: self.host_policy(host),
            tls: tls.as_ref().map(|tls| self.upstream_tls(tls, &servers)).unwrap_or_default(),
            servers,
            health: health.as_ref().and_then(|health| self.health(health)),
            ejection: ejection.clone(),
            retry: retry.clone(),
            limits: limits.clone(),
            span: named.name_span,
        }
    }

    fn servers(&mut self, texts: &[At<String>]) -> Vec<Server> {
        let mut found: Vec<(Server, Span)> = Vec::new();
        for text in texts.iter().map(At::text) {
            let server = match Server::parse(text.text) {
                Ok(server) => server,
                Err(fault) => {
                    self.diagnostics.fault(text.span, fault);
                    continue;
                }
            };
            if let Some((_, earlier)) = found.iter().find(|(other, _)| *other == server) {
                self.diagnostics
                    .error(text.span, format!("the server `{server}` is listed twice"))
                    .label("the same server")
                    .related(*earlier, "the first one")
                    .help("remove one of them");
                continue;
            }
            found.push((server, text.span));
        }
        found.into_iter().map(|(server, _)| server).collect()
    }

    fn host_policy(&mut self, text: &At<String>) -> HostPolicy {
        HostPolicy::parse(&text.value).unwrap_or_else(|fault| {
            self.diagnostics.fault(text.span, fault);
            HostPolicy::Preserve
        })
    }

    fn upstream_tls(&mut self, table: &Decoded<UpstreamTls>, servers: &[Server]) -> UpstreamTlsFiles {
        let UpstreamTls { roots, certificate, key, name } = &**table;
        if !servers.is_empty() && servers.iter().all(|server| !server.tls) {
            self.diagnostics
                .warning(table.span(), "`tls` is not used")
                .label("no server of this upstream is `https`")
                .help("remove it, or write `https://` before the servers");
        }
        let (one, other) = (UpstreamTls::certificate, UpstreamTls::key);
        if certificate.is_some() != key.is_some() {
            let (has, lacks) = if key.is_some() { (other, one) } else { (one, other) };
            if !table.is_refused(lacks) {
                self.diagnostics
                    .error(table.span_of(has), format!("`{}` without `{}`", has.name, lacks.name))
                    .label(format!("`{}` is missing", lacks.name))
                    .help("a client certificate needs a chain and its key, in PEM files");
            }
        }
        let name = name.as_ref().and_then(|name| {
            let text = name.text();
            match Server::parse(&format!("https://{}", text.text)) {
                Ok(server) if !text.text.contains(':') => Some(server.authority()),
                _ => {
                    self.diagnostics
                        .error(text.span, format!("invalid name `{}`", text.text))
                        .label("not a host name")
                        .help("write the name that the servers' certificate has, such as \"api.internal\"");
                    None
                }
            }
        });
        let roots = self.tls_file(roots, UpstreamTls::roots);
        let identity = (self.tls_file(certificate, one), self.tls_file(key, other));
        UpstreamTlsFiles {
            roots,
            identity: identity.0.zip(identity.1).map(|(certificate, key)| [certificate, key]),
            name,
        }
    }

    fn tls_file(&mut self, path: &Option<At<String>>, key: KeyOf<UpstreamTls>) -> Option<(PathBuf, Span)> {
        let text = path.as_ref()?.text();
        Some((self.existing_file(text, key.name)?, text.span))
    }

    fn health(&mut self, table: &keys::Health) -> Option<HealthCheck> {
        let keys::Health { path, status, interval, timeout, healthy, unhealthy } = table;
        let text = path.as_ref()?.text();
        let good = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !text.text.starts_with('/') || !text.text.bytes().all(good) || text.text.len() > MAX_TARGET {
            self.diagnostics
                .error(text.span, format!("invalid path `{}`", text.text))
                .label("not a path")
                .help("write a path that starts with `/`, of at most 1024 visible ASCII characters");
            return None;
        }
        Some(HealthCheck {
            path: text.text.to_owned(),
            status: *status,
            interval: *interval,
            timeout: *timeout,
            healthy: *healthy,
            unhealthy: *unhealthy,
        })
    }
}
