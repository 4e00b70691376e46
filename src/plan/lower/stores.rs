//! Stores, and which of them a stage may use.

use super::lowering::{KnownStore, Lowering};
use crate::config::keys::{self, StoreKind as Kind};
use crate::config::{At, Decoded, KeyOf, Named, suggest};
use crate::plan::{RedisPlan, RedisServer, StoreKind, StorePlan};
use std::sync::Arc;

/// The longest beginning of keys, in bytes.
const MAX_PREFIX: usize = 64;

/// Keys that only Redis has.
fn of_redis() -> [KeyOf<keys::Store>; 12] {
    type Keys = keys::Store;
    [
        Keys::url,
        Keys::username,
        Keys::password,
        Keys::roots,
        Keys::prefix,
        Keys::timeout,
        Keys::connect_timeout,
        Keys::retry_interval,
        Keys::retry_interval_max,
        Keys::queue,
        Keys::batch,
        Keys::in_flight,
    ]
}

impl Lowering<'_> {
    /// Reads all stores, so that stages can name them.
    pub(super) fn read_stores(&mut self, named: &[Named<Decoded<keys::Store>>]) {
        self.stores.names = named.iter().map(|named| named.name.clone()).collect();
        for named in named {
            if let Some(plan) = self.store(named) {
                self.stores.known.push(KnownStore { plan: Arc::new(plan), used: false });
            }
        }
    }

    fn store(&mut self, named: &Named<Decoded<keys::Store>>) -> Option<StorePlan> {
        let name = self.name(named);
        let table = &named.table;
        let kind = match table.kind? {
            Kind::Memory => {
                for key in of_redis() {
                    self.report_other_kind(table, key, Kind::Redis);
                }
                StoreKind::Memory { entries: table.entries }
            }
            Kind::Redis => {
                self.report_other_kind(table, keys::Store::entries, Kind::Memory);
                StoreKind::Redis(Box::new(self.redis(named)?))
            }
        };
        Some(StorePlan { name, kind, span: named.name_span })
    }

    fn report_other_kind(&mut self, table: &Decoded<keys::Store>, key: KeyOf<keys::Store>, kind: Kind) {
        if table.has(key) {
            let word = match kind {
                Kind::Memory => "memory",
                Kind::Redis => "redis",
            };
            self.diagnostics
                .error(table.span_of(key), format!("`{}` is a key of stores of another kind", key.name))
                .label(format!("only for kind = \"{word}\""))
                .help("remove the key, or change `kind`");
        }
    }

    fn redis(&mut self, named: &Named<Decoded<keys::Store>>) -> Option<RedisPlan> {
        let table = &named.table;
        let password =
            table.password.as_ref().and_then(|node| self.text_or_reference(node, "`password`", "password"));
        let roots = table.roots.as_ref().and_then(|path| self.roots(path.text()));
        if let Some(username) = &table.username
            && !table.has(keys::Store::password)
            && !table.is_refused(keys::Store::password)
        {
            self.diagnostics
                .error(username.span, "`username` without `password`")
                .label("`password` is missing")
                .help("a user logs in with a password: `password = { env = \"…\" }`");
        }
        let prefix = &table.prefix;
        if prefix.value.len() > MAX_PREFIX || !prefix.value.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.diagnostics
                .error(prefix.span, "invalid `prefix`")
                .label("not 1 to 64 visible ASCII characters")
                .help("for example \"linkspan:\"");
        }
        if table.retry_interval > table.retry_interval_max {
            self.diagnostics
                .error(
                    table.span_of(keys::Store::retry_interval),
                    "`retry-interval` is longer than `retry-interval-max`",
                )
                .label("the first pause is the shortest")
                .help("lower `retry-interval`, or raise `retry-interval-max`");
        }
        let Some(url) = &table.url else {
            if !table.is_refused(keys::Store::url) {
                self.diagnostics
                    .error(named.name_span, format!("the store `{}` has no `url`", named.name))
                    .label("`url` is missing")
                    .help("add `url = \"redis://host:port\"`");
            }
            return None;
        };
        let server = match RedisServer::parse(&url.value) {
            Ok(server) => server,
            Err(fault) => {
                self.diagnostics.fault(url.span, fault);
                return None;
            }
        };
        if let Some(path) = table.roots.as_ref().filter(|_| !server.tls) {
            self.diagnostics
                .warning(path.span, "`roots` is not used")
                .label("the server is not `rediss`")
                .help("remove it, or write `rediss://` before the server");
        }
        Some(RedisPlan {
            server,
            username: table.username.as_ref().map(|text| text.value.clone()),
            password,
            roots,
            prefix: prefix.value.clone(),
            bounds: keys::Store::clone(table),
        })
    }

    /// The stores that a stage is granted, each once.
    pub(super) fn granted_stores(&mut self, names: &[At<String>]) -> Vec<Arc<StorePlan>> {
        let mut granted: Vec<Arc<StorePlan>> = Vec::new();
        for name in names {
            match self.stores.known.iter_mut().find(|known| *known.plan.name == *name.value) {
                Some(known) => {
                    known.used = true;
                    if !granted.contains(&known.plan) {
                        granted.push(Arc::clone(&known.plan));
                    }
                }
                // Its definition was refused, and that was reported.
                None if self.stores.names.contains(&name.value) => {}
                None => {
                    let names: Vec<_> = self.stores.names.iter().map(String::as_str).collect();
                    let none = format!("define it with `[stores.{}]`", name.value);
                    let help = suggest(&name.value, &names, "defined are", &none);
                    self.diagnostics
                        .error(name.span, format!("unknown store `{}`", name.value))
                        .label("not defined under [stores]")
                        .help(help);
                }
            }
        }
        granted
    }

    /// Warns of stores that no stage has.
    pub(super) fn report_unused_stores(&mut self) {
        for known in self.stores.known.iter().filter(|known| !known.used) {
            self.diagnostics
                .warning(known.plan.span, format!("the store `{}` is not used", known.plan.name))
                .label("no stage has it in `grant.stores`")
                .help("remove it, or use it");
        }
    }
}
