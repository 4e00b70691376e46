//! What stages are granted.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::{Lowering, Names, describe};
use crate::config::keys::{Grant, Mount as MountTable};
use crate::config::{Decoded, Fault, Span, Text};
use crate::plan::{EgressRule, Grants, Mount, Network, SocketRule};

/// Longest path at which a stage sees a directory, in bytes.
const MAX_GUEST_PATH: usize = 256;

impl Lowering<'_> {
    pub(super) fn grants(&mut self, table: &Decoded<Grant>, pipelines: &mut Names<'_>) -> Grants {
        let Grant { random, clocks, stdio, env, egress, egress_networks, calls, filesystem, sockets } =
            &**table;
        Grants {
            random: *random,
            clocks: *clocks,
            stdio: *stdio,
            env: env.as_ref().map(|node| self.variables(node)),
            egress: egress
                .as_ref()
                .map(|rules| rules.iter().filter_map(|rule| self.egress_rule(rule.text())).collect()),
            egress_networks: egress_networks.iter().filter_map(|text| self.network(text.text())).collect(),
            calls: self.calls(calls, pipelines),
            filesystem: self.mounts(filesystem),
            sockets: sockets.iter().filter_map(|rule| self.socket_rule(rule.text())).collect(),
            span: Some(table.span()),
        }
    }

    fn egress_rule(&mut self, text: Text<'_>) -> Option<EgressRule> {
        EgressRule::parse(text.text).map_err(|fault| self.diagnostics.fault(text.span, fault)).ok()
    }

    fn network(&mut self, text: Text<'_>) -> Option<Network> {
        Network::parse(text.text).map_err(|fault| self.diagnostics.fault(text.span, fault)).ok()
    }

    fn socket_rule(&mut self, text: Text<'_>) -> Option<SocketRule> {
        SocketRule::parse(text.text).map_err(|fault| self.diagnostics.fault(text.span, fault)).ok()
    }

    fn mounts(&mut self, tables: &[Decoded<MountTable>]) -> Vec<Mount> {
        let mut mounts: Vec<(Mount, Span)> = Vec::new();
        for table in tables {
            let MountTable { path: Some(path), at: Some(at), write } = &**table else { continue };
            let directory = self.directory(path.text());
            if let Err(fault) = check_guest_path(&at.value) {
                self.diagnostics.fault(at.span, fault);
                continue;
            }
            if let Some((_, earlier)) = mounts.iter().find(|(mount, _)| mount.at == at.value) {
                self.diagnostics
                    .error(at.span, format!("two directories of one stage are seen as `{}`", at.value))
                    .label("the same path")
                    .related(*earlier, "the first directory")
                    .help("choose another path for one of them");
                continue;
            }
            let Some((path, node, span)) = directory else { continue };
            mounts.push((Mount { path, at: at.value.clone(), write: *write, node, span }, at.span));
        }
        mounts.into_iter().map(|(mount, _)| mount).collect()
    }

    /// A directory that must exist.
    fn directory(&mut self, text: Text<'_>) -> Option<(PathBuf, (u64, u64), Span)> {
        let path = self.source.folder().join(text.text);
        let label = match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Some((path, (found.dev(), found.ino()), text.span)),
            Ok(_) => "not a directory".to_owned(),
            Err(error) => match error.kind() {
                std::io::ErrorKind::NotFound => "no such directory".to_owned(),
                _ => describe(&error),
            },
        };
        self.diagnostics
            .error(text.span, format!("cannot grant the directory `{}`", text.text))
            .label(label)
            .help(format!("looked for {}; paths start from the configuration file's folder", path.display()));
        None
    }
}

fn check_guest_path(text: &str) -> Result<(), Fault> {
    let fault = |label: &str| {
        let help = "write an absolute path in its plain form, such as \"/data\"";
        Err(Fault::new(format!("invalid path in a stage `{text}`"), label, help))
    };
    let Some(rest) = text.strip_prefix('/') else { return fault("does not begin with `/`") };
    if text.len() > MAX_GUEST_PATH {
        return fault("longer than 256 bytes");
    }
    if !rest.is_empty() && rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return fault("has an empty part, `.` or `..`");
    }
    if text.contains(char::is_control) {
        return fault("has a control character");
    }
    Ok(())
}
