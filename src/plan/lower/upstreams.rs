//! Upstreams and their servers.

use super::Lowering;
use crate::config::{Fields, Named, Span};
use crate::plan::{
    Balance, Ejection, HealthCheck, HostPolicy, Retry, Server, UpstreamLimits, UpstreamPlan,
    UpstreamProtocol, UpstreamTlsFiles,
};
use std::path::PathBuf;

/// Longest path of a health check, in bytes.
const MAX_TARGET: usize = 1024;

impl Lowering<'_> {
    /// One for each name, in the order of the file, so that their places are those of the names.
    pub(super) fn upstreams(&mut self, root: &Fields) -> Vec<UpstreamPlan> {
        root.named("upstreams").iter().map(|named| self.upstream(named)).collect()
    }

    fn upstream(&mut self, named: &Named) -> UpstreamPlan {
        let name = self.name(named);
        let fields = &named.fields;
        let protocols = [UpstreamProtocol::Auto, UpstreamProtocol::Http1, UpstreamProtocol::Http2];
        let balances = [Balance::RoundRobin, Balance::LeastRequests];
        let protocol = self.choice(fields, "protocol", &["auto", "http1", "h2"]);
        let balance = self.choice(fields, "balance", &["round-robin", "least-requests"]);
        let servers = self.servers(fields);
        let (ejection, retry) = (fields.table_or_default("ejection"), fields.table_or_default("retry"));
        UpstreamPlan {
            name,
            protocol: protocol.map_or_else(Default::default, |at| protocols[at]),
            balance: balance.map_or_else(Default::default, |at| balances[at]),
            host: self.host_policy(fields),
            tls: self.upstream_tls(fields, &servers),
            servers,
            health: fields.table("health").and_then(|table| self.health(table)),
            ejection: Ejection {
                failures: ejection.count("failures"),
                time: ejection.duration("time"),
                share: ejection.count("share"),
            },
            retry: Retry { attempts: retry.count("attempts"), budget: retry.count("budget") },
            limits: UpstreamLimits::lower(&fields.table_or_default("limits")),
            span: named.name_span,
        }
    }

    fn servers(&mut self, fields: &Fields) -> Vec<Server> {
        let mut found: Vec<(Server, Span)> = Vec::new();
        for text in fields.texts("servers") {
            let server = match Server::parse(text.text) {
                Ok(server) => server,
                Err(fault) => {
                    self.diagnostics.fault(text.span, fault);
                    continue;
                }
            };
            if let Some((_, earlier)) = found.iter().find(|(other, _)| *other == server) {
                self.diagnostics
                    .error(text.span, format!("the server `{server}` is there twice"))
                    .label("the same server")
                    .related(*earlier, "the first one")
                    .help("remove one of them");
                continue;
            }
            found.push((server, text.span));
        }
        found.into_iter().map(|(server, _)| server).collect()
    }

    fn host_policy(&mut self, fields: &Fields) -> HostPolicy {
        let Some(text) = fields.text("host") else { return HostPolicy::Preserve };
        HostPolicy::parse(text.text).unwrap_or_else(|fault| {
            self.diagnostics.fault(text.span, fault);
            HostPolicy::Preserve
        })
    }

    fn upstream_tls(&mut self, fields: &Fields, servers: &[Server]) -> UpstreamTlsFiles {
        let Some(table) = fields.table("tls") else { return UpstreamTlsFiles::default() };
        if !servers.is_empty() && servers.iter().all(|server| !server.tls) {
            self.diagnostics
                .warning(table.span(), "`tls` is not used")
                .label("no server of this upstream is `https`")
                .help("remove it, or write `https://` before the servers");
        }
        if let (true, false) | (false, true) = (table.has("certificate"), table.has("key")) {
            let (has, lacks) = if table.has("key") { ("key", "certificate") } else { ("certificate", "key") };
            if !table.is_refused(lacks) {
                self.diagnostics
                    .error(table.span_of(has), format!("`{has}` without `{lacks}`"))
                    .label(format!("`{lacks}` is missing"))
                    .help("a certificate of our own is a chain and its key, in PEM files");
            }
        }
        let name =
            table.text("name").and_then(|text| match Server::parse(&format!("https://{}", text.text)) {
                Ok(server) if !text.text.contains(':') => Some(server.authority()),
                _ => {
                    self.diagnostics
                        .error(text.span, format!("invalid name `{}`", text.text))
                        .label("not a host name")
                        .help("write the name that the servers' certificate has, such as \"api.internal\"");
                    None
                }
            });
        let roots = self.tls_file(table, "roots");
        let identity = (self.tls_file(table, "certificate"), self.tls_file(table, "key"));
        UpstreamTlsFiles {
            roots,
            identity: identity.0.zip(identity.1).map(|(certificate, key)| [certificate, key]),
            name,
        }
    }

    fn tls_file(&mut self, table: &Fields, key: &'static str) -> Option<(PathBuf, Span)> {
        let text = table.text(key)?;
        Some((self.existing_file(text, key)?, text.span))
    }

    fn health(&mut self, fields: &Fields) -> Option<HealthCheck> {
        let text = fields.text("path")?;
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
            status: fields.optional_count("status").and_then(|status| u16::try_from(status).ok()),
            interval: fields.duration("interval"),
            timeout: fields.duration("timeout"),
            healthy: fields.count("healthy"),
            unhealthy: fields.count("unhealthy"),
        })
    }
}
